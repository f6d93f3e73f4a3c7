//go:build !linux

package chaos

import "resslt/schemas/errs"

type slowDisk struct{}

func newSlowDisk(string, string, int64) (*slowDisk, error) {
	return nil, errs.New("make slow disk", "", "run it on Linux", errs.ErrUnsupported)
}

func (*slowDisk) slow(int) error { return nil }

func (*slowDisk) close() error { return nil }
