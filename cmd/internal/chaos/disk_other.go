//go:build !linux

package chaos

import "resslt/schemas"

// mountDisk says that there is no way to a small disk here.
func mountDisk(dir string, _ int) (func() error, error) {
	return nil, schemas.E("mount", dir, "run it on Linux", schemas.ErrUnsupported)
}
