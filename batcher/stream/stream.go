package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"resslt/batcher/assemble"
	"resslt/batcher/held"
	"resslt/batcher/internal/leases"
	"resslt/batcher/internal/link"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"
)

// Defaults of Options.
const (
	DefaultBrokerTimeout = 2 * time.Minute
	DefaultStallTimeout  = 10 * time.Minute
	// DefaultLeaseTerm outlasts a step on a GPU and a checkpoint: the lease is renewed by
	// a goroutine of its own, which only a stopped process or a lost broker holds up.
	DefaultLeaseTerm = leases.DefaultTerm
)

// Options configure a trainer's stream.
type Options struct {
	// From is the first step that Next hands out.
	From int64
	// Trainer names the trainer among those of the run; default "trainer".
	Trainer string
	// LeaseTerm is how long a trainer that falls silent delays the others, and keeps
	// its name; default DefaultLeaseTerm, 15 s.
	LeaseTerm time.Duration
	// Window is how many steps may be requested ahead; zero is the run's own, and
	// more than that is refused, for the run's byte limit goes by it.
	Window int64
	// Prefetch is how many complete batches are held ready in this process;
	// default 2.
	Prefetch int64
	// Keep is how many steps below the cursor stay in the broker; default none,
	// -1 keeps all.
	Keep int64
	// BrokerTimeout is how long a broker may be away before Next returns an error;
	// default 2 minutes.
	BrokerTimeout time.Duration
	// StallTimeout is how long Next waits for a batch from a broker that is
	// there, say because no worker runs; default 10 minutes, -1 without end.
	StallTimeout time.Duration
	// RepairAfter is how long the trainer waits for a step before the planner repairs it; default 3 s.
	RepairAfter time.Duration
	// Part is which rows of every batch Next gives; default all of them. The trainers of
	// the parts are trainers of the run like others, each under its own name. Where the
	// broker can choose (2.10), chunks without any of these rows are not fetched, but
	// for a Record, which receives all.
	Part assemble.Part
	// Acked has the trainer say itself what it is done with, by Done. Until then a step counts
	// as needed, also by the trainer of its name that comes after it: what was handed out and is
	// not done is handed out again. Without it a step is done when Next hands it out.
	Acked bool
	// Plans has batches carry what was drawn of each row.
	Plans bool
	// Room, if set, has the pixels of batches written to where their reader wants them.
	Room assemble.Room
	// Held, if set, is where this process's worker keeps the rows of chunks whose messages have none.
	Held *held.Store
	// Record, if set, receives every chunk and step that the stream hands out. Its
	// error ends the stream.
	Record Recorder
}

func (o Options) applyDefaults(run *runs.Run) Options {
	if o.Trainer == "" {
		o.Trainer = "trainer"
	}
	if o.LeaseTerm == 0 {
		o.LeaseTerm = DefaultLeaseTerm
	}
	if o.Window == 0 {
		o.Window = run.Options().Window
	}
	if o.Prefetch == 0 {
		o.Prefetch = 2
	}
	if o.BrokerTimeout == 0 {
		o.BrokerTimeout = DefaultBrokerTimeout
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = DefaultStallTimeout
	}
	if o.RepairAfter == 0 {
		o.RepairAfter = 3 * time.Second
	}
	return o
}

func (o Options) validate(run *runs.Run) error {
	bad := func(field, why, hint string) error {
		return errs.New("open stream", field, hint, errs.Because(errs.ErrUsage, why))
	}
	if err := o.Part.Validate(run.Spec().BatchSize); err != nil {
		return err
	}
	switch {
	case o.From < 0 || o.From > run.Spec().Steps():
		return bad("from", fmt.Sprintf("is step %d of %d", o.From, run.Spec().Steps()), "resume with the recipe that the checkpoint was made with")
	case schemas.CheckRunName(o.Trainer) != nil:
		return bad("trainer", fmt.Sprintf("is %q", o.Trainer), "use 1 to 64 of letters, digits, '-' and '_'")
	case o.Window < 1 || o.Window > run.Options().Window:
		return bad("window", fmt.Sprintf("is %d, the run was opened with %d", o.Window, run.Options().Window), "open the run with a larger window")
	case o.LeaseTerm < 0 || o.LeaseTerm > leases.MaxTerm:
		return bad("lease term", fmt.Sprintf("is %v", o.LeaseTerm), fmt.Sprintf("give up to %v, or 0 for the default", leases.MaxTerm))
	case o.Prefetch < 1 || o.Keep < -1 || o.BrokerTimeout < 0 || o.RepairAfter < 0:
		return bad("options", "a number is negative", "give 0 for the default, or more")
	}
	return nil
}

