package worker

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

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

// isSilent: the broker did not answer in time, or is away.
func isSilent(err error) bool {
	return errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrDisconnected)
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
