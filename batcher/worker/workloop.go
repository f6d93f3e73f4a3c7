package worker

import (
	"context"
	"time"

	"resslt/batcher/internal/link"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	idleWait = time.Second           // a pull of the only run
	turnWait = 50 * time.Millisecond // a pull of one of several runs, before the others are looked at again
)

// loop is one of the worker's slots: it has the chunks of the runs that are served made, one
// after another, until ctx ends.
func (w *Worker) loop(ctx context.Context, id int) {
	for turn := id; ctx.Err() == nil; turn++ {
		fit, others := w.fit()
		if len(fit) == 0 {
			_ = link.Sleep(ctx, min(turnWait, w.opts.Discover)) // ctx is looked at above
			continue
		}
		ws, msg := w.pull(ctx, fit, others, turn)
		if msg == nil {
			continue
		}
		t := w.newTask(ws, msg, inSlot)
		if ctx.Err() != nil || t == nil {
			w.sendBack(ws.bh, newHand(msg)) // another worker may begin at once
			continue
		}
		w.attend(ctx, t, w.opts.SlowAfter, w.serveTask)
	}
}

// fit gives the runs of which a slot may take a task, and whether there are others that it
// may soon.
func (w *Worker) fit() (fit []*workshop, others bool) {
	var proven []*workshop
	known := w.known()
	for _, bh := range known {
		bh.mu.Lock()
		if bh.ws != nil && bh.life.phase == serving && bh.life.proven {
			proven = append(proven, bh.ws)
		}
		bh.mu.Unlock()
	}
	for _, ws := range proven {
		share := w.turns.share(&ws.account, proven, w.opts.Workers)
		c, _ := ws.tasks()
		ws.bh.mu.Lock()
		if c != nil && ws.bh.life.takes(share, w.opts.Workers) {
			fit = append(fit, ws)
		}
		ws.bh.mu.Unlock()
	}
	return fit, len(fit) < len(known)
}

// pull takes one task: of the run that was served least, or the next that has any.
// Where none has, it waits a little at one of them, another each turn. The serving
// is never nil.
func (w *Worker) pull(ctx context.Context, fit []*workshop, others bool, turn int) (*workshop, jetstream.Msg) {
	wait := idleWait
	if len(fit) > 1 || others {
		wait = turnWait
	}
	if len(fit) > 1 {
		for _, ws := range w.turns.order(fit, time.Now()) {
			msg, err := ws.fetchNow()
			switch {
			case msg != nil:
				return ws, msg
			case err != nil:
				ws.lost()
			default:
				w.turns.empty(&ws.account, time.Now(), len(fit))
			}
		}
		// One slot waits for a task, for all of them.
		select {
		case w.waits <- struct{}{}:
			defer func() { <-w.waits }()
		default:
			_ = link.Sleep(ctx, wait)
			return fit[0], nil
		}
	}
	ws := fit[turn%len(fit)]
	msg, err := ws.fetch(wait)
	if err != nil && ctx.Err() == nil {
		ws.lost()
	}
	return ws, msg
}
