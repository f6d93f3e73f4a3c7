package worker

import (
	"context"
	"time"

	"resslt/batcher/internal/link"

	"github.com/nats-io/nats.go/jetstream"
)

// turnWait is how long a slot waits for a task before it looks at the runs again.
const turnWait = 50 * time.Millisecond

// loop is one of the worker's slots: it has the chunks of the runs that are served made, one
// after another, until ctx ends.
func (w *Worker) loop(ctx context.Context) {
	for ctx.Err() == nil {
		ws, msg := w.pull(ctx, w.fit())
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

// fit gives the runs of which a slot may take a task.
func (w *Worker) fit() (fit []*workshop) {
	var proven []*workshop
	for _, bh := range w.known() {
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
	return fit
}

// pull takes one task: one that has come before, one of the run that was served least, or the
// next that any has. nil where none came in a while.
func (w *Worker) pull(ctx context.Context, fit []*workshop) (*workshop, jetstream.Msg) {
	if ws, msg := w.lobby.taken(); msg != nil {
		return ws, msg // where its run is not fit any more, the task goes back
	}
	if len(fit) == 0 {
		_ = link.Sleep(ctx, min(turnWait, w.opts.Discover)) // ctx is the caller's to look at
		return nil, nil
	}
	for _, ws := range w.turns.order(w.lobby.unasked(fit), time.Now()) {
		msg, err := ws.fetchNow(ctx)
		switch {
		case msg != nil:
			return ws, msg
		case isSilent(err): // it is slow: looking the queue up would make it slower
			w.lobby.spare(ws)
		case err != nil && ctx.Err() == nil:
			ws.lost()
		default:
			w.turns.empty(&ws.account, time.Now(), len(fit))
		}
	}
	return w.lobby.wait(ctx, fit, turnWait)
}
