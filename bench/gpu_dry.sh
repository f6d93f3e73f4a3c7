#!/bin/bash
# Tries bench/gpu.sh where no GPU is: the bundle, unpacked as on a GPU machine, runs every
# stage on the CPU with small networks; a call whose time is over, one that is stopped, and one
# on another machine, which has only the results, each go on where the one before ended.
#
#   make gpu-dry        # PY names the Python that has PyTorch: Debian's; BUNDLE another bundle
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=${BUNDLE:-$PWD/bin/resslt-$(go env GOOS)-$(go env GOARCH).tar.gz}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
die() {
  echo "gpu_dry.sh: $*" >&2
  tail -n 40 "$work/log" >&2
  exit 1
}
export DEVICE=cpu SMALL=1 ROUNDS=1 PY=${PY:-/usr/bin/python3} OMP_NUM_THREADS=1
ends() { "$PY" -c 'import json, sys
for line in open(sys.argv[1]):
    r = json.loads(line)
    if r["stage"] == "end": print(r["of"], r["rc"])' "$1/results.jsonl"; }

# Two classes of images in two archives, of which the second comes later.
"$PY" - "$work/images" <<'PYEOF'
import os, sys
from PIL import Image
for split, n in (("train", 40), ("test", 20)):
    for c in ("cat", "dog"):
        os.makedirs(f"{sys.argv[1]}/{split}/{c}")
        for i in range(n):
            Image.new("RGB", (32, 32), (6 * i, 90 if c == "cat" else 9, i)).save(f"{sys.argv[1]}/{split}/{c}/{i}.png")
PYEOF
tar -cJf "$work/a.tar.xz" -C "$work/images" train
tar -cJf "$work/b.tar.xz" -C "$work/images" test

mkdir "$work/first" "$work/second"
tar -xzf "$bundle" -C "$work/first"
[ ! -e "$work/first/resslt/bin/augmentd" ] || die "augmentd is in the bundle"
export WORK=$work/unpacked PARTS="$work/parts/a.tar.xz $work/parts/b.tar.xz"
mkdir "$work/parts"
cp "$work/a.tar.xz" "$work/parts/"

# A call with time for the first stages alone.
OUT=$work/one BUDGET=45 "$work/first/resslt/bench/gpu.sh" >"$work/log" 2>&1 || die "the first call failed"
grep -q 'left for the next call' "$work/log" || die "45 s were enough for all"
ends "$work/one" | grep -qx 'env 0' || die "no end of env"
echo "45 s: $(ends "$work/one" | wc -l) stages"

# One that is stopped in the midst of a stage, by name here, so that it surely runs.
OUT=$work/one "$work/first/resslt/bench/gpu.sh" step256 >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 200); do
  ! grep -q '^== step256' "$work/log" || break
  sleep 0.1
done
sleep 1
kill -TERM "$pid"
wait "$pid" && die "a call that is stopped says that all is well"
! ends "$work/one" | grep -q '^step256 ' || die "a stage that was stopped has an end"
sleep 1
! pgrep -f "$work/first/resslt" >/dev/null || die "a stage goes on after its call was stopped"

# The rest but the data, whose second part is not there yet.
OUT=$work/one BUDGET=3000 "$work/first/resslt/bench/gpu.sh" >"$work/log" 2>&1 || die "the second call failed"
grep -q '^left: data loader cifar10' "$work/log" || die "without the data's second part left is not data, loader and cifar10"
[ "$(ends "$work/one" | grep -c '^env ')" = 1 ] || die "env was done twice"
bad=$(ends "$work/one" | grep -vE ' (0|3)$' || true)
[ -z "$bad" ] || die "stages that failed: $bad"
echo "then all but the data: $(wc -l <"$work/one/results.jsonl") lines"

# A fresh machine that has the bundle, the results and the second part.
tar -xzf "$bundle" -C "$work/second"
cp "$work/b.tar.xz" "$work/parts/"
chmod -R a-w "$work/one"
OUT=$work/two FROM=$work/one BUDGET=3000 "$work/second/resslt/bench/gpu.sh" >"$work/log" 2>&1 || die "the third call failed"
chmod -R u+w "$work/one"
grep -q '^left: nothing$' "$work/log" || die "something is left"
! grep -q '^== env' "$work/log" || die "env was done again"
grep -q '"what": "summary"' "$work/two/results.jsonl" || die "no summary of cifar10"
ends "$work/two" | awk '{ last[$1] = $2 } END { for (s in last) if (last[s] != 0) { print s, last[s]; bad = 1 } exit bad }' || die "a stage is not done"
echo "a fresh machine did the rest: $(ends "$work/two" | wc -l) ends, nothing is left"
