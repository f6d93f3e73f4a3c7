#!/bin/bash
# The training step while another program uses one of the cores, for each way in which
# libtorch's threads may wait: sleeping at once (resslt's default), or spinning first, as
# GNU's OpenMP does by default. Images per second, alternating, medians of ROUNDS; the ratio
# is to the same way on the quiet machine.
#
#   ROUNDS=3 STEPS=6 bench/threads.sh
#
# The rival is a loop pinned to the last core; with two cores, a fair share leaves the
# run between half (its threads do not move) and two thirds (they do).
set -eu
cd "$(dirname "$0")/.."
ROUNDS=${ROUNDS:-3}
STEPS=${STEPS:-6}
tmp=$(mktemp -d)
rival=
stop_rival() {
  [ -z "$rival" ] || kill "$rival" 2>/dev/null || true
  rival=
}
trap 'stop_rival; rm -rf "$tmp"' EXIT

# step FILE: appends a run's images per second.
step() { bin/resslt bench step --steps "$STEPS" --warmup 2 --json | sed -E 's/.*"images_per_second":([0-9.e+]+).*/\1/' >>"$tmp/$1"; }
# each SUFFIX: one run by each way of waiting.
each() {
  unset OMP_WAIT_POLICY
  step "passive-$1"
  GOMP_SPINCOUNT=300000 step "spinning-$1" # GNU's own default
}
median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

for _ in $(seq "$ROUNDS"); do
  each quiet
  timeout 600 taskset -c "$(($(nproc) - 1))" sh -c 'while :; do :; done' &
  rival=$!
  each loaded
  stop_rival
  wait 2>/dev/null || true
done
for way in passive spinning; do
  q=$(median "$tmp/$way-quiet"); l=$(median "$tmp/$way-loaded")
  echo "$way: quiet $q images/s, with a rival $l images/s, × $(awk "BEGIN { printf \"%.2f\", $l / $q }") (n $ROUNDS × $STEPS steps, $(nproc) cores)"
done
