package recipe

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"resslt/schemas/bounded/boundedtest"
	"resslt/schemas/errs"
)

// refused fails where an error is not one line of wrong use.
func refused(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, errs.ErrUsage) || strings.Contains(err.Error(), "\n") {
		t.Errorf("not one line of wrong use: %q", err)
	}
}

func FuzzRecipe(f *testing.F) {
	for _, name := range []string{"smoke", "quickstart", "imagenet-multi"} {
		raw, err := recipes.read(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte("extends: smoke\nepochs: &a 3\nK: *a\n"))
	f.Add([]byte("mean: [0.5, 0.5, 1e400]\nepochs: 1_000\nlr: .nan\n"))
	f.Add([]byte("epoch: 1\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if bytes.Contains(raw, []byte("extends")) && bytes.ContainsAny(raw, "/.") {
			return // of files that are on this machine
		}
		boundedtest.Allocates(t, 128<<20, 4000, len(raw), func() {
			r, err := Parse("fuzz.yaml", raw)
			if err != nil {
				refused(t, err)
				return
			}
			again, err := Parse("fuzz.yaml", r.YAML())
			if err != nil {
				t.Errorf("as it is written again: %v\n%s", err, r.YAML())
				return
			}
			if !bytes.Equal(again.YAML(), r.YAML()) {
				t.Errorf("another recipe when written again:\n%s\n%s", r.YAML(), again.YAML())
			}
		})
	})
}

func FuzzSet(f *testing.F) {
	for _, s := range []string{"epochs=3", "mean=[0.1, 0.2, 0.3]", "lr=1e400", "K=*a", "epochs=[[[[", "data=folder:[x]", "tau_s=.inf", "epochs=3\nlr: 2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, set string) {
		boundedtest.Allocates(t, 64<<20, 4000, len(set), func() {
			r := Default()
			if err := r.Set(set); err != nil {
				refused(t, err)
			}
		})
	})
}

func FuzzSweep(f *testing.F) {
	for _, name := range SweepNames() {
		raw, err := sweeps.read(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte("recipe: smoke\nrows: {key: lr, values: [1, 2]}\npaper: [[1], [null]]\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		boundedtest.Allocates(t, 128<<20, 4000, len(raw), func() {
			s, err := ParseSweep("fuzz.yaml", raw)
			if err != nil {
				refused(t, err)
				return
			}
			s.Cells()
		})
	})
}
