package session

import (
	"context"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/online"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// scoring scores the encoder while it trains, and tells the other subscribers. It is the last
// of the sinks: it is the first to hear that the training has ended, and the others hear of the
// scores that were still due then.
func scoring(ctx context.Context, l *leader, _ *schemas.RunInfo) (*subscriber, error) {
	r := l.plan.Recipe
	if r.KNNEvery == 0 && r.LinearEvery == 0 {
		return nil, nil
	}
	why, hold, err := unfitForProbes(ctx, r)
	if err != nil {
		return nil, err
	}
	if why != "" && r.StopOn != "" {
		return nil, errs.New("stop on", r.StopOn, "set stop_on to nothing, or give labelled images", errs.Because(errs.ErrUsage, why))
	}
	if why != "" {
		l.print("no scores while training: " + why)
		return nil, nil
	}
	s := &subscriber{}
	var e *online.Evaluator // nil before the training starts
	giveUp := func() {}
	s.started = func(ctx context.Context) (err error) {
		// Nobody waits for the scores of a training that has failed.
		ctx, giveUp = context.WithCancel(ctx)
		e, err = online.Start(ctx, online.Options{
			Recipe: r, HoldOut: hold, Out: l.plan.Out, From: l.plan.From(), Scored: l.scored, Note: l.interject,
			Warn: func(err error) { l.interject("warning: " + cli.Line(err)) },
		})
		if err == nil {
			s.encoder, s.score = e.Take, e.Score
		}
		return err
	}
	s.failed = func() { giveUp() }
	s.ended = func() {
		if e != nil {
			e.Close()
		}
		giveUp()
	}
	return s, nil
}
