# headers.sh: where CUDA's and NCCL's headers and CUDA's compiler are, and what to install
# where they are not. For build.sh, which reads it in after tree.sh.
# shellcheck shell=sh disable=SC2034,SC2154 # build.sh uses and sets them

# probe MODE FLAGS HEADER…: the compiler's MODE on a file that includes the headers. They
# must be of the CUDA that libtorch was built with, whose classes have their types in them.
probe() {
	mode=$1 given=$2
	shift 2
	# shellcheck disable=SC2086 # lists of words
	{
		printf '#include <%s>\n' "$@"
		printf '#if defined(CUDART_VERSION) && CUDART_VERSION / 1000 != %s\n' "${cuda%%.*}"
		printf '#error "these headers are not of CUDA %s, which libtorch was built with"\n#endif\n' "${cuda%%.*}"
	} | LC_ALL=C "$cxx" -std=c++"$std" -D_GLIBCXX_USE_CXX11_ABI="$abi" $given \
		$headers -isystem "$include/torch/csrc/api/include" -x c++ $mode -
}

# folders gives the flags for folders of headers that are there. From CUDA 13 on what
# nvcc finds by itself is one folder deeper, in cccl.
folders() {
	for dir in "$@"; do
		[ ! -d "$dir" ] || printf ' -isystem %s' "$dir"
		[ ! -d "$dir/cccl" ] || printf ' -isystem %s' "$dir/cccl"
	done
}

# known lists the places to look in: those that the caller names, a wheel's packages, of
# which all are named since they include one another, the compiler's own, which must not
# be named (-isystem /usr/include would hide C's from C++'s), nvcc's and the usual one.
known() {
	nvcc=$(command -v nvcc || true)
	[ -z "$nvcc" ] || nvcc=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
	case $nvcc in /usr | /usr/lib/*) nvcc= ;; esac # a distribution's: the compiler's own
	folders ${NCCL_HOME:+"$NCCL_HOME/include"} ${CUDA_HOME:+"$CUDA_HOME/include"}
	echo
	folders "$lib"/../../nvidia/*/include
	echo
	echo system
	folders ${nvcc:+"$nvcc/include"}
	echo
	folders /usr/local/cuda/include
	echo
}

# search FLAGS HEADER…: found becomes the flags by which the headers compile, or "none"
# and tried those of the first place that was looked in: the one that should have them.
search() {
	given=$1
	shift
	found=none tried=
	while read -r place; do
		[ -n "$place" ] || continue
		[ "$place" != system ] || place=
		if probe -fsyntax-only "$given $place" "$@" 2>"$log.place"; then
			found=$place
			return
		fi
		if [ -z "$tried" ]; then
			tried=${place:- }
			cp "$log.place" "$log"
		fi
	done <<-EOF
		$places
	EOF
}

# lacking FLAGS HEADER…: the names of all headers that are not there. The compiler takes
# those for yet to be made, and continues with the next: one look finds them all.
lacking() {
	given=$1
	shift
	probe '-M -MG' "$given" "$@" 2>/dev/null | tr -s ' ' '\n' | grep -v -e '^/' -e '^-$' -e ':$' -e '^\\$' -e '^$' | sort -u
}

# package HEADER: who has it. NVIDIA's packages on PyPI end in the CUDA's number up to 12,
# and from 13 on those of the toolkit do not; a distribution has one for all.
package() {
	case $1 in
	crt/*) name=cuda-crt ;;
	nv/* | cuda/* | cub/* | thrust/*) name=cuda-cccl ;;
	nccl*.h) name=nccl ;;
	cublas*) name=cublas ;;
	cusolver*) name=cusolver ;;
	cusparse*) name=cusparse ;;
	curand*) name=curand ;;
	cufft*) name=cufft ;;
	cudnn*) name=cudnn ;;
	nvrtc*) name=cuda-nvrtc ;;
	nvtx3/* | nvToolsExt*) name=nvtx ;;
	cuda*.h | driver_*.h | vector_*.h | *_types.h) name=cuda-runtime ;;
	*) return ;;
	esac
	number=${cuda%%.*}
	case $lib:$name in
	/usr/lib*:nccl) echo libnccl-dev ;;
	/usr/lib*) echo nvidia-cuda-dev ;;
	*:nccl | *:cudnn) echo "nvidia-$name-cu$number" ;;
	*)
		suffix=
		if [ "$number" -le 12 ]; then
			[ "$name" != cuda-crt ] || name=cuda-nvcc # nvcc's package has it, up to 12
			suffix=-cu$number
		fi
		case $name in
		cuda-*) echo "'nvidia-$name$suffix==$cuda.*'" ;; # numbered as CUDA is
		*) echo "nvidia-$name$suffix" ;;
		esac
		;;
	esac
}

# find_nvrtc prints the library that compiles the kernels, or nothing: next to a wheel, in the
# toolkit that the caller names, beside libtorch, in the system, nvcc's and the usual one.
# Libtorch itself has it for its own fusions, so every wheel brings it along.
find_nvrtc() {
	nvcc=$(command -v nvcc || true)
	[ -z "$nvcc" ] || nvcc=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
	for dir in ${CUDA_HOME:+"$CUDA_HOME/lib64" "$CUDA_HOME/lib"} "$lib"/../../nvidia/*/lib "$lib" \
		"/usr/lib/$("$cxx" -print-multiarch 2>/dev/null || true)" ${nvcc:+"$nvcc/lib64"} /usr/local/cuda/lib64; do
		for file in "$dir/libnvrtc.so.${cuda%%.*}"* "$dir"/libnvrtc-*.so."${cuda%%.*}"*; do
			case $file in *-builtins*) continue ;; esac
			if [ -e "$file" ]; then
				echo "$file"
				return
			fi
		done
	done
}

# without_kernels REASON says what is lost.
without_kernels() {
	install="pip install"
	case $lib in /usr/lib*) install="apt-get install" ;; esac
	say "the shim will have no kernels of its own for GPUs, and use libtorch's operators: $1 (fix: $install $(package nvrtc.h), or set CUDA_HOME)"
}

# explain FLAGS HEADER…: why the headers do not compile, and the fix, on one line.
explain() {
	lacks=$(lacking "$@")
	wanted=$(for h in $lacks; do package "$h"; done | sort -u | tr '\n' ' ')
	install="pip install"
	case $lib in /usr/lib*) install="apt-get install" ;; esac
	home=CUDA_HOME
	case $wanted in *nccl*) home="CUDA_HOME and NCCL_HOME" ;; esac
	if [ -n "$wanted" ]; then
		echo "there is no $(echo "$lacks" | head -n 1) (fix: $install ${wanted% }, or set $home)"
	elif [ -n "$lacks" ]; then
		echo "there is no $(echo "$lacks" | head -n 1) (fix: set CUDA_HOME to a CUDA $cuda toolkit)"
	else
		echo "$(sed -n 's/.*error: //p' "$log" | head -n 1) (fix: set CUDA_HOME to a CUDA $cuda toolkit)"
	fi
}
