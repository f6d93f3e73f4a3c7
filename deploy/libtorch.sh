#!/bin/bash
# Tests the trainer with another libtorch: a PyTorch wheel's, in a virtual environment,
# or a Debian release's, in a folder that debootstrap fills (as root).
#
#   deploy/libtorch.sh 2.15             # PyTorch's wheel from PyPI (2.10 to 2.15)
#   deploy/libtorch.sh trixie           # libtorch 2.6
#   deploy/libtorch.sh sid              # the newest that Debian has
#   deploy/libtorch.sh trixie cuda      # a CUDA libtorch 2.6: the shim is built, linked and opened; no GPU is needed
#
# The test programs are built without any libtorch, like all Go programs here. A wheel's shim
# is built on this system, with and without CUDA; Debian's in the folder, by its compiler.
# ROOT names the folder (default: in the user's cache), which is kept for the next time (a
# wheel's 5.5 GB; Debian's 2 GB, cuda 8). PACKAGES selects what is tested.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=${1:?usage: deploy/libtorch.sh VERSION | SUITE [cuda]}
kind=${2:-cpu}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/resslt
GO=${GO:-go}

die() {
  echo "libtorch.sh: $*" >&2
  exit 1
}

# opens_without_gpu DOCTOR…: its report on a CUDA shim. Where no GPU is, it must say so,
# and fail for nothing else.
opens_without_gpu() {
  if "$@" >"$tests/report" 2>&1; then
    cat "$tests/report"
    [ -e /dev/nvidia0 ] || die "doctor is content with a CUDA shim where no GPU is"
  else
    grep -E 'libtorch|cuda' "$tests/report"
    grep -qE '^missing +cuda' "$tests/report" || die "doctor failed for another reason than the missing GPU"
  fi
}

# A wheel's: as README has it, CUDA's shim and one without.
wheel() {
  ROOT=${ROOT:-$cache/torch-$suite}
  deploy/venv.sh torch "$suite" "$ROOT"
  TORCH_HOME=$(deploy/venv.sh home "$ROOT")
  export TORCH_HOME
  for without in "" cuda; do
    mkdir "$tests/shim$without"
    WITHOUT=$without OUT=$tests/shim$without/libresslt_torch.so train/torch/csrc/build.sh 2>&1 | tee "$tests/said"
    [ "$(wc -l <"$tests/said")" = 1 ] || die "the build of the shim has more to say than what it has built"
  done
  "$GO" build -o "$tests/resslt" ./cmd/resslt
  opens_without_gpu env RESSLT_TORCH="$tests/shim/libresslt_torch.so" "$tests/resslt" doctor
  RESSLT_TORCH=$tests/shimcuda/libresslt_torch.so "$tests/resslt" doctor
  read -ra packages <<<"${PACKAGES:-./train/...}"
  RESSLT_TORCH=$tests/shim/libresslt_torch.so RESSLT_REQUIRE_TORCH=1 RESSLT_LONG=1 "$GO" test -timeout 20m "${packages[@]}"
  RESSLT_TORCH=$tests/shimcuda/libresslt_torch.so RESSLT_REQUIRE_TORCH=1 "$GO" test -timeout 20m ./train/torch
}
case $suite in
[0-9]*)
  tests=$(mktemp -d)
  trap 'rm -rf "$tests"' EXIT
  wheel
  exit
  ;;
esac

ROOT=${ROOT:-$cache/$suite-$kind}
read -ra packages <<<"${PACKAGES:-train/torch train/nn train/optim train/objective train/backbone train}"
case $kind in cpu | cuda) ;; *) die "$kind is neither cpu nor cuda" ;; esac
[ "$(id -u)" = 0 ] || die "debootstrap and chroot need root (fix: sudo $0 $*)"
command -v debootstrap >/dev/null || die "no debootstrap (fix: apt-get install debootstrap)"
# In a mount namespace of its own: however this ends, no mount of the sources stays
# behind for somebody's rm -r.
[ -n "${RESSLT_UNSHARED:-}" ] || RESSLT_UNSHARED=1 exec unshare --mount --propagation private deploy/libtorch.sh "$@"

