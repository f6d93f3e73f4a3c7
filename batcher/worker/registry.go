package worker

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/runs"
	"resslt/schemas"

	"github.com/nats-io/nats.go"
)

// registry is which runs a worker knows.
type registry struct {
	report func(error)

	mu      sync.Mutex
	runs    map[string]*bulkhead // by name; guarded by mu
	sorted  []*bulkhead          // the same in the order of their names; a new slice at each change; guarded by mu
	notices map[string]string    // last notice about a run, "" for the list of runs; guarded by mu
	awaited map[string]int       // runs that were heard of and not found, and how often they were sought; guarded by mu
}

func newRegistry(report func(error)) registry {
	return registry{report: report, runs: map[string]*bulkhead{}, notices: map[string]string{}, awaited: map[string]int{}}
}

// known gives the runs of the broker, by name. It is asked for many times a second; the caller
// changes nothing of it.
func (g *registry) known() []*bulkhead {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sorted
}

// place is where in sorted a run is, or belongs. g.mu is held.
func (g *registry) place(name string) int {
	at, _ := slices.BinarySearchFunc(g.sorted, name, func(bh *bulkhead, name string) int { return strings.Compare(bh.name, name) })
	return at
}

// find gives a run that is known, or nil.
func (g *registry) find(name string) *bulkhead {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.runs[name]
}

// admit makes a run known; nil where it is.
func (g *registry) admit(name string) *bulkhead {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.runs[name] != nil {
		return nil
	}
	bh := newBulkhead(name)
	g.runs[name] = bh
	g.sorted = slices.Insert(slices.Clone(g.sorted), g.place(name), bh)
	return bh
}

// forget drops a run, and what was said of it.
func (g *registry) forget(bh *bulkhead) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.runs[bh.name] == bh {
		delete(g.runs, bh.name)
		delete(g.notices, bh.name)
		at := g.place(bh.name)
		g.sorted = slices.Delete(slices.Clone(g.sorted), at, at+1)
	}
}

// notify reports what is the matter with a run, or with the list of runs (""), unless
// it is the last notice again. Nil: nothing is the matter any more.
func (g *registry) notify(about string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	g.mu.Lock()
	known := g.notices[about] == text
	g.notices[about] = text
	g.mu.Unlock()
	if err != nil && !known {
		g.report(err)
	}
}

// heardOf notes a run that is to be found.
func (g *registry) heardOf(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.awaited) < mostAwaited {
		g.awaited[name] = 0
	}
}

const (
	mostAwaited = 256 // what does not fit is found by the next look
	seekAgain   = 50 * time.Millisecond
	seekAtMost  = 6 // times that a run is sought that is not found: over 3 s
)

// missing reports whether runs were heard of that are not found, and after how long the one that
// was sought least is to be sought again. A notice may come before the list of streams has what
// it is about, say in a cluster.
func (g *registry) missing() (wait time.Duration, some bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, times := range g.awaited {
		if g.runs[name] != nil || times >= seekAtMost {
			delete(g.awaited, name)
			continue
		}
		if d := seekAgain << times; !some || d < wait {
			wait, some = d, true
		}
		g.awaited[name] = times + 1
	}
	return wait, some
}

// seek looks for new and deleted runs until ctx ends: when one is opened, and now
// and then for those that it had no notice of. begin is called for each new one.
func (w *Worker) seek(ctx context.Context, begin func(*bulkhead)) {
	var heard sync.WaitGroup
	defer heard.Wait()
	heard.Go(func() { w.hear(ctx) })
	heard.Go(func() {
		w.listen(ctx, func(name string) {
			if bh := w.find(name); bh != nil {
				bh.notice()
				return
			}
			w.heardOf(name)
			wake(w.sought)
		})
	})
	for ctx.Err() == nil {
		if err := w.discover(ctx, begin); ctx.Err() == nil {
			w.notify("", err)
		}
		// The list is as long as there are runs, and new ones are heard of.
		every := w.opts.Discover * time.Duration(max(1, len(w.known())/listed))
		every -= rand.N(every/4 + 1)
		if d, some := w.missing(); some {
			every = min(every, d)
		}
		t := time.NewTimer(every)
		select {
		case <-w.sought:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// listen calls opened with the name of every run that is opened, until ctx ends. A notice that
// is lost is made up for by the next look. That a run was put to sleep is said under the same
// subject, and is no business of a worker's: its data are closed when it has no task.
func (w *Worker) listen(ctx context.Context, opened func(name string)) {
	notices := make(chan *nats.Msg, 256)
	sub, err := w.js.Conn().ChanSubscribe(schemas.AnyOptions, notices)
	if err != nil {
		return
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	for {
		select {
		case m := <-notices:
			if parts := strings.Split(m.Subject, "."); len(parts) == 3 && !runs.IsSleepNote(m.Data) {
				opened(parts[1])
			}
		case <-ctx.Done():
			return
		}
	}
}

// discover admits runs that are new and drops those that are gone. It reads none of them, and
// so waits for none.
func (w *Worker) discover(ctx context.Context, begin func(*bulkhead)) error {
	lctx, cancel := link.WhileConnected(ctx, w.js.Conn(), link.PassTimeout)
	defer cancel()
	names, err := runs.Names(lctx, w.js)
	if err != nil {
		return err // the broker is away: the runs may well be there
	}
	for _, bh := range w.known() {
		if !slices.Contains(names, bh.name) {
			w.drop(bh)
		}
	}
	unheard := !w.begun && len(names) > eager
	w.begun = true
	for _, name := range names {
		bh := w.admit(name)
		if bh == nil {
			continue
		}
		if unheard {
			bh.life.slept() // nobody else knows bh yet
		}
		begin(bh)
	}
	return nil
}

// eager is of how many runs a worker that begins asks the broker whether they are trained. In a
// farm of more it waits to hear of them: a live trainer renews its lease several times a term,
// and a thousand workers that ask about a hundred runs keep a broker busy for minutes.
const eager = 16

// listed is how many runs' names may be listed every Options.Discover; more are listed seldomer.
const listed = 8

// drop ends a run at this worker: it is gone, or is another by now.
func (w *Worker) drop(bh *bulkhead) {
	w.forget(bh)
	bh.mu.Lock()
	bh.life.closes()
	bh.mu.Unlock()
	w.closeData(bh)
	wake(bh.news)
}

// wake wakes a listener that may be awake.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
