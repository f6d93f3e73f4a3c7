package session

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"resslt/batcher/assemble"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/cmd/internal/cli"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train"
)

// source is where a run's batches come from. Its methods are called in this order; noBroker
// has those that a source without a broker of its own leaves out.
type source interface {
	// replays is the recording whose batches are read or made again, nil where there is none.
	replays() *Recording
	// continues reports whether the broker may still hold batches of an earlier session.
	continues() bool
	// describe names where the batches come from, for people.
	describe(p *Plan) string
	// complete reports whether the source needs nothing more of a run that is trained.
	complete(ctx context.Context, p *Plan) (bool, error)
	// connect reaches what is there; it creates nothing.
	connect(ctx context.Context) error
	// begin creates the run, or joins the one of equal spec, and gives it as its workers see it.
	begin(ctx context.Context, c *consumer) (*schemas.RunInfo, error)
	// open begins to deliver batches from the plan's first step on. The caller closes the
	// stream.
	open(ctx context.Context, c *consumer) (batches, error)
	// delivered gives the counts of the stream, once it is closed.
	delivered(ctx context.Context) (delivery, error)
	close() error
}

// batches hands out the batches of a run.
type batches interface {
	train.Stream
	Stats() stream.Stats
	// finish is called after the last step: a recording is sealed.
	finish(ctx context.Context) error
	Close() error
}

// delivery is what a summary reports of the source.
type delivery struct {
	redelivered int64  // tasks that were given out again, in the whole run
	engineTier  string // kernels of the workers in this process; "" without one
}

// consumer is the process that a source serves.
type consumer struct {
	plan     *Plan
	trainer  string          // name among the trainers of the run
	part     assemble.Part   // this rank's rows of a batch
	recorder stream.Recorder // receives the chunks; nil on ranks other than 0
	metrics  *metrics
	// inTurn runs open on rank 0, then on the others; first says which this is.
	inTurn func(what string, open func(first bool) error) error
}

// openSource chooses the source that the options ask for. A recording also decides what the
// user has left open: recipe and data. The caller closes the source.
func openSource(ctx context.Context, o *Options, c *console) (source, error) {
	if o.Replay != "" {
		return openReplay(ctx, o, c)
	}
	if o.Embedded {
		return &embedded{console: c, opts: o}, nil
	}
	return &farm{console: c, opts: o}, nil
}

// openReplay opens a recording: to read it, or to make its log's batches again.
func openReplay(ctx context.Context, o *Options, c *console) (_ source, err error) {
	kind, place, err := ParseRecording(o.Replay)
	if err != nil {
		return nil, err
	}
	if kind == "stream" {
		return openRecordedStream(ctx, o, c, place)
	}
	rec, err := OpenRecording(kind, place)
	if err != nil {
		return nil, err
	}
	if path := filepath.Join(place, "recipe.yaml"); !o.RecipeGiven && cli.IsFile(path) {
		o.Recipe = path // the recorded run's own
	}
	switch {
	case !rec.Log:
		return newRecorded(o, rec)
	case o.Run != "":
		return &farm{console: c, opts: o, noBroker: noBroker{rec}}, nil
	case o.Rendezvous != nil:
		return nil, errors.Join(errs.New("", "--replay "+o.Replay, "give --run, so that the farm's workers make the batches, or replay pixels",
			errs.Because(errs.ErrUsage, fmt.Sprintf("each of %d processes would make all of the log's batches again", o.Rendezvous.World))), rec.Close())
	}
	if o.Data == "" {
		o.Data = rec.Run.DataURI
	}
	return &embedded{console: c, opts: o, noBroker: noBroker{rec}}, nil
}

// noBroker is what a source without a broker does, with the recording that it replays or nil.
type noBroker struct{ recording *Recording }

func (s noBroker) replays() *Recording { return s.recording }

func (noBroker) continues() bool                               { return false }
func (noBroker) complete(context.Context, *Plan) (bool, error) { return true, nil }
func (noBroker) connect(context.Context) error                 { return nil }
func (noBroker) delivered(context.Context) (delivery, error)   { return delivery{}, nil }
func (s noBroker) close() error                                { return s.recording.Close() }

func (s noBroker) begin(context.Context, *consumer) (*schemas.RunInfo, error) { //nolint:unparam // a source
	return &s.recording.Run, nil
}

// keptReasons bounds what a run's record in the broker says of what was passed over.
const keptReasons = 32

// runOptions are what the plan's run is opened with in a broker.
func runOptions(o *Options, p *Plan) runs.Options {
	opts := runs.Options{
		DataURI: p.Recipe.Data, Window: o.Window, AckWait: o.AckWait, Storage: o.Storage,
		Priority: o.Priority, MaxAckPending: o.MaxWorkers, SleepAfter: o.SleepAfter, Replicas: o.Replicas,
	}
	if d := p.data; d != nil {
		opts.Data = &schemas.RunData{Classes: d.Classes, PassedOver: d.PassedOver.Largest(keptReasons), Sets: d.Sets}
	}
	if p.Stream {
		opts.Storage, opts.MaxBytes = runs.StorageFile, runs.RecordingBytes(&p.Spec)
	}
	return opts
}

// streamOptions are those of the consumer's end of the run.
func streamOptions(o *Options, c *consumer) stream.Options {
	opts := stream.Options{
		From: c.plan.From(), Trainer: c.trainer, Part: c.part, LeaseTerm: o.Lease,
		BrokerTimeout: o.BrokerTimeout, StallTimeout: o.StallTimeout, Record: c.recorder,
	}
	if c.plan.Stream && c.recorder != nil {
		opts.Keep = -1 // all of them, to be sealed
	}
	return opts
}
