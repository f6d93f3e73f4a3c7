#!/bin/bash
# cpus.sh: the numeric tests under the kernels of CPUs other than this one.
#
#   deploy/cpus.sh            every CPU below × 1, 2 and 3 threads, whole packages
#   deploy/cpus.sh -short     every older CPU once, parity tests and the tests of the tests
#
# Each library chooses its kernels by the processor, and can be limited to an older one's:
# oneDNN by DNNL_MAX_CPU_ISA (ONEDNN_MAX_CPU_ISA in later versions), libtorch's own kernels by
# ATEN_CPU_CAPABILITY, OpenBLAS by OPENBLAS_CORETYPE, MKL by MKL_ENABLE_INSTRUCTIONS, our
# own by RESSLT_TIER. Their full product is 4·3·4·3·3 runs; these rows have every value of
# every one, as whole CPUs that exist. A row begins with a test that the kernels are those
# that it asks for, so that a variable without effect fails.
#
#   CPUS, THREADS   some of them alone: CPUS="Haswell Zen" THREADS="1 2"
#   JOBS            how many test programs run at once (default: one a core)
#   TMPDIR          logs go to a folder in it, whose name is printed where something fails
#   RESSLT_TORCH    another shim than bin/'s, as for all tests
#
# It exits with 1 if a test fails. It skips a CPU whose instructions this one lacks, and
# says so.
set -eu
cd "$(dirname "$0")/.."

short=
case ${1-} in
-short) short=1 ;;
'') ;;
*)
	echo "usage: deploy/cpus.sh [-short]" >&2
	exit 2
	;;
esac

GO=${GO:-go}
JOBS=${JOBS:-$(nproc)}
bin=$PWD/bin/cpus
logs=$(mktemp -d)
mkdir -p "$bin"

# name, oneDNN, libtorch, OpenBLAS, MKL, our own kernels, and what the processor must have.
cpus='
Nehalem   SSE41        default  Nehalem   SSE4_2  scalar  sse4_1
Haswell   AVX2         avx2     Haswell   AVX2    avx2    avx2,fma
Zen       AVX2         avx2     Zen       AVX2    avx2    avx2,fma
SkylakeX  AVX512_CORE  avx512   SkylakeX  AVX512  avx512  avx512f,avx512bw,avx512vl,avx512dq,avx512cd
mixed     AVX2         avx512   SkylakeX  AVX512  avx512  avx512f,avx512bw,avx512vl,avx512dq,avx512cd
'
# In short form each has one number of threads, and Zen, which differs from Haswell by
# OpenBLAS alone, the packages whose work is BLAS's. SkylakeX is left out: where it can run,
# its kernels are those that `make test` has without this script.
declare -A threads_of=([Nehalem]=1 [Haswell]=2 [Zen]=3 [SkylakeX]=- [mixed]=-)
packages='train/torch train/nn train/objective train/optim train/backbone train/eval train augment augment/turbo'
if [ -z "$short" ]; then packages="cmd/internal/pipeline $packages"; fi
numeric='Parity|Mutations|Kernels|OpsGive|SmallNet|BatchNorm|Conv|Features|DeviceGradients|BFloat16|RanksAreOne|Engine|Golden|Turbo|Tier|Default'

