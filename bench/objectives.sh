#!/bin/bash
# Trains every objective for one small budget on CIFAR-10's own pixels, and prints kNN beside
# the untrained encoder's:
#
#   FIRST=500 bench/objectives.sh folder:DIR [FLAG...]   # DIR has train/CLASS and test/CLASS
#
# FIRST takes that many images of each class and split, the first by name; without it all are taken.
#
# With TEACHER=FILE it trains students of that trained encoder instead, by the objectives that
# take one (bench/distillation.yaml), all on one stream of images and their mates, which that
# encoder finds first; a teacher with other than 128 features needs --set embedding_dim=N.
#
# The flags are `resslt sweep`'s: --only DINO, --seeds 1,2,3, --parallel 2. What is done stays
# done: the same command goes on where it stopped. OUT is its folder.
set -euo pipefail
cd "$(dirname "$0")/.."

data=${1:?"usage: bench/objectives.sh folder:DIR [FLAG...]"}
file=bench/objectives.yaml out=${OUT:-runs/objectives-cpu} teacher=()
if [ -n "${TEACHER:-}" ]; then
  file=bench/distillation.yaml out=${OUT:-runs/distillation-cpu} teacher=(--set "teacher=$TEACHER")
fi
if [ -n "${FIRST:-}" ]; then
  whole=${data#folder:} data=folder:$out.data
  for class in "$whole"/{train,test}/*/; do
    few=$out.data/${class#"$whole"/}
    mkdir -p "$few"
    find "$class" -maxdepth 1 -type f -printf '%f\n' | LC_ALL=C sort | sed -n "1,${FIRST}p" | while read -r f; do
      ln -f "$class/$f" "$few/$f" 2>/dev/null || cp "$class/$f" "$few/$f"
    done
  done
fi
[ -x bin/resslt ] || {
  echo "objectives.sh: there is no bin/resslt (fix: make build)" >&2
  exit 1
}
if [ -n "${TEACHER:-}" ]; then
  mates=$out/mates.npy
  mkdir -p "$out"
  [ -f "$mates" ] || bin/resslt embed --checkpoint "$TEACHER" --data "$data" --mates 5 --out "$mates"
  data="mates:$mates+$data"
fi
bin/resslt sweep --file "$file" --data "$data" --out "$out" "${teacher[@]}" "${@:2}"
python3 - "$out" <<'PY'
import collections
import glob
import json
import statistics
import sys

KEYS = ("knn_top1_untrained", "knn_top1", "embedding_std", "final_loss", "train_seconds")
rows = collections.defaultdict(list)
sweep = json.load(open(sys.argv[1] + "/sweep.json"))
for cell in sweep["cells"]:
    for path in glob.glob(f"{sys.argv[1]}/cells/{glob.escape(cell['id'])}/summary.json"):
        rows[cell["row"]].append(json.load(open(path)))
print(f"{'objective':20} {'n':>2} {'untrained':>9} {'trained':>15} {'std':>7} {'loss':>9} {'seconds':>7}")
for name, runs in rows.items():
    mean = {k: statistics.mean(r[k] for r in runs) for k in KEYS}
    trained = f"{mean['knn_top1']:.2f}"
    if len(runs) > 1:
        trained += f" ± {statistics.stdev(r['knn_top1'] for r in runs):.2f}"
    print(
        f"{name:20} {len(runs):2} {mean['knn_top1_untrained']:9.2f} {trained:>15} {mean['embedding_std']:7.4f} "
        f"{mean['final_loss']:9.4f} {mean['train_seconds']:7.0f}"
    )
PY
