package track

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/online"
	"resslt/schemas/errs"
	"resslt/train"
)

// Times of a Tracker.
const (
	gather  = time.Second      // between two parts, so that steps go together
	backoff = time.Second      // before the second attempt; then twice as long each time
	longest = time.Minute      // between two attempts
	timeout = 20 * time.Second // of one call of a service
)

// FinishWait is how long the end of a run may wait for its trackers, and LeaveWait that of a
// session that was interrupted or has failed.
const (
	FinishWait = 30 * time.Second
	LeaveWait  = 5 * time.Second
)

// Options are what a Tracker needs.
type Options struct {
	Name    string // "mlflow:http://host:5000"; without secrets, it is kept
	Service Service
	Run     *Run
	// Print receives a line for people.
	Print func(string)
}

// Tracker follows a run.
type Tracker struct {
	Options
	state   *state
	metrics *train.MetricsTail
	unsent  []Point // of metrics, read and not taken by the service yet

	wake chan struct{} // capacity 1
	stop context.CancelFunc
	done sync.WaitGroup

	begun, failing, left bool // left: it has failed for good; all are the goroutine's, then Finish's
}

// Start begins to follow the run in o.Run.Out, from where an earlier session's tracker of the
// same name has stopped. The caller calls Finish, also after an error of the run.
func Start(o Options) (*Tracker, error) {
	s, err := loadState(o.Run.Out, o.Name)
	if err != nil {
		return nil, err
	}
	t := &Tracker{Options: o, state: s, metrics: tailOf(o.Run.Out), wake: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(context.Background())
	t.stop = stop
	t.done.Add(1)
	go t.follow(ctx)
	return t, nil
}

// Wake says that the run's files have more. It never waits.
func (t *Tracker) Wake() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// follow sends what is new whenever it is woken.
func (t *Tracker) follow(ctx context.Context) {
	defer t.done.Done()
	wait := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wakeOrRetry():
		case <-after(wait, t.failing):
		}
		if wait = t.attempt(ctx, wait); t.left {
			return
		}
		if t.failing {
			continue
		}
		select { // the steps of the next second go together
		case <-ctx.Done():
			return
		case <-time.After(gather):
		}
	}
}

// wakeOrRetry is what wakes the tracker: nothing while it waits for its next attempt.
func (t *Tracker) wakeOrRetry() <-chan struct{} {
	if t.failing {
		return nil
	}
	return t.wake
}

// after is time.After where there is something to try again.
func after(d time.Duration, failing bool) <-chan time.Time {
	if !failing {
		return nil
	}
	return time.After(d)
}

// attempt sends what there is. It gives how long to wait before the next attempt, 0 where it
// went well.
func (t *Tracker) attempt(ctx context.Context, waited time.Duration) time.Duration {
	err := t.send(ctx)
	switch {
	case err == nil:
		if t.failing {
			t.Print(t.Name + " answers again, and has all steps")
		}
		t.failing = false
		return 0
	case ctx.Err() != nil:
		return 0
	case !errors.Is(err, errs.ErrUnavailable):
		t.left = true
		t.Print("warning: this session is no longer tracked: " + cli.Line(err))
		return 0
	}
	if !t.failing {
		t.failing = true
		t.Print("warning: it is tried again, and the run does not wait for it: " + cli.Line(err))
		return backoff
	}
	return min(2*max(waited, backoff), longest)
}

// send brings the service up to date.
func (t *Tracker) send(ctx context.Context) error {
	if err := t.begin(ctx); err != nil {
		return err
	}
	for {
		if len(t.unsent) == 0 {
			lines, _, err := t.metrics.Read()
			if err != nil {
				return err
			}
			if len(lines) == 0 {
				break
			}
			t.unsent = points(lines, t.state.Sent[train.MetricsFile])
		}
		if err := t.log(ctx, train.MetricsFile, t.unsent); err != nil {
			return err
		}
		t.unsent = nil
	}
	for _, file := range []string{online.KNNFile, online.LinearFile} {
		points, err := scores(t.Run.Out, file, t.state.Sent[file])
		if err == nil {
			err = t.log(ctx, file, points)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begin makes the run, or joins it, once a session.
func (t *Tracker) begin(ctx context.Context) error {
	if t.begun {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	id, err := t.Service.Begin(ctx, t.Run, t.state.ID)
	if id != "" && id != t.state.ID { // it may be there, and lack what describes it
		t.state.ID = id
		t.Print(fmt.Sprintf("tracked by %s as run %s", t.Name, id))
		err = errors.Join(err, t.state.save())
	}
	t.begun = err == nil
	return err
}

// log sends a file's points, and notes that they are there.
func (t *Tracker) log(ctx context.Context, file string, points []Point) error {
	if len(points) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := t.Service.Log(ctx, points); err != nil {
		return err
	}
	t.state.Sent[file] = points[len(points)-1].Step
	return t.state.save()
}

// Stop ends the following. What is not sent yet is sent by Finish, or by a later session.
func (t *Tracker) Stop() {
	t.stop()
	t.done.Wait()
}

// Finish sends the rest of the run, and how it stands; it waits until ctx ends at most, and for
// a service that is away already LeaveWait. It follows Stop, and may be called once.
func (t *Tracker) Finish(ctx context.Context, o Outcome) {
	if t.failing {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, LeaveWait)
		defer cancel()
	}
	unknown := t.state.ID == "" && o.Status != Finished // and the service need not learn of it
	var err error
	for wait := backoff / 4; !t.left && !unknown; wait *= 2 {
		if err = t.send(ctx); err == nil {
			err = t.end(ctx, o)
		}
		if err == nil || !errors.Is(err, errs.ErrUnavailable) || ctx.Err() != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	if err = errors.Join(err, t.Service.Close()); err != nil {
		t.Print("warning: " + t.Name + " lacks the end of the run, which a --resume sends: " + cli.Line(err))
	}
}

func (t *Tracker) end(ctx context.Context, o Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return t.Service.End(ctx, o)
}
