package session

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/record"
	"resslt/schemas/errs"
)

// recorded reads the batches that a run has recorded, from files or from a broker.
type recorded struct {
	noBroker
	opts *Options
	js   jetstream.JetStream // nil of a folder's
}

func newRecorded(o *Options, rec *Recording) (*recorded, error) {
	if o.Audit > 0 {
		return nil, errors.Join(errs.New("", "--audit", "prove the record by `resslt record verify --remake N` on its folder, and replay it without --audit",
			errs.Because(errs.ErrUsage, "a replay of pixels has no worker to catch")), rec.Close())
	}
	return &recorded{noBroker: noBroker{rec}, opts: o}, nil
}

// openRecordedStream opens the chunks of a run that the broker keeps.
func openRecordedStream(ctx context.Context, o *Options, c *console, run string) (source, error) {
	js, err := connectTrainer(ctx, o, c)
	if err != nil {
		return nil, err
	}
	rec, err := OpenStored(ctx, js, run)
	if err != nil {
		js.Conn().Close()
		return nil, err
	}
	s, err := newRecorded(o, rec)
	if err != nil {
		js.Conn().Close()
		return nil, err
	}
	s.js = js
	return s, nil
}

func (s *recorded) describe(*Plan) string { return s.opts.Replay }

func (s *recorded) open(_ context.Context, c *consumer) (stream, error) {
	st, err := record.ReplayPart(s.recording.Source(), c.plan.From(), c.part, c.recorder)
	if err != nil {
		return nil, err
	}
	if s.js != nil {
		c.metrics.connection(s.js)
	}
	return recordedStream{st}, nil
}

func (s *recorded) close() error {
	if s.js != nil {
		s.js.Conn().Close()
	}
	return s.noBroker.close()
}

type recordedStream struct{ *record.Stream }

func (recordedStream) finish(context.Context) error { return nil }
