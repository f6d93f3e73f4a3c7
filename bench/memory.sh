#!/bin/bash
# Peak memory of a step at batch 1,024: plain, with activation checkpointing, in
# micro-batches, and with both, in fp32 and bf16. One process each.
#   bench/memory.sh [further flags of `resslt bench step`]
set -e
cd "$(dirname "$0")/.."
for precision in fp32 bf16; do
	for how in "" "--activation-checkpointing" "--accumulate 8" "--accumulate 8 --activation-checkpointing"; do
		printf '%-44s' "${how:-plain}"
		# shellcheck disable=SC2086
		bin/resslt bench step --width 16 --image-size 32 --batch 1024 --threads 1 --steps 2 --warmup 1 --precision "$precision" $how "$@"
	done
done
