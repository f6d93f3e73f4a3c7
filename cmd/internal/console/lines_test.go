package console

import (
	"bytes"
	"testing"
	"time"
)

func TestQuietAndStamped(t *testing.T) {
	at := time.Date(2026, 11, 29, 22, 0, 5, 999, time.FixedZone("", 3600))
	for _, c := range []struct{ written, quiet, stamped string }{
		{"step 1/2\n", "", "2026-11-29T21:00:05Z step 1/2\n"},
		{"warning: a\nb\n", "warning: a\n", "2026-11-29T21:00:05Z warning: a\n2026-11-29T21:00:05Z b\n"},
		{"\nnotice: x\n\n", "", "2026-11-29T21:00:05Z notice: x\n"},
		{"error: half", "", ""}, // it has not ended
	} {
		var quiet, stamped bytes.Buffer
		q, s := Quiet(&quiet), Stamped(&stamped, func() time.Time { return at })
		for _, b := range []byte(c.written) {
			if n, err := q.Write([]byte{b}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if n, err := s.Write([]byte{b}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		if quiet.String() != c.quiet || stamped.String() != c.stamped {
			t.Errorf("%q: quiet %q, want %q; stamped %q, want %q", c.written, quiet.String(), c.quiet, stamped.String(), c.stamped)
		}
	}
}
