package observe

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"resslt/augment"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/worker"
	"resslt/schemas"
	"resslt/train"
)

// gauge and counter register a metric of Table whose value is read at each scrape.
func gauge(r prometheus.Registerer, name string, labels prometheus.Labels, value func() float64) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: line(name).Help, ConstLabels: labels}, value))
}

func counter(r prometheus.Registerer, name string, labels prometheus.Labels, value func() float64) {
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: line(name).Help, ConstLabels: labels}, value))
}

// Connection adds the metrics of a broker connection, and of our account there.
func Connection(r prometheus.Registerer, js jetstream.JetStream) {
	nc := js.Conn()
	gauge(r, "resslt_broker_connected", nil, func() float64 {
		if nc.IsConnected() {
			return 1
		}
		return 0
	})
	account(r, js)
}

// Worker adds a worker's metrics.
func Worker(r prometheus.Registerer, w *worker.Worker, slots int) {
	gauge(r, "resslt_worker_slots", nil, func() float64 { return float64(slots) })
	r.MustRegister(newRunStates(w.States))
	for name, of := range map[string]func(runs.WorkerStats) int64{
		"resslt_worker_chunks_total":            func(s runs.WorkerStats) int64 { return s.Chunks },
		"resslt_worker_samples_total":           func(s runs.WorkerStats) int64 { return s.Samples },
		"resslt_worker_bytes_total":             func(s runs.WorkerStats) int64 { return s.Bytes },
		"resslt_worker_replaced_total":          func(s runs.WorkerStats) int64 { return s.Replaced },
		"resslt_worker_redelivered_total":       func(s runs.WorkerStats) int64 { return s.Redelivered },
		"resslt_worker_tombstoned_total":        func(s runs.WorkerStats) int64 { return s.Tombstoned },
		"resslt_worker_digest_mismatches_total": func(s runs.WorkerStats) int64 { return s.DigestMismatches },
	} {
		counter(r, name, nil, func() float64 { return float64(of(w.Stats())) })
	}
}

// Stages times the stages of a worker's work on samples and chunks.
type Stages struct {
	read, decode, render, publish prometheus.Observer
}

// NewStages adds the histogram of the stages.
func NewStages(r prometheus.Registerer) *Stages {
	m := line("resslt_worker_stage_seconds")
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: m.Name, Help: m.Help,
		Buckets: prometheus.ExponentialBuckets(16e-6, 4, 10), // from 16 µs, a thumbnail, to 4.2 s, a full store
	}, m.Labels)
	r.MustRegister(h)
	return &Stages{h.WithLabelValues("read"), h.WithLabelValues("decode"), h.WithLabelValues("render"), h.WithLabelValues("publish")}
}

// Read records how long it took to read a sample's bytes.
func (s *Stages) Read(d time.Duration) { s.read.Observe(d.Seconds()) }

// Engine wraps e with timers: decode is a sample's Open and Decode, render is Paint for
// all of its views.
func (s *Stages) Engine(e augment.Engine) augment.Engine { return timedEngine{e, s} }

type timedEngine struct {
	augment.Engine
	stages *Stages
}

func (e timedEngine) NewPainter(l augment.Limits) augment.Painter {
	return &timedPainter{Painter: e.Engine.NewPainter(l), stages: e.stages}
}

// timedPainter is used by one goroutine, like its painter.
type timedPainter struct {
	augment.Painter
	stages           *Stages
	decoded, painted time.Duration // of the current sample
	open             bool
}

func (p *timedPainter) Open(s *schemas.Sample) (w, h int, err error) {
	p.flush()
	start := time.Now()
	w, h, err = p.Painter.Open(s)
	p.decoded, p.open = time.Since(start), err == nil
	return w, h, err
}

func (p *timedPainter) Decode(b augment.Box) error {
	start := time.Now()
	err := p.Painter.Decode(b)
	p.decoded += time.Since(start)
	return err
}

func (p *timedPainter) Paint(plan *augment.Plan, dst []byte) error {
	start := time.Now()
	err := p.Painter.Paint(plan, dst)
	p.painted += time.Since(start)
	return err
}

func (p *timedPainter) Close() error {
	p.flush()
	return p.Painter.Close()
}

// flush records the previous sample. Only the next Open shows that its views are done.
func (p *timedPainter) flush() {
	if p.open {
		p.stages.decode.Observe(p.decoded.Seconds())
		p.stages.render.Observe(p.painted.Seconds())
	}
	p.decoded, p.painted, p.open = 0, 0, false
}

// JetStream wraps js with a timer for the publishing of chunks. It is for workers only.
func (s *Stages) JetStream(js jetstream.JetStream) jetstream.JetStream { return timedPublisher{js, s} }

type timedPublisher struct {
	jetstream.JetStream
	stages *Stages
}

func (p timedPublisher) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	start := time.Now()
	ack, err := p.JetStream.PublishMsg(ctx, m, opts...)
	if err == nil {
		p.stages.publish.Observe(time.Since(start).Seconds())
	}
	return ack, err
}

