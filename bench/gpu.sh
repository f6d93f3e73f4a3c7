#!/bin/bash
# Everything to test and measure on a GPU machine, in stages, each of which can be left out:
#
#   bench/gpu.sh                      # doctor tests step determinism
#   DATA=folder:cifar10 OUT=runs/c10 bench/gpu.sh cifar10
#
#   doctor       what the machine has; fails without a GPU
#   tests        gradients compared with the CPU's, loss curve with PyTorch's, two runs bit for bit,
#                kill and resume, memory over 2,000 steps (programs of `make bundle`, or Go)
#   step         resslt bench step and PyTorch eager, compiled, and compiled with CUDA graphs,
#                alternating, medians of ROUNDS
#   loader       how many images per second this machine's CPUs deliver for the recipe `cifar10` from DATA
#   determinism  what `deterministic` costs, in images/s
#   cifar10      the recipe `cifar10` from the folder DATA, by workers, stream and trainer in one
#                process; continues if OUT has a checkpoint; LIMIT seconds at most
#
# Needs bin/resslt and a shim for this libtorch (make shim TORCH_HOME=…; docs/gpu.md).
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-python3}
DEVICE=${DEVICE:-cuda}
ROUNDS=${ROUNDS:-3}
STEPS=${STEPS:-40} # timed steps; PyTorch waits for the device after the last
resslt=$PWD/bin/resslt
stages=("$@")
[ $# -gt 0 ] || stages=(doctor tests step determinism)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# compare NAME FLAGS…: the step of both programs in turn. Flags are those of both.
compare() {
  local name=$1; shift
  rm -f "$tmp"/{ours,eager,compiled,graphs}
  local failed=" " # peers that could not: asked no more
  for _ in $(seq "$ROUNDS"); do
    "$resslt" bench step "$@" --steps "$STEPS" --warmup 20 --device "$DEVICE" --precision bf16 --json | tail -n 1 >>"$tmp/ours"
    for peer in eager compiled graphs; do
      [[ $failed != *" $peer "* ]] || continue
      case $peer in eager) flags= ;; compiled) flags=--compile ;; graphs) flags="--compile --graphs" ;; esac
      # shellcheck disable=SC2086 # a list of words
      "$PY" bench/step_torch.py "$@" --steps 1 --block "$STEPS" --warmup 20 --device "$DEVICE" --precision bf16 $flags 2>"$tmp/log" | tail -n 1 >>"$tmp/$peer" ||
        { echo "$name: PyTorch, $peer: $(tail -n 1 "$tmp/log")" >&2; rm -f "$tmp/$peer"; failed+="$peer "; }
    done
  done
  "$PY" - "$name" "$tmp" <<'PYEOF'
import json, os, statistics, sys
name, tmp = sys.argv[1:]
rows = lambda f: [json.loads(line) for line in open(f"{tmp}/{f}")] if os.path.exists(f"{tmp}/{f}") else []
ours = rows("ours")
rate = lambda r: statistics.median(x["images_per_second"] for x in r)
print(f"{name}: resslt {rate(ours):.0f} images/s ({ours[0]['ms_per_step']:.2f} ms)", end="")
for peer in ("eager", "compiled", "graphs"):
    if theirs := rows(peer):
        ratio = statistics.median(o["images_per_second"] / t["images_per_second"] for o, t in zip(ours, theirs))
        print(f"; PyTorch {theirs[0]['torch_version']} {peer} {rate(theirs):.0f}: {ratio:.2f} ×", end="")
print(f" (bf16, n {len(ours)})")
print("   " + ", ".join(f"{k} {v:.2f}" for k, v in ours[0]["phase_ms"].items() if v))
PYEOF
}

for stage in "${stages[@]}"; do
  echo "== $stage"
  case $stage in
  doctor) "$resslt" doctor ;;
  tests)
    # package, its test program in a bundle, the tests that say something of a GPU
    while read -r package program which; do
      if [ -x "train/$program" ]; then
        (cd "$package" && RESSLT_TORCH=$OLDPWD/bin/libresslt_torch.so RESSLT_REQUIRE_TORCH=1 "$OLDPWD/train/$program" -test.v -test.run "$which" -test.timeout 9m)
      else
        RESSLT_REQUIRE_TORCH=1 go test "./$package" -v -run "$which"
      fi | grep -vE '^=== '
    done <<'TESTS'
train/torch torch.test GroupOfOne|Stream|Event|Graph
train train.test Device|LossCurve
TESTS
    ;;
  step)
    compare "ResNet-18, 32×32, B 256" --batch 256
    compare "ResNet-18, 32×32, B 1,024" --batch 1024
    compare "ResNet-50, 224×224, B 256" --backbone resnet50 --stem imagenet --image-size 224 --batch 256
    compare "ResNet-50, weak 224 + five crops, B 128" --backbone resnet50 --stem imagenet --image-size 224 --student-sizes 224,192,160,128,96 --batch 128
    ;;
  determinism)
    for on in false true; do
      "$resslt" bench step --batch 256 --steps "$STEPS" --warmup 20 --device "$DEVICE" --precision bf16 --deterministic=$on
    done ;;
  loader) "$resslt" bench loader --recipe cifar10 ${DATA:+--data "$DATA"} --workers "$(nproc)" ;;
  cifar10)
    OUT=${OUT:-runs/cifar10}
    resume=; [ ! -d "$OUT/checkpoints" ] || resume=--resume
    # shellcheck disable=SC2086 # empty or one word
    timeout --signal=TERM "${LIMIT:-540}" "$resslt" run --recipe cifar10 ${DATA:+--data "$DATA"} --set device="$DEVICE" --set precision=bf16 \
      --workers "$(nproc)" --out "$OUT" $resume --json ${ARGS:-}
    ;;
  *) echo "gpu.sh: no stage $stage (doctor tests step loader determinism cifar10)" >&2; exit 2 ;;
  esac
done
