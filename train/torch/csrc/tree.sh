# tree.sh: what a tree of libtorch says of itself. For build.sh, which reads it in and
# calls find_tree and read_tree; they set
#
#   include lib   its folders
#   major minor   its version
#   std           the C++ standard to build with: 17 or more
#   abi           1 for libstdc++'s new strings, 0 for the old
#   cuda          the CUDA that it was built with: "13.2", or "13" where only that much
#                 is known; "" for none, or one to be left out
# shellcheck shell=sh disable=SC2034,SC2154 # build.sh uses and sets them

find_tree() {
	if [ -n "${TORCH_HOME:-}" ]; then
		include=$TORCH_HOME/include
		lib=$TORCH_HOME/lib
		[ -e "$lib/libtorch.so" ] || die "TORCH_HOME=$TORCH_HOME has no lib/libtorch.so (fix: set it to the torch/ folder of a wheel, or to an unpacked libtorch)"
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
		[ -n "$lib" ] || die "no libtorch (fix: apt-get install libtorch-dev, or set TORCH_HOME)"
		[ "$lib" = /usr/local/lib ] && include=/usr/local/include
	fi
	[ -e "$include/torch/csrc/api/include/torch/version.h" ] ||
		die "$include has no headers of libtorch (fix: apt-get install libtorch-dev, or set TORCH_HOME)"
}

read_tree() {
	# Newer trees (2.14 is one) keep the numbers in a header of their own.
	header=$include/torch/headeronly/version.h
	[ -e "$header" ] || header=$include/torch/csrc/api/include/torch/version.h
	major=$(version_number MAJOR)
	minor=$(version_number MINOR)
	[ -n "$major$minor" ] || die "$header names no version (fix: install libtorch again)"

	# /dev/null where the tree has no CMake files.
	cmake=/dev/null
	for f in "$lib/../share/cmake/Torch/TorchConfig.cmake" "$lib/cmake/Torch/TorchConfig.cmake"; do
		if [ -e "$f" ]; then
			cmake=$f
			break
		fi
	done
	read_std
	read_abi
	read_cuda
}

version_number() { sed -n "s/^#define TORCH_VERSION_$1 \([0-9]*\).*/\1/p" "$header"; }

# The C++ standard: the highest that the tree names, as `CXX_STANDARD 20` (to 2.14) or
# as `cxx_std_20` (from 2.15). 1.13 names 14, and takes 17, which the shim is written in.
read_std() {
	std=$(sed -n -e 's/^[[:space:]]*#.*//' -e 's/.*CXX_STANDARD \([0-9][0-9]\).*/\1/p' -e 's/.*cxx_std_\([0-9][0-9]\).*/\1/p' "$cmake" | sort -n | tail -n 1)
	[ "${std:-0}" -ge 17 ] || std=17
	echo | "$cxx" -std=c++"$std" -fsyntax-only -x c++ - 2>/dev/null ||
		die "libtorch $major.$minor is written in C++$std, which $cxx does not know (fix: install g++ 11 or newer, or set CXX)"
}

# The C++ ABI: as the tree's CMake file says; else by the symbols of libc10, whose
# functions that take strings have std::__cxx11 in their mangled names.
read_abi() {
	abi=$(sed -n 's/.*_GLIBCXX_USE_CXX11_ABI=\([01]\).*/\1/p' "$cmake" | head -n 1)
	if [ -z "$abi" ]; then
		if grep -q 'N3c10[0-9A-Za-z_]*NSt7__cxx1112basic_string' "$lib/libc10.so"; then
			abi=1
		else
			abi=0
		fi
	fi
}

# CUDA's version: a wheel says it; else the name of the runtime that the library asks for.
read_cuda() {
	cuda=
	if [ ! -e "$lib/libtorch_cuda.so" ] || ! with cuda; then
		return
	fi
	if [ -e "$lib/../version.py" ]; then
		cuda=$(sed -n "s/^cuda[^=]*= *'\([0-9.]*\)'.*/\1/p" "$lib/../version.py" | head -n 1)
	fi
	if [ -z "$cuda" ]; then
		cuda=$(grep -ao 'libcudart[-0-9a-f]*\.so\.[0-9]*' "$lib/libtorch_cuda.so" | sed 's/.*\.so\.//' | head -n 1)
	fi
	[ -n "$cuda" ] || die "$lib/libtorch_cuda.so names no CUDA runtime (fix: build without it, WITHOUT=cuda)"
}
