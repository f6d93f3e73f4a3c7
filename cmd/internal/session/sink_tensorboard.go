package session

import (
	"context"
	"path/filepath"
	"sync"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/knnprobe"
	"resslt/cmd/internal/tensorboard"
	"resslt/schemas"
	"resslt/train"
)

// tensorboardFolder holds a run's event files.
const tensorboardFolder = "tb"

// plotting writes TensorBoard's events: the training's scalars, and kNN scores of the encoder
// while it trains.
func plotting(_ context.Context, l *leader, _ *schemas.RunInfo) (*subscriber, error) {
	p := &curves{console: l.console}
	s := &subscriber{step: p.step}
	var probe *knnprobe.Probe // nil: none
	giveUp := func() {}
	s.started = func(ctx context.Context) (err error) {
		// Nobody waits for the scores of a training that has failed.
		ctx, giveUp = context.WithCancel(ctx)
		if p.events, err = tensorboard.Open(filepath.Join(l.plan.Out, tensorboardFolder), l.plan.From()+1); err != nil {
			return err
		}
		if probe, err = l.startProbe(ctx, p); probe != nil {
			s.encoder = probe.Take
		}
		return err
	}
	s.failed = func() { giveUp() }
	s.ended = func() {
		if probe != nil {
			probe.Close()
		}
		p.close()
		giveUp()
	}
	return s, nil
}

// startProbe starts the kNN probe; it gives nil where the recipe wants none or the data
// cannot be probed, and prints why.
func (l *leader) startProbe(ctx context.Context, p *curves) (*knnprobe.Probe, error) {
	r := l.plan.Recipe
	if r.KNNEvery == 0 {
		return nil, nil
	}
	why, hold, err := unfitForProbes(ctx, r)
	if err != nil {
		return nil, err
	}
	if why != "" {
		l.print("no kNN score while training: " + why)
		return nil, nil
	}
	return knnprobe.Start(ctx, knnprobe.Options{
		Recipe: r, HoldOut: hold, Out: l.plan.Out, From: l.plan.From(), Plot: p.write, Note: l.interject,
		Warn: func(err error) { l.interject("warning: " + cli.Line(err)) },
	})
}

// curves writes scalars. An error in writing is printed once, and is no reason to stop
// training. It is safe for concurrent use: the probe writes, too.
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
	values := []tensorboard.Scalar{
		{Tag: "loss/total", Value: p.Stats.Loss},
		{Tag: "schedule/lr", Value: p.LR},
		{Tag: "schedule/m", Value: p.M},
		{Tag: "schedule/alpha", Value: p.Alpha},
		{Tag: "speed/images_per_second", Value: p.ImagesPerSecond},
		{Tag: "speed/data_wait_fraction", Value: p.WaitFraction},
		{Tag: "progress/epoch", Value: p.Epoch},
	}
	for _, f := range p.Stats.Shown() {
		values = append(values, tensorboard.Scalar{Tag: f.Tag, Value: f.Value})
	}
	for i, ms := range p.Phases.Values() {
		if ms > 0 {
			values = append(values, tensorboard.Scalar{Tag: "phase_ms/" + train.PhaseNames[i], Value: ms})
		}
	}
	c.write(p.Step, values...)
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
