package main

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/cmd/internal/observe"
	"resslt/schemas/errs"
	"resslt/train"
)

// monitor is what a training process shows of itself: metrics and health.
type monitor struct {
	registry *prometheus.Registry
	batch    int                             // samples a step
	js       jetstream.JetStream             // nil where no broker is used; set before training
	trainer  atomic.Pointer[observe.Trainer] // nil before the stream is open
	phase    atomic.Int32                    // of phase

	stop   context.CancelFunc
	served chan error // the server's end; nil where there is none
}

// phase is how far a session is.
type phase int32

const (
	preparing phase = iota
	training
	trained // it evaluates, or ends
)

// at says how far the session is.
func (m *monitor) at(p phase) { m.phase.Store(int32(p)) }

// newMonitor begins to answer at the flags' address, if there is one. The caller closes
// the monitor.
func newMonitor(f observe.Flags, log *slog.Logger) (*monitor, error) {
	m := &monitor{registry: observe.NewRegistry(), stop: func() {}}
	if f.Metrics == "" {
		return m, nil
	}
	s, err := observe.Listen(f.Metrics, m.registry, m.ready)
	if err != nil {
		return nil, err
	}
	log.Info("metrics", "address", s.Addr())
	ctx, stop := context.WithCancel(context.Background())
	m.stop, m.served = stop, make(chan error, 1)
	go func() { m.served <- s.Serve(ctx) }()
	return m, nil
}

// close ends the server, and says why where it ended by itself.
func (m *monitor) close() error {
	m.stop()
	if m.served == nil {
		return nil
	}
	return <-m.served
}

// broker adds the connection.
func (m *monitor) broker(js jetstream.JetStream) {
	m.js = js
	observe.Connection(m.registry, js.Conn())
}

// stream adds the trainer's end of the run, whose steps are of batch samples.
func (m *monitor) stream(run *runs.Run, stream *stream.Stream) {
	m.batch = run.Spec().BatchSize
	m.trainer.Store(observe.NewTrainer(m.registry, m.js, run, stream))
}

// observe takes in a step that was done.
func (m *monitor) observe(p train.Progress) {
	if t := m.trainer.Load(); t != nil {
		t.Observe(p.Step, m.batch, p.Stats.Loss)
		if p.Logged {
			t.ObservePhases(p.Phases)
		}
	}
}

// ready says why the process is not training just now.
func (m *monitor) ready() error {
	no := func(why, hint string) error {
		return errs.New("resslt", "", hint, errs.Because(errs.ErrUnavailable, why))
	}
	switch phase(m.phase.Load()) {
	case preparing:
		return no("it is not training yet", "wait until the data is indexed and the run is open")
	case trained:
		return no("training is done", "wait for the evaluation and the summary")
	}
	if m.js != nil && !m.js.Conn().IsConnected() {
		return no("its broker is away", "see that the broker runs and can be reached")
	}
	return nil
}