# Rows force the engine's kernels, where it lets them be forced.
if ! grep -qs RESSLT_TIER augment/turbo/*.go; then
	echo 'augment/turbo: passed by: this engine does not heed RESSLT_TIER'
	packages=${packages% augment/turbo}
fi

program() { echo "$bin/${1//\//_}.test"; }

for p in $packages; do
	"$GO" test -c -o "$(program "$p")" "./$p" &
	if [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; then wait -n; fi
done
wait
for p in $packages; do
	[ -x "$(program "$p")" ] || { echo "cpus.sh: $p does not build" >&2; exit 1; }
done

has() { # flags of /proc/cpuinfo, joined by commas
	local flag
	for flag in ${1//,/ }; do
		grep -qwm1 "$flag" /proc/cpuinfo || return 1
	done
}

# run ROW THREADS PACKAGE: one program, whose result is a line of the table.
run() {
	local name=$1 threads=$2 p=$3 log began rc=0
	log=$logs/$name.$threads.${p//\//_}
	began=$(date +%s%N)
	local args=(-test.v -test.timeout 20m)
	if [ -n "$short" ]; then args+=(-test.short -test.run "$numeric"); fi
	(cd "$p" && "$(program "$p")" "${args[@]}") >"$log" 2>&1 || rc=$?
	local took=$((($(date +%s%N) - began) / 100000000))
	local passed failed skipped verdict=pass
	passed=$(grep -c '^ *--- PASS' "$log" || true)
	failed=$(grep -c '^ *--- FAIL' "$log" || true)
	skipped=$(grep -c '^ *--- SKIP' "$log" || true)
	if [ "$rc" != 0 ] || [ "$passed" = 0 ]; then verdict=FAIL; fi
	# The engine says in its log which kernels it has.
	if [ "$p" = augment/turbo ] && [ "$verdict" = pass ] && ! grep -q "kernels: $RESSLT_TIER\$" "$log"; then
		verdict=FAIL
		echo "RESSLT_TIER=$RESSLT_TIER has no effect" >>"$log"
	fi
	printf '%-9s %d thread%s  %-16s %-5s %4d passed %3d failed %3d skipped %4d.%d s\n' "$name" "$threads" \
		"$([ "$threads" = 1 ] && echo ' ' || echo s)" "$p" "$verdict" "$passed" "$failed" "$skipped" $((took / 10)) $((took % 10)) >"$log.line"
	cat "$log.line" >&2 # as it comes; the table is in order
	[ "$verdict" = pass ] || echo "$log" >>"$logs/failed"
}

began=$(date +%s)
rows=()
while read -r name isa aten blas mkl tier needs; do
	[ -n "$name" ] || continue
	case " ${CPUS:-$name} " in *" $name "*) ;; *) continue ;; esac
	list=${THREADS:-1 2 3}
	if [ -n "$short" ]; then list=${THREADS:-${threads_of[$name]}}; fi
	if [ "$list" = - ]; then continue; fi
	if ! has "$needs"; then
		echo "$name: passed by: this processor lacks one of $needs"
		continue
	fi
	for threads in $list; do
		rows+=("$name.$threads")
		for p in $packages; do
			case $short$name:$p in
			1Zen:train/nn | 1Zen:train/objective | 1Zen:train/optim | 1Zen:train/torch) ;;
			1Zen:*) continue ;;
			esac
			case $threads:$p in "${list%% *}":* | *:train*) ;; *) continue ;; esac # the rest knows no threads
			case $name:$p in mixed:augment*) continue ;; esac
			(
				export DNNL_MAX_CPU_ISA=$isa ONEDNN_MAX_CPU_ISA=$isa ATEN_CPU_CAPABILITY=$aten OPENBLAS_CORETYPE=$blas
				export MKL_ENABLE_INSTRUCTIONS=$mkl RESSLT_TIER=$tier RESSLT_TEST_THREADS=$threads RESSLT_REQUIRE_TORCH=1 RESSLT_LONG=1
				run "$name" "$threads" "$p"
			) &
			if [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; then wait -n || true; fi
		done
	done
done <<<"$cpus"
wait

for row in "${rows[@]}"; do
	said=$(grep -ho 'kernels: ATen.*' "$logs/$row.train_torch" | head -1 || true)
	echo "${row/./, } threads: ${said#kernels: }"
	for p in $packages; do
		cat "$logs/$row.${p//\//_}.line" 2>/dev/null || true
	done
done
echo "$(($(date +%s) - began)) s"
if [ -f "$logs/failed" ]; then
	while read -r log; do
		echo "--- $log"
		grep -E '^ *--- FAIL|_test.go:[0-9]+: .*(errs|deviates|more than|want|asks|kernels are)|no effect|panic' "$log" | head -20 || true
	done <"$logs/failed"
	exit 1
fi
rm -rf "$logs"
