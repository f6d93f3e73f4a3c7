package raster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"resslt/schemas/errs"
)

// Jumps and early ends of RLE, which Pillow 9 misreads, are index 0.
func TestBMPJumps(t *testing.T) {
	const w, h = 6, 4
	body := []byte{
		2, 3, 0, 0, // row 3: 3 3
		0, 2, 3, 1, 2, 1, 0, 0, // row 2 is left out, in row 1 at x 3: 1 1 (the jump goes up one row)
		0, 3, 2, 1, 2, 0, 0, 1, // 2 1 2 and the end; the padding of three indexes
	}
	head := make([]byte, 40)
	for at, v := range map[int]uint32{0: 40, 4: w, 8: h, 12: 1 | 8<<16, 16: bmpRLE8, 32: 4} {
		binary.LittleEndian.PutUint32(head[at:], v)
	}
	palette := []byte{9, 9, 9, 0, 1, 1, 1, 0, 2, 2, 2, 0, 3, 3, 3, 0}
	file := append([]byte("BM\x00\x00\x00\x00\x00\x00\x00\x00\x46\x00\x00\x00"), bytes.Join([][]byte{head, palette, body}, nil)...)
	rgb, gotW, gotH, err := decode(file, 1000)
	if err != nil || gotW != w || gotH != h {
		t.Fatalf("%d×%d, %v", gotW, gotH, err)
	}
	want := []byte{
		2, 1, 2, 9, 9, 9, // rows are stored from the bottom up
		9, 9, 9, 1, 1, 9,
		9, 9, 9, 9, 9, 9,
		3, 3, 9, 9, 9, 9,
	}
	for i, v := range want {
		if rgb[3*i] != v {
			t.Errorf("x %d, y %d: %d, want %d", i%w, i/w, rgb[3*i], v)
		}
	}
}

// le writes little-endian words.
func le(words ...uint32) (out []byte) {
	for _, w := range words {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return out
}

// tiffOf is a TIFF with fields of one 32-bit value.
func tiffOf(fields map[uint16]uint32) []byte {
	out := []byte("II*\x00\x08\x00\x00\x00")
	out = binary.LittleEndian.AppendUint16(out, uint16(len(fields)))
	for tag, v := range fields {
		out = binary.LittleEndian.AppendUint16(out, tag)
		out = binary.LittleEndian.AppendUint16(out, 4)
		out = append(out, le(1, v)...)
	}
	return append(out, 0, 0, 0, 0)
}

// What a header claims is refused before it costs anything.
func TestHostileHeaders(t *testing.T) {
	grey := func(more map[uint16]uint32) []byte {
		f := map[uint16]uint32{tagWidth: 4, tagHeight: 4, tagBits: 8, tagCompression: 1, tagPhotometric: 1, tagStripOffsets: 8, tagStripBytes: 16}
		for k, v := range more {
			f[k] = v
		}
		return tiffOf(f)
	}
	for _, c := range []struct {
		name string
		file []byte
		want error
		says string
	}{
		{"tiff of no pixels", grey(map[uint16]uint32{tagWidth: 0}), errs.ErrCorrupt, "0×4"},
		{"tiff of 2³² pixels a row", grey(map[uint16]uint32{tagWidth: 1<<32 - 1}), errs.ErrCorrupt, "pixels"},
		{"tiff with a row a strip and one strip", grey(map[uint16]uint32{tagRowsPerStrip: 1}), errs.ErrCorrupt, "1 of 4 strips"},
		{"tiff with tiles of 1 pixel", grey(map[uint16]uint32{tagTileWidth: 1, tagTileHeight: 1}), errs.ErrCorrupt, "1×1"},
		{"tiff with huge tiles", grey(map[uint16]uint32{tagTileWidth: 1 << 20, tagTileHeight: 16}), errs.ErrCorrupt, "tiles of"},
		{"tiff with 1000 samples", grey(map[uint16]uint32{tagSamples: 1000}), errs.ErrCorrupt, "1000 samples"},
		{"tiff beyond its end", grey(map[uint16]uint32{tagStripOffsets: 1 << 30}), errs.ErrCorrupt, "cut off"},
		{"tiff of 64 bits", grey(map[uint16]uint32{tagBits: 64}), errs.ErrUnsupported, "64 bits"},
		{"tiff of unknown compression", grey(map[uint16]uint32{tagCompression: 4242}), errs.ErrUnsupported, "4242"},
		{"tiff without a directory", []byte("II*\x00\xff\xff\xff\xff"), errs.ErrCorrupt, "cut off"},
		{"gif without a picture", []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), errs.ErrCorrupt, "without a picture"},
		{"ppm of 10¹⁰ pixels a row", []byte("P6 10000000000 1 255 "), errs.ErrCorrupt, "10⁹"},
		{"ppm without values", []byte("P6 4 4 255 "), errs.ErrCorrupt, "cut off"},
		{"pgm with a word", []byte("P2 2 1 9 1 x"), errs.ErrCorrupt, `'x'`},
		{"bmp with an unknown header", []byte("BM" + strings.Repeat("\x00", 30)), errs.ErrUnsupported, "format 0"},
	} {
		if _, _, _, err := decode(c.file, 1<<20); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v and %q", c.name, err, c.want, c.says)
		}
	}
}

// Every fixture, cut at every length, is an error or a picture, and never a panic.
func TestCut(t *testing.T) {
	for name, f := range fixtures(t) {
		for n := 0; n < len(f.data); n += 1 + len(f.data)/97 {
			if _, _, _, err := decode(f.data[:n], 1<<20); err != nil && !errors.Is(err, errs.ErrCorrupt) && !errors.Is(err, errs.ErrUnsupported) {
				t.Fatalf("%s, %d bytes: %v", name, n, err)
			}
		}
	}
}

// Damaged files take memory in proportion to what their header claims and to their own size,
// whatever their bytes say.
func TestDamagedTakeLittleMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const most = 1 << 16 // pixels
	decoded, refused := 0, 0
	for name, f := range fixtures(t) {
		for range 60 {
			b := bytes.Clone(f.data)
			for range 1 + rng.IntN(6) {
				b[rng.IntN(min(len(b), 200))] = byte(rng.IntN(256)) // most of a header
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)             // TIFF has its own anywhere
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, w, h, err := decode(b, most)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
				t.Fatalf("%s: %d bytes allocated for %d×%d pixels in %d bytes: %v", name, used, w, h, len(b), err)
			}
			switch {
			case err == nil:
				decoded++
			case errors.Is(err, errs.ErrCorrupt), errors.Is(err, errs.ErrUnsupported), errors.Is(err, errs.ErrTooLarge):
				refused++
			default:
				t.Fatalf("%s: %v wraps no sentinel of a bad sample", name, err)
			}
		}
	}
	if t.Logf("%d decoded, %d refused", decoded, refused); decoded < 100 || refused < 100 {
		t.Error("the damage is not what it should be")
	}
}
