package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	idleWait  = time.Second           // a pull of the only run
	turnWait  = 50 * time.Millisecond // a pull of one of several runs, before the others are looked at again
	retryWait = 250 * time.Millisecond
)

// bench is what one goroutine keeps for one run.
type bench struct {
	maker   produce.Maker
	encoder *wire.Encoder
	chunk   *wire.Chunk
}

// loop takes tasks of the runs that are served until ctx ends.
func (w *Worker) loop(ctx context.Context, id int, refuse func(*serving, error) error) error {
	benches := map[*serving]*bench{}
	leave := func(sv *serving) {
		if err := benches[sv].maker.Close(); err != nil {
			w.opts.Report(err)
		}
		delete(benches, sv)
		w.release(sv)
	}
	defer func() {
		for sv := range benches {
			leave(sv)
		}
	}()
	for turn := id; ctx.Err() == nil; turn++ {
		runs := w.runs()
		for sv := range benches {
			if !slices.Contains(runs, sv) {
				leave(sv)
			}
		}
		var fit []*serving
		for _, sv := range runs {
			ok, err := w.fit(ctx, sv, benches[sv])
			if err != nil {
				if err := refuse(sv, err); err != nil {
					return err
				}
			}
			if ok {
				fit = append(fit, sv)
			}
		}
		runs = fit
		if len(runs) == 0 {
			_ = link.Sleep(ctx, min(turnWait, w.opts.Discover)) // ctx is looked at above
			continue
		}
		sv, msg, err := w.pull(ctx, runs, turn)
		if err != nil && ctx.Err() == nil {
			sv.forgetConsumer()
			_ = link.Sleep(ctx, retryWait) // as above
		}
		if msg == nil {
			continue
		}
		if ctx.Err() != nil || sv.resting() {
			w.sendBack(sv, msg) // another worker may begin at once
			continue
		}
		b := benches[sv]
		if b == nil {
			if !w.retain(sv) { // dropped just now
				w.sendBack(sv, msg)
				continue
			}
			if b, err = newBench(sv); err != nil {
				w.release(sv)
				w.sendBack(sv, msg)
				if err := refuse(sv, err); err != nil {
					return err
				}
				continue
			}
			benches[sv] = b
		}
		began := time.Now()
		err = w.serveTask(ctx, sv, b, msg)
		w.turns.charge(sv, time.Since(began))
		if err != nil {
			if err := refuse(sv, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func newBench(sv *serving) (*bench, error) {
	maker, err := sv.source.NewMaker()
	if err != nil {
		return nil, err
	}
	return &bench{maker: maker, encoder: wire.NewEncoder(sv.run.Spec()), chunk: wire.NewChunk(sv.run.Spec())}, nil
}

// pull takes one task: of the run that was served least, or the next that has any.
// Where none has, it waits a little at one of them, another each turn. The serving
// is never nil.
//
// A pull is not cut short when ctx ends: a task that is on its way would be lost to
// everybody until its ack wait has passed.
func (w *Worker) pull(ctx context.Context, runs []*serving, turn int) (*serving, jetstream.Msg, error) {
	wait := idleWait
	if len(runs) > 1 {
		wait = turnWait
		for _, sv := range w.turns.order(runs) {
			c, _, err := sv.tasks(ctx)
			if err != nil {
				continue // its turn below reports it
			}
			batch, err := c.FetchNoWait(1)
			if msg := first(batch, err); msg != nil {
				return sv, msg, nil
			}
			w.turns.empty(sv)
		}
	}
	sv := runs[turn%len(runs)]
	c, _, err := sv.tasks(ctx)
	if err != nil {
		return sv, nil, err
	}
	// A pull that the broker forgot is not waited for.
	fctx, cancel := link.WhileConnected(context.WithoutCancel(ctx), sv.run.JetStream().Conn(), wait)
	defer cancel()
	batch, err := c.Fetch(1, jetstream.FetchContext(fctx))
	if err != nil {
		return sv, nil, err
	}
	if msg := first(batch, nil); msg != nil {
		return sv, msg, nil
	}
	if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, jetstream.ErrNoMessages) &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return sv, nil, err
	}
	return sv, nil, nil
}

func first(b jetstream.MessageBatch, err error) jetstream.Msg {
	if err != nil {
		return nil
	}
	var msg jetstream.Msg
	for m := range b.Messages() {
		msg = m
	}
	return msg
}

// serveTask makes and publishes one chunk. The task is acknowledged after the
// chunk is stored, never before. It returns an error that refuses the run; what
// another worker may do better is reported, and the task given back.
func (w *Worker) serveTask(ctx context.Context, sv *serving, b *bench, msg jetstream.Msg) error {
	ctx, cancel := graceful(ctx, w.opts.Grace)
	defer cancel()
	_, ackWait, err := sv.tasks(ctx)
	if err != nil {
		ackWait = runs.DefaultAckWait
	}
	stop := keepAlive(ctx, msg, ackWait/3)
	defer stop()

	deliveries := uint64(1)
	if meta, err := msg.Metadata(); err == nil {
		deliveries = meta.NumDelivered
	}
	task, err := wire.DecodeTask(sv.run.Spec(), sv.run.Info.Digest, msg.Subject(), msg.Headers(), msg.Data())
	if err != nil {
		// No worker can do it. The planner asks again for what is still missing.
		_ = msg.Term()
		w.opts.Report(err)
		return nil
	}
	if task.Tombstone != "" {
		b.chunk.Reset(sv.run.Spec(), task.Step, task.Chunk)
		b.chunk.Tombstone = task.Tombstone
		return w.publishChunk(ctx, sv, b, msg, task, deliveries)
	}
	order := sv.source.Order()
	for _, r := range task.Rows {
		if at := order.At(r.Epoch, r.Index); at != r.Sample {
			w.sendBack(sv, msg)
			return errs.New("serve run", sv.run.Name, "use the same build and the same data set on every machine",
				errs.Because(errs.ErrMismatch, fmt.Sprintf("the planner's order has sample %d at index %d of epoch %d, this worker's %d",
					r.Sample, r.Index, r.Epoch, at)))
		}
	}
	err = produce.Fill(ctx, sv.run.Spec(), order, b.maker, task, b.chunk)
	switch {
	case err == nil:
		return w.publishChunk(ctx, sv, b, msg, task, deliveries)
	case ctx.Err() != nil:
		w.sendBack(sv, msg) // stopped: another worker may begin at once
		return nil
	}
	cause := err
	err = errs.New("make chunk", fmt.Sprintf("%d of step %d, run %s, try %d", task.Chunk, task.Step, sv.run.Name, deliveries), "", err)
	ill := w.ill(ctx, sv, b, task.Rows[0])
	if ill == nil {
		// It is this chunk that cannot be made, here at least. Each such try counts
		// towards its being given up.
		w.opts.Report(err)
		w.fail(sv, msg, cause)
		_ = msg.NakWithDelay(min(time.Second<<min(deliveries-1, 5), ackWait))
		return nil
	}
	if ctx.Err() == nil && w.hopeless(sv, ill) {
		w.sendBack(sv, msg)
		return err
	}
	sv.rest(task.Rows[0], err)
	w.notify(sv.run.Name, err)
	w.sendBack(sv, msg) // and says of the trouble
	return nil
}

// publishChunk publishes the chunk of the bench, and acknowledges its task after.
func (w *Worker) publishChunk(ctx context.Context, sv *serving, b *bench, msg jetstream.Msg, task *wire.Task, deliveries uint64) error {
	var body []byte
	var err error
	if b.chunk.Tombstone == "" {
		if body, err = b.encoder.Encode(b.chunk); err != nil {
			return err
		}
	}
	m := wire.ChunkMessage(sv.run.Name, sv.run.Info.Digest, task.Step, task.Chunk, body, b.chunk.Tombstone, w.opts.Name)
	fresh, err := sv.run.Publish(ctx, m, 0, func() { _ = msg.InProgress() })
	if errors.Is(err, errs.ErrDeterminism) {
		sv.mismatches.Add(1)
		w.total.mismatches.Add(1)
		_ = msg.Nak()
		if perr := sv.run.Stop(ctx, err); perr != nil {
			w.opts.Report(perr) // the run is refused all the same
		}
		return err
	}
	if err != nil {
		w.sendBack(sv, msg)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the worker is stopped, and its task was sent back
		}
		return err // the broker does not take chunks of this worker
	}
	w.notify(sv.run.Name, nil)
	for _, c := range []*counters{&sv.counters, &w.total} {
		c.add(b.chunk, len(m.Data), fresh, deliveries > 1)
	}
	// The chunk is stored. An acknowledgement that is lost costs one more
	// delivery, which finds the chunk there.
	_ = msg.DoubleAck(ctx)
	return nil
}

// graceful gives a context that ends some time after ctx.
func graceful(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var t *time.Timer
	var mu sync.Mutex
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		t = time.AfterFunc(grace, cancel)
	})
	return out, func() {
		stop()
		mu.Lock()
		defer mu.Unlock()
		if t != nil {
			t.Stop()
		}
		cancel()
	}
}

// keepAlive tells the broker again and again that the task is being worked on.
// What it returns stops that, and waits until it has stopped.
func keepAlive(ctx context.Context, msg jetstream.Msg, every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for link.Sleep(ctx, every) == nil {
			_ = msg.InProgress() // one that is lost is followed by another
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
