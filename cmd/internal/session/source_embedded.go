package session

import (
	"context"
	"errors"

	"resslt/cmd/internal/supply"
	"resslt/schemas"
)

// embedded makes the batches in this process: a broker and a worker live as long as the
// stream. Where the broker listens, workers elsewhere may help.
type embedded struct {
	noBroker
	*console
	opts *Options

	supply *supply.Embedded // nil before begin
}

func (s *embedded) describe(*Plan) string {
	return "this process's workers"
}

// begin starts the broker, creates the run and prepares the worker.
func (s *embedded) begin(ctx context.Context, c *consumer) (*schemas.RunInfo, error) {
	o := supply.EmbeddedOptions{
		Name: "resslt run", Spec: c.plan.Spec, Run: runOptions(s.opts, c.plan), Workers: c.plan.Workers, Listen: s.opts.Listen,
		StoreTimeout: s.opts.StoreTimeout, Registry: c.metrics.registry, Print: s.print,
	}
	if s.recording != nil {
		o.Plans = s.recording.Plans
	}
	e, err := supply.OpenEmbedded(ctx, o)
	if err != nil {
		return nil, err
	}
	s.supply = e
	return &e.Run().Info, nil
}

// open lets the worker begin and consumes what it makes.
func (s *embedded) open(ctx context.Context, c *consumer) (batches, error) {
	st, err := s.supply.Open(ctx, streamOptions(s.opts, c))
	if err != nil {
		return nil, errors.Join(err, s.supply.Close())
	}
	c.metrics.connection(s.supply.Run().JetStream())
	c.metrics.stream(s.supply.Run(), st)
	return &embeddedStream{st, s.supply}, nil
}

func (s *embedded) delivered(context.Context) (delivery, error) {
	return delivery{redelivered: s.supply.Redelivered(), engineTier: s.supply.Tier()}, nil
}

func (s *embedded) close() (err error) {
	if s.supply != nil {
		err = s.supply.Close()
	}
	return errors.Join(err, s.noBroker.close())
}

// embeddedStream ends worker and broker with itself: what follows needs their memory and cores.
type embeddedStream struct {
	supply.Stream
	supply *supply.Embedded
}

func (s *embeddedStream) finish(context.Context) error { return nil }

func (s *embeddedStream) Close() error { return errors.Join(s.Stream.Close(), s.supply.Close()) }
