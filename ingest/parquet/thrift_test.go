package parquet

import (
	"errors"
	"testing"

	"resslt/schemas/bounded/boundedtest"
	"resslt/schemas/errs"
)

func FuzzThrift(f *testing.F) {
	f.Add([]byte{0x15, 0x02, 0x19, 0x1c, 0x18, 0x01, 'a', 0x00, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		boundedtest.Allocates(t, 1<<20, 500, len(b), func() {
			if _, n, err := walkThrift(b); err == nil && n > len(b) || err != nil && !errors.Is(err, errs.ErrCorrupt) {
				t.Fatalf("%d of %d bytes, %v", n, len(b), err)
			}
		})
	})
}
