#!/bin/bash
# Shows that a change of the code changes no result: builds an older commit in a clone, runs it
# and this tree side by side, and compares their results, bit for bit.
#
#   deploy/same.sh REF          smoke, farm, replays, resume, several trainers, two ranks
#   deploy/same.sh REF quick    without quickstart, which takes minutes
#
# Then each build continues from what the other left: its checkpoint, recording, workers.
# Compared are the digests of weights, encoder.safetensors, recipe.yaml, the recipe log and
# the figures of summary.json that do not depend on the clock. Recorded pixels are stored in
# the order in which workers produced them, which differs between two runs of one program;
# instead, what a replay makes of them is compared.
set -euo pipefail
cd "$(dirname "$0")/.."
ref=${1:?usage: deploy/same.sh REF [quick]}
quick=${2-}
PY=${PY:-/usr/bin/python3}
work=$(mktemp -d)
started=()
# shellcheck disable=SC2317 # called by trap
finish() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

git clone -q . "$work/old"
git -C "$work/old" -c advice.detachedHead=false checkout -q "$ref"
make -s -C "$work/old" build >/dev/null
make -s build >/dev/null
old=$work/old/bin new=$PWD/bin
echo "old: $(git -C "$work/old" log -1 --format='%h %s')"

quietly() { "$@" 2>"$work/log" >"$work/last" || { cat "$work/log" >&2; echo "same.sh: failed: $*" >&2; exit 1; }; }

# farm BIN N: a broker and N workers of BIN; sets url.
farm() {
  local bin=$1 n=$2 port
  port=$("$PY" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  cat >"$work/nats-$port.conf" <<CONF
listen: "127.0.0.1:$port"
max_payload: 8MB
max_pending: 256MB
jetstream { store_dir: "$work/store-$port", max_memory_store: 2GB, max_file_store: 2GB }
CONF
  nats-server -c "$work/nats-$port.conf" >"$work/nats-$port.log" 2>&1 &
  started+=($!)
  url=nats://127.0.0.1:$port
  for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
  for _ in $(seq "$n"); do
    "$bin/augmentd" --nats "$url" --workers 1 2>>"$work/augmentd.log" &
    started+=($!)
  done
}

# digest NAME OUT: one line for each result of a run.
digest() {
  "$PY" - "$@" <<'PYEOF'
import glob, hashlib, json, os, sys
name, out = sys.argv[1:]
s = json.load(open(f"{out}/summary.json"))
for key in ("final_loss student_sha256 teacher_sha256 queue_sha256 objective_sha256 run_digest steps knn_top1 knn_top1_untrained linear_top1 "
            "embedding_std relation infonce chunks_published samples_replaced").split():
    print(name, key, s.get(key))
for path in sorted(glob.glob(f"{out}/encoder.safetensors") + glob.glob(f"{out}/recipe.yaml") + glob.glob(f"{out}/record/log-*")):
    print(name, os.path.relpath(path, out), hashlib.sha256(open(path, "rb").read()).hexdigest()[:16])
PYEOF
}

# cut_back OUT: removes the newest checkpoint and everything written after the one before it.
cut_back() { rm -f "$1/checkpoints/step-00000020."* "$1/summary.json" "$1/encoder.safetensors"; }

smoke=(--recipe smoke --json --set keep_checkpoints=4)

# all BIN AS: the runs by BIN's programs, into $work/AS; their digests on standard output.
all() {
  local bin=$1 to=$work/$2
  quietly "$bin/resslt" run "${smoke[@]}" --record pixels --out "$to/run"
  digest run "$to/run"
  if [ -z "$quick" ]; then
    quietly "$bin/resslt" run --recipe quickstart --set threads=2 --out "$to/quickstart"
    digest quickstart "$to/quickstart"
  fi
  quietly "$bin/resslt" train "${smoke[@]}" --replay "pixels:$to/run" --out "$to/pixels"
  digest pixels "$to/pixels"
  quietly "$bin/resslt" train "${smoke[@]}" --replay "log:$to/run" --out "$to/log"
  digest log "$to/log"
  cp -r "$to/run" "$to/resumed"
  cut_back "$to/resumed"
  quietly "$bin/resslt" run "${smoke[@]}" --record pixels --resume --out "$to/resumed"
  digest resumed "$to/resumed"
  farm "$bin" 2
  quietly "$bin/resslt" train "${smoke[@]}" --nats "$url" --run farm --record stream --out "$to/farm"
  digest farm "$to/farm"
  quietly "$bin/resslt" train "${smoke[@]}" --nats "$url" --replay stream:farm --out "$to/stream"
  digest stream "$to/stream"
  "$bin/resslt" train "${smoke[@]}" --nats "$url" --run shared --trainer a --out "$to/a" >/dev/null 2>"$work/log-a" &
  local a=$!
  quietly "$bin/resslt" train "${smoke[@]}" --nats "$url" --run shared --trainer b --set tau_t=0.05 --out "$to/b"
  wait $a
  digest a "$to/a"
  digest b "$to/b"
  local port
  port=$("$PY" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  MASTER_ADDR=127.0.0.1 MASTER_PORT=$port WORLD_SIZE=2 RANK=1 "$bin/resslt" train "${smoke[@]}" --nats "$url" --run ranks --out "$to/ranks" >/dev/null 2>"$work/log-1" &
  local second=$!
  MASTER_ADDR=127.0.0.1 MASTER_PORT=$port WORLD_SIZE=2 RANK=0 quietly "$bin/resslt" train "${smoke[@]}" --nats "$url" --run ranks --out "$to/ranks"
  wait $second
  digest ranks "$to/ranks"
}

all "$old" old >"$work/old.txt"
all "$new" new >"$work/new.txt"
wrong=0
if diff "$work/old.txt" "$work/new.txt"; then
  echo "equal: $(wc -l <"$work/new.txt") figures of $(cut -d' ' -f1 "$work/new.txt" | sort -u | wc -l) runs: $(cut -d' ' -f1 "$work/new.txt" | uniq | tr '\n' ' ')"
else
  wrong=1
fi

# across NAME OUT: the student must equal the first run's.
across() {
  local want got
  want=$(awk '$1 == "run" && $2 == "student_sha256" { print $3 }' "$work/old.txt")
  got=$("$PY" -c 'import json, sys; print(json.load(open(sys.argv[1]))["student_sha256"])' "$2/summary.json")
  if [ "$want" = "$got" ]; then echo "equal: $1"; else
    echo "DIFFERS: $1"
    wrong=1
  fi
}
for pair in "old new" "new old"; do
  read -r one other <<<"$pair"
  by=${!other}
  quietly "$by/resslt" train "${smoke[@]}" --replay "pixels:$work/$one/run" --out "$work/x-pixels-$other"
  across "the $one record, replayed by the $other trainer" "$work/x-pixels-$other"
  cp -r "$work/$one/run" "$work/x-resumed-$other"
  cut_back "$work/x-resumed-$other"
  quietly "$by/resslt" run "${smoke[@]}" --record pixels --resume --out "$work/x-resumed-$other"
  across "the $one checkpoint, resumed by the $other" "$work/x-resumed-$other"
  farm "${!one}" 1
  quietly "$by/resslt" train "${smoke[@]}" --nats "$url" --run x --out "$work/x-farm-$other"
  across "the $one workers' batches in the $other trainer" "$work/x-farm-$other"
done
exit $wrong
