#!/bin/bash
# This project's Loader compared with other loaders: the same JPEGs, the same weak and strong
# view, batches of 64 as torch tensors; samples a CPU-second of the whole tree of processes,
# and by the clock. Rounds are interleaved; medians and ratios are printed.
#
#   bench/loaders.sh [ROUNDS] [CPU_SECONDS] [PEER...]
#
# $RESSLT_DATA has imagenet-sample-700.tar (default: ../shared/data next to the repository).
# $WORK keeps the unpacked and packed data (default: a temporary folder), $VENV the virtual
# environment of the peers (default: bin/loaders; 7 GB), $OUT the measurements. $CORES are the
# numbers of cores to measure with (default: "1 2"). FFCV is built where OpenCV's and
# libjpeg-turbo's headers are (libopencv-dev, libturbojpeg0-dev), and left out elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
cpu=${2:-8}
shift $(($# < 2 ? $# : 2))
data=${RESSLT_DATA:-$PWD/../shared/data}
venv=${VENV:-bin/loaders}
work=${WORK:-$(mktemp -d)}
[ -n "${WORK:-}" ] || trap 'rm -rf "$work"' EXIT
out=${OUT:-$work/measured.jsonl}
python=$venv/bin/python

. bench/pins.sh
deploy/venv.sh tools "$venv" "${peers_images[@]}" pyarrow==26.0.1 \
  litdata==0.2.76 webdataset==1.0.2 spdl==0.8.0 grain==0.2.18 array_record==0.8.6
if [ ! -e "$venv/.more" ]; then
  # Streaming asks for an older numpy than the others; it works with this one.
  "$venv/bin/pip" install --quiet Brotli 'google-cloud-storage<3.3' matplotlib 'paramiko<4' 'python-snappy<1' \
    'transformers<5' 'xxhash<4' 'zstd<2' 'oci<3' azure-storage-blob azure-storage-file-datalake azure-identity catalogue
  "$venv/bin/pip" install --quiet --no-deps mosaicml-streaming==0.13.0
  if pkg-config --exists opencv4 libturbojpeg; then
    "$venv/bin/pip" install --quiet numba==0.68.1 fastargs terminaltables pytorch-pfn-extras assertpy psutil setuptools wheel
    "$venv/bin/pip" install --quiet --no-deps --no-build-isolation ffcv==1.0.2 || echo "loaders: FFCV does not build here" >&2
  fi
  touch "$venv/.more"
fi

if [ ! -d "$work/photos" ]; then
  tar=$data/imagenet-sample-700.tar
  [ -f "$tar" ] || { echo "loaders: no $tar: set RESSLT_DATA" >&2; exit 1; }
  mkdir -p "$work/part" "$work/photos.part"
  tar -xf "$tar" -C "$work/part"
  # Four of each, so that an epoch has 43 batches.
  for i in 1 2 3 4; do
    for f in "$work"/part/*; do ln -f "$f" "$work/photos.part/$i-${f##*/}"; done
  done
  mv "$work/photos.part" "$work/photos"
fi
export RESSLT_PROGRAM=${RESSLT:-$PWD/bin/resslt} PYTHONPATH=${RESSLT_PYTHON:-$PWD/python/src} PYTHONWARNINGS=ignore
"$python" -W ignore bench/loaders/pack.py "$work/photos" "$work/packed" >"$work/packing" 2>&1 || { tail -3 "$work/packing" >&2; exit 1; }

if [ $# -gt 0 ]; then
  peers=("$@")
else
  peers=(resslt resslt-packed torch+albumentations torch+pil torch+v2 dali spdl litdata streaming webdataset grain)
  "$python" -c 'import ffcv' 2>/dev/null && peers+=(ffcv)
fi
for ((r = 1; r <= rounds; r++)); do
  for cores in ${CORES:-1 2}; do
    for peer in "${peers[@]}"; do
      timeout -k 10 300 taskset -c "0-$((cores - 1))" "$python" bench/loaders/measure.py "$peer" --data "$work/photos" --packed "$work/packed" \
        --cores "$cores" --cpu-seconds "$cpu" 2>"$work/stderr" | tail -1 >>"$out" ||
        { echo "loaders: $peer failed:" >&2; tail -3 "$work/stderr" >&2; }
    done
  done
done
"$python" bench/loaders/report.py "$out"
