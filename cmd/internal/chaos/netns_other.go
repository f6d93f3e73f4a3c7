//go:build !linux

package chaos

import "resslt/schemas/errs"

type netns struct{ host string }

func newNetns() (*netns, error) {
	return nil, errs.New("make network namespace", "", "run it on Linux", errs.ErrUnsupported)
}

func (*netns) inside(program string, args ...string) (string, []string) { return program, args }

func (*netns) set(bool) error { return nil }

func (*netns) close() error { return nil }
