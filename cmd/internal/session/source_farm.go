package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/cmd/internal/supply"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// farm takes the batches from a broker, where augmentd workers elsewhere put them. With a log
// they are checked against it.
type farm struct {
	noBroker
	*console
	opts *Options

	js  jetstream.JetStream // nil before connect
	run *supply.Farm        // nil before begin

	counted  delivery // set as the stream is closed
	countErr error
}

func (s *farm) describe(p *Plan) string {
	return "run " + p.Run + " from the farm: an augmentd must be running that can reach " + p.Recipe.Data
}

// continues says that the broker may hold more of what a worker has made.
func (s *farm) continues() bool { return !s.opts.Fresh }

// complete reports whether nothing is left to seal.
func (s *farm) complete(ctx context.Context, p *Plan) (bool, error) {
	if !p.Stream {
		return true, nil
	}
	if err := s.connect(ctx); err != nil || s.opts.Fresh {
		return false, err
	}
	return isSealed(ctx, s.js, p.Run)
}

// isSealed reports whether the run in the broker is a recording that is complete.
func isSealed(ctx context.Context, js jetstream.JetStream, name string) (bool, error) {
	run, err := runs.Lookup(ctx, js, name)
	if errors.Is(err, errs.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	stored, err := run.Stored(ctx)
	if errors.Is(err, errs.ErrNotFound) {
		return false, nil
	}
	return err == nil && stored.Sealed(), err
}

func (s *farm) connect(ctx context.Context) (err error) {
	if s.js == nil {
		s.js, err = connectTrainer(ctx, s.opts, s.console)
	}
	return err
}

// connectTrainer reaches the broker as a trainer. The caller closes the connection.
func connectTrainer(ctx context.Context, o *Options, c *console) (jetstream.JetStream, error) {
	_, js, err := o.Broker.Connect(ctx, "resslt train", broker.RoleTrainer, c.interject)
	return js, err
}

// begin creates the run, or joins the one of equal spec.
func (s *farm) begin(ctx context.Context, c *consumer) (*schemas.RunInfo, error) {
	name := c.plan.Run
	err := c.inTurn("run "+name, func(first bool) (err error) {
		if s.opts.Fresh && first {
			if err := runs.Delete(ctx, s.js, name); err != nil && !errors.Is(err, errs.ErrNotFound) {
				return err
			}
		}
		if first && len(c.plan.Recipe.Replanned) > 0 {
			if err := s.dropShorter(ctx, name, c.plan); err != nil {
				return err
			}
		}
		s.run, err = supply.OpenFarm(ctx, s.js, name, c.plan.Spec, runOptions(s.opts, c.plan))
		return err
	})
	if err != nil {
		return nil, err
	}
	return &s.run.Run().Info, nil
}

// dropShorter deletes what the broker has of the run as it was before it was planned for
// another number of epochs: a run's spec is written once, and its workers go by that. What
// they have made ahead is made again. A recording is left alone.
func (s *farm) dropShorter(ctx context.Context, name string, p *Plan) error {
	was, err := runs.Lookup(ctx, s.js, name)
	if errors.Is(err, errs.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if was.Info.Digest == p.Spec.Digest() || !was.Spec().EqualBatches(&p.Spec) {
		return nil // begin joins it, or says what differs
	}
	sealed, err := isSealed(ctx, s.js, name)
	if err != nil {
		return err
	}
	if sealed || p.Stream {
		return errs.New("open run", name, "choose another --run name, or delete the recording with --fresh",
			errs.Because(errs.ErrMismatch, "the broker has a recording under this name: "+p.Spec.Differences(was.Spec()).Text("it has")))
	}
	if err := runs.Delete(ctx, s.js, name); err != nil && !errors.Is(err, errs.ErrNotFound) {
		return err
	}
	s.print(fmt.Sprintf("run %s is opened anew in the broker: %s", name, p.Spec.Differences(was.Spec()).Text("it had")))
	return nil
}

func (s *farm) open(ctx context.Context, c *consumer) (batches, error) {
	st, err := s.run.OpenStream(ctx, streamOptions(s.opts, c))
	if err != nil {
		return nil, err
	}
	c.metrics.connection(s.js)
	c.metrics.stream(s.run.Run(), st)
	return &farmStream{Stream: st, source: s, keep: c.plan.Stream}, nil
}

// delivered counts what the run's workers had reported when the stream was closed.
func (s *farm) delivered(context.Context) (delivery, error) { return s.counted, s.countErr }

// count reads that. A run that has ended is put to sleep as its stream is closed, and keeps
// no heartbeat.
func (s *farm) count() {
	ctx, cancel := context.WithTimeout(context.Background(), countWait)
	defer cancel()
	workers, err := s.run.Run().Workers(ctx)
	s.counted, s.countErr = delivery{}, err
	for _, w := range workers {
		s.counted.redelivered += w.Redelivered
	}
}

// countWait bounds how long the workers' heartbeats are waited for at the end.
const countWait = 5 * time.Second

func (s *farm) close() error {
	if s.js != nil {
		s.js.Conn().Close()
	}
	return s.noBroker.close()
}

// farmStream seals what it keeps.
type farmStream struct {
	*stream.Stream
	source *farm
	keep   bool
}

func (s *farmStream) Close() error {
	s.source.count()
	return s.Stream.Close()
}

func (s *farmStream) finish(ctx context.Context) error {
	if !s.keep {
		return nil
	}
	return s.Seal(ctx)
}
