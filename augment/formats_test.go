package augment

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/racetest"
)

const rasterDir = "raster/testdata/files/"

// Version 1 of every engine says of what it does not decode what it always has: the text is
// part of recorded chunks, and so of their digests.
func TestFirstVersionRefusesAsEver(t *testing.T) {
	p, err := Preset("small")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file string
		want error
		says string
	}{
		{"pil.gif", errs.ErrUnsupported, "unsupported: it is GIF"},
		{"pil-rgb.bmp", errs.ErrUnsupported, "unsupported: it is BMP"},
		{"pil-rgb-raw.tif", errs.ErrUnsupported, "unsupported: it is TIFF"},
		{"pil.ppm", errs.ErrCorrupt, `corrupt: not JPEG, PNG or WebP: it begins with "P6\n21 13\n255"`},
	} {
		for _, e := range []Engine{refEngine{FirstFormats}, giftEngine{FirstFormats}} {
			r, err := NewRenderer(e, p)
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Render(&schemas.Sample{Key: c.file, Data: readFile(t, rasterDir+c.file)}, Key{}, newRig(t, e, p).Pixels, nil)
			var at *errs.Error
			if !errors.Is(err, c.want) || !errors.As(err, &at) || at.Err.Error() != c.says {
				t.Errorf("%s by %s: %v, want %q", c.file, e.Name(), err, c.says)
			}
		}
	}
}

// The two versions of an engine give equal bytes of what both decode.
func TestVersionsAgree(t *testing.T) {
	racetest.SkipNumbers(t)
	p, err := Preset("imagenet-strong")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"picture.png", "files/jpeg420.jpg", "files/cmyk.jpg", "files/lossy.webp", "files/rgb16.png"} {
		s := &schemas.Sample{ID: 3, Key: name, Data: readFile(t, parityDir+name)}
		for _, pair := range [][2]Engine{
			{refEngine{}, refEngine{FirstFormats}},
			{giftEngine{}, giftEngine{FirstFormats}},
			{refEngine{}, refEngine{PackedFormats}},
			{giftEngine{}, giftEngine{PackedFormats}},
		} {
			one, two := newRig(t, pair[0], p), newRig(t, pair[1], p)
			one.Render(s, 1)
			two.Render(s, 1)
			if !bytes.Equal(join(one.Pixels), join(two.Pixels)) || !bytes.Equal(join(one.Plans), join(two.Plans)) {
				t.Errorf("%s: %s and %s differ", name, pair[0].Name(), pair[1].Name())
			}
		}
	}
}

// The pixels of another format are those of the same picture as PNG, whatever the box that is
// decoded: one decode serves all views.
func TestRasterIsAPictureLikeOthers(t *testing.T) {
	p, err := Preset("small")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(rasterDir + "pil-rgb*")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, e := range []Engine{refEngine{}, giftEngine{}} {
		g := newRig(t, e, p)
		var want []byte
		for i, file := range files {
			g.Render(&schemas.Sample{ID: 1, Key: file, Data: readFile(t, file)}, 1)
			if got := join(g.Pixels); i == 0 {
				want = bytes.Clone(got)
			} else if !bytes.Equal(got, want) {
				t.Errorf("%s: %s and %s differ", e.Name(), file, files[0])
			}
		}
	}
}

// A recorded run of raw pixels names version 1, whatever this build's default is.
func TestRawEngine(t *testing.T) {
	for name, want := range map[string]string{
		refEngine{}.Name(): refEngine{FirstFormats}.Name(), refEngine{FirstFormats}.Name(): refEngine{FirstFormats}.Name(),
		giftEngine{}.Name(): giftEngine{FirstFormats}.Name(),
	} {
		e, err := EngineByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := RawEngine(e).Name(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// A run of packed data names version 3, and no other run does.
func TestPackedEngine(t *testing.T) {
	for _, e := range []Engine{refEngine{}, refEngine{FirstFormats}, refEngine{PackedFormats}} {
		if got := PackedEngine(e).Name(); got != "ref/3" {
			t.Errorf("%s: %s", e.Name(), got)
		}
	}
	if got, want := PackedEngine(giftEngine{}), (giftEngine{PackedFormats}); got != want {
		t.Errorf("gift: %s, want %s", got.Name(), want.Name())
	}
	for _, name := range []string{"", "ref", "gift"} {
		e, err := EngineByFamily(name)
		if err != nil {
			t.Fatal(err)
		}
		if PackedEngine(e) == e || RawEngine(e) == e {
			t.Errorf("family %q: the default is %s", name, e.Name())
		}
	}
}
