package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/runs"

	"github.com/nats-io/nats.go/jetstream"
)

// lobby is where a worker's idle slots wait for a task of any run. For all of them together one
// request stands with each run's queue.
type lobby struct {
	w     *Worker
	tasks chan *arrival // that no slot has taken yet, and some that went back

	mu      sync.Mutex
	waiting int                     // slots; guarded by mu
	turn    int                     // counts the slots that came to wait; guarded by mu
	asks    map[*workshop]*ask      // guarded by mu
	not     map[*workshop]time.Time // before then nothing is asked of the run; guarded by mu
	shut    bool                    // guarded by mu
}

// arrival is a task that has come. Either a slot takes it, or it goes back, for another worker
// to do, when none has for a while: requests stand with all runs, and may all bring one.
type arrival struct {
	ws   *workshop
	msg  jetstream.Msg
	gone atomic.Bool // it was taken, or went back
	over *time.Timer // gives it back; it may fire before this is set, so that what it calls does not read it
}

// claim is true once: for whoever takes the task, or gives it back.
func (a *arrival) claim() bool { return a.gone.CompareAndSwap(false, true) }

// take takes the task for a slot; nil where it went back.
func (a *arrival) take() (*workshop, jetstream.Msg) {
	if !a.claim() {
		return nil, nil
	}
	a.over.Stop()
	return a.ws, a.msg
}

// mostArrived bounds the tasks that have come and wait for a slot: what is over goes back.
const mostArrived = 256

// patience is how long a task waits for a slot. Nobody says meanwhile that it is being worked
// on, so it is well below the ack wait.
func (ws *workshop) patience() time.Duration {
	_, ackWait := ws.tasks()
	if ackWait == 0 {
		ackWait = runs.DefaultAckWait
	}
	return min(ackWait/4, longestPatience)
}

const longestPatience = 2 * time.Second

// linger is for how long requests stand though no slot waits: the next may be free soon.
const linger = 200 * time.Millisecond

func newLobby(w *Worker) *lobby {
	return &lobby{w: w, tasks: make(chan *arrival, mostArrived), asks: map[*workshop]*ask{}, not: map[*workshop]time.Time{}}
}

// arrived takes a task that came, by whichever request.
func (l *lobby) arrived(ws *workshop, msg jetstream.Msg) {
	a := &arrival{ws: ws, msg: msg}
	l.mu.Lock()
	if !l.shut {
		a.over = time.AfterFunc(ws.patience(), func() { l.giveBack(a) })
		select {
		case l.tasks <- a:
			l.mu.Unlock()
			return
		default:
			a.over.Stop()
		}
	}
	l.mu.Unlock()
	l.giveBack(a)
}

// giveBack gives back a task that no slot has taken.
func (l *lobby) giveBack(a *arrival) {
	if a.claim() {
		l.w.sendBack(a.ws.bh, newHand(a.msg))
	}
}

// wait waits for a task of any of the runs, for so long at most; nil where none came.
func (l *lobby) wait(ctx context.Context, fit []*workshop, d time.Duration) (*workshop, jetstream.Msg) {
	l.stand(fit)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case a := <-l.tasks:
		l.leave()
		return a.take()
	case <-t.C:
	case <-ctx.Done():
	}
	l.leave()
	return nil, nil
}

// stand has a request stand with each of the runs, and none with others.
func (l *lobby) stand(fit []*workshop) {
	nc := l.w.js.Conn()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting++
	l.turn++
	if l.shut {
		return
	}
	want := map[*workshop]bool{}
	for _, ws := range fit {
		want[ws] = true
		if a := l.asks[ws]; a != nil && !a.stale(nc) || time.Now().Before(l.not[ws]) {
			continue
		} else if a != nil { // it is lost, or late
			a.withdraw()
			if nc.Stats().Reconnects != a.reconnects {
				ws.asked(0)
			}
		}
		delete(l.not, ws)
		l.ask(ws)
	}
	for ws, a := range l.asks {
		if !want[ws] {
			a.withdraw()
			delete(l.asks, ws)
		}
	}
	for ws := range l.not {
		if !want[ws] {
			delete(l.not, ws)
		}
	}
}

