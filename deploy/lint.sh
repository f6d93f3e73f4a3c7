#!/bin/bash
# The parts of `make lint` that are more than one command. `make lint` installs the tools and
# names them by GOVULNCHECK and CLANG_FORMAT.
#
#   deploy/lint.sh vuln    known vulnerabilities in what the programs call
#   deploy/lint.sh c       format and warnings of all C and C++
#   deploy/lint.sh shell   shellcheck over all shell scripts
set -eu
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# vuln fails on findings (exit 3). The database is on the network (or at $GOVULNDB): a
# machine that cannot reach it has not been checked, which is no reason to fail.
vuln() {
  local rc=0
  "${GOVULNCHECK:?}" ./... >"$log" 2>&1 || rc=$?
  if [ "$rc" != 0 ] && grep -qE 'fetching vulnerabilities|no such host|i/o timeout|connection refused|proxyconnect' "$log"; then
    echo "govulncheck: skipped: $(tail -1 "$log" | sed 's/^govulncheck: //')"
    return
  fi
  cat "$log"
  return "$rc"
}

# The flags are those of the cgo lines in augment/turbo/engine.go and train/torch/dl_cgo.go,
# with all warnings as errors; a kernel's file is compiled by its own machine's compiler.
strict=(-std=c11 -O3 -Wall -Wextra -Werror)

c() {
  local f rc=0
  find augment train \( -name '*.c' -o -name '*.cc' -o -name '*.cu' -o -name '*.h' \) -print0 | xargs -0 "${CLANG_FORMAT:?}" --dry-run -Werror || rc=1
  local native=${CC:-gcc} arm64=aarch64-linux-gnu-gcc
  [ "$(uname -m)" != aarch64 ] || arm64=$native
  for f in augment/turbo/*.c train/torch/*.c; do
    case $f in
    *_arm64.c)
      if command -v "$arm64" >/dev/null; then "$arm64" "${strict[@]}" -c "$f" -o /dev/null || rc=1; else echo "$f: skipped: no $arm64"; fi
      ;;
    *_amd64.c)
      if [ "$(uname -m)" = x86_64 ]; then "$native" "${strict[@]}" -c "$f" -o /dev/null || rc=1; else echo "$f: skipped: not an amd64 machine"; fi
      ;;
    *) "$native" "${strict[@]}" -c "$f" -o /dev/null || rc=1 ;;
    esac
  done
  STRICT=1 OUT=bin/lint-shim.so train/torch/csrc/build.sh || rc=1
  rm -f bin/lint-shim.so
  return "$rc"
}

shell() {
  command -v shellcheck >/dev/null || {
    echo "shellcheck is missing: run deploy/setup.sh lint" >&2
    exit 1
  }
  { find . \( -path ./bin -o -path ./.torch -o -path ./.git \) -prune -o -name '*.sh' -print0 && printf '.ci/run\0'; } | xargs -0 shellcheck
}

case "${1:-}" in
vuln | c | shell) "$1" ;;
*) echo "usage: $0 vuln|c|shell" >&2; exit 2 ;;
esac
