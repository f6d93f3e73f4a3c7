#!/bin/bash
# Everything to test and measure on a GPU machine, the first call included, in calls of ten
# minutes: each stage has a clock of its own, none stops the next, and a later call goes on
# where the one before ended.
#
#   bench/gpu.sh                         # all stages that are left
#   bench/gpu.sh step256 determinism     # these, whatever has been done
#   bench/gpu.sh --left                  # only lists what is left
#
#   env          what the machine has: GPU, driver, compiler, CUDA's headers, PyTorch
#   shim         builds the shim for this libtorch (train/torch/csrc/build.sh) where there is none
#   doctor       resslt doctor; where libraries are not found, again with their folders named
#   eager        the first steps: fp32, then bf16, launched kernel by kernel
#   graph        the first steps that are replayed as CUDA graphs
#   kernels      our own kernels beside libtorch's operators: values, gradients, the same bits twice
#   tests        streams, events, graphs; gradients beside the CPU's, a run beside one that does one
#                thing after the other, two runs bit for bit, memory (programs of `make bundle`, or Go)
#   step256      a step at ResNet-18, 32×32: ours as a graph, that without our own kernels (plain),
#                and without a graph; PyTorch's eager, compiled
#   step1024     and with CUDA graphs, in turn, ROUNDS times
#   step50       the same at ResNet-50, 224×224, B 256
#   crops50      and with weak 224 + five crops, B 128
#   determinism  what `deterministic` costs
#   saving       what logged steps and checkpoints cost the loop
#   memory       2,000 steps take the memory of 100
#   curve        a loss curve beside PyTorch's
#   data         unpacks what is there of PARTS, archives that together are the data
#   loader       what this machine's CPUs deliver of it
#   cifar10      the recipe `cifar10` on it, as far as the time goes; continues its checkpoint
#
# OUT      folder for the results, from this one (default results): results.jsonl, to which every measurement
#          and the end of every stage add a line; STAGE.log; the shim; the run cifar10
# FROM     OUT of an earlier call, where this one's begins empty: what is done there is done. Its
#          shim is taken where that works, and its run cifar10 continued
# BUDGET   seconds of this call (default 570). A stage that does not fit is left for the next
# DEVICE   cuda (default), or cpu to try the script itself; SMALL=1: networks and steps of seconds
# PY       the Python that has PyTorch (default python3)
# PARTS    archives (.tar, .tar.xz) with train/CLASS/… and test/CLASS/…, for data; WORK keeps what
#          was unpacked, so that each call may bring a part (default /tmp/resslt-gpu)
# DATA     a data URI in place of PARTS
#
# A stage that failed is tried again after those that were never begun.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
self=$PWD/bench/gpu.sh
began=$SECONDS
OUT=${OUT:-results}
mkdir -p "$OUT" && OUT=$(cd "$OUT" && pwd) || exit 2
export OUT BUDGET=${BUDGET:-570} DEVICE=${DEVICE:-cuda} PY=${PY:-python3} ROUNDS=${ROUNDS:-3} SMALL=${SMALL:-}
export WORK=${WORK:-/tmp/resslt-gpu} PARTS=${PARTS:-} DATA=${DATA:-} FROM=${FROM:-} CLOCK=${CLOCK:-0}
results=$OUT/results.jsonl
resslt=$PWD/bin/resslt
shim=$PWD/bin/libresslt_torch.so

# Each stage, the seconds that it may take, and those without which it is not begun.
stages() {
  cat <<'TABLE'
env 30 5
shim 240 60
doctor 120 15
kernels 120 30
eager 120 20
graph 90 20
tests 300 60
step256 300 60
step1024 300 60
determinism 120 30
saving 180 40
memory 120 40
data 120 20
loader 60 30
step50 400 120
crops50 400 120
curve 240 60
cifar10 100000 90
TABLE
}

# note STAGE KEY=VALUE… adds a line to the results: the JSON objects of its standard input, or
# one without, each with stage and keys.
note() { "$PY" bench/gpu_results.py add "$results" "$@"; }

# ours NAME FLAGS…: resslt's step; what it prints is noted.
ours() {
  local name=$1 precision=bf16 line
  shift
  [ "$DEVICE" != cpu ] || precision=fp32
  case " $* " in *" --precision "*) precision= ;; esac
  # shellcheck disable=SC2086 # no word or two
  line=$("$resslt" bench step --device "$DEVICE" ${precision:+--precision $precision} "$@" --json | tail -n 1) || return
  note "$STAGE" program=resslt what="$name" <<<"$line"
}
# peer NAME FLAGS…: PyTorch's.
peer() {
  local name=$1 precision=bf16 line
  shift
  [ "$DEVICE" != cpu ] || precision=fp32
  line=$("$PY" bench/step_torch.py --device "$DEVICE" --precision $precision "$@" | tail -n 1) || return
  note "$STAGE" program=pytorch what="$name" <<<"$line"
}

