package raster

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas/errs"
)

// The fixtures are made by testdata/generate.py.

type fixture struct {
	data    []byte
	W, H    int
	Mode    string
	RGB     []byte
	Refused string // by Pillow
}

func fixtures(tb testing.TB) map[string]fixture {
	tb.Helper()
	raw, err := os.ReadFile("testdata/want.json")
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string]fixture{}
	if err := json.Unmarshal(raw, &out); err != nil {
		tb.Fatal(err)
	}
	for name, f := range out {
		if f.data, err = os.ReadFile(filepath.Join("testdata/files", name)); err != nil {
			tb.Fatal(err)
		}
		if f.Refused == "" {
			z, err := zlib.NewReader(bytes.NewReader(f.RGB))
			if err != nil {
				tb.Fatal(err)
			}
			if f.RGB, err = io.ReadAll(z); err != nil {
				tb.Fatal(err)
			}
		}
		out[name] = f
	}
	return out
}

// decode decodes a file whose format is found by its first bytes.
func decode(data []byte, most int) (rgb []byte, w, h int, err error) {
	f := Sniff(data)
	p, err := Open(f, data)
	if err != nil {
		return nil, 0, 0, err
	}
	w, h = p.Size()
	if w*h > most {
		return nil, w, h, errs.ErrTooLarge
	}
	rgb = make([]byte, 3*w*h)
	return rgb, w, h, p.Decode(rgb)
}

// refuses are the files that Pillow reads and this package refuses by name.
var refuses = map[string]string{
	"pil-lab.tif": "photometric interpretation 8", "pil-float.tif": "floating-point", "pil-int32.tif": "32 bits",
	"pil-jpeg.tif": "JPEG compression", "im-jpeg.tif": "JPEG compression", "libtiff-g3-2d.tif": "two-dimensional",
	"libtiff-g3-fill.tif": "Group 3", "im-fax3.tif": "Group 3",
}

// Every file has the pixels that Pillow reads from it, or is refused with the reason.
func TestPillow(t *testing.T) {
	all := fixtures(t)
	if len(all) < 130 {
		t.Fatalf("%d fixtures", len(all))
	}
	for name, want := range all {
		t.Run(name, func(t *testing.T) {
			got, w, h, err := decode(want.data, 1<<20)
			if says, ok := refuses[name]; ok {
				if !errors.Is(err, errs.ErrUnsupported) || !strings.Contains(err.Error(), says) {
					t.Fatalf("got %v, want unsupported and %q", err, says)
				}
				return
			}
			if want.Refused != "" {
				if err != nil && !errors.Is(err, errs.ErrUnsupported) && !errors.Is(err, errs.ErrCorrupt) {
					t.Fatalf("%v wraps no sentinel of a bad sample", err)
				}
				t.Logf("Pillow: %s; here: %v", want.Refused, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if w != want.W || h != want.H {
				t.Fatalf("%d×%d, want %d×%d", w, h, want.W, want.H)
			}
			if strings.HasPrefix(want.Mode, "I") { // Pillow makes white of what is over 255
				return
			}
			differ, first := 0, -1
			for i := range got {
				if got[i] != want.RGB[i] {
					if differ++; first < 0 {
						first = i
					}
				}
			}
			if differ > 0 {
				t.Errorf("%d of %d bytes differ (mode %s), the first at x %d, y %d: %d, want %d", differ, len(got), want.Mode, first/3%w, first/3/w, got[first], want.RGB[first])
			}
		})
	}
}
