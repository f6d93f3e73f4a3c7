package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/tensorboard"
	"resslt/train"
)

// tensorboardFolder holds a run's event files.
const tensorboardFolder = "tb"

// curves are the scalars of a run for those who look on: TensorBoard's events,
// and the kNN score of snapshots. That they cannot be written is said once, and
// is no reason to stop training.
type curves struct {
	stderr io.Writer
	probe  *knnProbe // nil: none
	giveUp context.CancelFunc

	mu     sync.Mutex // the probe writes from its own goroutine
	tb     *tensorboard.Writer
	failed bool // guarded by mu
}

// newCurves begins the curves of a session that makes step from+1 first.
func (s *session) newCurves(ctx context.Context, from int64) (*curves, error) {
	c := &curves{stderr: s.stderr}
	ctx, c.giveUp = context.WithCancel(ctx)
	tb, err := tensorboard.Open(filepath.Join(s.out, tensorboardFolder), from+1)
	if err != nil {
		c.giveUp()
		return nil, err
	}
	c.tb = tb
	if s.recipe.KNNEvery > 0 {
		if c.probe, err = s.newKNNProbe(ctx, from, c); err != nil {
			c.giveUp()
			return nil, errors.Join(err, tb.Close())
		}
	}
	return c, nil
}

// observe takes in a step that was done, if it was logged.
func (c *curves) observe(p train.Progress) {
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
	f := p.Stats.Figures()
	for _, v := range []struct {
		tag   string
		value *float64
	}{
		{"loss/relation", f.Relation},
		{"loss/infonce", f.InfoNCE},
		{"loss/cosine", f.Cosine},
		{"collapse/embedding_std", f.EmbeddingStd},
		{"collapse/target_entropy", f.TargetEntropy},
		{"collapse/agreement", f.Agreement},
		{"collapse/similarity", f.Similarity},
	} {
		if v.value != nil { // the objective has it
			values = append(values, tensorboard.Scalar{Tag: v.tag, Value: *v.value})
		}
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
	if err := c.tb.Scalars(step, values...); err != nil {
		c.failed = true
		c.warn(err)
	}
}

// warn says what went wrong beside the training, which goes on.
func (c *curves) warn(err error) { fmt.Fprintln(c.stderr, "\nwarning: "+cli.Line(err)) }

// snapshot is what the loop is given; nil where nobody wants snapshots.
func (c *curves) snapshot() func(train.EncoderSnapshot) error {
	if c.probe == nil {
		return nil
	}
	return c.probe.take
}

// close waits for the probe, unless it was given up, and closes the event file.
func (c *curves) close() {
	defer c.giveUp()
	if c.probe != nil {
		c.probe.close()
	}
	if err := c.tb.Close(); err != nil && !c.failed {
		c.warn(err)
	}
}
