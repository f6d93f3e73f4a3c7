package session

import (
	"context"
	"path/filepath"
	"sync"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/online"
	"resslt/cmd/internal/tensorboard"
	"resslt/cmd/internal/track"
	"resslt/schemas"
	"resslt/train"
)

// tensorboardFolder holds a run's event files.
const tensorboardFolder = "tb"

// plotting writes TensorBoard's events: the training's scalars, and the encoder's scores while
// it trains.
func plotting(_ context.Context, l *leader, _ *schemas.RunInfo) (*subscriber, error) {
	p := &curves{console: l.console}
	return &subscriber{
		started: func(context.Context) (err error) {
			p.events, err = tensorboard.Open(filepath.Join(l.plan.Out, tensorboardFolder), l.plan.From()+1)
			return err
		},
		step:   p.step,
		scored: func(s online.Scores) { p.write(s.Step, s.Scalars()...) },
		ended:  p.close,
	}, nil
}

// curves writes scalars. An error in writing is printed once, and is no reason to stop
// training. It is safe for concurrent use: scores come from another goroutine.
type curves struct {
	*console

	mu     sync.Mutex
	events *tensorboard.Writer // nil before the training starts
	failed bool                // guarded by mu
}

// step writes the scalars of a step that was logged.
func (c *curves) step(p train.Progress) {
	if !p.Logged {
		return
	}
	line := p.Line()
	c.write(p.Step, track.Scalars(&line)...)
}

func (c *curves) write(step int64, values ...tensorboard.Scalar) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed {
		return
	}
	if err := c.events.Scalars(step, values...); err != nil {
		c.fail(err)
	}
}

// fail prints why there are no more curves. The caller holds mu.
func (c *curves) fail(err error) {
	c.failed = true
	c.interject("warning: " + cli.Line(err))
}

func (c *curves) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events == nil {
		return
	}
	if err := c.events.Close(); err != nil && !c.failed {
		c.fail(err)
	}
}
