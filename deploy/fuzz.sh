#!/bin/sh
# Runs every fuzz target of the module in turn. Usage: fuzz.sh TIME [TARGET-REGEXP]
# PARALLEL is the number of processes of each (default 1), GOMEMLIMIT their memory. What a
# target finds lies in its package's testdata/fuzz: commit it with what mends it.
set -eu
time=${1:?a time such as 10m} only=${2:-.}
export GOMEMLIMIT="${GOMEMLIMIT:-2GiB}"
failed=""
for pkg in $(go list ./...); do
	dir=$(go list -f '{{.Dir}}' "$pkg")
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(f \*testing\.F).*/\1/p' "$dir"/*_test.go 2>/dev/null | grep -E "$only" || true); do
		echo "== $pkg $target, $time"
		nice -n 19 go test "$pkg" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10s -parallel "${PARALLEL:-1}" || failed="$failed $pkg.$target"
	done
done
[ -z "$failed" ] || { echo "found something:$failed" >&2; exit 1; }
