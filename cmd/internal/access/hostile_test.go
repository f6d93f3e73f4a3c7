package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/broker"
	"resslt/batcher/produce"
	"resslt/batcher/record"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas"
)

// TestHostileWorker: a worker's credentials in the wrong hands can stop a run, and can lie
// about pixels, no more. Whatever lies under a chunk's subject that is no chunk of the run
// is refused, and made again. A well-formed chunk of other pixels is taken, for nobody can
// tell them from the right ones without making them: the ledger finds the run whole, and
// only what is made again from the data finds the lie, and names it.
func TestHostileWorker(t *testing.T) {
	t.Parallel()
	f := launch(t, byNKey, true, KeyOptions{})
	trainer, hostile := f.connect(t, byNKey, vision, broker.RoleTrainer), f.connect(t, byNKey, vision, broker.RoleWorker)
	run, err := runs.Open(t.Context(), trainer.js, "r", spec(), runs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	digest := run.Info.Digest
	for i, m := range []*nats.Msg{
		{Data: nil},
		{Data: []byte("ARROW1 no more")},
		{Data: make([]byte, 7<<20), Header: nats.Header{schemas.HeaderSpec: {digest}}},
		{Data: []byte("x"), Header: nats.Header{schemas.HeaderSpec: {digest}, schemas.HeaderDigest: {strings.Repeat("0", 64)}}},
		{Data: []byte("x"), Header: nats.Header{schemas.HeaderSpec: {strings.Repeat("z", 1<<15)}, schemas.HeaderDigest: {strings.Repeat("\r", 1<<10)}}},
		{Data: []byte("x"), Header: nats.Header{schemas.HeaderSpec: {digest}, schemas.HeaderTombstone: {strings.Repeat("why ", 1<<13)}}},
	} {
		m.Subject = schemas.ChunkSubject("r", int64(i/3), i%3)
		if _, err := hostile.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	// The lie, where its task was not given out yet: no other worker will compare.
	const lieStep, lieChunk = 3, 1
	theirs, err := runs.Lookup(t.Context(), hostile.js, "r")
	if err != nil {
		t.Fatal(err)
	}
	lie, enc := wire.NewChunk(run.Spec()), wire.NewEncoder(run.Spec())
	if err := produce.Chunk(t.Context(), run.Spec(), inTurn{}, liar{}, enc, lieStep, lieChunk, lie); err != nil {
		t.Fatal(err)
	}
	if err := theirs.Store(t.Context(), enc, lie, "liar"); err != nil {
		t.Fatal(err)
	}
	// Beats that are none, and subjects that no run has.
	for subject, body := range map[string]string{
		schemas.WorkerSubject("r", "liar"):  `{"worker":"` + strings.Repeat("x", 1<<16) + `","chunks":-9e300}`,
		schemas.WorkerSubject("r", "junk"):  "\x00\xff",
		schemas.ChunkSubject("r", 1<<60, 0): "x",
		"b.r.minus.one":                     "x",
		"b.r.0.0.more":                      "x",
	} {
		if _, err := hostile.js.Publish(t.Context(), subject, []byte(body)); err != nil {
			var api *jetstream.APIError
			if !errors.As(err, &api) {
				t.Fatal(err)
			}
		}
	}
	workerClient := f.connect(t, byNKey, vision, broker.RoleWorker)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w, err := worker.New(workerClient.js, worker.Options{
		Workers: 1, Grace: time.Second,
		Open: func(context.Context, *schemas.RunInfo) (produce.Source, error) { return counting{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- w.ServeRun(ctx, "r") }()
	defer func() { stop(); <-served }()
	dir := t.TempDir()
	log, err := record.New(record.Options{Dir: dir, Run: run.Info, Order: inTurn{}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := stream.Open(t.Context(), run, inTurn{}, stream.Options{StallTimeout: 20 * time.Second, RepairAfter: 100 * time.Millisecond, Record: log})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for step := range run.Spec().Steps() {
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		lo, hi := run.Spec().ChunkRange(lieChunk)
		for i, id := range b.Samples {
			want := (inTurn{}).At(step/4, (step%4)*10+int64(i))
			pixel := byte(want)
			if step == lieStep && i >= lo && i < hi {
				pixel = ^pixel
			}
			if id != want || b.Pixels[0][i*3*8*8] != pixel {
				t.Fatalf("step %d, row %d: sample %d, want %d", step, i, id, want)
			}
		}
		b.Release()
	}
	if st := s.Stats(); st.Rejected+st.DigestMismatches < 6 {
		t.Errorf("%d rejected and %d mismatches of 6 hostile chunks", st.Rejected, st.DigestMismatches)
	}
	if beats, err := run.Workers(t.Context()); err != nil || len(beats) < 2 {
		t.Errorf("%d beats, %v", len(beats), err)
	}
	if err := errors.Join(s.Close(), log.Close()); err != nil {
		t.Fatal(err)
	}
	folder, err := record.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	ledger := record.NewLedger(run.Spec(), inTurn{}, record.Window{To: run.Spec().Steps()})
	if err := ledger.AddFolder(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	if r := ledger.Report(true); r.Found != 0 || r.StepsWhole != run.Spec().Steps() {
		t.Errorf("the ledger: %+v", r)
	}
	if err := ledger.Remake(t.Context(), folder, counting{}, record.RemakeOptions{Every: 1, Workers: 1}); err != nil {
		t.Fatal(err)
	}
	if r := ledger.Report(true); r.Found != 1 || !strings.Contains(r.Problems[0], fmt.Sprintf("chunk %d of step %d", lieChunk, lieStep)) {
		t.Errorf("made again: %d problems, %q", r.Found, r.Problems)
	}
}

// liar makes other pixels than counting, and says nothing.
type liar struct{ counting }

func (l liar) Make(ctx context.Context, row wire.TaskRow, dst, plans [][]byte) (produce.Made, error) {
	made, err := l.counting.Make(ctx, row, dst, plans)
	for v := range dst {
		for i := range dst[v] {
			dst[v][i] = ^dst[v][i]
		}
	}
	return made, err
}