// Stream is a trainer's end of a run: batches, step after step. It ties driver,
// consumer and assembler together. Next belongs to one goroutine; Stats and Close
// may be called from any.
type Stream struct {
	run    *runs.Run
	opts   Options
	driver *driver
	asm    *assemble.Assembler
	dec    *wire.Decoder
	enc    *wire.Encoder // of digests of what is held; used by consume alone
	stats  counters

	room chan struct{} // capacity 1: Next took a batch
	news chan struct{} // capacity 1: a batch may be ready

	lease   *lease
	openSeq uint64             // last sequence of BATCH_ when the stream was opened; used by consume alone
	seen    atomic.Uint64      // sequence below which, and with which, everything was taken in
	digests map[chunkID]string // of the chunks that were taken in, where all are kept; used by consume alone

	mu        sync.Mutex
	cursor    int64                   // step that Next hands out; guarded by mu
	reconnect context.CancelCauseFunc // interrupts the consumer; guarded by mu
	err       error                   // why the stream ended; guarded by mu
	rejected  map[string]int          // how often a chunk was unusable; used by consume alone
	ahead     map[int64]bool          // steps of which chunks came too early; used by consume alone

	failed chan struct{} // closed when err is set
	cancel context.CancelFunc
	joined chan struct{} // closed when every goroutine has ended
	closed sync.Once
}

// Open begins to issue tasks from step o.From on and to take in their
// chunks, until Close. ctx bounds the opening alone.
//
// Several trainers may share a run, each under a name of its own; those that are no
// more than a window apart keep pace with the slowest. A trainer that was killed
// without notice holds its name for the rest of its lease, which Open waits
// for.
//
// It returns ErrUsage for options that cannot be, and where a live trainer of the
// run has the name; ErrDeterminism where a worker has stopped the run, ErrUnavailable where the
// broker does not answer.
func Open(ctx context.Context, run *runs.Run, order wire.Order, o Options) (*Stream, error) {
	o = o.applyDefaults(run)
	if err := o.validate(run); err != nil {
		return nil, err
	}
	dec, err := wire.NewDecoder(run.Spec())
	if err != nil {
		return nil, err
	}
	if err := run.Ensure(ctx); err != nil {
		return nil, err
	}
	if err := run.Stopped(ctx); err != nil {
		return nil, err
	}
	s := &Stream{
		run: run, opts: o, dec: dec, enc: wire.NewEncoder(run.Spec()), asm: assemble.New(run.Spec(), assemble.Options{From: o.From, Part: o.Part, All: o.Record != nil, Plans: o.Plans, Room: o.Room}),
		cursor: o.From,
		room:   make(chan struct{}, 1), news: make(chan struct{}, 1),
		failed: make(chan struct{}), joined: make(chan struct{}), rejected: map[string]int{}, ahead: map[int64]bool{},
		digests: map[chunkID]string{},
	}
	s.lease = newLease(run, position{trainer: o.Trainer, cursor: o.From, window: o.Window, keep: o.Keep}, o.LeaseTerm)
	s.driver = newDriver(run, order, o, s.lease, &s.stats)
	if err := s.lease.take(ctx); err != nil {
		return nil, err
	}
	// After the wait for the lease: what workers have made of a killed trainer's tasks meanwhile was
	// there before this one. And nobody puts the run to sleep from here on.
	batches, err := run.Awake(ctx)
	if err != nil {
		lctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
		defer cancel()
		return nil, errors.Join(err, s.lease.leave(lctx))
	}
	s.openSeq = batches.CachedInfo().State.LastSeq

	bg, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	g, gctx := errgroup.WithContext(bg)
	g.Go(func() error { return s.driver.plan(gctx) })
	g.Go(func() error { return s.consume(gctx) })
	g.Go(func() error { return s.watch(gctx) })
	g.Go(func() error { return s.lease.hold(gctx) })
	g.Go(func() error { s.sweep(gctx); return nil })
	go func() { // joined by Close
		defer close(s.joined)
		if err := g.Wait(); err != nil {
			s.fail(err)
		}
	}()
	return s, nil
}

