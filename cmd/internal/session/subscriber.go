package session

import (
	"context"
	"errors"

	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/cmd/internal/online"
	"resslt/schemas"
	"resslt/train"
)

// subscriber listens to the events of a run. A nil field is an event that it does not care
// for; started may still set some. All but batches and finished are called from the goroutine that trains.
type subscriber struct {
	// batches receives every chunk that the stream takes in, once started has returned.
	batches stream.Recorder
	// started: an earlier run's files are set aside, the plan's first step is next.
	started func(ctx context.Context) error
	// step: a step is done. It must be quick.
	step func(train.Progress)
	// notice: something makes the run slower than its recipe asks for.
	notice func(string)
	// saving: a checkpoint is about to be written. An error ends the run without it.
	saving func() error
	// diverged: the batch's loss is not finite. It gives the file that keeps the batch.
	diverged func(*schemas.Batch) (string, error)
	// encoder: an epoch has ended after which the recipe has the encoder scored.
	encoder func(train.EncoderSnapshot) error
	// score gives a probe's score of an encoder, by which the run may end; the run waits.
	score func(s train.EncoderSnapshot, probe string) (float64, error)
	// scored: the encoder after some step has a score. It is called from another goroutine than
	// the other events, and not after ended.
	scored func(online.Scores)
	// failed: the training has ended with an error; other trainers of the run wait for this
	// one to leave.
	failed func()
	// ended: the training is over, well or not, or could not start; the stream is still open.
	ended func()
	// close: the stream is closed. It is called even where started never was.
	close func() error
	// finished: encoder, scores and summary are written.
	finished func(ctx context.Context)
}

// sink opens a subscriber; nil where the session needs none. run is the run as its workers see
// it. It touches no file of an earlier run: that is for started.
type sink func(ctx context.Context, l *leader, run *schemas.RunInfo) (*subscriber, error)

// subscribers are told in order; ended and close go the other way.
type subscribers []*subscriber

func subscribe(ctx context.Context, l *leader, run *schemas.RunInfo, sinks []sink) (ss subscribers, err error) {
	for _, open := range sinks {
		s, err := open(ctx, l, run)
		if err != nil {
			return nil, errors.Join(err, ss.close())
		}
		if s != nil {
			ss = append(ss, s)
		}
	}
	return ss, nil
}

// recorder hands chunks to all who want them.
func (ss subscribers) recorder() stream.Recorder {
	var rs []stream.Recorder
	for _, s := range ss {
		if s.batches != nil {
			rs = append(rs, s.batches)
		}
	}
	return stream.Recorders(rs...)
}

// start tells them that the training begins.
func (ss subscribers) start(ctx context.Context) error {
	for _, s := range ss {
		if s.started != nil {
			if err := s.started(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// options hooks them, once they are started, into the training loop. An encoder is handed out only where somebody
// wants it, for it costs a copy.
func (ss subscribers) options(o train.Options) train.Options {
	o.Observe = func(p train.Progress) {
		for _, s := range ss {
			if s.step != nil {
				s.step(p)
			}
		}
	}
	o.Notice = func(text string) {
		for _, s := range ss {
			if s.notice != nil {
				s.notice(text)
			}
		}
	}
	o.Saving = func() error {
		for _, s := range ss {
			if s.saving != nil {
				if err := s.saving(); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, s := range ss {
		if s.diverged != nil {
			o.Keep = s.diverged
		}
		if s.encoder != nil {
			o.Snapshot = ss.encoder
		}
		if s.score != nil {
			o.Score = s.score
		}
	}
	return o
}

// scored tells them a score.
func (ss subscribers) scored(scores online.Scores) {
	for _, s := range ss {
		if s.scored != nil {
			s.scored(scores)
		}
	}
}

func (ss subscribers) encoder(e train.EncoderSnapshot) error {
	for _, s := range ss {
		if s.encoder != nil {
			if err := s.encoder(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (ss subscribers) failed() {
	for _, s := range ss {
		if s.failed != nil {
			s.failed()
		}
	}
}

func (ss subscribers) ended() {
	for i := range ss {
		if s := ss[len(ss)-1-i]; s.ended != nil {
			s.ended()
		}
	}
}

func (ss subscribers) close() (err error) {
	for i := range ss {
		if s := ss[len(ss)-1-i]; s.close != nil {
			err = errors.Join(err, s.close())
		}
	}
	return err
}

func (ss subscribers) finished(ctx context.Context) {
	for _, s := range ss {
		if s.finished != nil {
			s.finished(ctx)
		}
	}
}

// gate is a recorder whose chunks wait until it opens: a stream has some before the run's
// files are in place. What waits when the stream is closed is let go by its context.
type gate struct {
	stream.Recorder
	opened chan struct{}
}

func newGate(r stream.Recorder) *gate { return &gate{r, make(chan struct{})} }

func (g *gate) open() { close(g.opened) }

// Chunk passes the chunk on once the gate is open.
func (g *gate) Chunk(ctx context.Context, c *wire.Chunk) error {
	select {
	case <-g.opened:
		return g.Recorder.Chunk(ctx, c)
	case <-ctx.Done():
		return ctx.Err()
	}
}
