package session

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"resslt/batcher/runs"
	"resslt/cmd/internal/observe"
	"resslt/cmd/internal/online"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train"
)

// metrics is what a training process shows of itself: Prometheus metrics and health. It is
// there before the plan, so that a process that indexes for an hour shows that it is alive.
type metrics struct {
	registry *prometheus.Registry
	batch    int                             // samples a step
	js       jetstream.JetStream             // nil where no broker is used; set before training
	trainer  atomic.Pointer[observe.Trainer] // nil before the stream is open
	phase    atomic.Int32                    // of phase
	source   atomic.Pointer[opened]          // nil before the stream is open

	stop   context.CancelFunc
	served chan error // the server's end; nil where there is none
}

// opened is a run's stream with the run; a recording's has none.
type opened struct {
	run   *runs.Run
	input observe.Input
}

// phase is how far a session is.
type phase int32

const (
	preparing phase = iota
	training
	trained // it evaluates, or ends
)

// serveMetrics begins to answer at the flags' address, if there is one. The caller closes the
// metrics.
func serveMetrics(f observe.Flags, log *slog.Logger) (*metrics, error) {
	m := newMetrics()
	if f.Metrics == "" {
		return m, nil
	}
	s, err := observe.Listen(f.Metrics, m.registry, m.ready, log)
	if err != nil {
		return nil, err
	}
	log.Info("metrics", "address", s.Addr())
	ctx, stop := context.WithCancel(context.Background())
	m.stop, m.served = stop, make(chan error, 1)
	go func() { m.served <- s.Serve(ctx) }()
	return m, nil
}

// newMetrics gives metrics that are not served.
func newMetrics() *metrics {
	return &metrics{registry: observe.NewRegistry(), stop: func() {}}
}

// close ends the server, and gives its error where it ended by itself.
func (m *metrics) close() error {
	m.stop()
	if m.served == nil {
		return nil
	}
	return <-m.served
}

// connection adds the connection to the broker.
func (m *metrics) connection(js jetstream.JetStream) {
	m.js = js
	observe.Connection(m.registry, js)
}

// stream adds the trainer's end of the run.
func (m *metrics) stream(run *runs.Run, stream observe.Input) {
	m.batch = run.Spec().BatchSize
	m.trainer.Store(observe.NewTrainer(m.registry, run, stream))
	m.source.Store(&opened{run, stream})
}

// enter sets how far the session is.
func (m *metrics) enter(p phase) { m.phase.Store(int32(p)) }

// showing keeps the session's metrics up to date.
func showing(_ context.Context, l *leader, _ *schemas.RunInfo) (*subscriber, error) {
	m := l.metrics
	return &subscriber{
		started: func(context.Context) error { m.enter(training); return nil },
		step: func(p train.Progress) {
			if t := m.trainer.Load(); t != nil {
				t.Observe(p.Step, m.batch)
				if p.Logged {
					t.ObserveLoss(p.Stats.Loss)
					t.ObservePhases(p.Phases)
				}
			}
		},
		scored: func(s online.Scores) {
			if t := m.trainer.Load(); t != nil {
				for k, v := range s.KNN {
					t.ObserveScore("knn_"+k, v)
				}
				if s.LinearTop1 != nil {
					t.ObserveScore("linear", *s.LinearTop1)
				}
			}
		},
		ended: func() { m.enter(trained) },
	}, nil
}

// phaseName is the phase for people.
func (m *metrics) phaseName() string {
	return [...]string{preparing: "preparing", training: "training", trained: "evaluating"}[m.phase.Load()]
}

// ready gives the reason why the process is not training just now.
func (m *metrics) ready() error {
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
		return no("its broker is away", "make sure that the broker runs and can be reached")
	}
	return nil
}
