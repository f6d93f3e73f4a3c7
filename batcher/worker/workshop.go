package worker

import (
	"sync"
	"sync/atomic"
	"time"

	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/wire"

	"github.com/nats-io/nats.go/jetstream"
)

// workshop is where a run's chunks are made: its open data, its queue, and benches.
type workshop struct {
	w       *Worker
	bh      *bulkhead
	run     *runs.Run
	source  produce.Source
	account account      // of Worker.turns
	busy    atomic.Int64 // UnixNano of the last task, or of the beginning

	mu       sync.Mutex
	consumer jetstream.Consumer // of the run's tasks, nil while it is not known; guarded by mu
	ackWait  time.Duration      // of consumer; guarded by mu
	stood    time.Duration      // how long the last request for a task stood; guarded by mu
	shunned  time.Duration      // how long it was left alone last, for its queue was full; guarded by mu
	free     []*bench           // guarded by mu
	makers   int                // of the source that are not closed; guarded by mu
	shut     bool               // no bench is given out any more; guarded by mu
	over     bool               // the source is closed, or is being closed; guarded by mu
}

// bench is what a chunk is made on. One goroutine has it at a time.
type bench struct {
	maker   produce.Maker
	encoder *wire.Encoder
	chunk   *wire.Chunk
}

func newWorkshop(w *Worker, bh *bulkhead, src produce.Source) *workshop {
	ws := &workshop{w: w, bh: bh, run: bh.run, source: src}
	ws.touch()
	return ws
}

func (ws *workshop) touch() { ws.busy.Store(time.Now().UnixNano()) }

// idle is how long the run had no task.
func (ws *workshop) idle() time.Duration { return time.Since(time.Unix(0, ws.busy.Load())) }

// tasks gives the consumer of the run's queue, nil while it is not known, and its ack wait.
func (ws *workshop) tasks() (jetstream.Consumer, time.Duration) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.consumer, ws.ackWait
}

// found sets the consumer of the run's queue.
func (ws *workshop) found(c jetstream.Consumer) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.consumer, ws.ackWait, ws.stood = c, c.CachedInfo().Config.AckWait, 0
}

// lost has the keeper look the queue up again: the trainer may have made another.
func (ws *workshop) lost() {
	ws.mu.Lock()
	ws.consumer = nil
	ws.mu.Unlock()
	wake(ws.bh.news)
}

// take gives a bench, nil where the data are closed. The caller gives it back by put.
func (ws *workshop) take() (*bench, error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.shut {
		return nil, nil
	}
	if n := len(ws.free); n > 0 {
		b := ws.free[n-1]
		ws.free = ws.free[:n-1]
		return b, nil
	}
	maker, err := ws.source.NewMaker()
	if err != nil {
		return nil, err
	}
	ws.makers++
	return &bench{maker: maker, encoder: wire.NewEncoder(ws.run.Spec()), chunk: wire.NewChunk(ws.run.Spec())}, nil
}

func (ws *workshop) put(b *bench) {
	ws.mu.Lock()
	shut := ws.shut
	if !shut {
		ws.free = append(ws.free, b)
	}
	ws.mu.Unlock()
	if shut {
		ws.w.crew.run(func() { ws.closeMakers([]*bench{b}) })
	}
}

// close closes the data, as soon as no bench is in use. It does not wait.
func (ws *workshop) close() {
	ws.mu.Lock()
	free := ws.free
	ws.shut, ws.free = true, nil
	ws.mu.Unlock()
	ws.w.crew.run(func() { ws.closeMakers(free) })
}

// closeMakers closes the makers of some benches, and the source after the last one of all: a
// maker's Close may need what the source has. Several may run at once.
func (ws *workshop) closeMakers(of []*bench) {
	for _, b := range of {
		if err := b.maker.Close(); err != nil {
			ws.w.opts.Report(err)
		}
	}
	ws.mu.Lock()
	ws.makers -= len(of)
	last := ws.makers == 0 && !ws.over
	ws.over = ws.over || last
	ws.mu.Unlock()
	if last {
		ws.w.closeSource(ws.source)
	}
}
