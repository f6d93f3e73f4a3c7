#!/bin/bash
# The augmentation engine compared with OpenCV and torchvision: one pinned core each,
# files in memory, rounds interleaved, medians and ratios.
#
#   bench/augment.sh [ROUNDS] [SECONDS]
#
# $RESSLT_DATA has imagenet-sample-700.tar and cifar10-jpeg.tar.xz (default:
# ../shared/data next to the repository). $CORE is the core to pin to, $RESSLT the
# program (default: bin/resslt, from `make build`).
set -eu
cd "$(dirname "$0")/.."
rounds=${1:-3}
seconds=${2:-6}
data=${RESSLT_DATA:-$PWD/../shared/data}
core=${CORE:-0}
py=${PY:-/usr/bin/python3}
resslt=${RESSLT:-bin/resslt}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sets=()
if [ -f "$data/imagenet-sample-700.tar" ]; then
  mkdir "$work/imagenet" && tar -xf "$data/imagenet-sample-700.tar" -C "$work/imagenet"
  sets+=("imagenet:$work/imagenet" "imagenet-multi:$work/imagenet")
fi
if [ -f "$data/cifar10-jpeg.tar.xz" ]; then
  mkdir "$work/cifar" && tar -xf "$data/cifar10-jpeg.tar.xz" -C "$work/cifar"
  sets+=("small:$(dirname "$(find "$work/cifar" -type d -name airplane -path '*train*' | head -1)")")
fi
[ ${#sets[@]} -gt 0 ] || { echo "augment: no data in $data: set RESSLT_DATA" >&2; exit 1; }

for set in "${sets[@]}"; do
  policy=${set%%:*} folder=${set#*:}
  for ((r = 1; r <= rounds; r++)); do
    taskset -c "$core" "$resslt" bench augment --policy "$policy" --data "folder:$folder" --seconds "$seconds" --json 2>/dev/null | tail -1 >>"$work/$policy.turbo"
    taskset -c "$core" "$py" bench/augment_opencv.py --policy "$policy" --data "$folder" --seconds "$seconds" >>"$work/$policy.opencv"
    taskset -c "$core" "$py" bench/augment_torchvision.py --policy "$policy" --data "$folder" --seconds "$seconds" >>"$work/$policy.torchvision"
  done
  "$py" - "$policy" "$work" "$rounds" <<'PY'
import json, statistics, sys
policy, work, n = sys.argv[1:]
rows = {k: [json.loads(l) for l in open(f"{work}/{policy}.{k}")] for k in ("turbo", "opencv", "torchvision")}
med = lambda k, f: statistics.median(r[f] for r in rows[k])
spread = lambda k, f: (min(r[f] for r in rows[k]), max(r[f] for r in rows[k]))
print(f"{policy}, median of {n} rounds, samples/s on one core (per CPU second):")
for k in rows:
    lo, hi = spread(k, "samples_per_second")
    print(f"  {rows[k][0]['engine']:32} {med(k, 'samples_per_second'):9.1f} ({med(k, 'samples_per_cpu_second'):9.1f})  {lo:.1f} … {hi:.1f}")
t, c = med("turbo", "samples_per_second"), med("turbo", "samples_per_cpu_second")
for k in ("opencv", "torchvision"):
    print(f"  {t / med(k, 'samples_per_second'):5.2f} × {k} ({c / med(k, 'samples_per_cpu_second'):.2f} by CPU time)")
print(f"  {t / med('turbo', 'decode_only_per_second'):5.2f} of decoding alone ({med('turbo', 'decode_only_per_second'):.0f}/s)")
PY
done

# Two workers on two cores against one on one.
if [ "$(nproc)" -ge 2 ] && [ -d "$work/imagenet" ]; then
  for ((r = 1; r <= rounds; r++)); do
    taskset -c 0 "$resslt" bench augment --policy imagenet --data "folder:$work/imagenet" --workers 1 --seconds "$seconds" --json 2>/dev/null | tail -1 >>"$work/one"
    taskset -c 0,1 "$resslt" bench augment --policy imagenet --data "folder:$work/imagenet" --workers 2 --seconds "$seconds" --json 2>/dev/null | tail -1 >>"$work/two"
  done
  "$py" - "$work" <<'PY'
import json, statistics, sys
one, two = ([json.loads(l) for l in open(f"{sys.argv[1]}/{f}")] for f in ("one", "two"))
m = lambda rows: statistics.median(r["samples_per_second"] for r in rows)
print(f"imagenet, two workers on two cores: {m(two):.1f}/s, {m(two) / m(one):.2f} × one worker")
PY
fi
