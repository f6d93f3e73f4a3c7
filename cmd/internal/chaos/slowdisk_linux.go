package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"resslt/schemas/errs"
)

// throttle is where cgroup v1 takes limits of writes a second by device. Those of its root hold
// for every process and for the kernel's own write-back.
const throttle = "/sys/fs/cgroup/blkio/blkio.throttle.write_iops_device"

// slowDisk is a file system of its own on a loop device, of which each write waits for the disk.
type slowDisk struct {
	dir, image, loop string
	device           string // MAJOR:MINOR
}

// newSlowDisk makes a disk of so many bytes whose image is in a folder, and mounts it in another. It
// is not slow yet. Errors wrap errs.ErrUnsupported if this machine or process cannot.
func newSlowDisk(images, dir string, size int64) (d *slowDisk, err error) {
	cannot := func(what, hint string, err error) error {
		return errs.New("make slow disk", what, hint, errs.BecauseErr(errs.ErrUnsupported, err))
	}
	f, err := os.OpenFile(throttle, os.O_WRONLY, 0)
	if err != nil {
		return nil, cannot(throttle, "run it as root, where cgroup v1 has the blkio controller", err)
	}
	_ = f.Close() // nothing was written
	d = &slowDisk{dir: dir, image: filepath.Join(images, "slow.img")}
	img, err := os.Create(d.image)
	if err == nil {
		err = errors.Join(img.Truncate(size), img.Close())
	}
	if err != nil {
		return nil, errs.New("make slow disk", d.image, "choose another --dir", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	if d.loop, err = command("losetup", "--find", "--show", d.image); err != nil {
		return nil, cannot(d.image, "run it as root, with loop devices", err)
	}
	defer func() {
		if err != nil {
			_ = d.close() // the first failure counts
		}
	}()
	raw, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(d.loop), "dev"))
	if err != nil {
		return nil, cannot(d.loop, "", err)
	}
	d.device = strings.TrimSpace(string(raw))
	if _, err = command("mkfs.ext4", "-q", d.loop); err != nil {
		return nil, cannot(d.loop, "apt-get install e2fsprogs", err)
	}
	if err = syscall.Mount(d.loop, dir, "ext4", syscall.MS_SYNCHRONOUS|syscall.MS_NOATIME, ""); err != nil {
		return nil, cannot(dir, "run it as root", err)
	}
	return d, nil
}

// slow lets the disk do so many writes a second; 0: as many as it can.
func (d *slowDisk) slow(writes int) error {
	if err := os.WriteFile(throttle, fmt.Appendf(nil, "%s %d\n", d.device, writes), 0); err != nil {
		return errs.New("slow disk down", d.device, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return nil
}

// close removes the disk, with what is on it.
func (d *slowDisk) close() error {
	var failed []error
	if d.device != "" {
		failed = append(failed, d.slow(0))
		if err := syscall.Unmount(d.dir, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) { // not mounted
			failed = append(failed, err)
		}
	}
	_, err := command("losetup", "--detach", d.loop)
	if err := errors.Join(append(failed, err, os.Remove(d.image))...); err != nil {
		return errs.New("remove slow disk", d.loop, "umount it, and losetup --detach it, by hand", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return nil
}

// command runs a program and gives what it says.
func command(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, text)
	}
	return text, nil
}
