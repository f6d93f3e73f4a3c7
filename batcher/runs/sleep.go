package runs

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"resslt/batcher/internal/link"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// SleepIfEnded puts the run to sleep if every trainer has left it, and one of them at its end.
// It reports whether it did.
func (r *Run) SleepIfEnded(ctx context.Context) (bool, error) {
	return sleep(ctx, r.js, r.Name, func(o *Overview) bool { return o.State() == StateEnded && o.isAwake() })
}

// Awake gives the stream of the run's chunks. One that was put to sleep since Ensure is woken.
func (r *Run) Awake(ctx context.Context) (jetstream.Stream, error) {
	s, err := r.js.Stream(ctx, schemas.BatchStream(r.Name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if err := r.Ensure(ctx); err != nil {
			return nil, err
		}
		s, err = r.js.Stream(ctx, schemas.BatchStream(r.Name))
	}
	if err != nil {
		return nil, link.Unavailable(r.js.Conn(), "open stream", r.Name, err)
	}
	return s, nil
}

// sleepWait bounds how long the streams of a run that is put to sleep are being deleted.
const sleepWait = 3 * time.Second

// sleep deletes of a run what can be made again, if it is due by what the broker holds of it
// now: tasks, chunks, heartbeats. The spec, the options and the leases stay, and the next
// trainer that opens the run wakes it.
//
//	sleeper                                trainer (Open)
//	looks: is it due?
//	options := falls asleep, if unchanged  waits while the options say so, since just now
//	deletes the streams, shrinks CTRL_     options := its own
//	options := asleep, if unchanged        makes the streams
//
// So one of the two sees the other, and no stream is made while that of the same name is
// being deleted: a broker has been seen to remove the new one's files then. The trainer of a
// run that was put to sleep since its Open finds its streams missing, and makes them again.
func sleep(ctx context.Context, js jetstream.JetStream, name string, due func(*Overview) bool) (bool, error) {
	o, err := OverviewOf(ctx, js, name, Brief)
	if errors.Is(err, errs.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if o.Err != nil || !due(o) {
		return false, o.Err
	}
	failed := func(err error) error { return link.Unavailable(js.Conn(), "put run to sleep", name, err) }
	ctx, cancel := context.WithTimeout(ctx, sleepWait)
	defer cancel()
	note := func(what sleepNote, last uint64) (uint64, error) {
		body, err := json.Marshal(storedOptions{o.Run.opts, what})
		if err != nil {
			return 0, err
		}
		ack, err := js.Publish(ctx, schemas.OptionsSubject(name), body, jetstream.WithExpectLastSequencePerSubject(last))
		if err != nil {
			return 0, err
		}
		return ack.Sequence, nil
	}
	seq, err := note(fallsAsleep, o.optionsSeq)
	if link.IsWrongLast(err) {
		return false, nil // somebody has opened it, or puts it to sleep
	}
	if err != nil {
		return false, failed(err)
	}
	// Tasks first: what nobody asks for any more is not made.
	for _, s := range o.Kept { // in streamsOf's order
		if s == schemas.CtrlStream(name) {
			continue
		}
		if err := js.DeleteStream(ctx, s); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return false, failed(err)
		}
	}
	shrinkCtrl(ctx, o.Run)
	_, _ = note(isAsleep, seq) // one that opens it at once waits a little otherwise
	return true, nil
}

// shrinkCtrl leaves CTRL_<run> room for what it holds and one message more, which may replace
// one: a broker counts the room of a stream against its quota, and there may be hundreds of
// runs that have ended. Ensure gives the room back. That the broker does not do it costs room
// alone.
func shrinkCtrl(ctx context.Context, r *Run) {
	s, err := r.js.Stream(ctx, schemas.CtrlStream(r.Name))
	if err != nil {
		return
	}
	info := s.CachedInfo()
	cfg, most := info.Config, int64(info.State.Bytes)+int64(ctrlMessage(r.Spec())) //nolint:gosec // what a stream holds
	if cfg.MaxBytes > most {
		cfg.MaxBytes = most
		_, _ = r.js.UpdateStream(ctx, cfg)
	}
}

// Sweep puts to sleep the runs that have ended, and those without a trainer for longer than
// after; 0: than each was opened with. It names them. Several may sweep at once. A run of which
// the broker does not answer, or that cannot be put to sleep, is in the error, and the others are
// seen to. One of another build, or damaged, is left alone. It is two requests for a run that is
// awake, and none for others.
func Sweep(ctx context.Context, js jetstream.JetStream, after time.Duration) ([]string, error) {
	all, err := Overviews(ctx, js, life)
	if err != nil {
		return nil, err
	}
	slept, failed := make([]string, len(all)), make([]error, len(all))
	var g errgroup.Group
	g.SetLimit(runsAtOnce)
	for i := range all {
		o := &all[i]
		if o.Err != nil || !o.SleepsNow(after) {
			if errors.Is(o.Err, errs.ErrUnavailable) {
				failed[i] = o.Err
			}
			continue
		}
		g.Go(func() error {
			did, err := sleep(ctx, js, o.Name, func(o *Overview) bool { return o.SleepsNow(after) })
			if did {
				slept[i] = o.Name
			}
			failed[i] = err
			return nil
		})
	}
	_ = g.Wait() // the errors are in failed
	out := slept[:0]
	for _, name := range slept {
		if name != "" {
			out = append(out, name)
		}
	}
	return out, errors.Join(failed...)
}