// ask leaves a request with the run's queue. l.mu is held.
func (l *lobby) ask(ws *workshop) {
	var (
		a   *ask
		err error
	)
	// The answer waits for l.mu, and so finds a.
	a, err = ws.ask(ws.stands(), func(msg jetstream.Msg, err error) { l.answered(ws, &a, msg, err) })
	if err != nil {
		delete(l.asks, ws)
		l.not[ws] = time.Now().Add(fullWait)
		return
	}
	l.asks[ws] = a
}

// answered takes the broker's answer to a request, which may have been withdrawn meanwhile.
func (l *lobby) answered(ws *workshop, a **ask, msg jetstream.Msg, err error) {
	l.mu.Lock()
	if *a != nil && l.asks[ws] == *a {
		(*a).end()
		delete(l.asks, ws)
		if msg == nil && err == nil && l.waiting > 0 && !l.shut {
			l.ask(ws)
		}
	}
	if err != nil {
		d := ws.crowd(errors.Is(err, errCrowded))
		l.not[ws] = time.Now().Add(d + rand.N(d))
	}
	l.mu.Unlock()
	if msg != nil || err != nil {
		ws.asked(0)
	}
	if msg != nil {
		ws.crowd(false)
	}
	switch {
	case msg != nil:
		l.arrived(ws, msg)
	case err != nil && !errors.Is(err, errCrowded):
		ws.lost()
	}
}

// leave is a slot's that does not wait any more. The last one's takes the requests back, after a
// while.
func (l *lobby) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting--
	if l.waiting == 0 && len(l.asks) > 0 {
		turn := l.turn
		time.AfterFunc(linger, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.turn == turn { // no slot has waited since
				l.withdraw()
			}
		})
	}
}

// withdraw takes all requests back. l.mu is held.
func (l *lobby) withdraw() {
	for ws, a := range l.asks {
		a.withdraw()
		delete(l.asks, ws)
	}
}

// close takes all requests back, and gives back the tasks that came and are not begun.
func (l *lobby) close() {
	l.mu.Lock()
	l.shut = true
	l.withdraw()
	l.mu.Unlock()
	l.settle()
	for {
		select {
		case a := <-l.tasks:
			l.giveBack(a)
		default:
			return
		}
	}
}

// settle waits until all tasks that are on their way have come: they come before the broker's
// answer to a flush, and are dealt with before a barrier behind it is passed.
func (l *lobby) settle() {
	nc := l.w.js.Conn()
	if nc.FlushTimeout(link.APITimeout) != nil {
		return // without a broker nothing comes
	}
	passed := make(chan struct{})
	if nc.Barrier(func() { close(passed) }) != nil {
		return // the connection is closed
	}
	t := time.NewTimer(hangWait)
	defer t.Stop()
	select {
	case <-passed:
	case <-t.C: // somebody else's subscription on this connection is slow
	}
}

// taken is a task that came before and waits for a slot; nil for none.
func (l *lobby) taken() (*workshop, jetstream.Msg) {
	for {
		select {
		case a := <-l.tasks:
			if ws, msg := a.take(); msg != nil {
				return ws, msg
			}
		default:
			return nil, nil
		}
	}
}

// spare has nothing asked of a run for a while.
func (l *lobby) spare(ws *workshop) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.not[ws] = time.Now().Add(fullWait + rand.N(fullWait))
}

// unasked are those runs with whose queues no request stands, and may.
func (l *lobby) unasked(fit []*workshop) (out []*workshop) {
	nc, now := l.w.js.Conn(), time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ws := range fit {
		if a := l.asks[ws]; (a == nil || a.stale(nc)) && !now.Before(l.not[ws]) {
			out = append(out, ws)
		}
	}
	return out
}
