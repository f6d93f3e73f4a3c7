package supply

import (
	"context"

	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/cmd/internal/pipeline"
	"resslt/schemas"

	"github.com/nats-io/nats.go/jetstream"
)

// Supply is a run that is open somewhere.
type Supply interface {
	Run() *runs.Run
	// Open opens a stream of the run's batches; several may be open, each under a name of its
	// own. The caller closes it before the supply.
	Open(ctx context.Context, o stream.Options) (Stream, error)
	Close() error
}

// Stream hands out batches. It is a *stream.Stream, and may know more of why no batch comes.
type Stream interface {
	Next(ctx context.Context) (*schemas.Batch, error)
	Done(next int64)
	Lacks(ctx context.Context) string
	Stats() stream.Stats
	Close() error
}

// Farm is a run in a farm's broker, where augmentd workers elsewhere put its batches.
type Farm struct {
	run *runs.Run
}

// OpenFarm creates the run, or joins the one of equal spec. The connection ends with the
// supply. Errors are those of runs.Open.
func OpenFarm(ctx context.Context, js jetstream.JetStream, name string, spec schemas.RunSpec, o runs.Options) (*Farm, error) {
	run, err := runs.Open(ctx, js, name, spec, o)
	if err != nil {
		return nil, err
	}
	return &Farm{run: run}, nil
}

// Run is the run in the broker.
func (f *Farm) Run() *runs.Run { return f.run }

// Open opens a stream of the run's batches.
func (f *Farm) Open(ctx context.Context, o stream.Options) (Stream, error) {
	s, err := f.OpenStream(ctx, o)
	if err != nil {
		return nil, err // not a Stream that is nil
	}
	return s, nil
}

// OpenStream is Open for who also seals the stream.
func (f *Farm) OpenStream(ctx context.Context, o stream.Options) (*stream.Stream, error) {
	return openStream(ctx, f.run, nil, o)
}

// Close ends the connection.
func (f *Farm) Close() error {
	f.run.JetStream().Conn().Close()
	return nil
}

// openStream opens a stream, with the order that the run's spec names where none is given.
func openStream(ctx context.Context, run *runs.Run, order wire.Order, o stream.Options) (_ *stream.Stream, err error) {
	if order == nil {
		if order, err = pipeline.Order(run.Spec()); err != nil {
			return nil, err
		}
	}
	return stream.Open(ctx, run, order, o)
}
