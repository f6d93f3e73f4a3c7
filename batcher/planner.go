package batcher

import (
	"context"
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
	// Trainer is the name that this trainer's lease is under.
	Trainer string
	// BrokerTimeout is how long a broker may be away.
	BrokerTimeout time.Duration
}

// Planner issues the tasks of the steps that a trainer may ask for (credit), purges
// the chunks that no trainer wants, and sees that every chunk comes to be: made by a
// worker, or as a tombstone. It publishes no chunk itself.
type Planner struct {
	run    *Run
	order  Order
	opts   PlannerOptions
	stats  *streamCounters
	wake   chan struct{} // capacity 1
	issued func()        // called when tasks were issued that others may need to know of

	// cursor is this trainer's, asked the step below which its tasks are out, and
	// others are the places of the live trainers beside it. They are no part of what
	// mu guards: a trainer that advances must not wait for the planner's talk with the
	// broker.
	cursor atomic.Int64
	asked  atomic.Int64
	others atomic.Pointer[[]place]
	// recorded: the run is a recording that is being made (Planner.recording). As above.
	recorded atomic.Bool

	mu       sync.Mutex
	next     int64                 // first step that is not issued; guarded by mu
	purged   int64                 // steps below are purged or in passed; guarded by mu
	passed   map[int64]bool        // steps that others wanted when this trainer had done with them; guarded by mu
	present  map[string]bool       // chunk subjects that need no task; guarded by mu
	prepared bool                  // what earlier trainers left is cleared; guarded by mu
	roster   roster                // guarded by mu
	company  map[string]bool       // the live others at the last pass, by lease, and whether aside; guarded by mu
	left     bool                  // one of them is gone, and what it left is not cleared yet; guarded by mu
	backups  map[chunkID]time.Time // chunks that were asked for twice, and when; guarded by mu
	anew     map[chunkID]bool      // chunks whose task lay with nobody and was replaced; guarded by mu
	lacking  map[chunkID]bool      // chunks that a recording waits for (fill); guarded by mu
}

// chunkID is a chunk's place in the run.
type chunkID struct {
	step  int64
	chunk int
}

// planTick is how often the planner looks without being woken: another trainer's
// cursor may have moved.
const planTick = 500 * time.Millisecond

// passTimeout bounds one pass; the tasks of a wide window take a while to issue,
// and a pass that was cut short is gone on with.
const passTimeout = 30 * time.Second

func newPlanner(run *Run, order Order, o PlannerOptions, stats *streamCounters) *Planner {
	p := &Planner{
		run: run, order: order, opts: o, stats: stats, wake: make(chan struct{}, 1), issued: func() {},
		next: o.From, purged: o.From, roster: roster{run: run, self: o.Trainer}, passed: map[int64]bool{}, backups: map[chunkID]time.Time{}, anew: map[chunkID]bool{},
	}
	p.cursor.Store(o.From)
	p.others.Store(&[]place{})
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
	notes := make(chan *nats.Msg, 256)       // one that does not fit is read again later
	heard, err := p.run.js.Conn().ChanSubscribe(schemas.AllTrainers(p.run.Name), notes)
	if err != nil {
		return unavailable(p.run.js.Conn(), "plan", p.run.Name, err)
	}
	defer func() { _ = heard.Unsubscribe() }() // as above
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
		case m := <-notes:
			p.hear(m)
		case m := <-advisories:
			// One that cannot be acted upon now is found again by Heal.
			_ = p.exhausted(ctx, m.Data)
		case <-ctx.Done():
			return nil
		}
	}
}

// self is this trainer's place.
func (p *Planner) self() place {
	return place{trainer: p.opts.Trainer, cursor: p.cursor.Load(), asked: p.asked.Load(), window: p.opts.Window, keep: p.opts.Keep}
}

// alone says whether no other trainer is known to be alive.
func (p *Planner) alone() bool { return len(*p.others.Load()) == 0 }

// limit is the step below which this trainer may ask for tasks.
func (p *Planner) limit() int64 {
	return credit(p.self(), *p.others.Load(), p.run.opts.Window, p.run.Spec().Steps())
}

// Wanted says whether this trainer, or another that is alive, wants the step's
// chunks in the broker, or they are recorded. It does not wait.
func (p *Planner) Wanted(step int64) bool {
	return p.recording() || p.self().asks(step) || wanted(step, *p.others.Load())
}

// recording says whether the run's chunks are to stay in the broker: this trainer keeps
// all, or another does, or did. Between the end of a recorder's lease and the seal, and
// until one that died is resumed, what it kept is still its.
func (p *Planner) recording() bool { return p.opts.Keep < 0 || p.recorded.Load() }

func (p *Planner) hear(m *nats.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roster.hear(m)
}

// meet learns who else trains the run, and whether one that did is gone; p.mu is
// held.
func (p *Planner) meet(ctx context.Context) error {
	if err := p.roster.refresh(ctx); err != nil {
		return err
	}
	live := p.roster.live()
	company, places := map[string]bool{}, []place{}
	for _, n := range live {
		at := n.place()
		was, known := p.company[n.ID]
		at.aside = (was || !known) && p.cursor.Load()-at.cursor > p.run.opts.Window
		company[n.ID] = at.aside
		places = append(places, at)
	}
	for id := range p.company {
		if _, ok := company[id]; !ok {
			p.left = true
		}
	}
	p.company = company
	p.recorded.Store(p.roster.recorded())
	p.others.Store(&places)
	return nil
}

