package assemble_test

import (
	"testing"

	"resslt/schemas/errs/errstest"

	"resslt/batcher/assemble"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/wire"
	"resslt/schemas/errs"
)

func TestAssembler(t *testing.T) {
	spec := fixture.Spec()
	dec, err := wire.NewDecoder(&spec)
	if err != nil {
		t.Fatal(err)
	}
	chunk := func(step int64, index int) *wire.Chunk {
		c, err := dec.Decode(rig.Message(t, &spec, rig.Chunk(t, &spec, step, index)))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a := assemble.New(&spec, assemble.Options{From: 2})
	add := func(c *wire.Chunk, want bool) {
		t.Helper()
		if got, err := a.Add(c); err != nil || got != want {
			t.Fatalf("chunk %d of step %d: %v, %v", c.Index, c.Step, got, err)
		}
	}
	add(chunk(1, 0), false) // below the first step
	add(chunk(3, 2), true)
	add(chunk(2, 2), true)
	add(chunk(2, 0), true)
	add(chunk(2, 0), false) // once more
	if b, err := a.Take(2); b != nil || err != nil || len(a.Missing(2)) != 1 {
		t.Fatalf("an incomplete step was handed out: %v, %v", b, err)
	}
	changed := chunk(2, 0)
	changed.Digest = "other"
	_, err = a.Add(changed)
	errstest.Want(t, err, errs.ErrDeterminism, "chunk 0 of step 2")
	add(chunk(2, 1), true)
	b, err := a.Take(2)
	if err != nil {
		t.Fatal(err)
	}
	rig.Equal(t, []string{rig.BatchDigest(b)}, rig.Want(t, spec, &rig.HashSource{}, 2, 3))
	pixels := &b.Pixels[0][0]
	b.Release()
	b.Release() // does nothing
	add(chunk(2, 1), false)
	add(chunk(4, 0), true)
	add(chunk(4, 1), true)
	add(chunk(4, 2), true)
	if b, err = a.Take(4); err != nil {
		t.Fatal(err)
	}
	if &b.Pixels[0][0] != pixels {
		t.Error("released buffers are not used again")
	}
	add(chunk(3, 0), false) // step 4 was taken, so step 3 is over
	_, err = a.Add(&wire.Chunk{Step: spec.Steps(), Index: 0})
	errstest.Want(t, err, errs.ErrCorrupt)
	add(&wire.Chunk{Step: 5, Index: 1, Tombstone: "why", Digest: "d"}, true)
	_, err = a.Take(5)
	errstest.Want(t, err, errs.ErrTombstone, "step 5, chunk 1", "why")
}
