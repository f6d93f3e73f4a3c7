package chaos

import (
	"errors"
	"fmt"
	"syscall"

	"resslt/schemas/errs"
)

// mountDisk mounts a file system of so many bytes, in memory, on a folder. Errors wrap
// errs.ErrUnsupported if this process may not mount.
func mountDisk(dir string, size int) (unmount func() error, err error) {
	err = syscall.Mount("resslt-chaos", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
	switch {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return nil, errs.New("mount", dir, "run it as root, or in `unshare --user --map-root-user --mount`", errs.BecauseErr(errs.ErrUnsupported, err))
	case err != nil:
		return nil, errs.New("mount", dir, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return func() error {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			return errs.New("unmount", dir, "umount it by hand", errs.BecauseErr(errs.ErrUnavailable, err))
		}
		return nil
	}, nil
}
