#!/bin/bash
# How a farm grows with its cores, as far as the broker lets it: the real broker, planner,
# streams, workers and trainer; a worker of one slot stands for a core, and making a chunk is
# a sleep as long as a core takes to render its samples. The chunks are small: what their
# bytes cost the broker is calculated, from the 500 MB/s a core of docs/scale.md.
#
#   bench/growth.sh [SAMPLES_PER_CPU_SECOND] [CORES...]
#
# $CHUNK is how many samples a chunk has (default 8: 2.4 MB of two views of 224), $SECONDS_EACH
# how long each farm is measured (default 5). $GO is Go's command.
set -euo pipefail
cd "$(dirname "$0")/.."
rate=${1:-750}
shift $(($# < 1 ? $# : 1))
cores=("$@")
[ ${#cores[@]} -gt 0 ] || cores=(1 2 4 8 16 32 64)
chunk=${CHUNK:-8}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${GO:-go}" build -o "$work/farmsim" ./cmd/farmsim
cost=$(awk "BEGIN { print $chunk / $rate }")
for n in "${cores[@]}"; do
  "$work/farmsim" --workers "$n" --slots 1 --procs 1 --runs 1 --trainers 1 --cost "$cost" --chunk-samples "$chunk" \
    --batch $((chunk * 128)) --measure "${SECONDS_EACH:-5}s" --settle 1s >"$work/$n.json" 2>"$work/$n.err" ||
    { echo "growth: farmsim with $n workers failed:" >&2; tail -2 "$work/$n.err" >&2; exit 1; }
done
python3 - "$work" "$rate" "$chunk" "${cores[@]}" <<'PY'
import json, sys
work, rate, chunk, cores = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), [int(n) for n in sys.argv[4:]]
print(f"simulated: chunks of {chunk} samples, {1000 * chunk / rate:.1f} ms each; calculated: bytes of two views of 224 at {rate:.0f} samples a core\n")
print("| cores | chunks/s | of ideal | × the first | broker's cores for the tasks | GB/s (calculated) | broker's cores for them |\n| --- | --- | --- | --- | --- | --- | --- |")
first = None
for n in cores:
    with open(f"{work}/{n}.json") as f:
        busy = json.load(f)["busy"]
    chunks = busy["chunks_per_second"]
    first = first or chunks / n
    gb = n * rate * 2 * 224 * 224 * 3 / 1e9
    print(f"| {n} | {chunks:.0f} | {chunks / (n * rate / chunk):.2f} | {chunks / first:.1f} | {busy['broker_cpu_cores']:.2f} | {gb:.1f} | {2 * gb:.1f} |")
PY
