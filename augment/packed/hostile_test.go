package packed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"resslt/schemas/errs"
)

// hostile are packs that no packer writes, by what is wrong with them. good is a pack of
// three components with small quantization tables.
func hostile(t testing.TB, good []byte) map[string][]byte {
	t.Helper()
	var l layout
	if err := l.parse(good); err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	out := map[string][]byte{"nothing": nil, "magic alone": []byte(Magic), "a JPEG": []byte("\xff\xd8\xff\xe0")}
	change := func(name string, at int, with ...byte) {
		b := bytes.Clone(good)
		copy(b[at:], with)
		out[name] = b
	}
	// skeleton replaces the skeleton.
	skeleton := func(name string, s []byte) {
		b := append(bytes.Clone(good[:l.body]), s...)
		le.PutUint32(b[skeletonSize:], uint32(len(s)))
		out[name] = b
	}
	// header replaces the marker stream, and claims that the JPEG has so many bytes.
	header := func(name string, size int, h []byte) {
		s := skeletonParts{}
		s.header = h
		skeleton(name, s.append(nil))
		le.PutUint32(out[name][jpegSize:], uint32(size))
	}
	for _, n := range []int{8, 12, 23, 24, 30, 40, 100, l.body - 1, len(good) - 1} {
		out[fmt.Sprintf("cut at %d", n)] = good[:n]
	}
	out["a byte more"] = append(bytes.Clone(good), 0)
	change("version 2", 8, 2)
	change("colour 3", 9, 3)
	change("grey of three components", 9, 0)
	change("two components", 10, 2)
	change("no components", 10, 0)
	change("255 components", 10, 255)
	change("no tables", 11, 0)
	change("four tables", 11, 4)
	change("wide tables", 11, 0x81)
	change("no width", 12, 0, 0)
	change("no height", 14, 0, 0)
	change("65535×65535", 12, 0xff, 0xff, 0xff, 0xff)
	change("65535 wide", 12, 0xff, 0xff)
	change("more coefficients", 16, 0xff, 0xff, 0xff, 0xff)
	change("more skeleton", 20, 0xff, 0xff, 0xff, 0xff)
	change("no JPEG", 24, 0, 0, 0, 0)
	change("a JPEG too small for the pack", 24, 100, 0, 0, 0)
	change("a JPEG of 4 GiB", 24, 0xff, 0xff, 0xff, 0xff)
	change("a byte less", 24, byte(l.jpeg-1))
	change("factor 0", 28, 0)
	change("factor 5", 29, 5)
	change("other factors", 28, 4, 4)
	change("table 9", 30, 9)
	offsets := l.body - slackBytes - len(l.data) - len(l.offsets)
	change("first row at 1", offsets, 1)
	change("rows go back", offsets+4, 0xff, 0, 0, 0)
	change("a row at the end of memory", offsets+4, 0xff, 0xff, 0xff, 0xff)
	change("last row short", offsets+4*l.rows, 0, 0, 0, 0)
	data := l.body - slackBytes - len(l.data)
	change("a mask of 15 bytes", data, 0xff)
	change("masks of 9 bytes", data, 0x99)
	change("no masks", data, 0, 0, 0)
	change("all of the first streams", data, bytes.Repeat([]byte{0xff}, 64)...)
	change("zeros", data, make([]byte, 200)...)

	parts := l.skeleton
	skeleton("no skeleton", nil)
	for _, n := range []int{1, 5, 11, 13, len(parts) - 1} {
		skeleton(fmt.Sprintf("skeleton cut at %d", n), parts[:n])
	}
	skeleton("2^62 bytes of padding", append(bytes.Clone(parts[:sumBytes]), binary.AppendUvarint(nil, 1<<62)...))
	skeleton("a part of 2^40 bytes", append(bytes.Clone(parts), binary.AppendUvarint(nil, 1<<41)...))
	skeleton("a number without an end", bytes.Repeat([]byte{0xff}, 100))
	skeleton("an unknown segment", append(bytes.Clone(parts), 0xff, 0xff, 0x7f))
	skeleton("a segment 10,000 times", append(bytes.Clone(parts), bytes.Repeat([]byte{41}, 10000)...))

	var s skeletonParts
	s.split(t, l.skeleton)
	header("no markers", l.jpeg, nil)
	header("no frame", l.jpeg, []byte("\xff\xd8\xff\xd9"))
	header("no scans", l.jpeg, s.upTo(markerSOS, false))
	header("a scan before the frame", l.jpeg, []byte("\xff\xd8\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"))
	header("a byte between segments", l.jpeg, append([]byte("\xff\xd8\x00"), s.header[2:]...))
	header("another frame", l.jpeg, append(s.upTo(markerSOS, false), s.header[2:]...))
	header("no Huffman tables", l.jpeg, s.without(markerDHT))
	header("a size too small", l.jpeg-1, s.header)
	header("a size too large", l.jpeg+1, s.header)
	header("another sum", l.jpeg, s.header)
	header("a scan 300 times", 1<<20, bytes.Join([][]byte{s.upTo(markerSOS, true), bytes.Repeat(s.only(markerSOS), 300)}, nil))
	header("arithmetic", l.jpeg, s.replaced(markerSOF0, 0xc9))
	header("lossless", l.jpeg, s.replaced(markerSOF0, 0xc3))
	header("progressive", l.jpeg, s.replaced(markerSOF0, markerSOF2))
	return out
}

