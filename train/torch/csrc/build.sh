#!/bin/sh
# build.sh: builds the shim between package torch and libtorch.
#
#   TORCH_HOME  the tree of libtorch: a pip wheel's torch/ folder, or the unpacked
#               libtorch archive; default: the system's (Debian: libtorch-dev)
#   OUT         the file to write; default: libresslt_torch.so here
#   CUDA_HOME   where CUDA's headers are, for graphs and the figures of its allocator;
#               the system's and a pip wheel's nvidia/cuda_runtime are found without
#   NCCL_HOME   where nccl.h is, for several GPUs; a pip wheel's nvidia/nccl is
#               found without
#   CXX         the compiler; default: g++
#
# Version, C++ ABI and C++ standard are read from the tree.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-libresslt_torch.so}
cxx=${CXX:-g++}

die() {
	echo "build.sh: $*" >&2
	exit 1
}
command -v "$cxx" >/dev/null || die "no C++ compiler $cxx (mend: apt-get install g++, or set CXX)"

# The tree: headers and libraries.
if [ -n "${TORCH_HOME:-}" ]; then
	include=$TORCH_HOME/include
	lib=$TORCH_HOME/lib
	[ -e "$lib/libtorch.so" ] || die "TORCH_HOME=$TORCH_HOME has no lib/libtorch.so (mend: set it to the torch/ folder of a wheel, or to an unpacked libtorch)"
else
	include=/usr/include
	multiarch=$("$cxx" -print-multiarch 2>/dev/null || true)
	lib=
	for dir in "/usr/lib/$multiarch" /usr/lib64 /usr/lib /usr/local/lib; do
		if [ -e "$dir/libtorch.so" ]; then
			lib=$dir
			break
		fi
	done
	[ -n "$lib" ] || die "no libtorch (mend: apt-get install libtorch-dev, or set TORCH_HOME)"
	[ "$lib" = /usr/local/lib ] && include=/usr/local/include
fi
header=$include/torch/csrc/api/include/torch/version.h
[ -e "$header" ] || die "$include has no headers of libtorch (mend: apt-get install libtorch-dev, or set TORCH_HOME)"

# Newer trees (2.14 is one) keep the numbers in a header of their own.
[ -e "$include/torch/headeronly/version.h" ] && header=$include/torch/headeronly/version.h
number() { sed -n "s/^#define TORCH_VERSION_$1 \([0-9]*\).*/\1/p" "$header"; }
major=$(number MAJOR)
minor=$(number MINOR)
[ -n "$major" ] && [ -n "$minor" ] || die "$header names no version"

# What the tree says of its own build; /dev/null where it has no CMake files.
cmake=/dev/null
for f in "$lib/../share/cmake/Torch/TorchConfig.cmake" "$lib/cmake/Torch/TorchConfig.cmake"; do
	if [ -e "$f" ]; then
		cmake=$f
		break
	fi
done

# The C++ standard: libtorch asks for 17 from 2.1 on, 1.13 for 14 and
# takes 17, which the shim is written in.
std=$(sed -n 's/.*CXX_STANDARD \([0-9]*\).*/\1/p' "$cmake" | head -n 1)
[ "${std:-0}" -ge 17 ] || std=17

# The C++ ABI: as the tree's CMake file says; else by the symbols of libc10,
# whose functions that take strings have std::__cxx11 in their mangled names.
abi=$(sed -n 's/.*_GLIBCXX_USE_CXX11_ABI=\([01]\).*/\1/p' "$cmake" | head -n 1)
if [ -z "$abi" ]; then
	if grep -q 'N3c10[0-9A-Za-z_]*NSt7__cxx1112basic_string' "$lib/libc10.so"; then
		abi=1
	else
		abi=0
	fi
fi

# Without --no-as-needed the linker drops libraries that no symbol asks for:
# those that register CUDA's kernels, so that the shim would silently be CPU only.
libs="-ltorch -ltorch_cpu -lc10"
flags=
if [ -e "$lib/libtorch_cuda.so" ]; then
	libs="$libs -ltorch_cuda -lc10_cuda"
	flags="$flags -DRESSLT_CUDA"
	# Where the compiler finds CUDA's headers by itself, as of a distribution's
	# package, they are not named: -isystem /usr/include would hide C's from C++'s.
	if echo '#include <cuda_runtime_api.h>' | "$cxx" -x c++ -fsyntax-only - 2>/dev/null; then
		flags="$flags -DRESSLT_CUDA_HEADERS"
	else
		for cuda in "${CUDA_HOME:-}" "$lib/../../nvidia/cuda_runtime" "$lib/../../nvidia/cu13" /usr/local/cuda; do
			if [ -n "$cuda" ] && [ -e "$cuda/include/cuda_runtime_api.h" ]; then
				flags="$flags -DRESSLT_CUDA_HEADERS -isystem $cuda/include"
				# From 13 on what nvcc finds by itself lies a folder deeper.
				[ ! -d "$cuda/include/cccl" ] || flags="$flags -isystem $cuda/include/cccl"
				break
			fi
		done
	fi
	case $flags in
	*HEADERS*) ;;
	*) echo "build.sh: no cuda_runtime_api.h: the shim will have no CUDA graphs and no figures of device memory (mend: pip install nvidia-cuda-runtime-cu12, or set CUDA_HOME)" >&2 ;;
	esac
