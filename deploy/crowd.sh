#!/bin/bash
# Shows that a crowd of real workers serves one run: N augmentd on one broker, started at once,
# and one trainer. Prints how long they take to connect, by how many the chunks are made, and
# what each holds; fails where the weights are not those that one worker gives.
#
#   deploy/crowd.sh [N]     # default 300 workers
set -euo pipefail
cd "$(dirname "$0")/.."
n=${1:-300}
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

server=${SERVER:-nats-server}
port=$("$PY" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export NATS_URL=nats://127.0.0.1:$port
cat >"$work/nats.conf" <<END
listen: "127.0.0.1:$port"
max_payload: 8MB
jetstream { store_dir: "$work/store", max_memory_store: 1GB, max_file_store: 1GB }
END
"$server" -c "$work/nats.conf" >"$work/nats.log" 2>&1 &
broker=$! && started+=("$broker")

workers=()
# begin N: as many workers more, of a slot each. They share this machine's cores, and leave
# broker and trainer what they need, as workers on machines of their own do.
begin() {
  for _ in $(seq "$1"); do
    nice -n 10 bin/augmentd --workers 1 --cache "$work/index" >"$work/worker-${#workers[@]}.log" 2>&1 &
    workers+=($!) && started+=($!)
  done
}
serving() { { grep -l '\bserving\b' "$work"/worker-*.log 2>/dev/null || true; } | wc -l; }
# await N SECONDS: until so many workers have connected
await() {
  for _ in $(seq $(($2 * 10))); do
    [ "$(serving)" -lt "$1" ] || return 0
    sleep 0.1
  done
  echo "only $(serving) of $1 workers have connected after $2 s" >&2
  return 1
}
# train NAME: a short run of many small chunks; its digests go to NAME.json
train() {
  bin/resslt train --run "$1" --recipe smoke --split test --set steps_per_epoch=40 --set epochs=3 --set "eval=[none]" \
    --set chunk_samples=4 --out "$work/$1" --json >"$work/$1.json" 2>"$work/$1.log" || { tail -n 3 "$work/$1.log" >&2; return 1; }
}
seconds() { date +%s.%N; }
since() { "$PY" -c 'import sys, time; print(f"{time.time() - float(sys.argv[1]):.1f}")' "$1"; }
# resident PID...: MB of memory of its own, mean and most, of processes; the program is shared
resident() {
  for pid in "$@"; do awk '/^RssAnon/ {print $2 / 1024}' "/proc/$pid/status"; done |
    awk '{s += $1; if ($1 > m) m = $1} END {printf "%.0f MB, at most %.0f", s / NR, m}'
}

begin 1
await 1 30
train calm
at=$(seconds)
begin $((n - 1))
await "$n" 300
echo "$n workers have connected after $(since "$at") s"

at=$(seconds)
train crowd &
trainer=$!
while kill -0 "$trainer" 2>/dev/null; do
  # What the workers say of themselves goes with the run's end.
  if bin/resslt status crowd --json >"$work/status.new" 2>/dev/null && grep -q '"chunks":[1-9]' "$work/status.new"; then
    mv "$work/status.new" "$work/status.json"
    memory=$(resident "${workers[@]}")
  fi
  sleep 0.5
done
wait "$trainer"
echo "trained in $(since "$at") s; a worker has $memory, the broker $(resident "$broker")"
"$PY" - "$work" "$n" <<'END'
import json, pathlib, sys

work, n = pathlib.Path(sys.argv[1]), int(sys.argv[2])
last = lambda name: json.loads((work / f"{name}.json").read_text().splitlines()[-1])
status = last("status")
runs = status.get("runs", [status])
made = [w["chunks"] for r in runs if r.get("run", r.get("name")) == "crowd" for w in r["workers"]]
calm, crowd = last("calm"), last("crowd")
busy = [c for c in made if c]
print(f"{sum(made)} chunks counted, made by {len(busy)} of {len(made)} workers that say so, at most {max(made, default=0)} by one; "
      f"{crowd['chunks_redelivered']} redelivered, {crowd['digest_mismatches']} mismatches")
for key in ("student_sha256", "teacher_sha256", "queue_sha256"):
    if calm[key] != crowd[key]:
        sys.exit(f"{key}: {crowd[key]} by {n} workers, {calm[key]} by one")
print(f"weights equal: {crowd['student_sha256'][:12]}")
END
