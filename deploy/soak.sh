#!/bin/bash
# Shows that a farm needs no caretaker: many short runs on one broker and one worker, one after
# the other and then several at a time. After every tenth of them it prints what broker and
# worker hold.
#
#   deploy/soak.sh [RUNS [AT-ONCE]]     # default 100 runs, half of them 10 at a time
#
# It fails where a run fails, where two runs of one seed differ, where a run is not ended or
# holds chunks, where the broker's store does not shrink to what it was after the first ten
# runs once the ended ones are deleted, or where broker or worker end with more than 1.5 times
# the memory that they had after the first of the runs at a time: by then pools have filled.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-100} at_once=${2:-10}
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

# The broker that go.mod names; an older one does not say its time, so gc would wait longer.
server=${SERVER:-$work/nats-server}
[ -n "${SERVER:-}" ] || "${GO:-go}" build -o "$server" github.com/nats-io/nats-server/v2

port=$("$PY" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export NATS_URL=nats://127.0.0.1:$port
cat >"$work/nats.conf" <<END
listen: "127.0.0.1:$port"
max_payload: 8MB
jetstream { store_dir: "$work/store", max_memory_store: 2GB, max_file_store: 2GB }
END
"$server" -c "$work/nats.conf" >"$work/nats.log" 2>&1 &
broker=$! && started+=("$broker")
sleep 1
bin/augmentd --workers 1 --cache "$work/index" >"$work/augmentd.log" 2>&1 &
worker=$! && started+=("$worker")

# one N: the run of that number. Those a half apart have one seed.
one() {
  bin/resslt train --run "soak-$1" --recipe smoke --set epochs=1 --set "eval=[]" --set "seed=$(($1 % (runs / 2)))" \
    --out "$work/out/$1" >"$work/$1.log" 2>&1 || { tail -n 3 "$work/$1.log" >&2; return 1; }
}
rss() { awk '/^VmRSS/ {printf "%d", $2 / 1024}' "/proc/$1/status"; }
# state prints the runs by state, and the bytes that the broker reserves for their chunks
state() {
  bin/resslt farm ls --all --json | "$PY" -c '
import collections, json, sys
runs = json.load(sys.stdin)["runs"]
states = collections.Counter(r["state"] for r in runs)
print(",".join(f"{k}:{v}" for k, v in sorted(states.items())) or "none", sum(r["reserved_bytes"] for r in runs))'
}
row() {
  read -r states chunks < <(state)
  printf '%5s  %-22s %12s  %9s  %9s  %8s\n' "$1" "$states" "$chunks" "$(rss "$broker")" "$(rss "$worker")" "$(du -sk "$work/store" | cut -f1)"
}

printf '%5s  %-22s %12s  %9s  %9s  %8s\n' runs states reserved "broker MB" "worker MB" "store KB"
done_runs=0 broker_was=0 worker_was=0 ten_store=0
while [ "$done_runs" -lt "$runs" ]; do
  if [ "$done_runs" -lt $((runs / 2)) ]; then
    for _ in $(seq 10); do
      one "$done_runs"
      done_runs=$((done_runs + 1))
    done
  else
    pids=()
    for _ in $(seq "$at_once"); do
      one "$done_runs" &
      pids+=($!)
      done_runs=$((done_runs + 1))
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
  fi
  row "$done_runs"
  [ "$done_runs" -gt 10 ] || ten_store=$(du -sk "$work/store" | cut -f1)
  [ "$done_runs" -gt $((runs / 2 + at_once)) ] || { broker_was=$(rss "$broker") && worker_was=$(rss "$worker"); }
done

sleep 6 # a heartbeat of the worker's, which might begin something again
row end
read -r states chunks < <(state)
bad=""
[ "$states" = "ended:$runs" ] || bad="$bad; the runs are $states"
[ "$chunks" = 0 ] || bad="$bad; $chunks bytes are reserved for chunks"
sleep 1
bin/resslt farm gc --older 1s --yes >"$work/gc.log"
row gc
read -r states _ < <(state)
[ "$states" = none ] || bad="$bad; after farm gc: $states"
# shellcheck disable=SC2016 # Python's
"$PY" - "$work/out" "$runs" <<'END' || bad="$bad; weights differ"
import json, sys
out, runs = sys.argv[1], int(sys.argv[2])
sha = [json.load(open(f"{out}/{i}/summary.json"))["student_sha256"] for i in range(runs)]
differ = [i for i in range(runs // 2) if sha[i] != sha[i + runs // 2]]
print(f"{runs // 2} pairs of one seed, {len(differ)} of them differ; {len(set(sha))} different students")
sys.exit(bool(differ) or len(set(sha)) != runs // 2)
END
[ "$(rss "$broker")" -le $((broker_was * 3 / 2)) ] || bad="$bad; the broker grew from $broker_was to $(rss "$broker") MB"
[ "$(rss "$worker")" -le $((worker_was * 3 / 2)) ] || bad="$bad; the worker grew from $worker_was to $(rss "$worker") MB"
[ "$(du -sk "$work/store" | cut -f1)" -le $((ten_store + 100)) ] || bad="$bad; the store has $(du -sk "$work/store" | cut -f1) KB, $ten_store after ten runs"
[ -z "$bad" ] || { echo "soak: ${bad#; }" >&2; exit 1; }
