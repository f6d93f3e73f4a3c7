#!/bin/bash
# Compiles the kernels for GPUs (train/torch/csrc/kernels) by CUDA's compiler from PyPI, for
# which no GPU is needed, and prints for each kernel and architecture the registers of a
# thread and the static shared memory of a block. A spill, a stack, a warning or an error
# fails.
#
#   deploy/kernels.sh 12.8 13.2        # versions of nvrtc (default: these)
#
# The virtual environments are kept in bin/nvrtc-VERSION (0.3 GB each).
set -euo pipefail
cd "$(dirname "$0")/.."
versions=("$@")
[ ${#versions[@]} -gt 0 ] || versions=(12.8 13.2)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${CXX:-g++}" -std=c++17 -O1 -Wall -Wextra -Werror train/torch/csrc/kernels/compile.cc -o "$work/compile" -ldl
for version in "${versions[@]}"; do
  case $version in
  12.*) deploy/venv.sh beside "$PWD/bin/nvrtc-$version" "nvidia-cuda-nvrtc-cu12==$version.*" ;;
  *) deploy/venv.sh beside "$PWD/bin/nvrtc-$version" "nvidia-cuda-nvrtc==$version.*" ;;
  esac
  nvrtc=$(find "$PWD/bin/nvrtc-$version" -name "libnvrtc.so.${version%%.*}" | head -n 1)
  LD_LIBRARY_PATH=$(dirname "$nvrtc") "$work/compile" "$nvrtc" train/torch/csrc/kernels "$work/code" --table >"$work/said" || {
    cat "$work/said"
    exit 1
  }
  echo "nvrtc $version: $(wc -c <"$work/code.bin") bytes of code"
  awk '
    /Compiling entry function/ { split($0, q, "\047"); name = substr(q[2], 4); arch = q[4] }
    /bytes stack frame/ {
      for (i = 2; i <= NF; i++) {
        if ($i == "stack" && $(i - 2) > 0 || $i ~ /^(stores,|loads)$/ && $(i - 3) > 0) { print name " " arch ": " $0; bad = 1 }
      }
    }
    /Used [0-9]+ registers/ {
      n++
      match($0, /Used [0-9]+/)
      registers = substr($0, RSTART + 5, RLENGTH - 5)
      shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH) + 0 : 0
      if (!(name in seen)) { names[++count] = name; seen[name] = 1 }
      if (!(arch in place)) { place[arch] = ++archs; label[archs] = arch }
      cell[name, arch] = registers " / " shared
    }
    END {
      line = sprintf("%-20s", "registers / shared")
      for (a = 1; a <= archs; a++) line = line sprintf("  %12s", label[a])
      print line
      for (i = 1; i <= count; i++) {
        line = sprintf("%-20s", names[i])
        for (a = 1; a <= archs; a++) line = line sprintf("  %12s", cell[names[i], label[a]])
        print line
      }
      if (n == 0) { print "no kernel was compiled"; bad = 1 }
      exit bad
    }' "$work/said"
done
