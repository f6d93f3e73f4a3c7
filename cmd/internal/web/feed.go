package web

import (
	"context"
	"hash/maphash"
	"html/template"
	"sync"
	"time"
)

// part is a piece of a view, at its place in the page by its id.
type part struct {
	id   string
	html template.HTML
	sum  uint64 // of html; set by the feed
}

// view renders what a page shows. One goroutine uses it.
type view interface {
	// look gives all parts in order, and whether one may have changed since the look before.
	look(ctx context.Context) (parts []part, changed bool)
}

const (
	restLeast = time.Second
	restMost  = 5 * time.Second
	restRatio = 50 // a feed rests so many times as long as it works: 2 % of a core
)

var seed = maphash.MakeSeed()

// feed renders a view while somebody looks at it.
type feed struct {
	cancel context.CancelFunc
	ended  chan struct{} // closed with the feed's last look

	lookers int // guarded by feeds.mu

	mu     sync.Mutex
	parts  []part        // the newest; guarded by mu
	newer  chan struct{} // closed when there are newer ones; guarded by mu
	looked bool          // guarded by mu
}

// feeds are those that somebody looks at, by what they show.
type feeds struct {
	ctx context.Context // ends with the server

	mu   sync.Mutex
	open map[string]*feed // guarded by mu
	done sync.WaitGroup   // of their goroutines
}

// join gives the feed of a view, which of makes for the first who looks, nil where the server has
// closed. The caller leaves it.
func (s *feeds) join(name string, of func() view) *feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil
	}
	f := s.open[name]
	if f == nil {
		ctx, cancel := context.WithCancel(s.ctx)
		f = &feed{cancel: cancel, ended: make(chan struct{}), newer: make(chan struct{})}
		if s.open == nil {
			s.open = map[string]*feed{}
		}
		s.open[name] = f
		s.done.Go(func() { f.run(ctx, s.ctx, of()) })
	}
	f.lookers++
	return f
}

// leave is called once for each join.
func (s *feeds) leave(name string, f *feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.lookers--; f.lookers == 0 {
		f.cancel()
		delete(s.open, name)
	}
}

// wait waits, once the server's context has ended, until all have.
func (s *feeds) wait() {
	s.mu.Lock() // who joins now is refused
	all := &s.done
	s.mu.Unlock()
	all.Wait()
}

// run looks again and again until ctx ends. Where that is the server's end it looks once more: what
// a run has left then is the most that there is to see.
func (f *feed) run(ctx, server context.Context, v view) {
	defer close(f.ended)
	for {
		began := time.Now()
		f.publish(v.look(ctx))
		rest := time.NewTimer(min(max(restLeast, restRatio*time.Since(began)), restMost))
		select {
		case <-rest.C:
		case <-ctx.Done():
			rest.Stop()
			if server.Err() != nil {
				f.publish(v.look(context.WithoutCancel(ctx)))
			}
			return
		}
	}
}

func (f *feed) publish(parts []part, changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.looked && !changed {
		return
	}
	for i := range parts {
		parts[i].sum = maphash.String(seed, string(parts[i].html))
	}
	f.parts, f.looked = parts, true
	close(f.newer)
	f.newer = make(chan struct{})
}

// newest gives the newest parts, nil before the first look, and what is closed when there are
// newer ones.
func (f *feed) newest() ([]part, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.parts, f.newer
}
