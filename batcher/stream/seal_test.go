package stream

import (
	"context"
	"maps"
	"testing"
	"time"

	"resslt/schemas/errs/errstest"

	"resslt/batcher/internal/farm"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
)

// A recording is read, and takes nothing more: neither chunks nor trainers.
func TestSealedRun(t *testing.T) {
	t.Parallel()
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		_, js := b.Connect(t)
		spec, src := fixture.Spec(), &rig.HashSource{}
		o := runs.Options{Storage: runs.StorageFile, MaxBytes: runs.RecordingBytes(&spec)}
		run := openRun(t, js, spec, o)
		farm.Start(t, js, src, worker.Options{Workers: 2}, "r")
		s := openStream(t, run, Options{Keep: -1})
		take(t, s, spec.Steps())
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := run.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		run, err := runs.Lookup(t.Context(), js, "r")
		if err != nil {
			t.Fatal(err)
		}
		stored, err := run.Stored(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		steps, size, err := stored.Steps(t.Context())
		if err != nil || int64(len(steps)) != spec.Steps() || steps[3] != spec.Chunks() || size == 0 || !stored.Sealed() {
			t.Fatalf("%v, %d bytes, sealed %v, %v", steps, size, stored.Sealed(), err)
		}
		c, err := stored.Chunk(t.Context(), 3, 1)
		if err != nil || c.Step != 3 || c.Index != 1 || c.Rows() != 4 {
			t.Fatalf("%+v, %v", c, err)
		}
		_, err = stored.Chunk(t.Context(), 3, 7)
		errstest.Want(t, err, errs.ErrNotFound, "resslt record ls")
		// What is there is there: the same chunk is a success, another is not taken.
		if err := run.Store(t.Context(), wire.NewEncoder(&spec), c, "test"); err != nil {
			t.Fatal(err)
		}
		c.Digest, c.Pixels[0][0] = "", c.Pixels[0][0]+1
		errstest.Want(t, run.Store(t.Context(), wire.NewEncoder(&spec), c, "test"), errs.ErrDeterminism)
		_, err = runs.Open(t.Context(), js, "r", spec, o)
		errstest.Want(t, err, errs.ErrMismatch, "--replay")
	})
}

// What one trainer records is nobody's to purge: not while it lives, not between its end
// and the seal, not while it is dead and waits to be resumed. A trainer that runs alongside continues
// to its end on the sealed run.
func TestRecordedIsNotPurged(t *testing.T) {
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		t.Parallel() // most of it is waiting
		spec, src := fixture.Spec(), &rig.HashSource{}
		_, wjs := b.Connect(t)
		farm.Start(t, wjs, src, worker.Options{Workers: 2}, "")
		all := rig.Want(t, spec, src, 0, spec.Steps())
		open := func(name string, from, keep int64) *Stream {
			_, js := b.Connect(t)
			run := openRun(t, js, spec, runs.Options{Storage: runs.StorageFile, MaxBytes: runs.RecordingBytes(&spec), Window: spec.Steps()})
			return openStream(t, run, Options{Trainer: name, From: from, Keep: keep, LeaseTerm: time.Second})
		}
		records, other := open("records", 0, -1), open("other", 0, 0)
		rig.Equal(t, take(t, other, 3), all[:3])
		rig.Equal(t, take(t, records, 5), all[:5])
		kill(records)
		time.Sleep(1500 * time.Millisecond) // its lease has run out
		rig.Equal(t, take(t, other, 6), all[3:6])
		records = open("records", 4, -1) // at its checkpoint
		rig.Equal(t, take(t, records, spec.Steps()), all[4:])
		if err := records.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(planTick + 200*time.Millisecond) // the other has heard of it
		rig.Equal(t, take(t, other, 8), all[6:8])
		stored, err := other.run.Stored(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		whole := func() {
			t.Helper()
			steps, _, err := stored.Steps(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for step := range spec.Steps() {
				if steps[step] != spec.Chunks() {
					t.Errorf("%d chunks of step %d are kept", steps[step], step)
				}
			}
		}
		whole()
		if err := records.run.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Nor does the seal end it: it looks after its step, and finds nothing to make.
		if _, err := other.driver.repair(t.Context(), 8, nil); err != nil {
			t.Fatal(err)
		}
		rig.Equal(t, take(t, other, spec.Steps()), all[8:])
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		whole()
	})
}

// purgeStep removes a step's chunks behind the planner's back.
func purgeStep(t *testing.T, s *Stream, step int64) {
	t.Helper()
	if _, err := (purgeChunks{step}).do(t.Context(), s.driver); err != nil {
		t.Fatal(err)
	}
}

// lackingRecording is a recording whose run's steps were all taken, whose worker has ended, and
// which lacks some steps: another trainer purged them before it knew.
func lackingRecording(t *testing.T, o Options, steps ...int64) (jetstream.JetStream, *runs.Run, *Stream) {
	t.Helper()
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	run := openRun(t, js, spec, runs.Options{Storage: runs.StorageFile, MaxBytes: runs.RecordingBytes(&spec)})
	f := farm.Start(t, js, &rig.HashSource{}, worker.Options{Workers: 2}, "r")
	o.Keep = -1
	s := openStream(t, run, o)
	take(t, s, spec.Steps())
	if err := f.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		purgeStep(t, s, step)
	}
	return js, run, s
}

