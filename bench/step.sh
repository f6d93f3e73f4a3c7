#!/bin/bash
# The training step: resslt and PyTorch, alternating; medians, and how many times faster.
#
#   ROUNDS=5 STEPS=10 THREADS=2 bench/step.sh
#   PY=/path/to/venv/bin/python RESSLT_TORCH=/path/of/its/shim bench/step.sh   # the same libtorch on both sides
#   SHAPES=resnet50 bench/step.sh                                                # of: narrow resnet18 resnet50
#
# "time" is wall-clock time; "CPU" is the processes' own time, which other programs on the
# machine hardly affect.
set -eu
cd "$(dirname "$0")/.."
PY=${PY:-/usr/bin/python3}
ROUNDS=${ROUNDS:-3}
STEPS=${STEPS:-8}
THREADS=${THREADS:-$(nproc)}
DEVICE=${DEVICE:-cpu}
SHAPES=${SHAPES:-narrow resnet18 resnet50}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# name, then the flags that both programs take.
compare() {
  local name=$1; shift
  : >"$tmp/ours"; : >"$tmp/theirs"
  for _ in $(seq "$ROUNDS"); do
    bin/resslt bench step "$@" --threads "$THREADS" --device "$DEVICE" --json >>"$tmp/ours"
    "$PY" bench/step_torch.py "$@" --threads "$THREADS" --device "$DEVICE" >>"$tmp/theirs"
  done
  "$PY" - "$name" "$tmp/ours" "$tmp/theirs" <<'PYEOF'
import json, statistics, sys
name, *files = sys.argv[1:]
ours, theirs = ([json.loads(line) for line in open(f)] for f in files)
def faster(key):
    each = sorted(t[key] / o[key] for o, t in zip(ours, theirs))
    return f"{statistics.median(each):.2f} × ({each[0]:.2f}–{each[-1]:.2f})"
ms = lambda rows: statistics.median(r["ms_per_step"] for r in rows)
print(f"{name:34s} resslt on {ours[0]['torch_version']} {ms(ours):8.1f} ms  PyTorch {theirs[0]['torch_version']} {ms(theirs):8.1f} ms  "
      f"faster by time {faster('ms_per_step')}, by CPU {faster('cpu_ms_per_step')}  (n {len(ours)} × {ours[0]['steps']} steps, {ours[0]['threads']} threads, {ours[0]['device']})")
PYEOF
}

for shape in $SHAPES; do
  case $shape in
  narrow) compare "ResNet-18 width 16, 28×28, B 256" --width 16 --image-size 28 --batch 256 --steps "$STEPS" ;;
  resnet18) compare "ResNet-18 width 64, 32×32, B 64" --width 64 --image-size 32 --batch 64 --steps "$STEPS" ;;
  resnet50) compare "ResNet-50, 224×224, B 16" --backbone resnet50 --stem imagenet --image-size 224 --batch 16 --steps $(((STEPS + 1) / 2)) --warmup 1 ;;
  *) echo "step.sh: unknown shape $shape (of: narrow resnet18 resnet50)" >&2; exit 2 ;;
  esac
done
