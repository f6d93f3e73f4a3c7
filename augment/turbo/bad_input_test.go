//go:build cgo

package turbo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"resslt/augment"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// smallLimits hold what damaged files may claim.
var smallLimits = augment.Limits{MaxPixels: 1 << 18, MaxBytes: 1 << 20, MaxSide: 4096}

// cut is b without its segments of a marker (0xdb tables of quantisation, 0xc4
// Huffman tables), up to the first scan.
func cut(b []byte, marker byte) []byte {
	out := bytes.Clone(b[:2])
	for at := 2; at+4 <= len(b); {
		n := 2 + int(binary.BigEndian.Uint16(b[at+2:]))
		if b[at+1] == 0xda {
			return append(out, b[at:]...)
		}
		if b[at+1] != marker {
			out = append(out, b[at:at+n]...)
		}
		at += n
	}
	return out
}

// sized is b with the frame's width and height replaced.
func sized(b []byte, w, h uint16) []byte {
	b = bytes.Clone(b)
	at := bytes.Index(b, []byte("\xff\xc0"))
	binary.BigEndian.PutUint16(b[at+5:], h)
	binary.BigEndian.PutUint16(b[at+7:], w)
	return b
}

// bomb is a progressive file whose first scan is there n times.
func bomb(tb testing.TB, n int) []byte {
	b := readFile(tb, "testdata/jpeg/progressive_420.jpg")
	scan := bytes.Index(b, []byte("\xff\xda"))
	next := scan + 2 + bytes.Index(b[scan+2:], []byte("\xff\xc4"))
	first := bytes.Clone(b[scan:next])
	first[1+int(binary.BigEndian.Uint16(first[2:]))] = 0 // Al = 0, so that a repetition is in order
	out := append(bytes.Clone(b[:scan]), bytes.Repeat(first, n)...)
	return append(out, 0xff, 0xd9)
}

