#!/bin/sh
# build.sh: builds the shim between package torch and libtorch.
#
#   build.sh          builds it
#   build.sh --plan   only says what it would build
#
#   TORCH_HOME  the tree of libtorch: a pip wheel's torch/ folder, or the unpacked
#               libtorch archive; default: the system's (Debian: libtorch-dev)
#   OUT         the file to write; default: libresslt_torch.so here
#   WITHOUT     what to leave out of it, though libtorch has it: cuda (a shim for CPUs
#               from a CUDA libtorch, which then needs no GPU and few of NVIDIA's
#               libraries), graphs, kernels (own ones for GPUs), nccl
#   CUDA_HOME   where CUDA's headers are, for graphs, the figures of its allocator and
#               several GPUs, and its compiler, nvrtc; those of NVIDIA's packages next to a
#               wheel, the system's and nvcc's are found without
#   NCCL_HOME   where nccl.h is, for several GPUs; found likewise
#   CXX         the compiler; default: g++
#   STRICT      set: warnings are errors, as `make lint` has it
#
# Version, C++ ABI and C++ standard are read from the tree (tree.sh). A part whose headers
# or compiler are not there or fail is left out, and build.sh says why (headers.sh).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-libresslt_torch.so}
cxx=${CXX:-g++}

say() { echo "build.sh: $*" >&2; }
die() {
	say "$*"
	exit 1
}
# with PART: is it to be in the shim?
with() {
	case " ${WITHOUT:-} " in *" $1 "*) return 1 ;; esac
}
case ${1:-} in "" | --plan) ;; *) die "usage: build.sh [--plan]" ;; esac
command -v "$cxx" >/dev/null || die "no C++ compiler $cxx (fix: apt-get install g++, or set CXX)"

