package session

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"resslt/batcher/wire"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
	"resslt/train"
)

// chunkOf is a chunk in which the samples given are replaced.
func chunkOf(step int64, index int, bad ...int64) *wire.Chunk {
	c := &wire.Chunk{Step: step, Index: index, Planned: []int64{100, 101}, Reasons: []string{"", ""}}
	for _, id := range bad {
		c.Planned, c.Reasons = append(c.Planned, id), append(c.Reasons, "corrupt: the file is cut off")
	}
	return c
}

// take gives chunks to r, and fails where it does not take them.
func take(t *testing.T, r *replaced, chunks ...*wire.Chunk) {
	t.Helper()
	for _, c := range chunks {
		if err := r.Chunk(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

// A chunk counts once, when its step is trained, however often and early it comes.
func TestReplacedCountsTrainedSteps(t *testing.T) {
	r := newReplaced(2)
	take(t, r, chunkOf(2, 0, 7), chunkOf(0, 1, 5), chunkOf(0, 0), chunkOf(0, 1, 5), chunkOf(1, 0, 7, 5))
	if _, total, _ := r.list(9); total != 0 {
		t.Errorf("%d before a step is trained", total)
	}
	if first := r.trained(1); first == nil || first.Sample != 5 {
		t.Errorf("the first: %+v", first)
	}
	take(t, r, chunkOf(0, 1, 5)) // once more, after its step
	if first := r.trained(2); first != nil {
		t.Errorf("first once more: %+v", first)
	}
	samples, total, different := r.list(1)
	want := []train.Replaced{{Sample: 5, Reason: "corrupt: the file is cut off", Count: 2}}
	if total != 3 || different != 2 || !reflect.DeepEqual(samples, want) {
		t.Errorf("%+v, %d, %d", samples, total, different)
	}
}

// A resumed run counts on from its checkpoint's step, whichever of those that are kept it is;
// what an interrupted session counted after it is forgotten.
func TestReplacedResumes(t *testing.T) {
	dir := t.TempDir()
	r := newReplaced(3)
	for step := range int64(4) {
		take(t, r, chunkOf(step, 0, step))
		r.trained(step + 1)
		if err := r.save(dir); err != nil {
			t.Fatal(err)
		}
	}
	for from, total := range map[int64]int64{4: 4, 3: 3, 2: 2} {
		again := newReplaced(3)
		if err := again.load(dir, from); err != nil {
			t.Fatal(err)
		}
		if _, got, different := again.list(9); got != total || different != total || again.step() != from {
			t.Errorf("from step %d: %d, %d", from, got, different)
		}
		take(t, again, chunkOf(from, 0, 0))
		again.trained(from + 1)
		if s, got, _ := again.list(1); got != total+1 || s[0].Count != 2 {
			t.Errorf("from step %d and one more: %d, %+v", from, got, s)
		}
	}
	none := newReplaced(3)
	if err := none.load(t.TempDir(), 5); err != nil || none.step() != 5 {
		t.Errorf("without a file: %v", err)
	}
	if err := none.save(dir + "/absent"); err != nil {
		t.Errorf("nothing was replaced, and it writes: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, replacedFile), []byte(`{"states": [`), 0o644); err != nil {
		t.Fatal(err)
	}
	errstest.Want(t, newReplaced(3).load(dir, 1), errs.ErrCorrupt, replacedFile, "delete it")
}

func TestReplacedLine(t *testing.T) {
	some := []train.Replaced{{Sample: 3, Key: "cat/a\x1b.jpg", Reason: "unsupported: it is AVIF", Count: 2}, {Sample: 9, Reason: "corrupt: the file is empty", Count: 1}}
	for _, c := range []struct {
		different int64
		want      string
	}{
		{2, "replaced 3 of 64 samples (2 different), which cannot be decoded: cat/a?.jpg (unsupported: it is AVIF), sample 9 (corrupt: the file is empty)"},
		{5, "replaced 3 of 64 samples (5 different), which cannot be decoded: cat/a?.jpg (unsupported: it is AVIF), sample 9 (corrupt: the file is empty) and 3 more; summary.json lists them"},
	} {
		if got := replacedLine(some, 3, 64, c.different, "summary.json"); got != c.want {
			t.Errorf("%s\nwant\n%s", got, c.want)
		}
	}
}