# compare FLAGS…: both programs in turn. A peer that cannot is noted, and asked no more.
compare() {
  local steps=40 warmup=20 failed=" " rc=0 flags
  [ -z "$SMALL" ] || steps=2 warmup=1
  for _ in $(seq "$ROUNDS"); do
    ours graph "$@" --steps "$steps" --warmup "$warmup" || rc=1
    ours plain "$@" --steps "$steps" --warmup "$warmup" --fused=false || rc=1
    ours eager "$@" --steps "$steps" --warmup "$warmup" --cuda-graph false || rc=1
    for flags in "" "--compile" "--compile --graphs"; do
      [[ $failed != *" p$flags "* ]] || continue
      # shellcheck disable=SC2086 # a list of words
      peer "eager${flags:+ $flags}" "$@" --steps 1 --block "$steps" --warmup "$warmup" $flags 2>"$OUT/peer.log" || {
        failed+="p$flags "
        tail -n 1 "$OUT/peer.log"
        note "$STAGE" program=pytorch what="eager${flags:+ $flags}" error="$(tail -n 1 "$OUT/peer.log" | cut -c -300)" </dev/null
      }
    done
  done
  return "$rc"
}

# tests PACKAGE PROGRAM PATTERN…: a test program of the bundle, or Go's; its verdicts are noted.
tests() {
  local package=$1 program=$PWD/train/$2 which=$3 rc=0
  shift 3
  export RESSLT_TORCH=$shim RESSLT_REQUIRE_TORCH=1 RESSLT_BENCH_DEVICE=$DEVICE
  if [ -x "$program" ]; then
    (cd "$package" && "$program" -test.v -test.run "$which" -test.timeout 9m "$@")
  else
    go test "./$package" -v -count=1 -run "$which" "${@//-test./-}"
  fi >"$OUT/$STAGE.tests" 2>&1 || rc=$?
  grep -vE '^=== ' "$OUT/$STAGE.tests"
  "$PY" bench/gpu_results.py tests "$OUT/$STAGE.tests" | note "$STAGE" package="$package"
  rm -f "$OUT/$STAGE.tests"
  return "$rc"
}

# torch_home is the folder of PyTorch's libtorch, without importing it; nothing where the
# system's is to be used.
torch_home() {
  [ -n "${TORCH_HOME:-}" ] && echo "$TORCH_HOME" && return
  "$PY" -c 'import importlib.util as u; print(list(u.find_spec("torch").submodule_search_locations)[0])' 2>/dev/null |
    while read -r dir; do [ ! -e "$dir/lib/libtorch.so" ] || echo "$dir"; done
}

stage_env() {
  local home
  home=$(torch_home)
  nvidia-smi 2>&1 | head -n 20
  nproc
  free -g | sed -n 2p
  df -h /tmp . | tail -n 2
  g++ --version | head -n 1
  nvcc --version 2>&1 | tail -n 1
  if [ -n "$home" ]; then
    ls -d "$home"/../nvidia/* "$home/include/gloo" 2>/dev/null
    grep -n 'CXX_STANDARD\|cxx_std_' "$home/share/cmake/Torch/TorchConfig.cmake"
  fi
  {
    echo "gpu $(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | head -n 1)"
    echo "cores $(nproc)"
    echo "compiler $(g++ --version 2>/dev/null | head -n 1)"
    echo "nvcc $(nvcc --version 2>/dev/null | tail -n 1)"
    echo "torch $home"
  } | "$PY" bench/gpu_results.py words | note "$STAGE"
}

stage_shim() {
  local home from
  for from in "$OUT" ${FROM:+"$FROM"}; do
    if [ ! -e "$shim" ] && [ -e "$from/libresslt_torch.so" ]; then
      cp "$from/libresslt_torch.so" "$shim"
      "$resslt" doctor >/dev/null 2>&1 || rm -f "$shim" # of another machine's libtorch
    fi
  done
  if [ ! -e "$shim" ]; then
    home=$(torch_home)
    TORCH_HOME=$home OUT=$shim train/torch/csrc/build.sh || return 1
  fi
  [ "$OUT/libresslt_torch.so" -ef "$shim" ] || cp "$shim" "$OUT/"
}

# Where the loader does not find a wheel's libraries, their folders are named, for all stages.
stage_doctor() {
  local home rc=0
  "$resslt" doctor && return
  home=$(torch_home)
  [ -n "$home" ] || return 1
  printf '%s\n' "$home/lib" "$home"/../nvidia/*/lib | paste -sd: >"$OUT/library-path"
  LD_LIBRARY_PATH=$(cat "$OUT/library-path") "$resslt" doctor || rc=$?
  [ "$rc" = 0 ] || rm -f "$OUT/library-path"
  [ "$rc" = 0 ] || [ "$DEVICE" != cpu ] || rc=0 # it also wants what a CPU's machine has
  return "$rc"
}

