package batcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"resslt/schemas"
)

// PlannerOptions configure a Planner.
type PlannerOptions struct {
	// From is the first step that is wanted.
	From int64
	// Window is how many steps from the cursor on may be asked for.
	Window int64
	// Keep is how many steps below the cursor stay in BATCH_<run>; -1 keeps all.
	Keep int64
	// Trainer names the cursor that is published, c.<run>.cursor.<trainer>.
	Trainer string
	// Cursor gives the slowest cursor of all trainers. Nil: the planner's own,
	// which Advance sets; then whatever an earlier trainer left of tasks, and of
	// chunks outside the window, is cleared at the start.
	Cursor func(ctx context.Context) (int64, error)
	// BrokerTimeout is how long a broker may be away.
	BrokerTimeout time.Duration
}

// Planner issues the tasks of the steps in [cursor, cursor+window), purges the
// chunks of those below, and sees that every chunk in the window comes to be: made
// by a worker, or as a tombstone.
type Planner struct {
	run   *Run
	order Order
	opts  PlannerOptions
	stats *streamCounters
	wake  chan struct{} // capacity 1

	// cursor is this trainer's. It is no part of what mu guards: a trainer that
	// advances must not wait for the planner's talk with the broker.
	cursor atomic.Int64

	mu        sync.Mutex
	next      int64           // first step that is not issued; guarded by mu
	purged    int64           // steps below are purged; guarded by mu
	present   map[string]bool // chunk subjects that need no task; guarded by mu
	prepared  bool            // what an earlier trainer left is cleared; guarded by mu
	published int64           // cursor as last published, -1 before; guarded by mu
	at        time.Time       // when; guarded by mu
}

// cursorEvery bounds how often the cursor is published.
const cursorEvery = time.Second

// planTick is how often the planner looks without being woken: another trainer's
// cursor may have moved.
const planTick = 500 * time.Millisecond

// passTimeout bounds one pass; the tasks of a wide window take a while to issue,
// and a pass that was cut short is gone on with.
const passTimeout = 30 * time.Second

func newPlanner(run *Run, order Order, o PlannerOptions, stats *streamCounters) *Planner {
	p := &Planner{run: run, order: order, opts: o, stats: stats, wake: make(chan struct{}, 1),
		next: o.From, purged: o.From, published: -1}
	p.cursor.Store(o.From)
	return p
}

// Advance says that this trainer needs no step below cursor any more. It does not
// wait.
func (p *Planner) Advance(cursor int64) {
	p.cursor.Store(cursor)
	poke(p.wake)
}

