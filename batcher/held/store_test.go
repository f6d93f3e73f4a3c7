package held_test

import (
	"testing"

	"resslt/batcher/held"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/wire"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// What is put is what is got, with the digest of its body on the wire; a chunk's memory is used
// again when it is dropped and nobody reads it, not before.
func TestStore(t *testing.T) {
	spec := fixture.Spec()
	s, enc := held.New(&spec, 0), wire.NewEncoder(&spec)
	first := rig.Chunk(t, &spec, 2, 1)
	body, err := enc.Encode(first)
	if err != nil {
		t.Fatal(err)
	}
	want, size := wire.Digest(body), first.PixelBytes()
	next, err := s.Put(first)
	if err != nil || next == first {
		t.Fatalf("%p after %p, %v", next, first, err)
	}
	if c := s.Get(2, 0); c != nil {
		t.Error("a chunk is there that nobody put")
	}
	if n, _ := s.Held(); n != size {
		t.Errorf("%d bytes are held of %d", n, size)
	}
	c := s.Get(2, 1)
	digest, err := c.Digest(enc)
	if err != nil || digest != want {
		t.Errorf("digest %s, %v; on the wire it has %s", digest, err, want)
	}
	rows := c.Rows(digest, "w")
	if rows.Step != 2 || rows.Index != 1 || rows.Digest != want || rows.Worker != "w" || &rows.Pixels[0][0] != &first.Pixels[0][0] {
		t.Errorf("chunk %d of step %d by %s, digest %s", rows.Index, rows.Step, rows.Worker, rows.Digest)
	}
	s.DropStep(2)
	if s.Get(2, 1) != nil {
		t.Error("a chunk is there that was dropped")
	}
	if n, _ := s.Held(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
	if filled, err := s.Put(rig.Chunk(t, &spec, 3, 0)); err != nil || filled == first {
		t.Errorf("a chunk is filled that is being read: %v", err)
	}
	c.Release()
	if filled, err := s.Put(rig.Chunk(t, &spec, 3, 2)); err != nil || filled != first {
		t.Errorf("memory that nobody reads is not used again: %v", err)
	}
	s.Drop(3, 1) // is not there
	s.Drop(3, 2)
	if s.Get(3, 2) != nil || s.Get(3, 0) == nil {
		t.Error("Drop dropped another chunk")
	}
}

// A chunk that is made twice is the same, in every column, or an error.
func TestPutTwice(t *testing.T) {
	spec := fixture.Spec()
	for name, change := range map[string]func(*wire.Chunk){
		"":        func(*wire.Chunk) {},
		"pixels":  func(c *wire.Chunk) { c.Pixels[1][len(c.Pixels[1])-1]++ },
		"plan":    func(c *wire.Chunk) { c.Plans[0][3] = []byte("other") },
		"sample":  func(c *wire.Chunk) { c.Samples[0]++ },
		"label":   func(c *wire.Chunk) { c.Labels[2]++ },
		"planned": func(c *wire.Chunk) { c.Planned[1]++ },
		"reason":  func(c *wire.Chunk) { c.Reasons[1] = "it is damaged" },
	} {
		s := held.New(&spec, 0)
		if _, err := s.Put(rig.Chunk(t, &spec, 0, 0)); err != nil {
			t.Fatal(err)
		}
		again := rig.Chunk(t, &spec, 0, 0)
		change(again)
		filled, err := s.Put(again)
		if filled != again {
			t.Errorf("%s: the caller's chunk was taken", name)
		}
		if name == "" && err != nil {
			t.Error(err)
		} else if name != "" {
			errstest.Want(t, err, errs.ErrDeterminism, "chunk", "0 of step 0")
		}
	}
}

// A store that is full takes nothing more, until something is dropped.
func TestLimit(t *testing.T) {
	spec := fixture.Spec()
	size := rig.Chunk(t, &spec, 0, 0).PixelBytes()
	s := held.New(&spec, 2*size)
	for step := range int64(2) {
		if _, err := s.Put(rig.Chunk(t, &spec, step, 0)); err != nil {
			t.Fatal(err)
		}
	}
	third := rig.Chunk(t, &spec, 2, 0)
	filled, err := s.Put(third)
	if filled != third {
		t.Error("a chunk was taken that has no room")
	}
	errstest.Want(t, err, errs.ErrTooLarge)
	s.Drop(0, 0)
	if _, err := s.Put(third); err != nil {
		t.Error(err)
	}
}
