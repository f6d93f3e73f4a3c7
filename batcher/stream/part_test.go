package stream

import (
	"fmt"
	"sync"
	"testing"

	"resslt/schemas/errs/errstest"

	"resslt/batcher/assemble"
	"resslt/batcher/internal/farm"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/batcher/worker"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// cut is what a part of a batch should be.
func cut(b *schemas.Batch, p assemble.Part) string {
	from, to := p.Rows(b.Size)
	c := *b
	c.Size, c.Samples, c.Labels, c.Pixels, c.Reasons, c.Replaced = to-from, b.Samples[from:to], b.Labels[from:to], nil, nil, 0
	for v, px := range b.Pixels {
		n := b.Views[v].Bytes()
		c.Pixels = append(c.Pixels, px[from*n:to*n])
	}
	return rig.BatchDigest(&c)
}

// TestParts: two trainers of one model each get their rows of every batch, from chunks of
// which they share one, and a third, which records, waits for all chunks and gets its
// rows. Chunks are made once for all of them.
func TestParts(t *testing.T) {
	t.Parallel()
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		spec := longSpec(2)
		src := &rig.HashSource{Spec: spec}
		whole, err := assemble.Batches(t.Context(), &spec, src.Order(), &rig.HashMaker{Spec: &spec, Src: src}, 0, int(spec.Steps()))
		if err != nil {
			t.Fatal(err)
		}
		_, wjs := b.Connect(t)
		w := farm.Start(t, wjs, &rig.HashSource{}, worker.Options{Workers: 2}, "")
		options := []Options{
			{Trainer: "first", Part: assemble.Part{Index: 0, Of: 2}},
			{Trainer: "second", Part: assemble.Part{Index: 1, Of: 2}},
			{Trainer: "recording", Part: assemble.Part{Index: 1, Of: 5}, Record: Recorders()},
		}
		var streams []*Stream
		for _, o := range options {
			_, js := b.Connect(t)
			streams = append(streams, openStream(t, openRun(t, js, spec, runs.Options{Window: 4}), o))
		}
		var wg sync.WaitGroup
		for i, s := range streams {
			wg.Go(func() {
				for step := range spec.Steps() {
					b, err := s.Next(t.Context())
					if err != nil {
						t.Errorf("%s, step %d: %v", options[i].Trainer, step, err)
						return
					}
					if got, want := rig.BatchDigest(b), cut(whole[step], options[i].Part); got != want {
						t.Errorf("%s, step %d: batch %s, want %s", options[i].Trainer, step, got, want)
					}
					b.Release()
				}
			})
		}
		wg.Wait()
		for i, perStep := range []int64{2, 2, 3} {
			st := streams[i].Stats()
			if st.Chunks != perStep*spec.Steps() {
				t.Errorf("%s took in %d chunks of %d steps, want %d a step", options[i].Trainer, st.Chunks, spec.Steps(), perStep)
			}
		}
		if got, want := w.Stats().Chunks, spec.Steps()*int64(spec.Chunks()); got > want+want/4 { // word of another's asking may be late
			t.Errorf("%d chunks were published, want %d", got, want)
		}
	})
}

// TestPartFilters: a consumer asks for the chunks that its part wants, as far as the
// broker can choose.
func TestPartFilters(t *testing.T) {
	for _, b := range []*rig.Broker{rig.Embedded(false), rig.Separate()} {
		t.Run(b.Name, func(t *testing.T) {
			nc, js := rig.Launch(t, b).Connect(t)
			run := openRun(t, js, fixture.Spec(), runs.Options{})
			filters := func(p assemble.Part, all bool) string {
				s := &Stream{run: run, asm: assemble.New(run.Spec(), assemble.Options{Part: p, All: all})}
				one, several := s.filters()
				return fmt.Sprint(one, several)
			}
			second := "[b.r.*.1 b.r.*.2]"
			if !takesFilters(nc.ConnectedServerVersion()) {
				second = "b.r.>[]"
			}
			for got, want := range map[string]string{
				filters(assemble.Part{}, false): "b.r.>[]", filters(assemble.Part{Index: 1, Of: 2}, true): "b.r.>[]",
				filters(assemble.Part{Index: 1, Of: 2}, false): second, filters(assemble.Part{Index: 0, Of: 5}, false): "b.r.*.0[]",
			} {
				if got != want {
					t.Errorf("filters %s, want %s", got, want)
				}
			}
		})
	}
}

// TestPartRefused: a part that a batch has not is named.
func TestPartRefused(t *testing.T) {
	for _, p := range []assemble.Part{{Index: 0, Of: 3}, {Index: 2, Of: 2}, {Index: -1, Of: 2}, {Index: 1, Of: 0}} {
		errstest.Want(t, p.Validate(10), errs.ErrUsage, fmt.Sprintf("%d of %d", p.Index, p.Of))
	}
	for _, p := range []assemble.Part{{}, {Index: 0, Of: 1}, {Index: 4, Of: 5}} {
		if err := p.Validate(10); err != nil {
			t.Error(err)
		}
	}
}
