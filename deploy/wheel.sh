#!/bin/bash
# The Python package's wheels, which carry the program, and its source distribution:
#
#   deploy/wheel.sh build         python/dist/resslt-*.whl for this machine, and for arm64 where
#                                 its compiler is installed (deploy/setup.sh cross); the sdist
#   deploy/wheel.sh check DATA    installs this machine's wheel alone into an empty virtual
#                                 environment, and reads an epoch of DATA with nothing of this
#                                 clone, no compiler and no library but the C library in reach
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
python=${BUILD_PYTHON:-bin/python-build/bin/python}
packed=python/src/resslt/_bin

die() {
  echo "wheel: $*" >&2
  exit 1
}

# program ARCH CC OBJDUMP: the program, stripped, with libjpeg-turbo linked into it: the folder that the
# linker looks in first holds the archive and no shared library.
program() {
  local static=$PWD/bin/static-$1 # the same each time, or Go builds all C again
  mkdir -p "$packed" "$static"
  ln -sf "$("$2" -print-file-name=libjpeg.a)" "$static/"
  env GOOS=linux GOARCH="$1" CGO_ENABLED=1 CC="$2" CGO_LDFLAGS="-L$static" \
    "$go" build -ldflags "-s -w ${LDFLAGS:-}" -o "$packed/resslt" ./cmd/resslt
  ! "$3" -p "$packed/resslt" | grep -q 'NEEDED.*jpeg' || die "libjpeg-turbo is not linked into the program"
}

# platform MACHINE OBJDUMP: the oldest C library that has all that the program asks for, as pip spells it.
platform() {
  local glibc
  glibc=$("$2" -T "$packed/resslt" | grep -o 'GLIBC_2\.[0-9]*' | sort -V | tail -1)
  echo "manylinux_2_${glibc#GLIBC_2.}_$1"
}

# wheel ARCH MACHINE CC OBJDUMP
wheel() {
  program "$1" "$3" "$4"
  RESSLT_WHEEL_PLATFORM=$(platform "$2" "$4") "$python" -m build --no-isolation --wheel python >/dev/null
  rm -r "$packed"
}

build() {
  rm -rf python/dist "$packed"
  "$python" -m build --no-isolation --sdist python >/dev/null
  local native=amd64 machine=x86_64
  [ "$(uname -m)" != aarch64 ] || native=arm64 machine=aarch64
  wheel "$native" "$machine" "${CC:-gcc}" objdump
  if [ "$native" = amd64 ]; then
    if command -v aarch64-linux-gnu-gcc >/dev/null; then
      wheel arm64 aarch64 aarch64-linux-gnu-gcc aarch64-linux-gnu-objdump
    else
      echo "wheel: no wheel for arm64: aarch64-linux-gnu-gcc is missing (fix: deploy/setup.sh cross)" >&2
    fi
  fi
  du -h python/dist/*
}

check() {
  local data=${1:?usage: wheel.sh check DATA} dir wheels
  wheels=(python/dist/*"$(uname -m)".whl)
  [ -e "${wheels[0]}" ] || die "there is no wheel of this machine (fix: $0 build)"
  dir=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$dir'" EXIT
  python3 -m venv "$dir/venv"
  "$dir/venv/bin/pip" install --quiet --disable-pip-version-check "${wheels[0]}"
  (cd "$dir" && env -i HOME="$dir" PATH=/nonexistent "$dir/venv/bin/python" - "$data" <<'PY')
import sys
import time

from resslt import Loader
from resslt.process import find_program

start = time.monotonic()
with Loader(data=sys.argv[1], policy="small", image_size=28, batch_size=32, seed=0, epochs=1, views="numpy") as loader:
    rows = sum(len(batch) for batch in loader)
print(f"wheel: {find_program()}: {rows} rows of {loader.info.samples} pictures in {time.monotonic() - start:.1f} s")
PY
}

case "${1:-}" in
build) build ;;
check) check "${2:-}" ;;
*) die "usage: wheel.sh build | check DATA" ;;
esac
