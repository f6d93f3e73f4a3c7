package farmsim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// trainer takes a run's batches as fast as they come, or a step each Options.Step.
type trainer struct {
	run    *runs.Run
	stream *stream.Stream
	steps  atomic.Int64
	pause  *atomic.Bool // take none meanwhile

	mu   sync.Mutex
	last time.Time     // of the newest step; guarded by mu
	gap  time.Duration // the longest since reset; guarded by mu
}

func (t *trainer) step() {
	t.steps.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if !t.last.IsZero() {
		t.gap = max(t.gap, now.Sub(t.last))
	}
	t.last = now
}

// longest is the longest time without a step since reset, the present one among them.
func (t *trainer) longest() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(t.gap, time.Since(t.last))
}

func (t *trainer) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gap, t.last = 0, time.Now()
}

// openRuns opens every run; the first ones get trainers.
func (o *Options) openRuns(ctx context.Context, js jetstream.JetStream) ([]*runs.Run, error) {
	var out []*runs.Run
	for i := range o.Runs {
		opts := runs.Options{DataURI: "folder:/none", AckWait: o.AckWait}
		if i >= o.Trainers {
			opts.MaxBytes = 16 << 20 // nothing comes into it, and a hundred of these are to fit
		}
		run, err := runs.Open(ctx, js, runName(i), o.spec(i), opts)
		if err != nil {
			return nil, err
		}
		out = append(out, run)
		if i < o.Trainers {
			continue
		}
		// It had a trainer, which left.
		note := fmt.Appendf(nil, `{"id":"farmsim","trainer":"trainer","term":%d,"left":true}`, time.Second)
		if _, err := js.Publish(ctx, schemas.TrainerSubject(run.Name, "trainer"), note); err != nil {
			return nil, errs.New("open run", run.Name, "", errs.BecauseErr(errs.ErrUnavailable, err))
		}
	}
	return out, nil
}

// startTrainers opens a stream of each of the first runs, over a connection of its own.
func (o *Options) startTrainers(ctx context.Context, g *errgroup.Group, url string, pause *atomic.Bool) ([]*trainer, error) {
	var out []*trainer
	for i := range o.Trainers {
		nc, js, err := broker.Connect(ctx, login(url, o.Keys, broker.RoleTrainer))
		if err != nil {
			return nil, err
		}
		run, err := runs.Lookup(ctx, js, runName(i))
		if err != nil {
			nc.Close()
			return nil, err
		}
		spec := o.spec(i)
		order, err := ingest.OpenOrder(&spec)
		if err != nil {
			nc.Close()
			return nil, err
		}
		s, err := stream.Open(ctx, run, order, stream.Options{StallTimeout: -1})
		if err != nil {
			nc.Close()
			return nil, err
		}
		t := &trainer{run: run, stream: s, pause: pause}
		out = append(out, t)
		g.Go(func() error {
			defer nc.Close()
			defer s.Close()
			return t.train(ctx, o.Step)
		})
	}
	return out, nil
}

func (t *trainer) train(ctx context.Context, step time.Duration) error {
	for ctx.Err() == nil {
		if t.pause.Load() {
			sleep(ctx, 20*time.Millisecond)
			continue
		}
		b, err := t.stream.Next(ctx)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, context.Canceled) {
				return nil //nolint:nilerr // the simulation is over
			}
			return fmt.Errorf("%s after %d steps: %w", t.run.Name, t.steps.Load(), err)
		}
		b.Release()
		t.step()
		sleep(ctx, step)
	}
	return nil
}

func totalSteps(ts []*trainer) (n int64) {
	for _, t := range ts {
		n += t.steps.Load()
	}
	return n
}

// gaps are the trainers' longest times without a step since reset, ascending.
func gaps(ts []*trainer) []float64 {
	var out []float64
	for _, t := range ts {
		out = append(out, round(t.longest().Seconds()))
	}
	slices.Sort(out)
	return out
}
