package raster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas/errs"
)

// fuzz adds the fixtures of a format and checks what any bytes give: pixels of the stated size, or an
// error that says that the sample is bad.
func fuzz(f *testing.F, format Format) {
	files, err := filepath.Glob("testdata/files/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if Sniff(b) == format && len(b) < 8<<10 {
			f.Add(b)
		}
	}
	const mostPixels, mostBytes = 1 << 16, 1 << 16
	f.Fuzz(func(t *testing.T, b []byte) {
		if Sniff(b) != format || len(b) > mostBytes {
			return
		}
		rgb, w, h, err := decode(b, mostPixels)
		switch {
		case err == nil:
			if len(rgb) != 3*w*h {
				t.Fatalf("%d bytes for %d×%d", len(rgb), w, h)
			}
		case !errors.Is(err, errs.ErrCorrupt) && !errors.Is(err, errs.ErrUnsupported) && !errors.Is(err, errs.ErrTooLarge):
			t.Fatalf("%v wraps no sentinel of a bad sample", err)
		}
	})
}

func FuzzBMP(f *testing.F)  { fuzz(f, BMP) }
func FuzzGIF(f *testing.F)  { fuzz(f, GIF) }
func FuzzPNM(f *testing.F)  { fuzz(f, PNM) }
func FuzzTIFF(f *testing.F) { fuzz(f, TIFF) }
