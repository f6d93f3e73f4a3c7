#!/bin/bash
# Evaluation side by side with scikit-learn and PyTorch, and its speed.
#
#   bench/eval.sh                               comparisons on synthetic features, speeds
#   bench/eval.sh CHECKPOINT DATA [FLAG...]     all protocols on real images, trained and
#                                               untrained, and the peers on the same features
#
# THREADS (default one a core) is libtorch's; OUT (default a temporary folder) keeps
# features, pictures and eval.json; FLAGs go to every `resslt eval`.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-/usr/bin/python3}
THREADS=${THREADS:-$(nproc)}
export OMP_NUM_THREADS=$THREADS OPENBLAS_NUM_THREADS=$THREADS

if [ $# -lt 2 ]; then
	RESSLT_REQUIRE_TORCH=1 go test ./train/eval -run Against -count=1 -v | grep -E 'peer|trust|FAIL|^ok'
	RESSLT_REQUIRE_TORCH=1 go test ./train/eval -run '^$' -bench . -benchtime 1x | grep -E 'Benchmark|FAIL|^ok'
	exit
fi

checkpoint=$1 data=$2
shift 2
out=${OUT:-$(mktemp -d)}
mkdir -p "$out"
evaluate() { # VERB trained|untrained FLAG...
	local verb=$1 who=$2
	shift 2
	local flags=(--checkpoint "$checkpoint" --data "$data" --cache "$out/$who" --out "$out/$who" --threads "$THREADS" "$@")
	[ "$who" = trained ] || flags+=(--untrained)
	bin/resslt eval "$verb" "${flags[@]}" 2>/dev/null
}

for who in untrained trained; do
	echo "== $who"
	evaluate knn "$who" "$@"
	evaluate linear "$who" --lr "${LR:-0.1}" "$@"
	evaluate semi "$who" --labels 0.01 --augment=false "$@"
	evaluate transfer "$who" "$@"
	evaluate lowshot "$who" "$@"
	evaluate neighbours "$who" --views weak,strong "$@"
	evaluate tsne "$who" "$@" --max-images 5000
done

echo "== the peers on the trained encoder's features"
peer() { # TASK OPTIONS TRAIN TEST
	echo "$2" > "$out/options.json"
	echo "$1 $2: $("$PY" train/eval/testdata/peers.py "$1" "$out/options.json" "$3" "$4")"
}
# The two sets that every verb but tsne has used: the largest of each split.
largest() { find "$out/trained" -name "*-$1-*.safetensors" -printf "%s %p\n" | sort -rn | head -1 | cut -d" " -f2-; }
train=$(largest train)
test=$(largest test)
classes=$("$PY" -c "import sys; sys.path.insert(0, 'train/eval/testdata'); import peers; print(peers.load('$train')['targets'].shape[1])")
ours() { bin/resslt eval "$@" --features "$train" --eval-features "$test" --threads "$THREADS" 2>/dev/null; }
ours knn --k 20,200
peer knn '{"k": [20, 200], "temperature": 0.1}' "$train" "$test"
# Two orders of the same images differ by some 0.2 points: compare means over seeds.
for seed in 1 2 3 4; do
	ours linear --lr "${LR:-0.1}" --epochs 40 --seed $seed | grep '^top-1  '
	peer linear "{\"epochs\": 40, \"lr\": ${LR:-0.1}, \"batch\": 256, \"nesterov\": false, \"cosine\": false, \"seed\": $seed}" "$train" "$test"
done
best=$("$PY" - "$out/trained/eval.json" <<'PY'
import json, sys
r = [r for r in json.load(open(sys.argv[1]))["results"] if r["protocol"] == "transfer"][-1]
print(next(s["value"] for s in r["scores"] if s["name"] == "lambda"))
PY
)
peer logistic "{\"lambda\": [$best]}" "$train" "$test"
ours lowshot --k 4 --draws 1
peer svm "{\"C\": 0.5, \"hinge\": false, \"classes\": $classes}" "$train" "$test"
echo "kept in $out"
