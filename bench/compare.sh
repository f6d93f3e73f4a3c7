#!/bin/bash
# `make bench`: resslt beside its peers on this machine, as ratios. Quiet the
# machine first; every script interleaves and prints medians.
set -eu
cd "$(dirname "$0")"
echo "== training step, against PyTorch"
./step.sh
echo "== transport: batches through the embedded broker"
../bin/resslt bench transport