// skeletonParts takes marker streams apart.
type skeletonParts struct{ skeleton }

func (s *skeletonParts) split(t testing.TB, b []byte) {
	if err := s.parse(b, 1<<30); err != nil {
		t.Fatal(err)
	}
}

// each calls do with every segment of the stream.
func (s *skeletonParts) each(do func(marker byte, segment []byte)) {
	r := header{data: s.header}
	for {
		begun := r.pos
		marker, _, err := r.segment()
		if err != nil || r.pos == begun {
			return
		}
		do(marker, s.header[begun:r.pos])
	}
}

func (s *skeletonParts) upTo(last byte, with bool) (out []byte) {
	done := false
	s.each(func(m byte, b []byte) {
		if !done && (m != last || with) {
			out = append(out, b...)
		}
		done = done || m == last
	})
	return out
}

func (s *skeletonParts) without(marker byte) (out []byte) {
	s.each(func(m byte, b []byte) {
		if m != marker {
			out = append(out, b...)
		}
	})
	return out
}

func (s *skeletonParts) only(marker byte) (out []byte) {
	s.each(func(m byte, b []byte) {
		if m == marker {
			out = append(out, b...)
		}
	})
	return out
}

func (s *skeletonParts) replaced(marker, with byte) (out []byte) {
	s.each(func(m byte, b []byte) {
		b = bytes.Clone(b)
		if m == marker {
			b[1] = with
		}
		out = append(out, b...)
	})
	return out
}

// goodPack is a small pack of three components.
func goodPack(t testing.TB) (pack, jpeg []byte) {
	t.Helper()
	jpeg = members(t, "jpegs.tar")["q75_420_baseline.jpg"]
	pack, err := seal(&Restorer{}, jpeg)
	if err != nil {
		t.Fatal(err)
	}
	return pack, jpeg
}

// Hostile packs are refused: quickly, with little memory, and as what they are.
func TestHostilePacks(t *testing.T) {
	good, _ := goodPack(t)
	packs := hostile(t, good)
	if len(packs) < 50 {
		t.Fatalf("%d packs", len(packs))
	}
	for name, b := range packs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begun := time.Now()
		_, err := new(Restorer).Restore(b, Limits{MaxPixels: 1e8, MaxBytes: 64 << 20, MaxSide: 65535})
		took := time.Since(begun)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, errs.ErrCorrupt) && !errors.Is(err, errs.ErrTooLarge) && !errors.Is(err, errs.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
		// A good one of this size takes 60 KB.
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
			t.Errorf("%s: %d bytes of memory", name, n)
		}
		if took > 2*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}

// Every flipped bit of a pack is found, or is one that restoring needs nothing of.
func TestFlippedBits(t *testing.T) {
	good, jpeg := goodPack(t)
	var l layout
	if err := l.parse(good); err != nil {
		t.Fatal(err)
	}
	var r Restorer
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		b := bytes.Clone(good)
		at := rng.IntN(len(b))
		b[at] ^= 1 << rng.IntN(8)
		again, err := r.Restore(b, wide)
		if err != nil {
			continue
		}
		if !bytes.Equal(again, jpeg) {
			t.Fatalf("byte %d of %d: another JPEG", at, len(b))
		}
		pixels := at == 9 || at >= HeaderBytes && at < l.body-slackBytes-len(l.data)-len(l.offsets)
		slack := at >= l.body-slackBytes && at < l.body
		if !pixels && !slack {
			t.Fatalf("byte %d of %d: nobody saw it", at, len(b))
		}
	}
}

func FuzzRestore(f *testing.F) {
	good, _ := goodPack(f)
	f.Add(good)
	for name, b := range hostile(f, good) {
		if len(b) < 8<<10 || name == "" {
			f.Add(b)
		}
	}
	var r Restorer
	limits := Limits{MaxPixels: 1 << 20, MaxBytes: 1 << 20, MaxSide: 4096}
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := r.Restore(b, limits)
		if err == nil && len(out) > limits.MaxBytes {
			t.Fatalf("%d bytes", len(out))
		}
	})
}

// A file that is sealed is restored; nothing else is promised of hostile JPEGs.
func FuzzSkeleton(f *testing.F) {
	for _, b := range members(f, "odd.tar") {
		f.Add(b)
	}
	n := 0
	for _, b := range members(f, "jpegs.tar") {
		if n++; len(b) < 3000 && n%3 == 0 {
			f.Add(b)
		}
	}
	var r Restorer
	f.Fuzz(func(t *testing.T, jpeg []byte) {
		h := header{data: jpeg}
		if _, err := h.next(); err != nil || h.frame == nil || h.frame.width*h.frame.height > 1<<16 {
			return
		}
		pack, err := seal(&r, jpeg)
		if err != nil {
			return
		}
		if again, err := r.Restore(pack, wide); err != nil || !bytes.Equal(again, jpeg) {
			t.Fatalf("%d bytes of %d, %v", len(again), len(jpeg), err)
		}
	})
}
