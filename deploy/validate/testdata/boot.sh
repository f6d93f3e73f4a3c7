#!/bin/bash
# boot.sh WORK BIN: boots systemd as process 1 of namespaces of its own, on an overlay of this machine's
# root, so that nothing of the machine changes. WORK/root is copied over it, and the programs of BIN
# are those of /usr/local/bin. It ends with the script.
set -euo pipefail
work=$(realpath "$1")
bin=$(realpath "$2")
group=$(findmnt -t cgroup2 -no TARGET | head -n 1)/resslt-boot-$$
mkdir "$group"
trap 'find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true' EXIT
mkdir "$work/fs"
# The group of the process that makes the namespace is its root.
(
  echo "$BASHPID" >"$group/cgroup.procs"
  # shellcheck disable=SC2016 # they are the inner shell's
  exec unshare -Cmpuni -f --kill-child bash -euc '
    work=$1
    bin=$2
    hostname farm
    mount -t tmpfs tmpfs "$work/fs"
    cd "$work/fs"
    mkdir upper work root
    mount -t overlay overlay -o "lowerdir=/,upperdir=$work/fs/upper,workdir=$work/fs/work" root
    cd root
    cp -r "$work/root/." .
    for program in "$bin"/resslt "$bin"/augmentd "$bin"/libresslt_torch.so; do
      touch "usr/local/bin/${program##*/}"
      mount --bind "$program" "usr/local/bin/${program##*/}"
    done
    # What the machine shares with all: read-only.
    mount -t proc proc proc
    mount --bind proc/sys proc/sys
    mount -o remount,ro,bind proc/sys
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs tmpfs run
    mount -t tmpfs tmpfs tmp
    mount -t tmpfs -o mode=755 tmpfs dev
    for device in null zero full random urandom tty; do
      touch "dev/$device"
      mount --bind "/dev/$device" "dev/$device"
    done
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    mount -t tmpfs tmpfs dev/shm
    touch dev/console
    mount --bind /dev/null dev/console
    ip link set lo up
    # As outside of a container: credentials reach a unit by a mount that has to propagate.
    mount --make-rshared .
    exec env -i container=resslt PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin \
      chroot . /lib/systemd/systemd --system --unit=farm.target --show-status=0 --log-target=console
  ' - "$work" "$bin"
)
