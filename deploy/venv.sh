#!/bin/bash
# Makes a virtual environment with a PyTorch from PyPI, whose libtorch the shim can be
# built against and whose Python results and rates are held against:
#
#   deploy/venv.sh torch 2.15 DIR     # and then: make TORCH_HOME=$(deploy/venv.sh home DIR)
#   deploy/venv.sh home DIR           # the folder of its libtorch
#
# The system's Python stays as it is. A finished DIR is left alone; one that was cut
# short is made again. It takes 3.5 GB with NVIDIA's libraries, which libtorch_cuda.so
# asks for also where no GPU is.
set -euo pipefail

die() {
  echo "venv.sh: $*" >&2
  exit 1
}
usage="usage: venv.sh torch VERSION DIR | venv.sh home DIR"

# Each release with the torchvision of its time. The wheel brings CUDA's libraries and
# most of its headers; cuda_runtime.h includes those of crt and nccl.h those of cccl,
# which `cuda-toolkit` gives in the version that the wheel itself asks for.
pins() {
  case $1 in
  2.10) echo 'torch==2.10.0 torchvision==0.25.0 nvidia-cuda-nvcc-cu12==12.8.* nvidia-cuda-cccl-cu12==12.8.*' ;; # the last of CUDA 12
  2.11) echo 'torch==2.11.0 torchvision==0.26.0 cuda-toolkit[crt,cccl]' ;;
  2.12) echo 'torch==2.12.1 torchvision==0.27.1 cuda-toolkit[crt,cccl]' ;;
  2.13) echo 'torch==2.13.0 torchvision==0.28.0 cuda-toolkit[crt,cccl]' ;;
  2.14) echo 'torch==2.14.1 torchvision==0.29.1 cuda-toolkit[crt,cccl]' ;;
  2.15) echo 'torch==2.15.0 torchvision==0.29.2 cuda-toolkit[crt,cccl]' ;;
  *) die "no pins for torch $1 (fix: 2.11 to 2.15, or add a line to $0)" ;;
  esac
}

case ${1:-} in
home)
  dir=${2:?$usage}
  # Not by importing it: that takes seconds, and some of a machine's CPUs may not run it.
  for home in "$dir"/lib/python3*/site-packages/torch; do
    [ -e "$home/lib/libtorch.so" ] || die "$dir has no libtorch (fix: $0 torch 2.15 $dir)"
    cd "$home" && pwd
  done
  ;;
torch)
  version=${2:?$usage}
  dir=${3:?$usage}
  wanted=$(pins "$version")
  [ "$(cat "$dir/.ready" 2>/dev/null)" != "$wanted" ] || exit 0
  python3 -c 'import ensurepip, venv' 2>/dev/null || die "python3 has no venv (fix: apt-get install python3-venv)"
  rm -rf "$dir"
  python3 -m venv "$dir"
  set -f # the brackets are pip's to read
  # shellcheck disable=SC2086 # a list of words
  "$dir/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 $wanted
  echo "$wanted" >"$dir/.ready"
  ;;
*) die "$usage" ;;
esac
