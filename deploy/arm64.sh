#!/bin/bash
# Builds for arm64 and macOS, and runs arm64's tests, under QEMU unless this is an arm64
# machine. deploy/setup.sh cross installs what it needs.
#
#   deploy/arm64.sh build          bin/linux-arm64 (libjpeg-turbo, NEON), bin/linux-arm64-nocgo and bin/darwin-arm64 (pure Go)
#   deploy/arm64.sh test [short]   kernels, golden pixels, draws, order, plans and chunks, with cgo and without
#   deploy/arm64.sh check          for make test: builds into bin/check, without Google's client, then test short;
#                                  reports if the tools are missing. Pure Go for Linux is left out: macOS's
#                                  build has the one, and arm64's Linux the other
#
# short leaves out the tests of package augment with cgo, which repeat those
# without, and order and chunks, which are integers in Go.
set -eu
cd "$(dirname "$0")/.."
go=${GO:-go}
bin=${BIN:-bin}
unset RESSLT_TIER # may name one of this machine

if [ "$($go env GOHOSTOS)/$($go env GOHOSTARCH)" = linux/arm64 ]; then
  compiler=${CC:-gcc}
  run=()
else
  compiler=aarch64-linux-gnu-gcc
  run=(-exec qemu-aarch64-static)
  for tool in aarch64-linux-gnu-gcc qemu-aarch64-static; do
    command -v $tool >/dev/null && continue
    echo "arm64: $tool is missing, so nothing was built or tested: run deploy/setup.sh cross" >&2
    [ "${1:-}" = check ]
    exit
  done
fi

# on OS CGO COMMAND... runs go for that system on arm64.
on() {
  local os=$1 cgo=$2
  shift 2
  env GOOS="$os" GOARCH=arm64 CGO_ENABLED="$cgo" CC="$compiler" "$go" "$@"
}

# build OS CGO DIR [FLAG...] puts the programs into a folder.
build() {
  local os=$1 cgo=$2 dir=$3
  shift 3
  on "$os" "$cgo" build -ldflags '-s -w' "$@" -o "$dir/" ./cmd/resslt ./cmd/augmentd
  du -h "$dir"/*
}

# fused counts the multiply-adds of one rounding that Go's compiler has put into a
# package for arm64.
fused() { on linux 0 build -gcflags=-S "$1" 2>&1 | grep -cE '\bFN?M(ADD|SUB)[SD]\b' || true; }

try() {
  # Draws and kernels must be compiled without fused multiply-adds: the conversions to
  # float64 in package augment forbid them. gift, which has some, shows that they are found.
  local ours theirs
  ours=$(fused ./augment) theirs=$(fused github.com/disintegration/gift)
  if [ "$ours" != 0 ] || [ "$theirs" = 0 ]; then
    echo "arm64: $ours fused multiply-adds in package augment, $theirs in gift: want none, and some" >&2
    exit 1
  fi
  local flags=("${run[@]}" -short -vet=off)
  # Each is a process of one thread: side by side, they take as many cores.
  local job jobs=()
  on linux 1 test "${flags[@]}" -run "$turbo" ./augment/turbo &
  jobs+=($!)
  on linux 0 test "${flags[@]}" -run "$augment" ./augment &
  jobs+=($!)
  on linux 1 test "${run[@]}" -vet=off -run HueOnEveryColour ./augment/turbo &
  jobs+=($!)
  for job in "${jobs[@]}"; do wait "$job"; done
  [ "${1:-}" = short ] && return
  on linux 1 test "${flags[@]}" -run "$augment" ./augment
  on linux 0 test "${flags[@]}" -run 'Order|Spec|Digest|Plan|Index' ./ingest ./schemas
  on linux 0 test "${flags[@]}" -run 'RoundTrip|TestDecode|TestParser|TestPartFilters' ./batcher/wire ./batcher/stream
}

turbo='Golden|Kernels|PhotosAgree|Tier|PIL|Part|OtherFormats|Arguments'
augment='Golden|Draw|Math|Replay|Parity|Plan|Arguments'

case "${1:-}" in
build)
  build linux 1 "$bin/linux-arm64"
  build linux 0 "$bin/linux-arm64-nocgo"
  build darwin 0 "$bin/darwin-arm64"
  ;;
test) try "${2:-}" ;;
check)
  # Google's client is a third of what there is to compile.
  build linux 1 "$bin/check/linux-arm64" -tags nogcs
  build darwin 0 "$bin/check/darwin-arm64" -tags nogcs
  on darwin 0 vet -tags nogcs ./cmd/resslt ./cmd/augmentd
  try short
  ;;
*) echo "arm64: usage: $0 build|test [short]|check" >&2; exit 2 ;;
esac
