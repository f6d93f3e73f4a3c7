package augment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/bounded/boundedtest"
	"resslt/schemas/errs"
	"resslt/schemas/racetest"
)

// pngHeader is a PNG that claims w×h pixels and holds none.
func pngHeader(w, h uint32) []byte {
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
	b = binary.BigEndian.AppendUint32(b, w)
	b = binary.BigEndian.AppendUint32(b, h)
	b = append(b, 8, 2, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[12:]))
}

// jpegSize is file with its frame header's height and width replaced.
func jpegSize(file []byte, w, h uint16) []byte {
	b := bytes.Clone(file)
	at := bytes.Index(b, []byte("\xff\xc0"))
	binary.BigEndian.PutUint16(b[at+5:], h)
	binary.BigEndian.PutUint16(b[at+7:], w)
	return b
}

func TestDecodeRefuses(t *testing.T) {
	jpg := readFile(t, parityDir+"files/jpeg420.jpg")
	png := readFile(t, parityDir+"files/rgb.png")
	lossy := readFile(t, parityDir+"files/lossy.webp")
	raw := func(e schemas.Encoding, w, h, n int) *schemas.Sample {
		return &schemas.Sample{Encoding: e, Width: w, Height: h, Data: make([]byte, n)}
	}
	enc := func(b []byte) *schemas.Sample { return &schemas.Sample{Data: b} }
	tight := Limits{MaxPixels: 1000, MaxBytes: 1 << 20, MaxSide: 60}
	for _, c := range []struct {
		name   string
		sample *schemas.Sample
		limits Limits
		want   error
		says   string
	}{
		{"empty", enc(nil), DefaultLimits, errs.ErrCorrupt, "empty"},
		{"text", enc([]byte("this is a text file, named .jpg")), DefaultLimits, errs.ErrCorrupt, "this is a te"},
		{"cut gif", enc([]byte("GIF89a\x01\x00\x01\x00")), DefaultLimits, errs.ErrCorrupt, "cut off"},
		{"gif 60000²", enc([]byte("GIF89a\x60\xea\x60\xea\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02")), DefaultLimits, errs.ErrTooLarge, "60000×60000"},
		{"ppm over the cap", enc([]byte("P6 51 37 255 ")), tight, errs.ErrTooLarge, "51×37"},
		{"bmp of 2³¹ pixels", enc([]byte("BM\x00\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00\xff\xff\xff\x7f\x01\x00\x00\x00\x01\x00\x18\x00" + strings.Repeat("\x00", 24))), DefaultLimits, errs.ErrCorrupt, "pixels"},
		{"avif", enc([]byte("\x00\x00\x00\x20ftypavif")), DefaultLimits, errs.ErrUnsupported, "AVIF"},
		{"web page", enc([]byte("\n<!DOCTYPE html><title>404")), DefaultLimits, errs.ErrUnsupported, "a web page"},
		{"lfs pointer", enc([]byte("version https://git-lfs.github.com/spec/v1\n")), DefaultLimits, errs.ErrUnsupported, "Git LFS"},
		{"animated webp", enc([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00")), DefaultLimits, errs.ErrUnsupported, "animated"},
		{"heif", enc([]byte("\x00\x00\x00\x18ftypheic")), DefaultLimits, errs.ErrUnsupported, "HEIF"},
		{"truncated jpeg", enc(jpg[:len(jpg)/2]), DefaultLimits, errs.ErrCorrupt, "short Huffman data"},
		{"truncated png", enc(png[:len(png)/2]), DefaultLimits, errs.ErrCorrupt, "not enough pixel data"},
		{"truncated webp", enc(lossy[:len(lossy)/2]), DefaultLimits, errs.ErrCorrupt, ""},
		{"three bytes of jpeg", enc(jpg[:3]), DefaultLimits, errs.ErrCorrupt, "cut off"},
		{"jpeg 65500²", enc(jpegSize(jpg, 65500, 65500)), DefaultLimits, errs.ErrTooLarge, "65500×65500"},
		{"jpeg of 300 scans", enc(append(bytes.Clone(jpg), bytes.Repeat([]byte("\xff\xda\x00\x02"), 300)...)), DefaultLimits, errs.ErrTooLarge, "301 JPEG scans"},
		{"jpeg 0×0", enc(jpegSize(jpg, 0, 0)), DefaultLimits, errs.ErrCorrupt, ""},
		{"png 2^31-1 squared", enc(pngHeader(1<<31-1, 1<<31-1)), DefaultLimits, errs.ErrUnsupported, ""},
		{"png 32000²", enc(pngHeader(32000, 32000)), DefaultLimits, errs.ErrTooLarge, "32000×32000"},
		{"png 0×5", enc(pngHeader(0, 5)), DefaultLimits, errs.ErrCorrupt, ""},
		{"pixels over the cap", enc(jpg), tight, errs.ErrTooLarge, "51×37"},
		{"side over the cap", enc(jpg), Limits{1 << 20, 1 << 20, 50}, errs.ErrTooLarge, "a side over 50"},
		{"bytes over the cap", enc(jpg), Limits{1 << 20, 1000, 1000}, errs.ErrTooLarge, "bytes, over 1000"},
		{"raw too short", raw(schemas.RawRGB, 4, 4, 47), DefaultLimits, errs.ErrCorrupt, "47 bytes"},
		{"raw gray too long", raw(schemas.RawGray, 4, 4, 17), DefaultLimits, errs.ErrCorrupt, "17 bytes"},
		{"raw of no size", raw(schemas.RawRGB, 0, 4, 10), DefaultLimits, errs.ErrCorrupt, "0×4"},
		{"raw of negative size", raw(schemas.RawRGB, -4, -4, 48), DefaultLimits, errs.ErrCorrupt, "-4×-4"},
		{"raw that overflows", raw(schemas.RawRGB, 1<<40, 1<<40, 48), DefaultLimits, errs.ErrTooLarge, ""},
		{"unknown encoding", raw(9, 1, 1, 3), DefaultLimits, errs.ErrUnsupported, "encoding 9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.sample.Key = "train/cat/" + c.name
			err := Decode(c.sample, c.limits, new(Image))
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			text := err.Error()
			if strings.Contains(text, "\n") || !strings.Contains(text, c.sample.Key) || !strings.Contains(text, c.says) || !strings.Contains(text, "hint:") {
				t.Errorf("message %q: want one line with the key, %q and the hint", text, c.says)
			}
		})
	}
}

// TestDecodeDamaged cuts real files at every tenth byte and flips their bits: an
// error or a picture of the stated size, never a panic, and never much memory.
func TestDecodeDamaged(t *testing.T) {
	racetest.SkipNumbers(t)
	files, err := filepath.Glob(parityDir + "files/*")
	if err != nil {
		t.Fatal(err)
	}
	limits := Limits{MaxPixels: 1 << 16, MaxBytes: 1 << 20, MaxSide: 4096}
	rng := rand.New(rand.NewPCG(1, 2))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	decoded, refused := 0, 0
	try := func(name string, data []byte) {
		var m Image
		switch err := Decode(&schemas.Sample{Key: name, Data: data}, limits, &m); {
		case err == nil:
			decoded++
			if len(m.Pix) != 3*m.W*m.H {
				t.Fatalf("%s: %d bytes for %d×%d", name, len(m.Pix), m.W, m.H)
			}
		case errors.Is(err, errs.ErrCorrupt), errors.Is(err, errs.ErrUnsupported), errors.Is(err, errs.ErrTooLarge):
			refused++
		default:
			t.Fatalf("%s: %v wraps no sentinel of a bad sample", name, err)
		}
	}
	for _, name := range files {
		if strings.HasSuffix(name, ".rgb") {
			continue
		}
		data := readFile(t, name)
		for n := 0; n < len(data); n += 10 {
			try(name, data[:n])
		}
		for range 60 {
			b := bytes.Clone(data)
			for range 1 + rng.IntN(8) {
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			}
			try(name, b)
		}
	}
	runtime.ReadMemStats(&after)
	per := float64(after.TotalAlloc-before.TotalAlloc) / float64(decoded+refused)
	t.Logf("%d decoded, %d refused, %.0f KB allocated a try", decoded, refused, per/1024)
	if refused < 100 || decoded < 100 {
		t.Errorf("%d decoded and %d refused: the damage is not what it should be", decoded, refused)
	}
	if per > 4<<20 {
		t.Errorf("%.0f bytes allocated a try", per)
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob(parityDir + "files/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		if !strings.HasSuffix(name, ".rgb") {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Add(pngHeader(32000, 32000))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBPVP8 "))
	limits := Limits{MaxPixels: 1 << 16, MaxBytes: 1 << 16, MaxSide: 4096}
	f.Fuzz(func(t *testing.T, b []byte) {
		boundedtest.Allocates(t, 16<<20, 500, len(b), func() {
			var m Image
			if err := Decode(&schemas.Sample{Key: "fuzz", Data: b}, limits, &m); err == nil && (m.W*m.H > limits.MaxPixels || len(m.Pix) != 3*m.W*m.H) {
				t.Fatalf("%d×%d with %d bytes", m.W, m.H, len(m.Pix))
			}
		})
	})
}
