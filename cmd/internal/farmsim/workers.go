package farmsim

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"resslt/batcher/broker"
	"resslt/batcher/produce"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/ingest"
	"resslt/schemas"
)

// Crew is the workers of one process.
type Crew struct {
	URL   string
	Keys  string // folder; empty: a token
	Name  string // of the process: the workers' begin with it
	N     int
	Slots int
	Cost  time.Duration // of a chunk
	// Retry is when a worker that the broker did not take tries again, as its supervisor would
	// have it.
	Retry time.Duration
}

// CrewState is what a crew says of itself, a line each second.
type CrewState struct {
	Connected int     `json:"connected"`      // workers that serve
	Failed    int64   `json:"failed"`         // connections that were given up, in all
	Why       string  `json:"why,omitempty"`  // the last of these
	Said      int64   `json:"said"`           // by workers: runs refused, tasks sent back
	Last      string  `json:"last,omitempty"` // the last of these
	Lost      int64   `json:"lost"`           // connections that broke
	Chunks    int64   `json:"chunks"`
	Again     int64   `json:"again"` // tasks that had been out before
	Idle      int     `json:"idle"`  // connected workers that never made a chunk
	Seconds   float64 `json:"seconds"`
}

// Work runs the crew until ctx ends, and writes its state as JSON lines.
func (c *Crew) Work(ctx context.Context, w io.Writer) error {
	var (
		wg            sync.WaitGroup
		mu            sync.Mutex
		all           []*worker.Worker // guarded by mu
		failed, lost  atomic.Int64
		said          atomic.Int64
		why, lastSaid atomic.Value
		began         = time.Now()
	)
	for i := range c.N {
		wg.Go(func() {
			for ctx.Err() == nil {
				err := c.one(ctx, i, func(w *worker.Worker) {
					mu.Lock()
					defer mu.Unlock()
					all = append(all, w)
				}, func(err error) { said.Add(1); lastSaid.Store(err.Error()) }, func() { lost.Add(1) })
				if err != nil && ctx.Err() == nil {
					failed.Add(1)
					why.Store(err.Error())
					sleep(ctx, c.Retry)
				}
			}
		})
	}
	out := bufio.NewWriter(w)
	state := func() error {
		mu.Lock()
		s := CrewState{Connected: len(all), Failed: failed.Load(), Lost: lost.Load(), Said: said.Load(), Seconds: time.Since(began).Seconds()}
		for _, w := range all {
			st := w.Stats()
			s.Chunks += st.Chunks
			s.Again += st.Redelivered
			if st.Chunks == 0 {
				s.Idle++
			}
		}
		mu.Unlock()
		s.Why, _ = why.Load().(string)
		s.Last, _ = lastSaid.Load().(string)
		if err := json.NewEncoder(out).Encode(s); err != nil {
			return err
		}
		return out.Flush()
	}
	var err error
	for ctx.Err() == nil && err == nil {
		sleep(ctx, time.Second)
		err = state()
	}
	wg.Wait()
	return err
}

// one connects a worker and has it serve every run.
func (c *Crew) one(ctx context.Context, i int, ready func(*worker.Worker), report func(error), lost func()) error {
	o := login(c.URL, c.Keys, broker.RoleWorker)
	o.Report = func(what string) {
		if strings.Contains(what, " lost") {
			lost()
		}
	}
	nc, js, err := broker.Connect(ctx, o)
	if err != nil {
		return err
	}
	defer nc.Close()
	w, err := worker.New(js, worker.Options{
		Name: fmt.Sprintf("%s-%d", c.Name, i), Workers: c.Slots, Report: report, Grace: time.Second,
		Open: func(_ context.Context, info *schemas.RunInfo) (produce.Source, error) {
			order, err := ingest.OpenOrder(&info.Spec)
			return &source{order: order, cost: c.Cost, chunk: info.Spec.ChunkSamples}, err
		},
	})
	if err != nil {
		return err
	}
	ready(w)
	return w.Serve(ctx)
}

// source has views that are a function of sample and epoch, and cost a sleep a chunk.
type source struct {
	order wire.Order
	cost  time.Duration
	chunk int // samples
}

func (s *source) Order() wire.Order                { return s.order }
func (s *source) NewMaker() (produce.Maker, error) { return &maker{s}, nil }
func (s *source) Close() error                     { return nil }

type maker struct{ *source }

// Make fills the views; the chunk's cost is slept away ahead of its first row.
func (m *maker) Make(ctx context.Context, row wire.TaskRow, dst, plans [][]byte) (produce.Made, error) {
	if int(row.Slot)%m.chunk == 0 {
		sleep(ctx, m.cost)
	}
	if err := ctx.Err(); err != nil {
		return produce.Made{}, err
	}
	for v := range dst {
		for i := range dst[v] {
			dst[v][i] = byte(row.Sample) + byte(row.Epoch) + byte(i)
		}
		plans[v] = binary.LittleEndian.AppendUint64(plans[v], uint64(row.Sample))
	}
	return produce.Made{Label: schemas.NoLabel}, nil
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
