package session

import (
	"context"
	"errors"

	"resslt/train"
)

// follow runs the session of a rank other than 0: it trains on its rows of the batches,
// writes nothing, and prints what is wrong on its machine.
func follow(ctx context.Context, o *Options, g *group, c *console) (err error) {
	defer g.free()
	src, err := openSource(ctx, o, c)
	if err != nil {
		return err
	}
	defer closing(&err, src.close)
	p, err := newPlan(o)
	if err != nil {
		return err
	}
	err = p.decide(ctx, o, src, g.cores(), nil)
	for _, w := range p.LocalWarnings {
		c.print(w)
	}
	if err != nil || p.Trained() { // rank 0 evaluates
		return err
	}
	if err := src.connect(ctx); err != nil {
		return err
	}
	// Shared folders show files late: rank 0 may have seen the last checkpoint already, and will
	// not join then.
	trained, err := g.join(ctx, p.Recipe.Device, func() bool { return trainedSince(p) })
	if err != nil || trained {
		return err
	}
	t := &consumer{
		plan: p, trainer: g.part().Trainer(o.Trainer), part: g.part(), metrics: newMetrics(),
		inTurn: func(what string, open func(first bool) error) error {
			if err := g.await(what); err != nil {
				return err
			}
			return open(false)
		},
	}
	if _, err := src.begin(ctx, t); err != nil {
		return err
	}
	stream, err := src.open(ctx, t)
	if err != nil {
		return err
	}
	return errors.Join(trainAlong(ctx, p, stream, g, c), stream.Close())
}

// trainedSince reports whether the newest checkpoint of a run that is resumed is now the last.
func trainedSince(p *Plan) bool {
	if p.Resume == nil {
		return false
	}
	c, _, err := train.LatestCheckpoint(train.CheckpointDir(p.Out))
	return err == nil && c.Step >= p.Spec.Steps() // what cannot be read now may be later
}

// trainAlong makes the run's remaining steps with the group.
func trainAlong(ctx context.Context, p *Plan, stream batches, g *group, c *console) error {
	res, err := train.Run(ctx, g.options(train.Options{
		Recipe: p.Recipe, Spec: &p.Spec, Stream: stream, Out: p.Out, Resume: p.Resume,
		Notice: func(text string) { c.interject("notice: " + text) },
	}))
	if err != nil {
		g.free()
		return err
	}
	res.Learner.Free()
	return g.leave()
}
