//go:build !linux

package chaos

import "resslt/schemas/errs"

// mountDisk returns errs.ErrUnsupported: small disks need Linux.
func mountDisk(dir string, _ int) (func() error, error) {
	return nil, errs.New("mount", dir, "run it on Linux", errs.ErrUnsupported)
}