# shellcheck source=tree.sh
. "$here/tree.sh"
# shellcheck source=headers.sh
. "$here/headers.sh"
work=$(mktemp -d "${TMPDIR:-/tmp}/resslt-shim-XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
log=$work/log

find_tree
read_tree
if [ -n "${TORCH_HOME:-}" ]; then
	headers="-isystem $include"
	rpath="-Wl,--enable-new-dtags -Wl,-rpath,$(cd "$lib" && pwd)"
else
	headers= # named again, the system's own folder would hide C's headers from C++'s
	rpath=
fi

c10d=$include/torch/csrc/distributed/c10d
for_graphs="c10/cuda/CUDACachingAllocator.h ATen/cuda/CUDAGraph.h"
for_nccl="nccl.h torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp"
has_nccl= # does libtorch talk by NCCL?
if [ -n "$cuda" ] && with nccl && grep -q '_ZN4c10d16ProcessGroupNCCLC1' "$lib/libtorch_cuda.so"; then
	has_nccl=1
fi
nccl_flags="-DUSE_DISTRIBUTED -DUSE_C10D_NCCL"

# Without --no-as-needed the linker drops libraries that no symbol asks for:
# those that register CUDA's kernels, so that the shim would silently be CPU only.
libs="-ltorch -ltorch_cpu -lc10"
flags=
graphs= # with CUDA graphs and its allocator's figures
if [ -n "$cuda" ]; then
	libs="$libs -ltorch_cuda -lc10_cuda"
	flags="$flags -DRESSLT_CUDA"
	places=$(known)
	if with graphs; then
		# shellcheck disable=SC2086 # lists of words, here and below
		search "" $for_graphs
		if [ "$found" = none ]; then
			# What NCCL lacks, too, so that one fix serves both.
			# shellcheck disable=SC2086
			say "the shim will have no CUDA graphs, no figures of device memory, and train on one GPU alone:" \
				"$(explain "${has_nccl:+$nccl_flags} $tried" $for_graphs ${has_nccl:+$for_nccl})"
		else
			graphs=" with graphs"
			flags="$flags -DRESSLT_CUDA_HEADERS $found"
		fi
	fi
	nvrtc=
	if [ -n "$graphs" ] && with kernels; then
		nvrtc=$(find_nvrtc)
		if [ -n "$nvrtc" ]; then
			graphs="$graphs and kernels"
		else
			without_kernels "there is no libnvrtc.so.${cuda%%.*}"
		fi
	fi
elif grep -q libtorch_cuda "$lib/libtorch.so"; then
	libs="-ltorch_cpu -lc10" # libtorch.so is only a list, which names CUDA's, too
fi

# Groups of processes: where the tree has c10d, and by which of its backends. gloo's
# headers must be those that libtorch was built with, so only the tree's own count.
dist=
if [ -e "$c10d/TCPStore.hpp" ] && grep -q '_ZN4c10d8TCPStoreC1' "$lib/libtorch_cpu.so"; then
	if [ -e "$include/gloo/algorithm.h" ] && grep -q '_ZN4c10d16ProcessGroupGlooC1' "$lib/libtorch_cpu.so"; then
		flags="$flags -DUSE_C10D_GLOO"
		dist="$dist gloo"
	fi
	# NCCL's header, and those of CUDA's libraries that c10d's includes.
	if [ -n "$has_nccl" ] && [ -n "$graphs" ]; then
		# shellcheck disable=SC2086
		search "$nccl_flags $flags" $for_nccl
		if [ "$found" = none ]; then
			# shellcheck disable=SC2086
			say "the shim will train on one GPU alone:" "$(explain "$nccl_flags $flags $tried" $for_nccl)"
		else
			flags="$flags -DUSE_C10D_NCCL $found"
			dist="$dist nccl"
		fi
	fi
	[ -z "$dist" ] || flags="$flags -DRESSLT_DIST -DUSE_DISTRIBUTED"
fi

account() { echo "libtorch $major.$minor, C++$std, cxx11 abi $abi${cuda:+, CUDA $cuda}$graphs, several processes by:${dist:- none}"; }
if [ "${1:-}" = --plan ]; then
	account
	exit
fi

# The kernels become machine code for all GPUs that this CUDA knows; the shim embeds it.
if [ "${graphs%kernels}" != "$graphs" ]; then
	if "$cxx" -std=c++17 -O1 "$here/kernels/compile.cc" -o "$work/compile" -ldl 2>"$log" &&
		LD_LIBRARY_PATH=$(dirname "$nvrtc")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$work/compile" "$nvrtc" "$here/kernels" "$work/kernels_code" 2>"$log"; then
		flags="$flags -DRESSLT_KERNELS -I$work -Wa,-I$work"
	else
		without_kernels "$(tail -n 1 "$log")"
		graphs=${graphs% and kernels}
	fi
fi

# One translation unit: reading libtorch's headers takes most of the time.
unit=$work/shim.cc
for f in "$here"/*.cc; do
	printf '#include "%s"\n' "$f"
done >"$unit"

# The shim's parallel loops run on libtorch's own threads: compiled with OpenMP and linked
# without, it gets the OpenMP that libtorch has loaded, a wheel's under a name of its own.
# A second one would have threads of its own. GCC's OpenMP is what libtorch for Linux is
# built with; another compiler's calls would find nobody, and its loops have one thread.
openmp=
"$cxx" --version 2>/dev/null | grep -q 'Free Software Foundation' && openmp=-fopenmp

mkdir -p "$(dirname "$out")"
failed=
# shellcheck disable=SC2086 # flags, headers, rpath and libs are lists of words
{
	"$cxx" -std=c++"$std" -O2 $openmp -fPIC -fvisibility=hidden -fvisibility-inlines-hidden -Wall -Wextra ${STRICT:+-Werror} \
		-D_GLIBCXX_USE_CXX11_ABI="$abi" $flags \
		$headers -isystem "$include/torch/csrc/api/include" -I"$here" \
		-c "$unit" -o "$work/shim.o" &&
		"$cxx" -shared "$work/shim.o" -o "$out.new" -L"$lib" $rpath -Wl,--no-as-needed $libs -ldl
} 2>"$log" || failed=1
cat "$log" >&2

# What does not compile or link with this libtorch must not cost the rest: several GPUs
# are given up first, then kernels, then graphs.
if [ -n "$failed" ]; then
	part=
	case $dist:$graphs in *nccl*:*) part=nccl ;; *kernels) part=kernels ;; *:?*) part=graphs ;; esac
	[ -n "$part" ] || die "the shim does not build against libtorch $major.$minor in $lib (fix: the compiler's first error says what is wrong)"
	say "that was with $part: the shim is built again without"
	rm -rf "$work" "$out.new"
	WITHOUT="${WITHOUT:-} $part" exec "$here/build.sh"
fi
# Renamed into place, so that a program that has the old one open keeps it.
mv "$out.new" "$out"
echo "built $out: $(account)"