// Trainer holds the state of a trainer for its metrics. The goroutine of the training
// loop calls Observe.
type Trainer struct {
	step, samples atomic.Int64
	loss          atomic.Pointer[float64]
	phases        atomic.Pointer[train.Phases]
	scores        *prometheus.GaugeVec // by probe; safe for concurrent use
}

// Scrapes query the broker at most every so often, for at most queryTimeout.
const (
	queryInterval = 5 * time.Second
	quotaInterval = 30 * time.Second // every worker of the farm asks
	queryTimeout  = 2 * time.Second
)

// Input is where a trainer's batches come from.
type Input interface{ Stats() stream.Stats }

// NewTrainer adds a trainer's metrics. It queries the broker for what is buffered.
func NewTrainer(r prometheus.Registerer, run *runs.Run, input Input) *Trainer {
	t := &Trainer{}
	of := prometheus.Labels{"run": run.Name}
	none := math.NaN() // 0 would be a collapse
	t.loss.Store(&none)
	t.phases.Store(&train.Phases{})
	t.step.Store(input.Stats().Next)
	gauge(r, "resslt_trainer_step", of, func() float64 { return float64(t.step.Load()) })
	gauge(r, "resslt_trainer_steps", of, func() float64 { return float64(run.Spec().Steps()) })
	gauge(r, "resslt_trainer_loss", of, func() float64 { return *t.loss.Load() })
	for i, name := range train.PhaseNames {
		gauge(r, "resslt_trainer_phase_seconds", prometheus.Labels{"run": run.Name, "phase": name},
			func() float64 { return t.phases.Load().Values()[i] / 1000 })
	}
	const scores = "resslt_trainer_probe_top1"
	t.scores = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: scores, Help: line(scores).Help, ConstLabels: of}, []string{"probe"})
	r.MustRegister(t.scores)
	gauge(r, WindowSteps, of, func() float64 { return float64(run.Window()) })
	counter(r, "resslt_trainer_samples_total", of, func() float64 { return float64(t.samples.Load()) })
	for name, get := range map[string]func(stream.Stats) int64{
		"resslt_trainer_chunks_total":            func(s stream.Stats) int64 { return s.Chunks },
		"resslt_trainer_bytes_total":             func(s stream.Stats) int64 { return s.Bytes },
		"resslt_trainer_repeated_total":          func(s stream.Stats) int64 { return s.Repeated },
		"resslt_trainer_replaced_total":          func(s stream.Stats) int64 { return s.Replaced },
		"resslt_trainer_tombstoned_total":        func(s stream.Stats) int64 { return s.Tombstoned },
		"resslt_trainer_rejected_total":          func(s stream.Stats) int64 { return s.Rejected },
		"resslt_trainer_digest_mismatches_total": func(s stream.Stats) int64 { return s.DigestMismatches },
		"resslt_trainer_healed_total":            func(s stream.Stats) int64 { return s.Repaired },
	} {
		counter(r, name, of, func() float64 { return float64(get(input.Stats())) })
	}
	// The current wait and the past waits are read one after the other, so their sum may
	// fall; a counter must not.
	var waited highest
	counter(r, TrainerWait, of, func() float64 { return waited.of(input.Stats().Waited.Seconds()) })
	buffered := &brokerValues{every: queryInterval, query: func(ctx context.Context) ([]float64, error) {
		n, err := run.Buffered(ctx, input.Stats().Next, run.Window())
		return []float64{float64(n)}, err
	}}
	gauge(r, BufferedSteps, of, func() float64 { return buffered.get(0) })
	return t
}

// Observe records a finished step and its number of samples.
func (t *Trainer) Observe(step int64, samples int) {
	t.step.Store(step)
	t.samples.Add(int64(samples))
}

// ObserveLoss records the loss of a step that was logged.
func (t *Trainer) ObserveLoss(loss float64) { t.loss.Store(&loss) }

// ObserveScore records a probe's top-1, percent, of the encoder as it is.
func (t *Trainer) ObserveScore(probe string, top1 float64) { t.scores.WithLabelValues(probe).Set(top1) }

// ObservePhases records the durations of a logged step's phases.
func (t *Trainer) ObservePhases(p train.Phases) { t.phases.Store(&p) }

// highest is the largest value so far.
type highest struct {
	mu  sync.Mutex
	max float64 // guarded by mu
}

func (h *highest) of(v float64) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.max = max(h.max, v)
	return h.max
}

// brokerValues are values from the broker. It is queried no more often than every says,
// however often they are scraped. A value that it does not return is 0.
type brokerValues struct {
	every time.Duration
	query func(context.Context) ([]float64, error)

	mu     sync.Mutex
	values []float64 // guarded by mu
	at     time.Time // guarded by mu
}

func (a *brokerValues) get(i int) float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.at) >= a.every {
		ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
		defer cancel()
		values, err := a.query(ctx)
		if err != nil {
			values = nil
		}
		a.values, a.at = values, time.Now()
	}
	if i >= len(a.values) {
		return 0
	}
	return a.values[i]
}