// Plan issues, purges and listens until ctx ends, and then returns nil. It returns
// ErrUnavailable where the broker is away for longer than BrokerTimeout.
func (p *Planner) Plan(ctx context.Context) error {
	advisories := make(chan *nats.Msg, 256)
	sub, err := p.run.js.Conn().ChanSubscribe(
		"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES."+schemas.TasksStream(p.run.Name)+"."+schemas.WorkersConsumer, advisories)
	if err != nil {
		return unavailable(p.run.js.Conn(), "plan", p.run.Name, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	tick := time.NewTicker(planTick)
	defer tick.Stop()
	pat := patience{nc: p.run.js.Conn(), limit: p.opts.BrokerTimeout}
	for {
		pctx, cancel := whileConnected(ctx, p.run.js.Conn(), passTimeout)
		err := p.pass(pctx)
		cancel()
		if err == nil {
			pat.ok()
		} else if ferr := pat.failed(ctx, "plan", p.run.Name, err); ferr != nil {
			if ctx.Err() != nil {
				return nil
			}
			return ferr
		} else {
			continue
		}
		select {
		case <-p.wake:
		case <-tick.C:
		case m := <-advisories:
			// One that cannot be acted upon now is found again by Heal.
			_ = p.exhausted(ctx, m.Data)
		case <-ctx.Done():
			return nil
		}
	}
}

// slowest is the cursor that credits and purges go by; p.mu is held.
func (p *Planner) slowest(ctx context.Context) (int64, error) {
	if p.opts.Cursor == nil {
		return p.cursor.Load(), nil
	}
	c, err := p.opts.Cursor(ctx)
	return min(c, p.cursor.Load()), err
}

// pass does once what is due.
func (p *Planner) pass(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	cursor, err := p.slowest(ctx)
	if err != nil {
		return err
	}
	if !p.prepared {
		if err := p.prepare(ctx, cursor); err != nil {
			return err
		}
		p.prepared = true
	}
	// Room first, then work to fill it.
	if err := p.purge(ctx, cursor); err != nil {
		return err
	}
	if err := p.issue(ctx, cursor); err != nil {
		return err
	}
	if p.published != p.cursor.Load() && time.Since(p.at) >= cursorEvery {
		return p.publishCursor(ctx)
	}
	return nil
}

// prepare learns what the broker holds, and clears what nobody wants: chunks
// outside the window would take the room of those inside, and tasks may have
// spent their deliveries. A worker that is at such a task publishes all the same.
func (p *Planner) prepare(ctx context.Context, cursor int64) error {
	if p.opts.Cursor == nil {
		tasks, err := p.run.js.Stream(ctx, schemas.TasksStream(p.run.Name))
		if err != nil {
			return err
		}
		if err := tasks.Purge(ctx); err != nil {
			return err
		}
	}
	if err := p.look(ctx, schemas.AllChunks(p.run.Name)); err != nil {
		return err
	}
	if p.opts.Cursor != nil || p.opts.Keep < 0 {
		return nil
	}
	unwanted := map[int64]bool{}
	for subject := range p.present {
		_, step, _, err := schemas.ParseStepSubject(subject)
		if err == nil && (step < cursor-p.opts.Keep || step >= cursor+p.opts.Window) {
			unwanted[step] = true
			delete(p.present, subject)
		}
	}
	for step := range unwanted {
		if err := p.purgeStep(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// look lists the chunks that are there, as subjects under filter; p.mu is held.
func (p *Planner) look(ctx context.Context, filter string) error {
	s, err := p.run.js.Stream(ctx, schemas.BatchStream(p.run.Name))
	if err != nil {
		return err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return err
	}
	p.present = make(map[string]bool, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		p.present[subject] = true
	}
	return nil
}

func (p *Planner) purgeStep(ctx context.Context, step int64) error {
	s, err := p.run.js.Stream(ctx, schemas.BatchStream(p.run.Name))
	if err != nil {
		return err
	}
	return purgeSubject(ctx, s, schemas.StepFilter(p.run.Name, step))
}

func (p *Planner) purge(ctx context.Context, cursor int64) error {
	if p.opts.Keep < 0 {
		return nil
	}
	for p.purged < cursor-p.opts.Keep {
		if err := p.purgeStep(ctx, p.purged); err != nil {
			return err
		}
		p.purged++
	}
	return nil
}

// issue publishes the tasks of steps that came into the window; p.mu is held.
func (p *Planner) issue(ctx context.Context, cursor int64) error {
	spec := p.run.Spec()
	for p.next = max(p.next, cursor); p.next < min(cursor+p.opts.Window, spec.Steps()); p.next++ {
		for c := range spec.Chunks() {
			if p.present[schemas.ChunkSubject(p.run.Name, p.next, c)] {
				continue
			}
			if _, err := p.ask(ctx, p.next, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask publishes the task of a chunk, unless it is in the queue already. It says
// whether it was not.
func (p *Planner) ask(ctx context.Context, step int64, chunk int) (bool, error) {
	m, err := EncodeTask(p.run, NewTask(p.run.Spec(), p.order, step, chunk))
	if err != nil {
		return false, err
	}
	pctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	_, err = p.run.js.PublishMsg(pctx, m, jetstream.WithExpectLastSequencePerSubject(0))
	if isWrongLast(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p.stats.issued.Add(1)
	return true, nil
}

// Again asks for a chunk once more: what came in its place was of no use.
func (p *Planner) Again(ctx context.Context, step int64, chunk int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.present, schemas.ChunkSubject(p.run.Name, step, chunk))
	if step >= p.next {
		return nil // its turn comes
	}
	asked, err := p.ask(ctx, step, chunk)
	if asked {
		p.stats.healed.Add(1)
	}
	return err
}

// Heal looks after a step that does not become complete: it makes again what the
// broker lost, asks again for every chunk of the window that is neither there nor
// in the queue, and gives up the tasks of step that have spent their deliveries.
// It returns the chunks of step that are in the stream.
func (p *Planner) Heal(ctx context.Context, step int64) (there []int, err error) {
	if err := p.run.Ensure(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	cursor, err := p.slowest(ctx)
	if err != nil {
		return nil, err
	}
	spent, err := p.spentBelow(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.look(ctx, schemas.AllChunks(p.run.Name)); err != nil {
		return nil, err
	}
	spec := p.run.Spec()
	for s := cursor; s < min(p.next, cursor+p.opts.Window); s++ {
		for c := range spec.Chunks() {
			if p.present[schemas.ChunkSubject(p.run.Name, s, c)] {
				if s == step {
					there = append(there, c)
				}
				continue
			}
			asked, err := p.ask(ctx, s, c)
			if err != nil {
				return nil, err
			}
			if asked {
				p.stats.healed.Add(1)
			} else if s == step && spent > 0 {
				if err := p.giveUpSpent(ctx, s, c, spent); err != nil {
					return nil, err
				}
			}
		}
	}
	return there, nil
}

// spentBelow gives the sequence up to which a task that still lies in the queue has
// spent its deliveries: the last that was delivered, when none waits and none is
// out. Otherwise it is 0, and nothing can be said.
func (p *Planner) spentBelow(ctx context.Context) (uint64, error) {
	c, err := p.run.js.Consumer(ctx, schemas.TasksStream(p.run.Name), schemas.WorkersConsumer)
	if err != nil {
		return 0, err
	}
	info := c.CachedInfo()
	if info.NumPending > 0 || info.NumAckPending > 0 {
		return 0, nil
	}
	return info.Delivered.Stream, nil
}

// giveUpSpent gives a chunk up if its task is among those up to sequence spent.
func (p *Planner) giveUpSpent(ctx context.Context, step int64, chunk int, spent uint64) error {
	tasks, err := p.run.js.Stream(ctx, schemas.TasksStream(p.run.Name))
	if err != nil {
		return err
	}
	m, err := tasks.GetLastMsgForSubject(ctx, schemas.TaskSubject(p.run.Name, step, chunk))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil // done after all
	}
	if err != nil || m.Sequence > spent {
		return err
	}
	return p.giveUp(ctx, tasks, step, chunk, m.Sequence)
}

const advisoryMend = "see who else publishes to the broker's $JS.EVENT.ADVISORY subjects"

// exhausted handles the broker's advice that a task has spent its deliveries.
func (p *Planner) exhausted(ctx context.Context, advisory []byte) error {
	var a struct {
		Seq uint64 `json:"stream_seq"`
	}
	if err := json.Unmarshal(advisory, &a); err != nil || a.Seq == 0 {
		return schemas.E("read advisory", p.run.Name, advisoryMend, schemas.ErrCorrupt)
	}
	tasks, err := p.run.js.Stream(ctx, schemas.TasksStream(p.run.Name))
	if err != nil {
		return err
	}
	m, err := tasks.GetMsg(ctx, a.Seq)
	if err != nil {
		return err // done after all
	}
	run, step, chunk, err := schemas.ParseStepSubject(m.Subject)
	if err != nil || run != p.run.Name || step >= p.run.Spec().Steps() || chunk >= p.run.Spec().Chunks() {
		return schemas.E("read advisory", m.Subject, advisoryMend, schemas.ErrCorrupt)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.giveUp(ctx, tasks, step, chunk, a.Seq)
}

// giveUp puts a tombstone in the place of a chunk, unless it was made in the
// meantime, and takes its task, seq, from the queue; p.mu is held.
func (p *Planner) giveUp(ctx context.Context, tasks jetstream.Stream, step int64, chunk int, seq uint64) error {
	reason := fmt.Sprintf("its task was tried %d times without success", p.run.opts.MaxDeliver)
	_, err := p.run.js.PublishMsg(ctx, chunkMessage(p.run, step, chunk, nil, reason, "planner"), jetstream.WithExpectLastSequencePerSubject(0))
	if err != nil && !isWrongLast(err) {
		return err
	}
	if err := tasks.DeleteMsg(ctx, seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return err
	}
	return nil
}

// publishCursor writes this trainer's cursor; p.mu is held.
func (p *Planner) publishCursor(ctx context.Context) error {
	cursor := p.cursor.Load()
	_, err := p.run.js.Publish(ctx, schemas.CursorSubject(p.run.Name, p.opts.Trainer), []byte(strconv.FormatInt(cursor, 10)))
	if err == nil {
		p.published, p.at = cursor, time.Now()
	}
	return err
}

// finish purges and publishes what is due at the end.
func (p *Planner) finish(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	cursor, err := p.slowest(ctx)
	if err == nil {
		err = p.purge(ctx, cursor)
	}
	if err == nil {
		err = p.publishCursor(ctx)
	}
	if err != nil {
		return unavailable(p.run.js.Conn(), "close stream", p.run.Name, err)
	}
	return nil
}

// Cursor reads the cursor that a trainer published. It returns ErrNotFound where
// there is none.
func (r *Run) Cursor(ctx context.Context, trainer string) (int64, error) {
	s, err := r.js.Stream(ctx, schemas.CtrlStream(r.Name))
	if err != nil {
		return 0, unavailable(r.js.Conn(), "read cursor", r.Name, err)
	}
	m, err := s.GetLastMsgForSubject(ctx, schemas.CursorSubject(r.Name, trainer))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, schemas.E("read cursor", r.Name+" "+trainer, "name a trainer that has begun this run", schemas.ErrNotFound)
	}
	if err != nil {
		return 0, unavailable(r.js.Conn(), "read cursor", r.Name, err)
	}
	c, err := strconv.ParseInt(strings.TrimSpace(string(m.Data)), 10, 64)
	if err != nil || c < 0 {
		return 0, schemas.E("read cursor", r.Name+" "+trainer, "see who else publishes to "+schemas.CursorSubject(r.Name, trainer), schemas.ErrCorrupt)
	}
	return c, nil
}