fi
# Groups of processes: where the tree has c10d, and by which of its backends. gloo's
# headers must be those that libtorch was built with, so only the tree's own count.
c10d=$include/torch/csrc/distributed/c10d
dist=
if [ -e "$c10d/TCPStore.hpp" ] && grep -q '_ZN4c10d8TCPStoreC1' "$lib/libtorch_cpu.so"; then
	if [ -e "$include/gloo/algorithm.h" ] && grep -q '_ZN4c10d16ProcessGroupGlooC1' "$lib/libtorch_cpu.so"; then
		flags="$flags -DUSE_C10D_GLOO"
		dist="$dist gloo"
	fi
	if [ -e "$lib/libtorch_cuda.so" ] && grep -q '_ZN4c10d16ProcessGroupNCCLC1' "$lib/libtorch_cuda.so"; then
		for nccl in "${NCCL_HOME:-}" "$lib/../../nvidia/nccl" "${CUDA_HOME:-}" /usr/local/cuda /usr; do
			if [ -n "$nccl" ] && [ -e "$nccl/include/nccl.h" ]; then
				more=
				[ "$nccl" = /usr ] || more="-isystem $nccl/include"
				# libtorch's header of it asks for many of CUDA's, which a wheel has apart.
				for dir in "$lib"/../../nvidia/*/include; do
					[ ! -d "$dir" ] || more="$more -isystem $dir"
				done
				# shellcheck disable=SC2086 # lists of words
				if echo '#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>' |
					"$cxx" -std=c++"$std" -x c++ -M -DUSE_DISTRIBUTED -DUSE_C10D_NCCL $flags $more ${TORCH_HOME:+-isystem "$include"} \
						-isystem "$include/torch/csrc/api/include" - >/dev/null 2>&1; then
					flags="$flags -DUSE_C10D_NCCL $more"
					dist="$dist nccl"
				else
					echo "build.sh: the headers of NCCL or CUDA are not all there: the shim will train on one GPU alone (mend: install CUDA's toolkit, or set CUDA_HOME)" >&2
				fi
				break
			fi
		done
	fi
	[ -z "$dist" ] || flags="$flags -DRESSLT_DIST -DUSE_DISTRIBUTED"
fi

if [ -n "${TORCH_HOME:-}" ]; then
	headers="-isystem $include"
	rpath="-Wl,--enable-new-dtags -Wl,-rpath,$(cd "$lib" && pwd)"
else
	headers= # named again, the system's own folder would hide C's headers from C++'s
	rpath=
fi

# One translation unit: reading libtorch's headers takes most of the time.
unit=$(mktemp "${TMPDIR:-/tmp}/resslt-shim-XXXXXX.cc")
trap 'rm -f "$unit"' EXIT INT TERM
for f in "$here"/*.cc; do
	printf '#include "%s"\n' "$f"
done >"$unit"

mkdir -p "$(dirname "$out")"
# shellcheck disable=SC2086 # flags, headers, rpath and libs are lists of words
"$cxx" -std=c++"$std" -O2 -fPIC -shared -fvisibility=hidden -fvisibility-inlines-hidden -Wall -Wextra -Wno-unused-parameter \
	-D_GLIBCXX_USE_CXX11_ABI="$abi" $flags \
	$headers -isystem "$include/torch/csrc/api/include" -I"$here" \
	"$unit" -o "$out.new" -L"$lib" $rpath -Wl,--no-as-needed $libs -ldl
# Renamed into place, so that a program that has the old one open keeps it.
mv "$out.new" "$out"
cuda=
[ -e "$lib/libtorch_cuda.so" ] && cuda=", CUDA"
echo "built $out: libtorch $major.$minor, C++$std, cxx11 abi $abi$cuda, several processes by:${dist:- none}"
