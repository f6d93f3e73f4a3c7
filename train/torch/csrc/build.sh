#!/bin/sh
# build.sh: builds the shim between package torch and libtorch.
#
#   TORCH_HOME  the tree of libtorch: a pip wheel's torch/ folder, or the unpacked
#               libtorch archive; default: the system's (Debian: libtorch-dev)
#   OUT         the file to write; default: libresslt_torch.so here
#   CUDA_HOME   where CUDA's headers are, for graphs and the figures of its allocator;
#               the system's and those of NVIDIA's packages beside a wheel are found
#               without, and a few declarations here stand in for missing ones
#   NCCL_HOME   where nccl.h is, for several GPUs; found likewise
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

if [ -n "${TORCH_HOME:-}" ]; then
	headers="-isystem $include"
	rpath="-Wl,--enable-new-dtags -Wl,-rpath,$(cd "$lib" && pwd)"
else
	headers= # named again, the system's own folder would hide C's headers from C++'s
	rpath=
fi

# compiles FLAGS HEADER…: whether the headers can be included with the flags.
compiles() {
	with=$1
	shift
	# shellcheck disable=SC2086 # lists of words
	printf '#include <%s>\n' "$@" | "$cxx" -std=c++"$std" -D_GLIBCXX_USE_CXX11_ABI="$abi" $with \
		$headers -isystem "$include/torch/csrc/api/include" -x c++ -fsyntax-only - 2>/dev/null
}

# within gives the flags for folders of headers that are there. From CUDA 13 on what
# nvcc finds by itself lies a folder deeper, in cccl.
within() {
	for dir in "$@"; do
		[ ! -d "$dir" ] || printf ' -isystem %s' "$dir"
		[ ! -d "$dir/cccl" ] || printf ' -isystem %s' "$dir/cccl"
	done
}
named=$(within ${CUDA_HOME:+"$CUDA_HOME/include"})
wheel=$(within "$lib"/../../nvidia/*/include) # all of NVIDIA's packages: they include one another
usual=$(within /usr/local/cuda/include)

# Without --no-as-needed the linker drops libraries that no symbol asks for:
# those that register CUDA's kernels, so that the shim would silently be CPU only.
libs="-ltorch -ltorch_cpu -lc10"
flags=
if [ -e "$lib/libtorch_cuda.so" ]; then
	libs="$libs -ltorch_cuda -lc10_cuda"
	flags="$flags -DRESSLT_CUDA"
	# CUDA's headers: those that the compiler finds by itself, which must not be named
	# (-isystem /usr/include would hide C's from C++'s), CUDA_HOME's, a wheel's, the usual
	# place's; else the few declarations in cuda/.
	cuda=none
	for try in "" "$named" "$wheel" "$usual" "-isystem $here/cuda"; do
		[ "$cuda" = none ] && compiles "$try" c10/cuda/CUDACachingAllocator.h ATen/cuda/CUDAGraph.h && cuda=$try
	done
	if [ "$cuda" = none ]; then
		# NVIDIA's package for the CUDA that the tree was built with: without a suffix from 13 on.
		runtime=nvidia-cuda-runtime
		if grep -q 'libcudart[-0-9a-f]*\.so\.12' "$lib/libtorch_cuda.so"; then
			runtime=nvidia-cuda-runtime-cu12
		elif grep -q 'libcudart[-0-9a-f]*\.so\.11' "$lib/libtorch_cuda.so"; then
			runtime=nvidia-cuda-runtime-cu11
		fi
		echo "build.sh: CUDA's headers are missing: the shim will have no CUDA graphs and no figures of device memory (mend: pip install $runtime, or set CUDA_HOME)" >&2
	else
		flags="$flags -DRESSLT_CUDA_HEADERS $cuda"
	fi
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
		# NCCL's header, and those of CUDA's libraries that c10d's includes.
		nccl=none
		for try in "" "$(within ${NCCL_HOME:+"$NCCL_HOME/include"})" "$named" "$wheel" "$usual"; do
			[ "$nccl" = none ] && compiles "-DUSE_DISTRIBUTED -DUSE_C10D_NCCL $flags $try" nccl.h torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp && nccl=$try
		done
		if [ "$nccl" = none ]; then
			echo "build.sh: the headers of NCCL or CUDA are not all there: the shim will train on one GPU alone (mend: install CUDA's toolkit, or set CUDA_HOME and NCCL_HOME)" >&2
		else
			flags="$flags -DUSE_C10D_NCCL $nccl"
			dist="$dist nccl"
		fi
	fi
	[ -z "$dist" ] || flags="$flags -DRESSLT_DIST -DUSE_DISTRIBUTED"
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
