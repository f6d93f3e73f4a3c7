#!/bin/bash
# The farm's figures: transport overhead in one process and over three (nats-server,
# augmentd, resslt train on loopback TCP), GB/s at 224 pixels, resident memory of
# each process. Rounds are interleaved; medians of n.
#
#   ROUNDS=5 STEPS=30 bench/farm.sh
#
# Recovery times are the fault suite's: make chaos.
set -euo pipefail
cd "$(dirname "$0")/.."
ROUNDS=${ROUNDS:-3}
STEPS=${STEPS:-20}
THREADS=${THREADS:-1}
SECONDS_EACH=${SECONDS_EACH:-5}
PY=${PY:-/usr/bin/python3}
resslt=$PWD/bin/resslt augmentd=$PWD/bin/augmentd
work=$(mktemp -d)
started=()
stop() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap stop EXIT

echo "== training from the broker in this process, against training from memory (32×32, B 256, width 16)"
"$resslt" bench stream

port=$("$PY" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/nats.conf" <<CONF
listen: "127.0.0.1:$port"
max_payload: 8MB
max_pending: 256MB
jetstream { store_dir: "$work/store", max_memory_store: 2GB }
CONF
nats-server -c "$work/nats.conf" 2>"$work/nats.log" &
broker=$!
started+=("$broker")
url=nats://127.0.0.1:$port
for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done

echo "== transport alone, two views of 224 pixels, chunks in memory"
for ((r = 1; r <= ROUNDS; r++)); do
  "$resslt" bench transport --seconds "$SECONDS_EACH" --json | tail -1 >>"$work/in-process"
  "$resslt" bench transport --seconds "$SECONDS_EACH" --nats "$url" --json | tail -1 >>"$work/tcp"
done

"$augmentd" --nats "$url" --workers 1 2>"$work/augmentd.log" &
worker=$!
started+=("$worker")
# Way of the batches, run's name and folder apart, both train the same.
args=(--recipe smoke --json --set 'eval=[none]' --set width=16 --set image_size=32 --set upscale=true --set batch_size=256 --set K=1024
  --set "threads=$THREADS" --set epochs=1 --set "steps_per_epoch=$STEPS" --set log_every="$STEPS" --set checkpoint_every="$STEPS"
  --set infonce_warmup_epochs=0 --set lr_warmup_epochs=0)
for ((r = 1; r <= ROUNDS; r++)); do
  "$resslt" run "${args[@]}" --workers 1 --out "$work/run" 2>"$work/log" | tail -1 >>"$work/one-process" || { tail -1 "$work/log" >&2; exit 1; }
  "$resslt" train --nats "$url" --run "bench-$r" "${args[@]}" --out "$work/train" 2>"$work/log" | tail -1 >>"$work/three-processes" || { tail -1 "$work/log" >&2; exit 1; }
done
peak() { awk '/^VmHWM/ { print $2 * 1024 }' "/proc/$1/status"; }
"$PY" - "$work" "$(peak "$broker")" "$(peak "$worker")" <<'PYEOF'
import json, statistics, sys
work, broker, worker = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rows = {k: [json.loads(l) for l in open(f"{work}/{k}")] for k in ("in-process", "tcp", "one-process", "three-processes")}
med = lambda k, f: statistics.median(r[f] for r in rows[k])
ratio = lambda a, b, f: statistics.median(x[f] / y[f] for x, y in zip(rows[a], rows[b]))
n = len(rows["tcp"])
for k, what in (("in-process", "broker in process"), ("tcp", "nats-server over TCP")):
    print(f"  {what:22} {med(k, 'mb_per_second') / 1e3:.2f} GB/s, {med(k, 'cpu_seconds_per_gb'):.2f} CPU seconds a GB without a separate broker's (n {n})")
print("== training over three processes, against one process (32×32, B 256, width 16)")
a, b = rows["three-processes"], rows["one-process"]
if len({r["student_sha256"] for r in a + b}) != 1:
    sys.exit("farm: the runs' weights differ")
print(f"  three {med('three-processes', 'images_per_second'):.0f} images/s, one {med('one-process', 'images_per_second'):.0f} images/s,"
      f" ratio {ratio('three-processes', 'one-process', 'images_per_second'):.3f} (n {len(a)} × {a[0]['steps']} steps, {a[0]['threads']} threads); equal weights")
mb = lambda x: f"{x / 1e6:.0f} MB"
print(f"== largest resident memory: nats-server {mb(broker)}, augmentd {mb(worker)},"
      f" resslt train {mb(max(r['peak_rss_bytes'] for r in a))}, resslt run {mb(max(r['peak_rss_bytes'] for r in b))}")
PYEOF
