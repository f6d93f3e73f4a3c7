#!/bin/bash
# Puts Debian's prometheus and promtool into a folder, bin by default, to check the alerts and
# the dashboard with. The package is unpacked, not installed: it would start a service.
set -eu
bin=$(realpath "${1:-bin}")
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
  echo "prometheus: this is not a Debian system: put prometheus and promtool into $bin, or their tests are skipped" >&2
  exit 0
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
# apt-get download runs as a user of its own where it can write.
apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq 2>/dev/null || sudo apt-get update -qq; apt-get download -qq prometheus; }
dpkg-deb -x prometheus_*.deb .
mkdir -p "$bin"
install usr/bin/prometheus usr/bin/promtool "$bin/"
