//go:build !linux

package chaos

import "resslt/schemas/errs"

// mountDisk says that there is no way to a small disk here.
func mountDisk(dir string, _ int) (func() error, error) {
	return nil, errs.New("mount", dir, "run it on Linux", errs.ErrUnsupported)
}
