package worker

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/runs"
	"resslt/schemas"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// firstAsk is how long a request for a task stands with the broker, and askFor how long after
	// some that brought none: a farm that has nothing to do sends one in that time for each worker
	// and run. The first are short, for a queue that is made again forgets them.
	firstAsk = time.Second
	askFor   = 20 * time.Second
	// askLate is by how much the answer may be late before the request is made again. The next
	// stands longer all the same: a broker that is slow must not get more requests for it.
	askLate = 2 * time.Second
	// silence is how long a broker may take to say that it has no task, which it knows at once.
	silence = time.Second
	// fullWait is how long a worker waits, and up to twice as long, where more stand in a queue
	// than the broker lets: there are more workers than tasks. It is twice as long each time that
	// this is so again, up to mostFullWait: for a request that comes in vain, too, the broker looks
	// through all that stand there.
	fullWait     = time.Second
	mostFullWait = 16 * time.Second
)

// ask is a request to a run's queue for one task. The broker's answer is given on whenever it
// comes: a task that came while nobody looked would be lost to all until its ack wait has
// passed, and under load that is every task.
type ask struct {
	sub        *nats.Subscription
	until      time.Time // by when it is answered
	reconnects uint64    // of the connection that it was made on: another broker does not know it
}

// answer is what came of a request: a task, or none, for which err may say why.
type answer func(msg jetstream.Msg, err error)

// ask leaves a request with the broker for so long; 0: it answers at once. The answer comes
// from another goroutine, once or, where the broker forgot the request, never.
func (ws *workshop) ask(stands time.Duration, then answer) (*ask, error) {
	nc := ws.w.js.Conn()
	request := struct {
		Batch   int           `json:"batch"`
		Expires time.Duration `json:"expires,omitempty"`
		NoWait  bool          `json:"no_wait,omitempty"`
	}{1, stands, stands == 0}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	a := &ask{until: time.Now().Add(stands + askLate), reconnects: nc.Stats().Reconnects}
	inbox := nc.NewInbox()
	a.sub, err = nc.Subscribe(inbox, func(m *nats.Msg) {
		status := m.Header.Get("Status")
		if status == "" {
			then(received{m, nc}, nil)
		} else {
			then(nil, meaning(status, m.Header.Get("Description")))
		}
	})
	if err != nil {
		return nil, err
	}
	subject := ws.w.js.Options().APIPrefix
	if subject == "" {
		subject = jetstream.DefaultAPIPrefix
	}
	subject = strings.TrimSuffix(subject, ".") + ".CONSUMER.MSG.NEXT." + schemas.TasksStream(ws.run.Name) + "." + schemas.WorkersConsumer
	if err := nc.PublishRequest(subject, inbox, body); err != nil {
		a.end()
		return nil, err
	}
	return a, nil
}

// errCrowded: more requests stand in the queue than it holds.
var errCrowded = errors.New("more workers wait for tasks than the queue holds")

// meaning of a status in the place of a task: nil where there is none just now.
func meaning(status, description string) error {
	switch {
	case status == "404", status == "408":
		return nil
	case status == "409" && strings.Contains(strings.ToLower(description), "maxwaiting"):
		return errCrowded
	case status == "409" && strings.Contains(strings.ToLower(description), "maxackpending"):
		return nil
	case status == "503":
		return nats.ErrNoResponders
	}
	return errors.New(status + " " + description)
}

// stale reports whether the request may not be answered any more.
func (a *ask) stale(nc *nats.Conn) bool {
	return time.Now().After(a.until) || nc.Stats().Reconnects != a.reconnects || !a.sub.IsValid()
}

// end ends a request that was answered.
func (a *ask) end() { _ = a.sub.Unsubscribe() } // fails only on a closed connection

// withdraw takes back a request: the broker gives its task to another. One that is on its way
// still comes.
func (a *ask) withdraw() { _ = a.sub.Drain() } // as above

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
	over *time.Timer // gives it back
}

// take takes the task for a slot; nil where it went back.
func (a *arrival) take() (*workshop, jetstream.Msg) {
	if !a.gone.CompareAndSwap(false, true) {
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
	l.mu.Lock()
	shut := l.shut
	if !shut {
		a := &arrival{ws: ws, msg: msg}
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
	l.w.sendBack(ws.bh, newHand(msg))
}

// giveBack gives back a task that no slot has taken.
func (l *lobby) giveBack(a *arrival) {
	if ws, msg := a.take(); msg != nil {
		l.w.sendBack(ws.bh, newHand(msg))
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

// isSilent: the broker did not answer in time, or is away.
func isSilent(err error) bool {
	return errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrDisconnected)
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

// stands is how long the next request stands: twice as long as the last, but not of all workers
// at the same moment.
func (ws *workshop) stands() time.Duration {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.stood = min(max(firstAsk, 2*ws.stood), askFor)
	return ws.stood - rand.N(ws.stood/4)
}

// crowd is how long nothing is asked of the queue after an answer that was none: longer each time
// in a row that it was full.
func (ws *workshop) crowd(full bool) time.Duration {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if !full {
		ws.shunned = 0
		return fullWait
	}
	ws.shunned = min(max(fullWait, 2*ws.shunned), mostFullWait)
	return ws.shunned
}

// asked sets how long the last request stood.
func (ws *workshop) asked(d time.Duration) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.stood = d
}

// fetch takes one task, and waits for it a while, or until there is news; nil where none came.
func (ws *workshop) fetch(ctx context.Context, news <-chan struct{}) (jetstream.Msg, error) {
	d := ws.stands()
	msg, err := ws.await(ctx, d, d+askLate, news)
	if msg != nil || err != nil {
		ws.asked(0)
	}
	return msg, err
}

// fetchNow takes one task if there is one. It returns an error where the queue does not say.
func (ws *workshop) fetchNow(ctx context.Context) (jetstream.Msg, error) {
	return ws.await(ctx, 0, silence, nil)
}

// await asks for a task that stands so long, and waits for the answer. A task that comes later
// goes to the lobby.
func (ws *workshop) await(ctx context.Context, stands, limit time.Duration, news <-chan struct{}) (jetstream.Msg, error) {
	if c, _ := ws.tasks(); c == nil {
		return nil, nil
	}
	var mu sync.Mutex
	over, got := false, make(chan said, 1)
	a, err := ws.ask(stands, func(msg jetstream.Msg, err error) {
		mu.Lock()
		late := over
		over = true
		mu.Unlock()
		switch {
		case !late:
			got <- said{msg, err}
		case msg != nil:
			ws.w.lobby.arrived(ws, msg)
		}
	})
	if err != nil {
		return nil, err
	}
	lost := ws.w.js.Conn().StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	defer ws.w.js.Conn().RemoveStatusListener(lost)
	t := time.NewTimer(limit)
	defer t.Stop()
	silent := error(nil)
	select {
	case s := <-got:
		a.end()
		return s.result()
	case <-t.C:
		silent = nats.ErrTimeout
	case <-lost:
		silent = nats.ErrDisconnected
	case <-news:
	case <-ctx.Done():
	}
	mu.Lock()
	late := over
	over = true
	mu.Unlock()
	if late { // it came at this very moment
		a.end()
		s := <-got
		return s.result()
	}
	a.withdraw()
	return nil, silent
}

// said is an answer as a value.
type said struct {
	msg jetstream.Msg
	err error
}

// result is the task, or none; an error where the queue cannot be asked again as it was.
func (s said) result() (jetstream.Msg, error) {
	if errors.Is(s.err, errCrowded) {
		return nil, nil
	}
	return s.msg, s.err
}
