package stream

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

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

// driver executes a planner's actions against the broker, and brings it its events. It
// publishes no chunk itself.
type driver struct {
	run           *runs.Run
	order         wire.Order
	stats         *counters
	held          *held.Store // nil where all chunks have bodies
	lease         *lease
	brokerTimeout time.Duration
	wake          chan struct{} // capacity 1

	// cursor is this trainer's. It and what is known are no part of what mu guards: a
	// trainer that advances must not wait for a conversation with the broker.
	cursor atomic.Int64
	known  atomic.Pointer[standing]

	mu      sync.Mutex // held for a whole conversation
	planner *planner   // guarded by mu
}

// planTick is how often the planner looks without being woken: another trainer's
// cursor may have moved.
const planTick = 500 * time.Millisecond

func newDriver(run *runs.Run, order wire.Order, o Options, l *lease, stats *counters) *driver {
	d := &driver{
		run: run, order: order, stats: stats, lease: l, held: o.Held, brokerTimeout: o.BrokerTimeout, wake: make(chan struct{}, 1),
		planner: newPlanner(limits{
			trainer: o.Trainer, window: o.Window, keep: o.Keep, runWindow: run.Options().Window,
			steps: run.Spec().Steps(), chunks: run.Spec().Chunks(),
			ackWait: run.Options().AckWait, deliveries: run.Options().MaxDeliver,
			chunkMessage: int64(run.Spec().MaxChunkMessage()),
		}, o.From),
	}
	d.cursor.Store(o.From)
	d.publish()
	return d
}

// advance says that this trainer needs no step below cursor any more. It does not wait.
func (d *driver) advance(cursor int64) {
	d.cursor.Store(cursor)
	d.lease.advance(cursor)
	wake(d.wake)
}

// wants reports whether this trainer, or another that is live, wants the step's chunks in
// the broker, or they are recorded. It does not wait.
func (d *driver) wants(step int64) bool { return d.known.Load().wants(step, d.cursor.Load()) }

