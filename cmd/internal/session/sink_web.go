package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/cmd/internal/sheet"
	"resslt/cmd/internal/web"
	"resslt/schemas"
	"resslt/train"
)

// page is the session's page in a browser, and what the page may ask of the session.
type page struct {
	*metrics // how far the session is, and its stream

	step     atomic.Int64
	progress atomic.Pointer[train.Progress] // of the newest logged step; nil before

	mu      sync.Mutex
	begun   bool        // the folder's files are the run's; guarded by mu
	steps   int64       // of the run; guarded by mu
	views   *viewKeeper // nil before; guarded by mu
	notices []string    // the newest last; guarded by mu
	farm    farmView    // guarded by mu
	closed  bool        // the stream is gone; guarded by mu
	asking  sync.WaitGroup

	ctx  context.Context // of what the broker is asked
	stop context.CancelFunc
	end  func() error // ends the server; nil without one
}

// farmView is what the broker said last.
type farmView struct {
	asking   bool
	at       time.Time
	workers  []runs.Heartbeat
	buffered int64
}

const (
	farmEvery    = 5 * time.Second // between two questions to the broker
	farmPatience = 2 * time.Second
	mostNotices  = 5
)

// servePage begins to serve the page at the flag's address, if there is one, and prints where. The
// caller closes it.
func servePage(o *Options, out string, m *metrics, c *console) (*page, error) {
	p := &page{metrics: m}
	p.ctx, p.stop = context.WithCancel(context.Background())
	if o.Web == "" {
		return p, nil
	}
	s, err := web.Listen(web.Options{Addr: o.Web, Token: web.TokenOf(), Own: &web.Own{Folder: out, Live: p}, Log: c.log})
	if err != nil {
		return nil, err
	}
	c.print("page    " + s.URL())
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	p.end = func() error { stop(); return <-served }
	return p, nil
}

// close ends the server, and gives its error where it ended by itself.
func (p *page) close() error {
	p.stop()
	if p.end == nil {
		return nil
	}
	return p.end()
}

// watching shows the training on the session's page. It only notes: what a page costs is paid where
// somebody looks at it, and not by the training loop.
func watching(_ context.Context, l *leader, _ *schemas.RunInfo) (*subscriber, error) {
	p := l.page
	if p.end == nil {
		return nil, nil
	}
	views := &viewKeeper{spec: &l.plan.Spec}
	return &subscriber{
		batches: views,
		started: func(context.Context) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.begun, p.views, p.steps = true, views, l.plan.Spec.Steps()
			return nil
		},
		step: func(s train.Progress) {
			p.step.Store(s.Step)
			if s.Logged {
				logged := s // kept on the heap, as no other step is
				p.progress.Store(&logged)
			}
		},
		notice: p.note,
		ended:  p.leaveStream,
	}, nil
}

// note keeps a notice for the page.
func (p *page) note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notices = append(p.notices, text)
	if n := len(p.notices); n > mostNotices {
		p.notices = append([]string{}, p.notices[n-mostNotices:]...)
	}
}

// leaveStream is the last moment of the stream: nobody asks of it after that.
func (p *page) leaveStream() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.asking.Wait() // its questions end with their context
}

// Now is the moment of the run, for the page.
func (p *page) Now() web.Now {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := web.Now{Phase: p.phaseName(), Begun: p.begun, Step: p.step.Load(), Steps: p.steps, Notices: append([]string{}, p.notices...)}
	if s := p.progress.Load(); s != nil {
		now.Remaining = s.Remaining
	}
	if s := p.source.Load(); s != nil && p.begun && !p.closed {
		p.askFarm(s.run)
		now.Queue = &web.Queue{Stats: s.input.Stats(), Window: s.run.Window(), Buffered: p.farm.buffered}
		now.Workers = p.farm.workers
	}
	return now
}

// askFarm asks the broker of the workers, where the last answer is old; nobody waits for it. The
// caller holds mu.
func (p *page) askFarm(run *runs.Run) {
	if p.farm.asking || time.Since(p.farm.at) < farmEvery {
		return
	}
	p.farm.asking = true
	next := p.source.Load().input.Stats().Next
	p.asking.Go(func() {
		ctx, cancel := context.WithTimeout(p.ctx, farmPatience)
		defer cancel()
		workers, err := run.Workers(ctx)
		buffered, berr := run.Buffered(ctx, next, run.Window())
		p.mu.Lock()
		defer p.mu.Unlock()
		p.farm.asking, p.farm.at = false, time.Now()
		if err == nil { // else the last answer stays, and its heartbeats grow old
			p.farm.workers = workers
		}
		if berr == nil {
			p.farm.buffered = buffered
		}
	})
}

// Views are samples of a step that was handed out lately.
func (p *page) Views() *web.Views {
	p.mu.Lock()
	views := p.views
	p.mu.Unlock()
	if views == nil {
		return nil
	}
	views.wanted.Store(true)
	return views.newest.Load()
}

// viewKeeper copies a few rows of a step where they are wanted. Without that it costs a look at a
// flag for each chunk.
type viewKeeper struct {
	spec   *schemas.RunSpec
	wanted atomic.Bool
	next   atomic.Pointer[web.Views] // of a step that was not handed out yet
	newest atomic.Pointer[web.Views]
}

// Chunk copies the rows of a wanted step's first chunk.
func (k *viewKeeper) Chunk(_ context.Context, c *wire.Chunk) error {
	if c.Index != 0 || c.Tombstone != "" || k.next.Load() != nil || !k.wanted.CompareAndSwap(true, false) {
		return nil
	}
	slots, err := sheet.Slots(k.spec, c, 0, web.ShownSlots)
	if err == nil && len(slots) > 0 { // plans that cannot be read are no reason to stop
		k.next.Store(&web.Views{Of: k.spec.Views, Slots: slots})
	}
	return nil
}

// Step shows what was copied, once its step is handed out.
func (k *viewKeeper) Step(step int64) error {
	if v := k.next.Load(); v != nil && v.Slots[0].Step <= step {
		k.newest.Store(v)
		k.next.Store(nil)
	}
	return nil
}

var (
	_ stream.Recorder = (*viewKeeper)(nil)
	_ web.Live        = (*page)(nil)
)
