package session

import (
	"context"
	"errors"

	"resslt/batcher/record"
	"resslt/schemas/errs"
)

// recorded reads the batches that a run has recorded, from files or from a broker.
type recorded struct {
	noBroker
	opts *Options
}

func newRecorded(o *Options, rec *Recording) (source, error) {
	if o.Audit > 0 {
		return nil, errors.Join(errs.New("", "--audit", "prove the record by `resslt record verify --remake N` on its folder, and replay it without --audit",
			errs.Because(errs.ErrUsage, "a replay of pixels has no worker to catch")), rec.Close())
	}
	return &recorded{noBroker{rec}, o}, nil
}

// openRecordedStream opens the chunks of a run that the broker keeps.
func openRecordedStream(ctx context.Context, o *Options, c *console, run string) (source, error) {
	js, err := connectTrainer(ctx, o, c)
	if err != nil {
		return nil, err
	}
	rec, err := OpenStored(ctx, js, run)
	if err != nil {
		return nil, err
	}
	return newRecorded(o, rec)
}

func (s *recorded) describe(*Plan) string { return s.opts.Replay }

func (s *recorded) open(_ context.Context, c *consumer) (batches, error) {
	st, err := record.ReplayPart(s.recording.Source(), c.plan.From(), c.part, c.recorder)
	if err != nil {
		return nil, err
	}
	if js := s.recording.js; js != nil {
		c.metrics.connection(js)
	}
	return recordedStream{st}, nil
}

type recordedStream struct{ *record.Stream }

func (recordedStream) finish(context.Context) error { return nil }