first() { if [ -n "$SMALL" ]; then echo --width 4 --batch 8 --steps 1 --warmup 1 --threads 1; else echo --batch 64 --steps "${1:-5}" --warmup 3; fi; }
# shellcheck disable=SC2046 # lists of words, here and below
stage_eager() {
  local rc=0
  ours "eager fp32" $(first) --precision fp32 --cuda-graph false || rc=1
  ours "eager bf16" $(first) --precision bf16 --cuda-graph false || rc=1
  return "$rc"
}
# shellcheck disable=SC2046
stage_graph() { ours graph $(first 20); }

stage_kernels() {
  local rc=0
  tests train/torch torch.test '^Test(Attend|BatchNormReLU|NormalizePixels)$' || rc=1
  tests train train.test '^TestKernelsFollow$' || rc=1
  return "$rc"
}
stage_tests() {
  local rc=0
  tests train/torch torch.test 'GroupOfOne|Stream|Event|Graph' || rc=1
  tests train train.test '^TestDevice(Gradients|Graphs|Loop|Deterministic|OutOfMemory)$|^TestLateLosses|^TestStepsGoOn' || rc=1
  return "$rc"
}
stage_memory() { tests train train.test '^TestDeviceMemoryIsFlat$'; }
stage_curve() { tests train train.test LossCurve; }
stage_saving() { tests train train.test '^$' -test.bench '^BenchmarkLoop$' -test.benchtime "$([ -n "$SMALL" ] && echo 2x || echo 200x)"; }

# small SHAPE… is the shape, or what a CPU does in seconds.
small() { if [ -n "$SMALL" ]; then echo --width 4 --batch 8 --threads 1; else echo "$@"; fi; }
# shellcheck disable=SC2046
stage_step256() { compare $(small --batch 256); }
# shellcheck disable=SC2046
stage_step1024() { compare $(small --batch 1024); }
# shellcheck disable=SC2046
stage_step50() { compare $(small --backbone resnet50 --stem imagenet --image-size 224 --batch 256); }
# shellcheck disable=SC2046
stage_crops50() { compare $(small --backbone resnet50 --stem imagenet --image-size 224 --student-sizes 224,192,160,128,96 --batch 128); }
stage_determinism() {
  local rc=0
  for on in false true; do
    # shellcheck disable=SC2046
    ours "deterministic=$on" $(if [ -n "$SMALL" ]; then first; else echo --batch 256 --steps 40 --warmup 20; fi) --deterministic=$on || rc=1
  done
  return "$rc"
}