// pass does once what is due.
func (p *Planner) pass(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.meet(ctx); err != nil {
		return err
	}
	if !p.prepared {
		if err := p.prepare(ctx); err != nil {
			return err
		}
		p.prepared = true
	} else if p.left {
		if err := p.clear(ctx); err != nil {
			return err
		}
	}
	p.left = false
	// Room first, then work to fill it.
	if err := p.purge(ctx); err != nil {
		return err
	}
	return p.issue(ctx)
}

// prepare learns what the broker holds, and clears what nobody wants: chunks outside
// the windows would take the room of those inside. A trainer that is alone clears
// every task, for it may have spent its deliveries; a worker that is at one publishes
// all the same. p.mu is held.
func (p *Planner) prepare(ctx context.Context) error {
	if len(p.company) == 0 {
		tasks, err := p.run.js.Stream(ctx, schemas.TasksStream(p.run.Name))
		if err != nil {
			return err
		}
		if err := tasks.Purge(ctx); err != nil {
			return err
		}
	}
	return p.clear(ctx)
}

// clear purges the chunks and tasks of steps that no live trainer wants: what one
// that is gone has left. It learns which chunks are there. p.mu is held.
func (p *Planner) clear(ctx context.Context) (err error) {
	for stream, filter := range map[string]func(string, int64) string{
		schemas.TasksStream(p.run.Name): schemas.StepTasks,
		schemas.BatchStream(p.run.Name): schemas.StepFilter,
	} {
		s, err := p.run.js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(">"))
		if err != nil {
			return err
		}
		unwanted := map[int64]bool{}
		for subject := range info.State.Subjects {
			if _, step, _, err := schemas.ParseStepSubject(subject); err == nil && !p.Wanted(step) {
				unwanted[step] = true
			}
		}
		for step := range unwanted {
			if err := purgeSubject(ctx, s, filter(p.run.Name, step)); err != nil {
				return err
			}
		}
	}
	p.present, err = p.list(ctx, schemas.AllChunks(p.run.Name))
	return err
}

// list gives the chunks that are there, as subjects under filter.
func (p *Planner) list(ctx context.Context, filter string) (map[string]bool, error) {
	s, err := p.run.js.Stream(ctx, schemas.BatchStream(p.run.Name))
	if err != nil {
		return nil, err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		there[subject] = true
	}
	return there, nil
}

func (p *Planner) purgeStep(ctx context.Context, step int64) error {
	s, err := p.run.js.Stream(ctx, schemas.BatchStream(p.run.Name))
	if err != nil {
		return err
	}
	return purgeSubject(ctx, s, schemas.StepFilter(p.run.Name, step))
}

// purge deletes the chunks that this trainer, and no other, has ceased to want; p.mu
// is held.
func (p *Planner) purge(ctx context.Context) error {
	if p.recording() {
		return p.dropBackups(ctx)
	}
	for ; p.purged < p.cursor.Load()-p.opts.Keep; p.purged++ {
		p.passed[p.purged] = true
	}
	for step := range p.passed {
		if p.Wanted(step) {
			continue // by another, or so it was when it last told
		}
		if err := p.purgeStep(ctx, step); err != nil {
			return err
		}
		delete(p.passed, step)
	}
	return p.dropBackups(ctx)
}

// issue publishes the tasks of steps that came into the window; p.mu is held.
func (p *Planner) issue(ctx context.Context) error {
	others := *p.others.Load()
	if !leads(p.self(), others) {
		return nil
	}
	before := p.next
	for p.next = max(p.next, p.cursor.Load()); p.next < p.limit(); p.next++ {
		if isAsked(p.next, others) {
			continue
		}
		present := p.present
		if len(others) > 0 {
			// One that is gone by now may have had it made.
			var err error
			if present, err = p.list(ctx, schemas.StepFilter(p.run.Name, p.next)); err != nil {
				return err
			}
		}
		for c := range p.run.Spec().Chunks() {
			if present[schemas.ChunkSubject(p.run.Name, p.next, c)] {
				continue
			}
			if _, err := p.ask(ctx, p.next, c); err != nil {
				return err
			}
		}
		p.asked.Store(p.next + 1)
	}
	if p.next > before && len(others) > 0 {
		p.issued()
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
	asked, err := p.publishTask(ctx, m, 0)
	if asked {
		p.stats.issued.Add(1)
	}
	return asked, err
}

// publishTask puts a task into the queue where the newest of its subject is that of
// sequence last, 0 for none. It says whether that was so.
func (p *Planner) publishTask(ctx context.Context, m *nats.Msg, last uint64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	_, err := p.run.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(last))
	if isWrongLast(err) {
		return false, nil
	}
	return err == nil, err
}

// Again asks for a chunk once more: what came in its place was of no use.
func (p *Planner) Again(ctx context.Context, step int64, chunk int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	subject := schemas.ChunkSubject(p.run.Name, step, chunk)
	delete(p.present, subject)
	switch {
	case p.alone() && step >= p.next:
		return nil // its turn comes
	case !p.alone():
		if there, err := p.list(ctx, subject); err != nil || there[subject] {
			return err // another has had it made again
		}
	}
	asked, err := p.ask(ctx, step, chunk)
	if asked {
		p.stats.healed.Add(1)
	}
	return err
}

// finish purges what is due at the end.
func (p *Planner) finish(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roster.read = time.Time{} // others may just have left
	err := p.meet(ctx)
	if err == nil {
		err = p.purge(ctx)
	}
	if err != nil {
		return unavailable(p.run.js.Conn(), "close stream", p.run.Name, err)
	}
	return nil
}
