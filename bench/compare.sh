#!/bin/bash
# `make bench`: resslt compared with its peers on this machine, as ratios. Quiet the
# machine first; every script interleaves and prints medians.
set -eu
cd "$(dirname "$0")/.."
echo "== training step, against PyTorch"
bench/step.sh
echo "== training from the broker, against training from memory"
bin/resslt bench stream
echo "== transport alone"
bin/resslt bench transport
echo "== augmentation: make bench-augment, which installs its peers"
