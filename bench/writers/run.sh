#!/bin/bash
# Writes data sets with today's tools, reads them, and updates the table of docs/writers.md:
#
#   bench/writers/run.sh [WRITER...]   # some writers alone: no update of the table
#
# VENV (default venv/writers) is the virtual environment that gets the
# tools from PyPI; PYTHON names a Python that has them. OUT (default a temporary folder)
# keeps the data sets.
set -euo pipefail
cd "$(dirname "$0")/../.."
pins=(pyarrow==26.0.1 datasets==5.2.0 polars==2.1.0 duckdb==2.0.1 fastparquet==2026.9.0 webdataset==1.0.2 pandas==3.1.1 pillow==13.0.0 numpy==2.4.6)
if [ -z "${PYTHON:-}" ]; then
  venv=${VENV:-venv/writers}
  mkdir -p "$(dirname "$venv")"
  deploy/venv.sh tools "$venv" "${pins[@]}"
  PYTHON=$venv/bin/python
fi
out=${OUT:-}
if [ -z "$out" ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
"$PYTHON" bench/writers/parquet.py "$out/parquet" "$@" >"$out/parquet.jsonl"
if [ $# -gt 0 ]; then
  exec "${GO:-go}" run ./bench/writers "$out/parquet.jsonl"
fi
"$PYTHON" bench/writers/tars.py "$out/tars" >"$out/tars.jsonl"
"${GO:-go}" run ./bench/writers -docs docs/writers.md "$out/parquet.jsonl" "$out/tars.jsonl"
