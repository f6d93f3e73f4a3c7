//go:build !cgo

package packing

import "resslt/schemas/errs"

// available says that packs are made in C; they are read in every build.
func available() error {
	return errs.New("codec", "dct", "pack with a build that has it; this one reads packed shards all the same",
		errs.Because(errs.ErrUnsupported, "this program was built without cgo"))
}

func newPacker() (packer, error) { return nil, available() }