func TestRefusals(t *testing.T) {
	jpg := readFile(t, parityFiles+"jpeg420.jpg")
	lossless := bytes.Clone(jpg)
	lossless[bytes.Index(jpg, []byte("\xff\xc0"))+1] = 0xcb // lossless, arithmetic coding
	twelve := bytes.Clone(jpg)
	twelve[bytes.Index(jpg, []byte("\xff\xc0"))+4] = 12 // bits
	tables := bytes.Clone(jpg)                          // a Huffman table with more codes of one bit than there are
	tables[bytes.Index(jpg, []byte("\xff\xc4"))+5] = 200
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"impossible Huffman table", tables, errs.ErrCorrupt},
		{"65,500 squared", sized(jpg, 65500, 65500), errs.ErrTooLarge},
		{"one long side", sized(jpg, 40000, 1), errs.ErrTooLarge},
		{"no width", sized(jpg, 0, 37), errs.ErrCorrupt},
		{"no size", sized(jpg, 0, 0), errs.ErrCorrupt},
		{"taller than its data", sized(jpg, 51, 400), errs.ErrCorrupt},
		{"no quantisation tables", cut(jpg, 0xdb), errs.ErrCorrupt},
		{"no frame", cut(jpg, 0xc0), errs.ErrCorrupt},
		{"lossless", lossless, errs.ErrUnsupported},
		{"12 bits", twelve, errs.ErrUnsupported},
		{"no end", jpg[:len(jpg)-2], errs.ErrCorrupt},
		{"three bytes", jpg[:3], errs.ErrCorrupt},
		{"nothing", nil, errs.ErrCorrupt},
		{"a text", []byte("no picture"), errs.ErrCorrupt},
		{"half of it, with an end", append(bytes.Clone(jpg[:len(jpg)*3/4]), 0xff, 0xd9), errs.ErrCorrupt},
		{"scans without end", bomb(t, 20000), errs.ErrTooLarge},
		{"more bytes than allowed", append(bytes.Clone(jpg), make([]byte, 1<<20)...), errs.ErrTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := chosen.NewPainter(smallLimits)
			defer p.Close()
			began := time.Now()
			_, _, err := decodeWhole(p, c.data)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			var e *errs.Error
			if !errors.As(err, &e) || e.Where != "bad" || e.Hint == "" {
				t.Errorf("%v: names neither sample nor hint", err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	// As many scans as honest files have are no reason to refuse.
	p := chosen.NewPainter(smallLimits)
	defer p.Close()
	if _, _, err := decodeWhole(p, readFile(t, "testdata/jpeg/progressive_420.jpg")); err != nil {
		t.Error(err)
	}
}

// decodeWhole opens and decodes bytes as the sample "bad".
func decodeWhole(p augment.Painter, data []byte) (w, h int, err error) {
	if w, h, err = p.Open(&schemas.Sample{Key: "bad", Data: data}); err != nil {
		return w, h, err
	}
	return w, h, p.Decode(augment.Box{W: w, H: h})
}

// TestTruncatedEverywhere cuts every file at every tenth byte: always
// ErrCorrupt, whichever part a plan asks for.
func TestTruncatedEverywhere(t *testing.T) {
	p := chosen.NewPainter(smallLimits)
	defer p.Close()
	files := jpegs(t)
	for name, data := range madeJPEGs(t) {
		files[name] = data
	}
	n := 0
	for name, data := range files {
		for at := 0; at < len(data); at += 10 {
			w, h, err := p.Open(&schemas.Sample{Key: name, Data: data[:at]})
			if err == nil {
				err = p.Decode(augment.Box{W: (w + 1) / 2, H: (h + 1) / 2})
			}
			if !errors.Is(err, errs.ErrCorrupt) {
				t.Fatalf("%s cut at %d of %d bytes: %v", name, at, len(data), err)
			}
			n++
		}
	}
	t.Logf("%d cuts refused", n)
}

// view decodes bytes and paints one view of them, or says why not.
func view(p augment.Painter, data []byte) ([]byte, error) {
	w, h, err := p.Open(&schemas.Sample{Key: "bad", Data: data})
	if err != nil {
		return nil, err
	}
	plan := augment.Plan{
		Size: 40, SrcW: w, SrcH: h, Box: augment.Box{X: w / 3, Y: h / 3, W: w - w/3, H: h - h/3}, Filter: augment.Bicubic,
		Steps: []augment.Step{{Kind: augment.StepHue, Arg: [7]int32{20}}, {Kind: augment.StepBlur, Arg: [7]int32{1 << 16}}},
	}
	if err := p.Decode(plan.Box); err != nil {
		return nil, err
	}
	px := make([]byte, 3*plan.Size*plan.Size)
	return px, p.Paint(&plan, px)
}

// sameWhateverWasBefore decodes bytes with a painter that has a past and with
// two that have none: equal results, or stale memory has leaked into pixels.
func sameWhateverWasBefore(old augment.Painter, data []byte) error {
	a, errA := view(old, data)
	fresh := engine{tier: tierScalar}.NewPainter(smallLimits)
	defer fresh.Close()
	b, errB := view(fresh, data)
	switch {
	case (errA == nil) != (errB == nil):
		return fmt.Errorf("one painter says %v, another %v", errA, errB)
	case errA == nil && !bytes.Equal(a, b):
		return fmt.Errorf("two painters give different pixels")
	case errA == nil, errors.Is(errA, errs.ErrCorrupt), errors.Is(errA, errs.ErrUnsupported), errors.Is(errA, errs.ErrTooLarge):
		return nil
	}
	return errA
}

// TestDamagedBits flips bits: an error that blames the sample, or the same
// pixels from every painter; never a crash, and no memory lost.
func TestDamagedBits(t *testing.T) {
	old := chosen.NewPainter(smallLimits)
	defer old.Close()
	rng := rand.New(rand.NewPCG(5, 6))
	files := jpegs(t)
	for name, data := range madeJPEGs(t) {
		files[name] = data
	}
	try := func(rounds int) {
		for name, data := range files {
			for range rounds {
				b := bytes.Clone(data)
				for range 1 + rng.IntN(6) {
					b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
				}
				if err := sameWhateverWasBefore(old, b); err != nil {
					t.Fatalf("%s: %v\n%x", name, err, b)
				}
			}
		}
	}
	try(40)
	before := resident(t)
	try(120)
	if grown := resident(t) - before; grown > 24<<20 {
		t.Errorf("%d MB more after %d damaged files", grown>>20, 120*len(files))
	}
}

// TestTablesDoNotStay: a file without Huffman tables must not be read with those
// of the file before it.
func TestTablesDoNotStay(t *testing.T) {
	old := chosen.NewPainter(smallLimits)
	defer old.Close()
	if _, _, err := decodeWhole(old, readFile(t, "testdata/jpeg/progressive_444.jpg")); err != nil {
		t.Fatal(err)
	}
	for name, data := range jpegs(t) {
		// Another file's symbols in the first Huffman table: nothing tells that
		// from a picture, but it must be the same picture for everybody.
		swapped := bytes.Clone(data)
		for i, at := 0, bytes.Index(data, []byte("\xff\xc4"))+21; i < 6; i++ {
			swapped[at+i] = 11 - swapped[at+i]
		}
		if err := sameWhateverWasBefore(old, swapped); err != nil {
			t.Errorf("%s with wrong Huffman tables: %v", name, err)
		}
		for _, marker := range []byte{0xc4, 0xdb} {
			if err := sameWhateverWasBefore(old, cut(data, marker)); err != nil {
				t.Errorf("%s without segment %x: %v", name, marker, err)
			}
		}
	}
}

// resident is this process's resident memory, or a skip.
func resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skipf("no /proc: %v", err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// FuzzJPEG looks for bytes that crash, hang or make painters differ.
func FuzzJPEG(f *testing.F) {
	for _, data := range jpegs(f) {
		f.Add(data)
	}
	for _, data := range madeJPEGs(f) {
		f.Add(data)
	}
	f.Add(bomb(f, 120))
	old := chosen.NewPainter(smallLimits)
	f.Cleanup(func() { old.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := sameWhateverWasBefore(old, data); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzPlan paints whatever plan parses and compares with the reference.
func FuzzPlan(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 40 {
		p := randomPlan(rng, 50, 40)
		b, err := p.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	var painters []augment.Painter
	for _, t := range tiers() {
		painters = append(painters, newPainter(f, t))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		plan, err := augment.ParsePlan(b)
		if err != nil || plan.SrcW*plan.SrcH > 1<<14 || plan.Size > 64 {
			return
		}
		s := noise(rand.New(rand.NewPCG(uint64(len(b)), 2)), plan.SrcW, plan.SrcH)
		want, got := make([]byte, 3*plan.Size*plan.Size), make([]byte, 3*plan.Size*plan.Size)
		if err := augment.Execute(&plan, &augment.Image{W: plan.SrcW, H: plan.SrcH, Pix: s.Data}, want); err != nil {
			t.Fatal(err)
		}
		for i, p := range painters {
			open(t, p, s, plan.Source())
			if err := p.Paint(&plan, got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%s: %s differs", tier(i), plan.String())
			}
		}
	})
}