inside() { chroot "$ROOT" env DEBIAN_FRONTEND=noninteractive OMP_NUM_THREADS=1 HOME=/tmp "$@"; }
install() { inside apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>"$ROOT/tmp/apt" || die "apt-get: $(tail -n 1 "$ROOT/tmp/apt")"; }

if [ ! -e "$ROOT/.ready" ]; then
  rm -rf "$ROOT"
  debootstrap --variant=minbase "$suite" "$ROOT" >/dev/null
  sed -i 's/ main$/ main contrib non-free/' "$ROOT/etc/apt/sources.list"
  # The mirror may be a snapshot, whose lists are past their date; they are signed all the same.
  inside apt-get update -qq -o Acquire::Check-Valid-Until=false
  if [ "$kind" = cpu ]; then
    install g++ libtorch-dev libgloo-dev python3-torch libjpeg62-turbo
  else
    # Debian's package of cuDNN fetches it from its maker. To link, and to open a library
    # whose kernels nobody runs, its names are enough.
    mkdir -p "$ROOT/tmp/cudnn/DEBIAN"
    printf '%s\n' 'Package: nvidia-cudnn' 'Version: 9.0.0.312~cuda12+names' 'Architecture: amd64' \
      'Maintainer: resslt <root@localhost>' 'Description: the names of cuDNN, without its code' >"$ROOT/tmp/cudnn/DEBIAN/control"
    inside dpkg-deb -b /tmp/cudnn /tmp/cudnn.deb >/dev/null
    inside dpkg -i /tmp/cudnn.deb >/dev/null
    install g++ libtorch-cuda-dev nvidia-cuda-dev libcuda1 libnccl-dev libgloo-cuda-dev libjpeg62-turbo
    # shellcheck disable=SC2016 # expanded inside
    inside sh -ec '
      cd /tmp
      nm -D --undefined-only /usr/lib/*/libtorch_cuda*.so.* | sed -n "s/.* \(cudnn[A-Za-z0-9_]*\)@.*/\1/p" | sort -u | sed "s/.*/unsigned long &(void) { return 0; }/" >cudnn.c
      echo "libcudnn.so.9 { global: cudnn*; local: *; };" >cudnn.map
      lib=$(dirname "$(ls /usr/lib/*/libtorch_cuda.so)")
      gcc -shared -fPIC -o "$lib/libcudnn.so.9" -Wl,-soname,libcudnn.so.9 -Wl,--version-script=cudnn.map cudnn.c'
  fi
  inside apt-get clean
  touch "$ROOT/.ready"
fi

tests=$(mktemp -d)
trap 'rm -rf "$tests"' EXIT
bind() {
  mkdir -p "$ROOT/$2"
  mount --bind "$1" "$ROOT/$2"
}
bind "$PWD" src/main
[ ! -d ../shared ] || bind "$(cd ../shared && pwd)" src/shared
bind "$tests" tests
mkdir -p "$ROOT/proc"
mount -t proc proc "$ROOT/proc"

inside env OUT=/tmp/libresslt_torch.so /src/main/train/torch/csrc/build.sh
if [ "$kind" = cuda ]; then
  "$GO" build -o "$tests/resslt" ./cmd/resslt
  opens_without_gpu inside env RESSLT_TORCH=/tmp/libresslt_torch.so /tests/resslt doctor
  exit 0
fi
failed=()
for p in "${packages[@]}"; do
  name=${p//\//_}.test
  "$GO" test -c -o "$tests/$name" "./$p"
  echo "== $p"
  inside sh -c "cd /src/main/$p && RESSLT_TORCH=/tmp/libresslt_torch.so RESSLT_REQUIRE_TORCH=1 RESSLT_LONG=1 /tests/$name -test.timeout 10m" || failed+=("$p")
done
[ ${#failed[@]} = 0 ] || die "failed: ${failed[*]}"
