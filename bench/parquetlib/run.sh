#!/bin/bash
# Compares our Parquet reader with parquet-go and arrow-go; docs/writers.md has the result.
#
#   bench/parquetlib/run.sh
#
# PYTHON (default venv/writers/bin/python) has what bench/writers/run.sh installs. OUT
# (default a temporary folder, 1.3 GB) keeps the files; SETS is a folder written by
# bench/writers/parquet.py. RUNS and SEEDS: how many scans, how many mutations of a file.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-venv/writers/bin/python}
out=${OUT:-}
if [ -z "$out" ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
sets=${SETS:-}
if [ -z "$sets" ]; then
  sets=$out/sets
  "$python" bench/writers/parquet.py "$sets" >"$out/sets.jsonl"
fi
"${GO:-go}" build -C bench/parquetlib -o "$out/parquetlib" .
"$python" bench/parquetlib/prepare.py "$out" truth "$sets"
"$out/parquetlib" matrix "$out/truth.jsonl"
"$python" bench/parquetlib/prepare.py "$out" big
"$out/parquetlib" cost "${RUNS:-5}" "$out"/*.parquet
small=()
for set in pyarrow/snappy_pages_v1_dictionary pyarrow/zstd_pages_v2_plain polars/zstd DuckDB/gzip_v2; do
  small+=("$sets/$set/train-00000-of-00001.parquet=image.bytes")
done
"$out/parquetlib" safety "${SEEDS:-300}" "${small[@]}"