// plan keeps planning until ctx ends, and then returns nil. It returns ErrUnavailable
// where the broker is away for longer than BrokerTimeout.
func (d *driver) plan(ctx context.Context) error {
	nc := d.run.JetStream().Conn()
	advisories := make(chan *nats.Msg, 256)
	sub, err := nc.ChanSubscribe(
		"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES."+schemas.TasksStream(d.run.Name)+"."+schemas.WorkersConsumer, advisories)
	if err != nil {
		return link.Unavailable(nc, "plan", d.run.Name, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	notes := make(chan *nats.Msg, 256)       // one that does not fit is read again later
	trainers, err := nc.ChanSubscribe(schemas.AllTrainers(d.run.Name), notes)
	if err != nil {
		return link.Unavailable(nc, "plan", d.run.Name, err)
	}
	defer func() { _ = trainers.Unsubscribe() }() // as above
	tick := time.NewTicker(planTick)
	defer tick.Stop()
	pat := link.Patience{Conn: nc, Limit: d.brokerTimeout}
	for {
		pctx, cancel := link.WhileConnected(ctx, nc, link.PassTimeout)
		err := d.handle(pctx, cycle{})
		cancel()
		if err == nil {
			pat.Answered()
		} else if ferr := pat.Failed(ctx, "plan", d.run.Name, err); ferr != nil {
			if ctx.Err() != nil {
				return nil
			}
			return ferr
		} else {
			continue
		}
		if !d.await(ctx, tick.C, notes, advisories) {
			return nil
		}
	}
}

// perPeer is how long a trainer waits for the notes of others, for each of them, when one has
// moved: a run may have a hundred trainers, and a cycle looks at all.
const perPeer = time.Millisecond

// await waits until it is time for another cycle, and takes in the peers' notes meanwhile. One
// that says nothing but that its trainer lives is no reason. It returns false when ctx ends.
func (d *driver) await(ctx context.Context, tick <-chan time.Time, notes, advisories <-chan *nats.Msg) bool {
	var look <-chan time.Time // nil while no peer has moved
	for {
		select {
		case <-d.wake:
			return true
		case <-tick:
			return true
		case <-look:
			return true
		case m := <-notes:
			if peers, moved := d.receive(ctx, m); moved && look == nil {
				look = time.After(time.Duration(peers) * perPeer)
			}
		case m := <-advisories:
			// One that cannot be acted upon now is found again by repair.
			_ = d.exhausted(ctx, m.Data)
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// receive takes in a lease note as it was published. It gives the number of peers, and whether
// the note's is new, has moved or leaves.
func (d *driver) receive(ctx context.Context, m *nats.Msg) (peers int, moved bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(m.Data) <= leases.MaxBytes {
		_ = d.converse(ctx, parseNote(m)) // no action follows from it
	}
	ps := &d.planner.peers
	moved, ps.moved = ps.moved, false
	return len(ps.seen), moved
}

// handle brings the planner an event, and executes what follows from it.
func (d *driver) handle(ctx context.Context, ev event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.converse(ctx, ev)
}

// converse executes the actions that follow from an event, and those that follow from
// their results, until there are none. d.mu is held.
func (d *driver) converse(ctx context.Context, ev event) error {
	for round := d.decide(ev); len(round) > 0; {
		results, err := d.execute(ctx, round)
		for _, result := range results {
			if result != nil {
				round = d.decide(result) // the round's last result has the next round
			}
		}
		if err != nil {
			d.decide(failed{})
			return err
		}
	}
	return nil
}

// requestsAtOnce is how many tasks are on their way to the broker at a time. One after another, a
// step of 128 chunks would take 6 s where the broker answers after 50 ms: it is far, or busy.
const requestsAtOnce = 32

// execute executes a round's actions in order, up to the first that fails; those that request
// chunks, of which the order does not matter, several at a time. It gives the results of what
// was done, nil for the rest.
func (d *driver) execute(ctx context.Context, round []action) ([]event, error) {
	results := make([]event, len(round))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(requestsAtOnce)
	for i, a := range round {
		do := func(ctx context.Context) error {
			result, err := a.do(ctx, d)
			if err == nil {
				results[i] = result
			}
			return err
		}
		if _, ok := a.(request); ok {
			g.Go(func() error { return do(gctx) })
			continue
		}
		if err := g.Wait(); err != nil {
			return results, err
		}
		if err := do(ctx); err != nil {
			return results, err
		}
	}
	return results, g.Wait()
}

func (d *driver) decide(ev event) []action {
	round := d.planner.decide(moment{time.Now(), d.cursor.Load()}, ev)
	d.publish()
	return round
}

// publish shows what the planner knows to those that must not wait for it.
func (d *driver) publish() {
	s := d.planner.standing()
	d.known.Store(&s)
	d.lease.plan(s.issued, len(s.peers) == 0)
}

// repair looks after a step that does not become complete, for it is missing some
// chunks: what the broker lost or cannot give is made again, every chunk of the window
// that is neither there nor in the queue is requested again, and so are those of step
// whose tasks are with a worker that does not come back, or with nobody. It returns the
// chunks of step that are in the stream.
func (d *driver) repair(ctx context.Context, step int64, missing []int) (there []int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.converse(ctx, starved{step, missing}); err != nil {
		return nil, err
	}
	return d.planner.chunksOf(step), nil
}

// again requests a chunk once more: what came in its place was unusable.
func (d *driver) again(ctx context.Context, id chunkID) error { return d.handle(ctx, unusable{id}) }

// exhausted acts upon the broker's advisory that a task has spent its deliveries.
func (d *driver) exhausted(ctx context.Context, advisory []byte) error {
	var a struct {
		Seq uint64 `json:"stream_seq"`
	}
	if err := json.Unmarshal(advisory, &a); err != nil || a.Seq == 0 {
		return errs.New("read advisory", d.run.Name, advisoryHint, errs.ErrCorrupt)
	}
	return d.handle(ctx, exhausted{a.Seq})
}

// seal requests the chunks of the run that the broker does not hold, and says how many
// they are.
func (d *driver) seal(ctx context.Context, ev sealing) (lacking int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	err = d.converse(ctx, ev)
	return len(d.planner.lacking), err
}

// finish purges what is due at the end.
func (d *driver) finish(ctx context.Context) error {
	if err := d.handle(ctx, closing{}); err != nil {
		return link.Unavailable(d.run.JetStream().Conn(), "close stream", d.run.Name, err)
	}
	return nil
}

// parseNote reads a lease note as it was published.
func parseNote(m *nats.Msg) noteReceived {
	ev := noteReceived{trainer: link.LastToken(m.Subject)}
	if n, ok := leases.ParseNote(m.Data); ok {
		ev.note = &n
	}
	return ev
}
