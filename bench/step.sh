#!/bin/bash
# The training step: resslt against PyTorch, in turn, medians and ratios.
#
#   ROUNDS=5 STEPS=10 THREADS=2 bench/step.sh
set -eu
cd "$(dirname "$0")/.."
PY=${PY:-/usr/bin/python3}
ROUNDS=${ROUNDS:-3}
STEPS=${STEPS:-8}
THREADS=${THREADS:-$(nproc)}
DEVICE=${DEVICE:-cpu}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# name, then the flags that both programs take.
compare() {
  local name=$1; shift
  : >"$tmp/ours"; : >"$tmp/theirs"
  for _ in $(seq "$ROUNDS"); do
    bin/resslt bench step "$@" --steps "$STEPS" --threads "$THREADS" --device "$DEVICE" --json >>"$tmp/ours"
    "$PY" bench/step_torch.py "$@" --steps "$STEPS" --threads "$THREADS" --device "$DEVICE" >>"$tmp/theirs"
  done
  "$PY" - "$name" "$tmp/ours" "$tmp/theirs" <<'PYEOF'
import json, statistics, sys
name, *files = sys.argv[1:]
ours, theirs = ([json.loads(line) for line in open(f)] for f in files)
ratio = statistics.median(o["ms_per_step"] / t["ms_per_step"] for o, t in zip(ours, theirs))
ms = lambda rows: statistics.median(r["ms_per_step"] for r in rows)
print(f"{name:34s} resslt {ms(ours):8.1f} ms  PyTorch {theirs[0]['torch_version']} {ms(theirs):8.1f} ms  time ratio {ratio:.3f}  (n {len(ours)} × {ours[0]['steps']} steps, {ours[0]['threads']} threads, {ours[0]['device']})")
PYEOF
}

compare "ResNet-18 width 16, 28×28, B 256" --width 16 --image-size 28 --batch 256
compare "ResNet-18 width 64, 32×32, B 64" --width 64 --image-size 32 --batch 64