// isWhole checks that a run is sealed and has every chunk as a worker produces it.
func isWhole(t *testing.T, run *runs.Run) {
	t.Helper()
	stored, err := run.Stored(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spec := run.Spec()
	enc := wire.NewEncoder(spec)
	for step := range spec.Steps() {
		for c := range spec.Chunks() {
			body, err := enc.Encode(rig.Chunk(t, spec, step, c))
			if err != nil {
				t.Fatal(err)
			}
			if chunk, err := stored.Chunk(t.Context(), step, c); err != nil || chunk.Tombstone != "" || chunk.Digest != wire.Digest(body) {
				t.Errorf("chunk %d of step %d: %v", c, step, err)
			}
		}
	}
	if !stored.Sealed() {
		t.Error("it is not sealed")
	}
}

// A recording that lacks chunks is not sealed so: they are made again.
func TestSealIsWhole(t *testing.T) {
	t.Parallel()
	js, run, s := lackingRecording(t, Options{StallTimeout: 700 * time.Millisecond}, 0, 7)
	errstest.Want(t, s.Seal(t.Context()), errs.ErrUnavailable, "lacks 6 chunks", "augmentd")
	farm.Start(t, js, &rig.HashSource{}, worker.Options{Workers: 1}, "r")
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	isWhole(t, run)
}

// What came under the subjects of chunks that a recording lacks is not sealed unseen: a
// tombstone and a chunk of other pixels are made again, and where nothing else comes the
// recording is not sealed.
func TestSealTakesNoWrongChunk(t *testing.T) {
	t.Parallel()
	js, run, s := lackingRecording(t, Options{}, 0, 7)
	altered := rig.Chunk(t, run.Spec(), 0, 1)
	altered.Pixels[0][0]++
	if err := run.Store(t.Context(), wire.NewEncoder(run.Spec()), altered, "altered"); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Publish(t.Context(), wire.ChunkMessage(run.Name, run.Info.Digest, 7, 0, nil, "given up", "w"), 0, func() {}); err != nil {
		t.Fatal(err)
	}
	farm.Start(t, js, &rig.HashSource{}, worker.Options{Workers: 1}, "r")
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	isWhole(t, run)
}

func TestSealEndsAtTombstones(t *testing.T) {
	js, run, s := lackingRecording(t, Options{}, 7)
	broken := &rig.HashSource{Before: func(context.Context, wire.TaskRow) error {
		return schemas.NewBadSample("decode", "x", "", errs.Because(errs.ErrCorrupt, "no picture"))
	}}
	farm.Start(t, js, broken, worker.Options{Workers: 1}, "r")
	errstest.Want(t, s.Seal(t.Context()), errs.ErrTombstone, "of step 7", "no picture")
	if stored, err := run.Stored(t.Context()); err != nil || stored.Sealed() {
		t.Errorf("it is sealed, %v", err)
	}
}

// A task that the broker lost, or that is with a worker which does not come back, holds no
// recording up.
func TestSealRepairs(t *testing.T) {
	t.Parallel()
	js, _, s := lackingRecording(t, Options{StallTimeout: 10 * time.Second}, 0, 7)
	had, sealed := s.Stats().Issued, make(chan error, 1)
	go func() { sealed <- s.Seal(t.Context()) }()
	for s.Stats().Issued < had+6 {
		time.Sleep(5 * time.Millisecond)
	}
	tasks, err := js.Stream(t.Context(), schemas.TasksStream("r"))
	if err != nil {
		t.Fatal(err)
	}
	if err := tasks.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := make(chan struct{}, 1)
	farm.Start(t, js, &rig.HashSource{Before: func(ctx context.Context, _ wire.TaskRow) error {
		wake(took)
		<-ctx.Done()
		return ctx.Err()
	}}, worker.Options{Workers: 1}, "r")
	select {
	case <-took:
	case err := <-sealed:
		t.Fatalf("no task was issued again: %v", err)
	}
	farm.Start(t, js, &rig.HashSource{}, worker.Options{Workers: 1}, "r")
	if err := <-sealed; err != nil {
		t.Fatal(err)
	}
}

// Of a recording, too, the second task of a chunk that has come is dropped.
func TestRecordingDropsBackups(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	run := openRun(t, js, spec, runs.Options{Storage: runs.StorageFile, MaxBytes: runs.RecordingBytes(&spec)})
	farm.Start(t, js, &rig.HashSource{}, worker.Options{Workers: 2}, "r")
	s := openStream(t, run, Options{Keep: -1})
	take(t, s, 3)
	held := func(f func(*planner)) {
		s.driver.mu.Lock()
		defer s.driver.mu.Unlock()
		f(s.driver.planner)
	}
	held(func(p *planner) {
		p.backups[chunkID{1, 0}], p.backups[chunkID{2, 1}], p.backups[chunkID{11, 0}] = time.Now(), time.Now(), time.Now()
		p.lacking = map[chunkID]bool{{2, 1}: true}
	})
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var left map[chunkID]time.Time
		held(func(p *planner) { left = maps.Clone(p.backups) })
		if _, over := left[chunkID{1, 0}]; !over {
			if len(left) != 2 {
				t.Errorf("left are %v", left)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left are %v", left)
		}
	}
}
