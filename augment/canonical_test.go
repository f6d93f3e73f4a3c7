package augment

import (
	"errors"
	"testing"

	"resslt/schemas/bounded/boundedtest"
	"resslt/schemas/errs"
)

func FuzzParseCanonical(f *testing.F) {
	for _, name := range []string{"small", "imagenet", "simclr"} {
		p, err := Preset(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Canonical())
	}
	f.Add(`{"name":"x","views":[{"ops":[{"kind":"flip","p":1e400}]}]}`)
	f.Fuzz(func(t *testing.T, s string) {
		boundedtest.Allocates(t, 1<<20, 500, len(s), func() {
			p, err := ParseCanonical(s)
			if err != nil {
				if !errors.Is(err, errs.ErrCorrupt) && !errors.Is(err, errs.ErrUsage) {
					t.Errorf("an error of no kind: %v", err)
				}
				return
			}
			if q, err := ParseCanonical(p.Canonical()); err != nil || q.Canonical() != p.Canonical() {
				t.Errorf("does not survive: %v", err)
			}
		})
	})
}
