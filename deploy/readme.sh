#!/bin/bash
# Runs README's commands for PyTorch's libtorch verbatim, each block in a fresh clone of the
# committed tree, with the newest PyTorch; then trains the recipe `smoke` with what they
# built. Needs 7 GB in TMPDIR, and downloads up to 3.
#
# A line that ends in "# with a GPU" also runs without one: doctor must then fail for the
# missing GPU and for nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
die() {
  echo "readme.sh: $*" >&2
  exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Blocks of sh that name a libtorch, as block1.sh, block2.sh.
awk -v to="$work/block" '
  /^```sh$/ { text = ""; inside = 1; next }
  /^```$/ { if (inside && text ~ /TORCH/) { n++; printf "%s", text > (to n ".sh") }; inside = 0 }
  inside { text = text $0 "\n" }' README.md
blocks=("$work"/block*.sh)
[ ${#blocks[@]} = 2 ] || die "README has ${#blocks[@]} blocks of sh with TORCH, not 2 (fix: README, or this script)"

unset TORCH_HOME TORCH WITHOUT RESSLT_TORCH VIRTUAL_ENV
for block in "${blocks[@]}"; do
  name=$(basename "$block" .sh)
  if [ ! -e /dev/nvidia0 ]; then
    sed -i -E "s|^(.*[^ ]) *# with a GPU\$|{ \1; } >$work/report 2>\&1 \&\& exit 1; cat $work/report; grep -qE '^missing +cuda' $work/report|" "$block"
  fi
  clone=$work/clone-$name
  git clone -q . "$clone"
  [ ! -d ../shared ] || ln -sfn "$(cd ../shared && pwd)" "$work/shared"
  echo "== README at $(git -C "$clone" rev-parse --short HEAD):"
  cat "$block"
  echo 'bin/resslt run --recipe smoke --out smoke && cat smoke/summary.json' >>"$block"
  (cd "$clone" && bash -euo pipefail "$block") || die "README's lines failed"
done

# The version that README names must be the newest that pip has given.
newest=$(sed -n "s/^__version__ = '\([0-9]*\.[0-9]*\)\..*/\1/p" "$work"/clone-block2/venv/lib/python3*/site-packages/torch/version.py)
grep -q "TORCH=$newest" README.md || die "README does not name TORCH=$newest, which is the newest (fix: deploy/venv.sh, README)"
for f in "$work"/clone-block*/smoke/summary.json; do
  grep -q "\"torch_version\": *\"$newest" "$f" || die "smoke ran on another libtorch than $newest: $(grep torch_version "$f")"
done
echo "README's lines work with PyTorch $newest"
