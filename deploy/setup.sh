#!/bin/bash
# Installs what building and running resslt needs on Debian 12, if it is missing. On other
# systems, prints exactly what to install. Does nothing if everything is there.
#
#   deploy/setup.sh run     libtorch, OpenBLAS, libjpeg-turbo, Fashion-MNIST, nats-server
#   deploy/setup.sh test    the same and cross, and what tests compare results with: Chromium, PyTorch, torchvision, scikit-learn
#   deploy/setup.sh cross   what `make cross` and `make test-arm64` need: arm64's compiler and libjpeg-turbo, QEMU
#   TORCH=2.15 deploy/setup.sh run   the same with PyTorch's libtorch for CPUs, from PyPI into .torch, which
#                                    is then built against instead of Debian's
#   deploy/setup.sh lint    what `make lint` needs from Debian: shellcheck, venv for the tools of PyPI, arm64's compiler
#   deploy/setup.sh peers   PyTorch, torchvision, OpenCV and scikit-learn for Python, to compare with
set -eu

need_run=(g++ libtorch-dev libgloo-dev libopenblas0-pthread libjpeg62-turbo-dev dataset-fashion-mnist nats-server)
# An arm64 machine needs neither a cross compiler nor QEMU.
need_cross=(gcc libjpeg62-turbo-dev)
[ "$(uname -m)" = aarch64 ] || need_cross=(g++-aarch64-linux-gnu libjpeg62-turbo-dev:arm64 qemu-user-static)
need_test=("${need_run[@]}" "${need_cross[@]}" chromium libarchive-tools python3-torch python3-torchvision python3-sklearn)
need_lint=("${need_run[@]}" "${need_cross[@]}" shellcheck python3-venv)
need_peers=(python3-torch python3-torchvision python3-opencv python3-sklearn)

case "${1:-run}" in
run) need=("${need_run[@]}") ;;
test) need=("${need_test[@]}") ;;
cross) need=("${need_cross[@]}") ;;
lint) need=("${need_lint[@]}") ;;
peers) need=("${need_peers[@]}") ;;
*) echo "setup: usage: $0 run|test|cross|lint|peers" >&2; exit 2 ;;
esac

# A libtorch named by TORCH_HOME or a shim named by RESSLT_TORCH replaces Debian's libtorch and
# the gloo headers that it was built with.
if [ -n "${TORCH_HOME:-}${RESSLT_TORCH:-}${TORCH:-}" ]; then
  need=("${need[@]/libtorch-dev/}")
  need=("${need[@]/libgloo-dev/}")
fi
here=$(cd "$(dirname "$0")/.." && pwd)

# today fetches .torch; call it after its packages are installed.
today() {
  [ -n "${TORCH:-}" ] || return 0
  [ -e "$here/.torch/.ready" ] || echo "setup: fetching libtorch $TORCH (0.5 GB)"
  "$here/deploy/venv.sh" libtorch "$TORCH" "$here/.torch"
}
[ -z "${TORCH:-}" ] || need+=(python3-venv)

if ! command -v go >/dev/null && [ "${1:-run}" != peers ]; then
  echo "setup: Go is missing: install Go $(sed -n 's/^go //p' "$(dirname "$0")/../go.mod") or newer and put it on PATH" >&2
  exit 1
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  if [ "${1:-run}" = cross ]; then
    echo "setup: this is not a Debian system, so nothing was installed: install aarch64-linux-gnu-gcc, libjpeg-turbo for arm64 and qemu-aarch64-static" >&2
    exit 1
  fi
  command -v g++ >/dev/null || { echo "setup: install a C++17 compiler (g++)" >&2; exit 1; }
  if [ -z "${TORCH_HOME:-}${RESSLT_TORCH:-}${TORCH:-}" ]; then
    cat >&2 <<MSG
setup: this is not a Debian system, so nothing was installed. Install
  - libtorch: make setup TORCH=2.15 fetches PyTorch's; or name your own:
      export TORCH_HOME=\$(python3 -c 'import torch,os;print(os.path.dirname(torch.__file__))')
  - libjpeg-turbo with its headers
  - Fashion-MNIST's four .gz files, named by --data fashion-mnist:DIR
then run make again.
MSG
    exit 1
  fi
  today
  exit
fi

missing=()
for p in "${need[@]}"; do
  [ -z "$p" ] && continue
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
if [ ${#missing[@]} -eq 0 ]; then
  today
  exit
fi

if [ "$(id -u)" = 0 ]; then
  sudo=()
elif command -v sudo >/dev/null; then
  sudo=(sudo)
else
  echo "setup: as root, run: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
echo "setup: installing ${missing[*]}"
# For packages of another architecture, apt must know that architecture.
case " ${missing[*]}" in
*:arm64*) dpkg --print-foreign-architectures | grep -qx arm64 || "${sudo[@]}" dpkg --add-architecture arm64 ;;
esac
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
today