// watch ends the stream on a stop notice, and has the consumer created again when the
// connection is back: the broker may have lost it.
func (s *Stream) watch(ctx context.Context) error {
	nc := s.run.JetStream().Conn()
	stops := make(chan *nats.Msg, 1)
	sub, err := nc.ChanSubscribe(schemas.StopSubject(s.run.Name), stops)
	if err != nil {
		return link.Unavailable(nc, "open stream", s.run.Name, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	status := nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer nc.RemoveStatusListener(status)
	for {
		select {
		case m := <-stops:
			s.stats.mismatches.Add(1)
			return s.run.StopError(m.Data)
		case st := <-status:
			if st == nats.CLOSED {
				return errs.New("stream", s.run.Name, "keep the connection open while training",
					errs.BecauseErr(errs.ErrUnavailable, nats.ErrConnectionClosed))
			}
			s.interrupt()
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.failed)
	}
}

func (s *Stream) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Stream) at() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor
}

// Next gives the batch of the next step, io.EOF after the run's last. The caller
// releases it when it has copied what it needs.
//
// It returns ErrTombstone where a chunk of the step could not be produced, or a sample
// was replaced and the policy is to fail; ErrDeterminism where two workers made
// different bytes of one task; ErrUnavailable where the broker was away for
// BrokerTimeout, or nothing came for StallTimeout; ErrMismatch where another
// process has taken the trainer's name; ctx's error. All but the last end the stream: the
// trainer writes its checkpoint and closes.
func (s *Stream) Next(ctx context.Context) (*schemas.Batch, error) {
	start := time.Now()
	s.stats.waitingSince.Store(start.UnixNano())
	defer func() {
		s.stats.waited.Add(int64(time.Since(start)))
		s.stats.waitingSince.Store(0)
	}()
	step := s.at()
	if step >= s.run.Spec().Steps() {
		return nil, io.EOF
	}
	var stalled <-chan time.Time
	if s.opts.StallTimeout > 0 {
		t := time.NewTimer(s.opts.StallTimeout)
		defer t.Stop()
		stalled = t.C
	}
	for {
		b, err := s.asm.Take(step)
		if err != nil {
			s.fail(err)
			return nil, err
		}
		if b != nil {
			if err := s.recordStep(step); err != nil {
				b.Release()
				s.fail(err)
				return nil, err
			}
			s.mu.Lock()
			s.cursor = step + 1
			s.mu.Unlock()
			if !s.opts.Acked {
				s.driver.advance(step + 1)
			}
			wake(s.room)
			s.stats.replaced.Add(int64(b.Replaced))
			return b, nil
		}
		select {
		case <-s.news:
		case <-s.failed:
			return nil, s.reason()
		case <-stalled:
			err := errs.New("wait for batch", fmt.Sprintf("run %s, step %d", s.run.Name, step), "start `augmentd` workers that can reach the data, then resume",
				errs.Because(errs.ErrUnavailable, fmt.Sprintf("%d of its %d chunks did not come in %v%s",
					len(s.asm.Missing(step)), s.run.Spec().Chunks(), s.opts.StallTimeout, s.troubles(ctx))))
			s.fail(err)
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Done says that every step below next is done with, where Options.Acked has it so; it must be
// no further than Next is. It does not wait, and any goroutine may call it.
func (s *Stream) Done(next int64) {
	if s.opts.Acked {
		s.driver.advance(min(next, s.at()))
	}
}

// Lacks says in a line what the step lacks that Next waits for, and what the workers say of it.
func (s *Stream) Lacks(ctx context.Context) string {
	return fmt.Sprintf("%d of its %d chunks have not come%s", len(s.asm.Missing(s.at())), s.run.Spec().Chunks(), s.troubles(ctx))
}

// troubles is what the workers that are there have against the run, as the end of an error;
// "" where they say nothing.
func (s *Stream) troubles(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, closeWait)
	defer cancel()
	beats, err := s.run.Workers(ctx)
	if err != nil {
		return "" // it would hide that nothing came
	}
	var said []string
	for _, b := range beats {
		if b.Trouble != "" && b.Live(time.Now()) && !slices.Contains(said, b.Trouble) {
			said = append(said, b.Trouble)
		}
	}
	if len(said) == 0 {
		return ""
	}
	return "; the workers say: " + strings.Join(said[:min(len(said), 3)], "; ")
}

// Stats gives the stream's counts.
func (s *Stream) Stats() Stats {
	next := s.at()
	c := &s.stats
	return Stats{
		Chunks: c.chunks.Load(), Bytes: c.bytes.Load(), Repeated: c.repeated.Load(), Tombstoned: c.tombstoned.Load(),
		Replaced: c.replaced.Load(), Rejected: c.rejected.Load(), DigestMismatches: c.mismatches.Load(), Repaired: c.repaired.Load(), Issued: c.issued.Load(),
		BufferedSteps: s.asm.Complete(next), Waited: c.waiting(), Next: next,
	}
}

// closeWait bounds what Close still writes to the broker.
const closeWait = 2 * time.Second

// Close ends the stream's goroutines and waits for them, then leaves the lease,
// which keeps the cursor. The run stays in the broker: another Open continues from any
// step. A run that has ended is put to sleep by the last trainer that closes. A stream that
// failed has returned its error before, and closes without one.
func (s *Stream) Close() error {
	var err error
	s.closed.Do(func() {
		s.cancel()
		<-s.joined
		if !s.run.JetStream().Conn().IsConnected() {
			return // the lease runs out by itself
		}
		ctx, cancel := context.WithTimeout(context.Background(), closeWait)
		defer cancel()
		if s.reason() == nil {
			// The position first: of two trainers that close at once, one must see that the
			// other is past the last step, or both leave its chunks to the other. A renewal
			// that fails here fails in leave, too.
			_ = s.lease.renew(ctx)
			err = s.driver.finish(ctx)
		}
		if lerr := s.lease.leave(ctx); err == nil && s.reason() == nil {
			err = lerr
		}
		s.letSleep()
	})
	return err
}

// letSleep puts a run to sleep that has ended with this trainer: what its streams still hold
// nobody asks for. Where that fails, somebody's sweep makes up for it.
func (s *Stream) letSleep() {
	if s.driver.cursor.Load() < s.run.Spec().Steps() || s.reason() != nil || s.opts.Keep < 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	_, _ = s.run.SleepIfEnded(ctx)
}

// sweptFor is how long what one trainer has swept need not be swept by another.
const sweptFor = time.Minute

// sweep puts to sleep the runs that others left behind, once. It is done for their sake:
// that it fails, for want of permission say, is nothing to end a run for.
//
// Of a group of processes the first does it, and of trainers that open at about the same time one
// of the first: each waits for a random while, in which all leases are renewed, and leaves it to
// another whose lease says that it has done it.
func (s *Stream) sweep(ctx context.Context) {
	if s.opts.Part.Index > 0 {
		return
	}
	nc := s.run.JetStream().Conn()
	notes := make(chan *nats.Msg, 256) // one that does not fit is followed by another
	if sub, err := nc.ChanSubscribe(schemas.AnyTrainer, notes); err == nil {
		defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	}
	term := s.opts.LeaseTerm
	t := time.NewTimer(term/leaseRenewals + rand.N(2*term))
	defer t.Stop()
	for {
		select {
		case m := <-notes:
			if n, ok := leases.ParseNote(m.Data); ok && n.Swept {
				return
			}
		case <-t.C:
			s.lease.sweeps()
			_, _ = runs.Sweep(ctx, s.run.JetStream(), 0)
			return
		case <-ctx.Done():
			return
		}
	}
}

// wake wakes a listener that may be awake.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