# data_uri is where the data are, "" where they have not all come.
data_uri() {
  local part
  [ -z "$DATA" ] || { echo "$DATA"; return; }
  [ -n "$PARTS" ] || return
  for part in $PARTS; do [ -e "$WORK/have/$(basename "$part")" ] || return; done
  echo "folder:$WORK/data"
}
stage_data() {
  local part lacking=
  mkdir -p "$WORK/data" "$WORK/have"
  for part in $PARTS; do
    if [ ! -e "$WORK/have/$(basename "$part")" ]; then
      if [ ! -e "$part" ]; then
        lacking+=" $(basename "$part")"
        continue
      fi
      tar -xf "$part" -C "$WORK/data" || return 1
      touch "$WORK/have/$(basename "$part")"
    fi
  done
  [ -n "$(data_uri)" ] || {
    echo "lacking:${lacking:- PARTS or DATA name no data}"
    return 3 # another call may bring it
  }
  note "$STAGE" images="$(find "$WORK/data" -type f | wc -l)" </dev/null
}
stage_loader() {
  local data
  data=$(data_uri)
  [ -n "$data" ] || { echo "no data yet"; return 3; }
  "$resslt" bench loader --recipe cifar10 --data "$data" --workers "$(nproc)" --seconds "$([ -n "$SMALL" ] && echo 1 || echo 10)" --json | tail -n 1 | note "$STAGE"
}
stage_cifar10() {
  local data rc=0 left=$((BUDGET - CLOCK - 20)) run=$OUT/cifar10 set=()
  data=$(data_uri)
  [ -n "$data" ] || { echo "no data yet"; return 3; }
  if [ ! -e "$run" ] && [ -d "${FROM:-/none}/cifar10" ]; then
    cp -r "$FROM/cifar10" "$run"
    chmod -R u+w "$run"
  fi
  [ "$DEVICE" = cpu ] || set+=(--set precision=bf16)
  [ -z "$SMALL" ] || for field in threads=1 width=2 projector_hidden=16 embedding_dim=8 K=64 batch_size=16 epochs=2 steps_per_epoch=4 linear_epochs=1 eval_images=40; do
    set+=(--set "$field")
  done
  # It saves when it is told to stop.
  timeout --foreground --signal=TERM "$left" "$resslt" run --recipe cifar10 --data "$data" --set device="$DEVICE" --set keep_checkpoints=1 \
    "${set[@]}" --resume --out "$run" || rc=$?
  tail -n 1 "$run/metrics.jsonl" 2>/dev/null | note "$STAGE" what=progress
  [ ! -e "$run/summary.json" ] || "$PY" -c 'import json, sys; print(json.dumps(json.load(open(sys.argv[1]))))' "$run/summary.json" | note "$STAGE" what=summary
  [ "$rc" != 124 ] && [ "$rc" != 130 ] || rc=4 # stopped, to be continued
  return "$rc"
}

# One stage, in a process of its own that can be stopped as a whole.
if [ "${1:-}" = --stage ]; then
  export STAGE=$2
  if [ -e "$OUT/library-path" ]; then
    LD_LIBRARY_PATH=$(cat "$OUT/library-path")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
  fi
  "stage_$STAGE"
  exit
fi

nvcc=$(command -v nvcc || true)
[ -z "$nvcc" ] || export CUDA_HOME=${CUDA_HOME:-$(dirname "$(dirname "$(readlink -f "$nvcc")")")}
if [ -n "$FROM" ] && [ ! -e "$results" ]; then
  cp "$FROM/results.jsonl" "$results" || exit 2
  chmod u+w "$results"
  [ ! -e "$FROM/library-path" ] || cp "$FROM/library-path" "$OUT/"
fi
names=$(stages | cut -d' ' -f1)
only_list=
[ "${1:-}" != --left ] || { only_list=1; shift; }
for name in "$@"; do
  grep -qx "$name" <<<"$names" || { echo "gpu.sh: no stage $name (of: $(tr '\n' ' ' <<<"$names"))" >&2; exit 2; }
done
# shellcheck disable=SC2086 # a list of words
todo=${*:-$("$PY" bench/gpu_results.py left "$results" $names)} || exit 2
[ -z "$only_list" ] || { echo "$todo" | tr ' ' '\n'; exit; }
# A shim is no part of the results: on a fresh machine it comes first whatever was done.
[ -e "$shim" ] || case " $todo " in *" shim "*) ;; *) todo="shim $todo" ;; esac

running=
# shellcheck disable=SC2317 # called by trap
stop() {
  [ -z "$running" ] || kill -TERM "$running" 2>/dev/null
  wait
  exit 130
}
trap stop INT TERM
for name in $todo; do
  read -r _ limit least < <(stages | grep "^$name ")
  clock=$((SECONDS - began))
  left=$((BUDGET - clock))
  if [ "$left" -lt "$least" ]; then
    echo "== $name: left for the next call, $left s are too few"
    continue
  fi
  [ -z "$SMALL" ] || limit=$((5 * limit)) # nobody waits for a quiet machine
  whole=1
  [ "$limit" -le "$left" ] || { limit=$left; whole=; }
  echo "== $name, at most $limit s"
  CLOCK=$clock timeout -k 10 "$limit" "$self" --stage "$name" > >(tee "$OUT/$name.log") 2>&1 &
  running=$!
  wait "$running"
  rc=$?
  running=
  # Cut by the call's end, not by its own limit: not done, and no failure.
  [ "$rc" != 124 ] || [ -n "$whole" ] || rc=4
  note end of="$name" rc="$rc" seconds=$((SECONDS - began - clock)) clock=$((SECONDS - began)) </dev/null
  echo "-- $name: rc $rc, $((SECONDS - began - clock)) s, clock $((SECONDS - began))"
done
"$PY" bench/gpu_results.py table "$results"
# shellcheck disable=SC2086
left=$("$PY" bench/gpu_results.py left "$results" $names)
echo "left: ${left:-nothing}"
