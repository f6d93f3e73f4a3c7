#!/bin/bash
# The C code under AddressSanitizer and UndefinedBehaviorSanitizer: every test, then some
# fuzzing.
#
#   augment/turbo/asan.sh [SECONDS_OF_FUZZING]
#
# Needs gcc 7 or clang 9 with their libasan.
set -eu
cd "$(dirname "$0")"
seconds=${1:-20}
# A small quarantine: TestDamagedBits watches resident memory.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:quarantine_size_mb=8} UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
# Go's list of allowed C flags has no trapping UBSan; say that this one is meant.
export CGO_CFLAGS_ALLOW='-fsanitize.*|-fno-sanitize.*' CGO_LDFLAGS_ALLOW='-fsanitize.*'
export CGO_CFLAGS="-g -O1 -fsanitize=undefined -fno-sanitize-recover=undefined" CGO_LDFLAGS="-fsanitize=undefined"
# Under -asan Go itself allocates for its checks.
go test -asan -short -skip "RenderAllocatesNothing|PackedViews" .
for f in FuzzJPEG FuzzPlan FuzzPacked; do
  go test -asan -run '^$' -fuzz "^$f\$" -fuzztime "${seconds}s" .
done
./dctfuzz.sh $((100 * seconds)) $((5000 * seconds)) $((1000 * seconds))
