package worker

import (
	"context"
	"slices"
	"time"

	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/schemas"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// beatGap is the least time between two heartbeats of one run.
	beatGap = 100 * time.Millisecond
	// quietBeats is how many periods pass between two heartbeats that have nothing new to say.
	quietBeats = 3
)

// beats writes the heartbeats until ctx ends: those that are urgent, and one run's after
// the other's, so that their number does not grow with the runs.
func (w *Worker) beats(ctx context.Context) {
	every := max(w.opts.Heartbeat/10, time.Millisecond)
	tick := time.NewTicker(min(beatGap, every))
	defer tick.Stop()
	next := time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		var eldest *bulkhead
		var since time.Time
		for _, bh := range w.known() {
			bh.mu.Lock()
			urgent, beaten := bh.urgent, bh.beaten
			shown := bh.life.awake()
			due := w.opts.Heartbeat
			if bh.quiet && bh.said == bh.saying() {
				due *= quietBeats
			}
			bh.mu.Unlock()
			switch {
			case urgent && now.Sub(beaten) >= beatGap:
				w.beat(bh)
			case shown && now.Sub(beaten) >= due && (eldest == nil || beaten.Before(since)):
				eldest, since = bh, beaten
			}
		}
		if eldest != nil && !now.Before(next) {
			w.beat(eldest)
			next = now.Add(every)
		}
	}
}

// saying is what tells one heartbeat from the next: the counts and the state.
type saying struct {
	stats runs.WorkerStats // without Rate, which falls as time goes on
	phase phase
}

// saying is what a heartbeat would say now. bh.mu is held.
func (bh *bulkhead) saying() saying {
	s := saying{bh.stats(), bh.life.phase}
	s.stats.Rate = 0
	return s
}

// period is how long it is from one heartbeat of a run to its next.
func (w *Worker) period() time.Duration {
	awake := 0
	for _, bh := range w.known() {
		bh.mu.Lock()
		if bh.life.awake() {
			awake++
		}
		bh.mu.Unlock()
	}
	return max(w.opts.Heartbeat, time.Duration(awake)*w.opts.Heartbeat/10)
}

// beat writes the worker's heartbeat for a run, and then gives its tasks back: a beat says
// that they were given back before the broker counts the delivery. One that does not arrive is
// followed by another, so its error does not matter.
func (w *Worker) beat(bh *bulkhead) { w.beatBy(bh, w.js.Conn().PublishMsg) }

// lastBeat does so at the worker's end, and waits until the broker has it, or ctx ends. A task
// that is given back after it does not wait for another.
func (w *Worker) lastBeat(ctx context.Context, bh *bulkhead) {
	bh.mu.Lock()
	bh.over = true
	quiet := bh.life.phase == asleep && len(bh.returns) == 0 // it has had its last one
	bh.mu.Unlock()
	if quiet {
		return
	}
	w.beatBy(bh, func(m *nats.Msg) error {
		_, err := w.js.Conn().RequestMsgWithContext(ctx, m)
		return err
	})
}

// beatBy writes a heartbeat by send.
func (w *Worker) beatBy(bh *bulkhead, send func(*nats.Msg) error) {
	b := runs.Heartbeat{
		Worker: w.opts.Name, Workers: w.opts.Workers, Began: bh.began, Time: time.Now().UTC(), WorkerStats: bh.stats(),
		Every: w.period(),
	}
	bh.mu.Lock()
	now := bh.saying()
	if bh.quiet = now == bh.said; bh.quiet {
		b.Every *= quietBeats
	}
	bh.said = now
	b.State, b.Left = string(bh.life.phase), bh.over
	if bh.life.why != nil {
		b.Trouble = wire.ReasonLine(bh.life.why.Error())
	}
	b.SentBack, b.Failed = slices.Clone(bh.sentBack), slices.Clone(bh.failed)
	returns := bh.returns
	bh.returns, bh.urgent, bh.beaten = nil, false, time.Now()
	bh.mu.Unlock()
	body, err := b.Encode()
	if err != nil {
		w.opts.Report(err)
	} else {
		_ = send(&nats.Msg{Subject: schemas.WorkerSubject(bh.name, w.opts.Name), Data: body}) // one that is lost is followed by another
	}
	for _, r := range returns {
		r.nak()
	}
}

// nak gives the task back. Where that is lost, the ack wait passes.
func (r returned) nak() {
	if r.delay > 0 {
		_ = r.msg.NakWithDelay(r.delay)
	} else {
		_ = r.msg.Nak()
	}
}

// urge writes a heartbeat at once, or a little later where there was one just now.
func (w *Worker) urge(bh *bulkhead) {
	bh.mu.Lock()
	now := time.Since(bh.beaten) >= beatGap
	bh.urgent = !now
	bh.mu.Unlock()
	if now {
		w.beat(bh)
	}
}

// sendBack gives a task back to the queue at once. It was no fault of the task's,
// which the heartbeat says to the planner: such deliveries do not count.
func (w *Worker) sendBack(bh *bulkhead, h *hand) {
	w.giveBack(bh, h, 0, func(seq uint64) {
		bh.sentBack = append(bh.sentBack, seq)
		bh.sentBack = bh.sentBack[max(0, len(bh.sentBack)-maxSentBack):]
	})
}

// countFailure gives a task back that could not be done, which the heartbeat says to the
// planner: it is the run's last word should no try succeed.
func (w *Worker) countFailure(bh *bulkhead, h *hand, why error, delay time.Duration) {
	w.giveBack(bh, h, delay, func(seq uint64) {
		bh.failed = append(bh.failed, runs.FailedTask{Seq: seq, Why: wire.ReasonLine(why.Error())})
		bh.failed = bh.failed[max(0, len(bh.failed)-maxFailed):]
	})
}

// giveBack gives a task back to the queue after the next heartbeat, at once after the last. note
// writes down, by its sequence, what the heartbeat is to say of it; bh.mu is held.
func (w *Worker) giveBack(bh *bulkhead, h *hand, delay time.Duration, note func(seq uint64)) {
	if !h.claim() {
		return
	}
	bh.mu.Lock()
	if seq := sequence(h); seq > 0 {
		note(seq)
	}
	r, over := returned{h.Msg, delay}, bh.over
	if !over {
		bh.returns = append(bh.returns, r)
	}
	bh.mu.Unlock()
	if over {
		r.nak()
		return
	}
	w.urge(bh)
}

// sequence is the task's in its stream, 0 where the message does not say.
func sequence(m jetstream.Msg) uint64 {
	meta, err := m.Metadata()
	if err != nil {
		return 0
	}
	return meta.Sequence.Stream
}
