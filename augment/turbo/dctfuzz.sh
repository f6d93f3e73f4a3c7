#!/bin/bash
# Builds dctfuzz (its main.c says what it does) with AddressSanitizer and
# UndefinedBehaviorSanitizer, and runs it on packed JPEGs.
#
#   augment/turbo/dctfuzz.sh [JPEGS [DAMAGED_PACKS [DAMAGED_JPEGS [SEED]]]]
set -eu
cd "$(dirname "$0")"
kinds=${1:-2000} damaged=${2:-100000} files=${3:-20000} seed=${4:-1}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
sources=(dctfuzz/main.c)
for f in *.c; do
  case $f in
  *_amd64.c) [ "$(uname -m)" = x86_64 ] || continue ;;
  *_arm64.c) [ "$(uname -m)" = aarch64 ] || continue ;;
  esac
  sources+=("$f")
done
${CC:-gcc} -std=c11 -g -O2 -Wall -fsanitize=address,undefined -fno-sanitize-recover=undefined -o "$dir/dctfuzz" "${sources[@]}" -ljpeg -lm
"$dir/dctfuzz" kinds "$kinds" "$seed"
"$dir/dctfuzz" damage "$damaged" "$seed"
"$dir/dctfuzz" files "$files" "$seed"
