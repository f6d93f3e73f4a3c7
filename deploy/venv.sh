#!/bin/bash
# Makes a virtual environment with PyTorch, or with tools, from PyPI:
#
#   deploy/venv.sh torch 2.15 DIR      # all of it, torchvision and CUDA's headers: results and
#                                      # speeds are compared with it (5.5 GB, a minute or two)
#   deploy/venv.sh libtorch 2.15 DIR   # its libtorch for CPUs alone (0.7 GB, 0.5 to fetch)
#   deploy/venv.sh home DIR            # the folder of its libtorch, for TORCH_HOME
#   deploy/venv.sh tools DIR PIN...    # programs of PyPI, each NAME==VERSION
#   deploy/venv.sh beside DIR PIN...   # packages alone, beside Debian's Python packages (its torch)
#
# The system's Python stays as it is. A finished DIR is left alone; one that was interrupted,
# or has another version, is created again.
set -euo pipefail

die() {
  echo "venv.sh: $*" >&2
  exit 1
}
usage="usage: venv.sh torch|libtorch VERSION DIR | venv.sh home DIR | venv.sh tools|beside DIR PIN..."

# Each release with the torchvision released with it.
pins() {
  case $1 in
  2.10) echo torch==2.10.0 torchvision==0.25.0 ;; # the last with CUDA 12
  2.11) echo torch==2.11.0 torchvision==0.26.0 ;;
  2.12) echo torch==2.12.1 torchvision==0.27.1 ;;
  2.13) echo torch==2.13.0 torchvision==0.28.0 ;;
  2.14) echo torch==2.14.1 torchvision==0.29.1 ;;
  2.15) echo torch==2.15.0 torchvision==0.29.2 ;;
  *) die "no pins for torch $1 (fix: 2.10 to 2.15, or add a line to $0)" ;;
  esac
}

# The wheel brings CUDA's libraries and most of its headers; cuda_runtime.h includes those
# of crt and nccl.h those of cccl. `cuda-toolkit` installs them in the version that the wheel
# itself requires; CUDA 12's packages had other names.
cuda_headers() {
  case $1 in
  2.10) echo 'nvidia-cuda-nvcc-cu12==12.8.* nvidia-cuda-cccl-cu12==12.8.*' ;;
  *) echo 'cuda-toolkit[crt,cccl]' ;;
  esac
}

# home DIR: without importing torch, which takes seconds and needs the whole package.
home() {
  for home in "$1"/lib/python3*/site-packages/torch; do
    [ -e "$home/lib/libtorch.so" ] || die "$1 has no libtorch (fix: $0 torch 2.15 $1)"
    cd "$home" && pwd
  done
}

kind=${1:-}
case $kind in
home)
  home "${2:?$usage}"
  exit
  ;;
torch | libtorch)
  version=${2:?$usage}
  dir=${3:?$usage}
  all=$(pins "$version")
  ;;
tools | beside)
  dir=${2:?$usage}
  : "${3:?$usage}"
  ;;
*) die "$usage" ;;
esac
case $kind in
torch) wanted="numpy==2.4.6 $all $(cuda_headers "$version")" ;;
libtorch) wanted="${all%% *} for CPUs" ;;
tools | beside) wanted="${*:3}" ;;
esac
[ "$(cat "$dir/.ready" 2>/dev/null)" != "$wanted" ] || exit 0
python=python3 own=()
[ "$kind" != beside ] || python=/usr/bin/python3 own=(--system-site-packages)
"$python" -c 'import ensurepip, venv' 2>/dev/null || die "$python has no venv (fix: apt-get install python3-venv)"
rm -rf "$dir"
"$python" -m venv "${own[@]}" "$dir"
pip() { "$dir/bin/pip" install --quiet --disable-pip-version-check "$@"; }
if [ "$kind" != libtorch ]; then
  read -ra packages <<<"$wanted" # and no globs: brackets and stars are pip's to read
  [ "$kind" != beside ] || packages+=(--no-deps)
  pip "${packages[@]}"
else
  pip --no-deps "${all%% *}"
  # Of NVIDIA's libraries, libtorch_cpu.so needs only these two; Python's torch needs all.
  torch=$(home "$dir")
  cuda=$(sed -n "s/^cuda[^=]*= *'\([0-9.]*\)'.*/\1/p" "$torch/version.py")
  if [ -n "$cuda" ]; then
    suffix=
    [ "${cuda%%.*}" -gt 12 ] || suffix=-cu${cuda%%.*}
    pip --no-deps "nvidia-cuda-runtime$suffix==$cuda.*" "nvidia-cuda-cupti$suffix==$cuda.*"
  fi
  rm -f "$torch"/lib/lib{torch_cuda,c10_cuda,torch_nvshmem,torch_python}*.so
fi
echo "$wanted" >"$dir/.ready"
