package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The machines of a document's farm are namespaces: each has a network, processes, a host name, and
// an /etc, /var and /srv of its own. What the machine with the clone and they have in common is
// the programs. ssh and scp, by which files get there, are scripts that enter them.

// machinesOf are the machines that a document's blocks name, in order.
func machinesOf(blocks []*block) (names []string) {
	for _, b := range blocks {
		if b.machine != "" && !slices.Contains(names, b.machine) {
			names = append(names, b.machine)
		}
	}
	return names
}

// startMachines is the script that starts them, as 10.77.0.2 and so on, on a bridge with the address
// 10.77.0.1. Their files are in a file system in memory, since an overlay cannot lie on another, as
// a container's is.
func startMachines(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(machinePrelude, strings.Join(names, " "))
}

const machinePrelude = `export MACHINES=$PWD/.machines
mkdir -p "$MACHINES"
mount -t tmpfs tmpfs "$MACHINES"
ip link add farm type bridge
ip addr add 10.77.0.1/24 dev farm
ip link set farm up
cp /etc/hosts "$MACHINES/hosts"
n=1
for name in %[1]s; do
  n=$((n + 1))
  echo "10.77.0.$n $name" >>"$MACHINES/hosts"
done
mount --bind "$MACHINES/hosts" /etc/hosts
machine() {
  local name=$1 own=$MACHINES/$1 n=$2 pid
  for dir in etc var srv; do mkdir -p "$own/$dir" "$own/.work/$dir"; done
  cp "$MACHINES/hosts" "$own/etc/hosts"
  mkdir "$own/home"
  [ ! -d srv ] || cp -r srv/. "$own/srv"
  unshare -nmpuf --mount-proc --kill-child bash -euc '
    for dir in etc var srv; do mount -t overlay overlay -o "lowerdir=/$dir,upperdir=$1/$dir,workdir=$1/.work/$dir" "/$dir"; done
    echo "$2" >/proc/sys/kernel/hostname
    touch "$1/.up"
    exec sleep infinity' - "$own" "$name" &
  until [ -e "$own/.up" ]; do sleep 0.02; done
  pid=$(tr -d ' ' <"/proc/$!/task/$!/children")
  echo "$pid" >"$own/.pid"
  ip link add "v$n" type veth peer name eth0 netns "$pid"
  ip link set "v$n" master farm up
  on "$name" bash -c "ip link set lo up && ip addr add 10.77.0.$n/24 dev eth0 && ip link set eth0 up"
}
on() {
  local name=$1
  shift
  HOME=$MACHINES/$name/home RESSLT_CACHE_DIR=$MACHINES/$name/home/.cache \
    nsenter -t "$(cat "$MACHINES/$name/.pid")" -n -m -p -u -- bash -c 'cd "$HOME" && exec "$@"' - "$@"
}
n=1
for name in %[1]s; do
  n=$((n + 1))
  machine "$name" "$n"
done
`

// remote are ssh and scp, as far as the documents use them: a command on a machine, and files into
// one of its folders.
var remote = map[string]string{
	"ssh": `#!/bin/bash
set -euo pipefail
name=$1
shift
HOME=$MACHINES/$name/home exec nsenter -t "$(cat "$MACHINES/$name/.pid")" -n -m -p -u -- bash -c "cd; $*"
`,
	"scp": `#!/bin/bash
set -euo pipefail
to=${*: -1}
for file in "${@:1:$#-1}"; do
  tar -C "$(dirname "$file")" -chf - "$(basename "$file")" | ssh "${to%%:*}" "tar -C '${to#*:}' -xf -"
done
`,
}

// writeRemote puts ssh and scp in the place of the machine's own.
func writeRemote(t *testing.T, dir string) {
	t.Helper()
	for name, script := range remote {
		if err := os.WriteFile(filepath.Join(dir, "bin", name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
