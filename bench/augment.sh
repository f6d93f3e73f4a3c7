#!/bin/bash
# The augmentation engine compared with today's peers of PyPI: one pinned core, rounds
# interleaved, samples a CPU-second of each tree of processes and by the clock; medians.
#
#   bench/augment.sh [--packed URI] [ROUNDS] [SECONDS] [PEER...]
#
# $RESSLT_DATA has imagenet-sample-700.tar and cifar10-jpeg.tar.xz (default: ../shared/data
# next to the repository). $VENV is the virtual environment of the peers (default:
# bin/augment; 6 GB), $CORE the core to pin to, $RESSLT the program (default: bin/resslt, from
# `make build`), $POLICIES those to measure, $TIERS the kernels of this project's engine
# (default: the CPU's best, and avx2). --packed names the ImageNet pictures in packed shards.
set -euo pipefail
cd "$(dirname "$0")/.."
packed=
if [ "${1:-}" = --packed ]; then
  packed=${2:?--packed needs the URI of a data set}
  shift 2
fi
rounds=${1:-5}
seconds=${2:-6}
shift $(($# < 2 ? $# : 2))
peers=("$@")
[ ${#peers[@]} -gt 0 ] || peers=(opencv albumentations dali pil v2)
data=${RESSLT_DATA:-$PWD/../shared/data}
venv=${VENV:-bin/augment}
core=${CORE:-0}
resslt=${RESSLT:-bin/resslt}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONWARNINGS=ignore NO_ALBUMENTATIONS_UPDATE=1

. bench/pins.sh
deploy/venv.sh tools "$venv" "${peers_images[@]}"
python=$venv/bin/python

# run NAME COMMAND... adds a line to the measurements, or says why there is none.
mkdir "$work/measured"
run() {
  local name=$1
  shift
  timeout 300 taskset -c "$core" "$@" 2>"$work/stderr" | tail -1 >>"$work/measured/$name" ||
    { echo "augment: $name failed:" >&2; tail -3 "$work/stderr" >&2; }
}

declare -A folder
if [ -f "$data/imagenet-sample-700.tar" ]; then
  mkdir "$work/imagenet" && tar -xf "$data/imagenet-sample-700.tar" -C "$work/imagenet"
  folder[imagenet]=$work/imagenet folder[imagenet-multi]=$work/imagenet
fi
if [ -f "$data/cifar10-jpeg.tar.xz" ]; then
  mkdir "$work/cifar" && tar -xf "$data/cifar10-jpeg.tar.xz" -C "$work/cifar"
  folder[small]=$(dirname "$(find "$work/cifar" -type d -name airplane -path '*train*' | head -1)")
fi
[ ${#folder[@]} -gt 0 ] || { echo "augment: no data in $data: set RESSLT_DATA" >&2; exit 1; }

# The kernels: the CPU's best has no name here.
tiers=best
! grep -qw avx512_vnni /proc/cpuinfo 2>/dev/null || tiers="best avx2"
read -ra tiers <<<"${TIERS:-$tiers}"
for policy in ${POLICIES:-imagenet imagenet-multi small}; do
  [ -n "${folder[$policy]:-}" ] || continue
  for ((r = 1; r <= rounds; r++)); do
    for tier in "${tiers[@]}"; do
      ours=(env "RESSLT_TIER=${tier/best/}" "$resslt" bench augment --policy "$policy" --seconds "$seconds" --json --data)
      run "$policy.resslt-$tier" "${ours[@]}" "folder:${folder[$policy]}"
      if [ -n "$packed" ] && [ "$policy" != small ]; then
        run "$policy.resslt-$tier-packed" "${ours[@]}" "$packed"
      fi
    done
    for peer in "${peers[@]}"; do
      run "$policy.$peer" "$python" bench/augment_peer.py "$peer" --policy "$policy" --data "${folder[$policy]}" --seconds "$seconds"
    done
  done
done
"$python" bench/augment_report.py "$work/measured"

# Two workers on two cores against one on one.
if [ "$(nproc)" -ge 2 ] && [ -n "${folder[imagenet]:-}" ]; then
  for ((r = 1; r <= rounds; r++)); do
    for workers in 1 2; do
      taskset -c "0-$((workers - 1))" "$resslt" bench augment --policy imagenet --data "folder:${folder[imagenet]}" --workers "$workers" \
        --seconds "$seconds" --json 2>/dev/null | tail -1 >>"$work/workers-$workers"
    done
  done
  "$python" - "$work" <<'PY'
import json, statistics, sys
one, two = ([json.loads(l) for l in open(f"{sys.argv[1]}/workers-{n}")] for n in (1, 2))
m = lambda rows, key: statistics.median(r[key] for r in rows)
each = [b["samples_per_second"] / a["samples_per_second"] for a, b in zip(one, two)]
print(f"\nimagenet, two workers on two cores: {m(two, 'samples_per_second'):.0f}/s, {statistics.median(each):.2f} × one worker "
      f"({min(each):.2f} … {max(each):.2f}); by CPU-second {m(two, 'samples_per_cpu_second') / m(one, 'samples_per_cpu_second'):.2f}; "
      f"{m(two, 'rss_bytes') / 1e6:.0f} MB resident against {m(one, 'rss_bytes') / 1e6:.0f}, {m(two, 'data_bytes') / 1e6:.0f} of them data")
PY
fi
