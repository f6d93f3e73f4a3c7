package errstest_test

import (
	"errors"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

func TestDiffers(t *testing.T) {
	err := errs.New("open", "a.jpg", "remove it", errs.ErrCorrupt)
	for _, c := range []struct {
		err, kind error
		text      string
		says      string // "" for no difference
	}{
		{err, errs.ErrCorrupt, "a.jpg", ""},
		{nil, nil, "", ""},
		{err, errs.ErrNotFound, "", "want not found"},
		{nil, errs.ErrCorrupt, "", "want corrupt"},
		{err, nil, "", "want <nil>"},
		{err, errs.ErrCorrupt, "b.jpg", `does not say "b.jpg"`},
		{errors.Join(err, err), errs.ErrCorrupt, "", "several lines"},
	} {
		got := errstest.Differs(c.err, c.kind, c.text)
		if (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%v, %v, %q: %q, want %q", c.err, c.kind, c.text, got, c.says)
		}
	}
}
