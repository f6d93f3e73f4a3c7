package farmsim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"resslt/batcher/broker"
	"resslt/cmd/internal/child"
	"resslt/cmd/internal/cli"
	"resslt/schemas/errs"
)

// Report is what a simulation measured.
type Report struct {
	Workers  int     `json:"workers"`
	Slots    int     `json:"slots"`
	Runs     int     `json:"runs"`
	Trainers int     `json:"trainers"`
	Samples  int64   `json:"samples"` // of each run's data set
	CostMS   float64 `json:"chunk_cost_ms"`
	Broker   string  `json:"broker"`
	Cores    string  `json:"broker_cores"`

	OpenSeconds   float64 `json:"open_runs_seconds"`
	GatherSeconds float64 `json:"gather_seconds"` // until every worker had connected and made a chunk
	Gathered      int     `json:"gathered"`       // workers that had by then
	Failed        int64   `json:"connections_failed"`
	Why           string  `json:"connections_failed_why,omitempty"`
	Lost          int64   `json:"connections_lost"`
	Said          int64   `json:"workers_reports"` // what workers reported, such as runs refused
	LastSaid      string  `json:"workers_last_report,omitempty"`

	Busy Phase  `json:"busy"`
	Idle Phase  `json:"idle"` // no trainer takes a batch
	Half *Death `json:"half_killed,omitempty"`
}

// Phase is what was measured over some seconds.
type Phase struct {
	Seconds        float64            `json:"seconds"`
	Chunks         float64            `json:"chunks_per_second"`
	Steps          float64            `json:"steps_per_second"` // of all trainers
	Images         float64            `json:"images_per_second"`
	Requests       float64            `json:"api_requests_per_second"`
	ControlBytes   float64            `json:"control_bytes_per_second"` // heartbeats and leases
	Messages       map[string]float64 `json:"messages_per_second"`      // by kind
	BrokerCores    float64            `json:"broker_cpu_cores"`
	BrokerRSS      int64              `json:"broker_rss_bytes"`
	WorkersCores   float64            `json:"workers_cpu_cores"`
	WorkerRSS      int64              `json:"worker_rss_bytes"` // of a worker, the mean over its process
	TrainersCores  float64            `json:"trainers_cpu_cores"`
	PlannerPerTask float64            `json:"trainer_cpu_us_per_chunk"` // planning, taking in, assembling; this process
	Redelivered    float64            `json:"redelivered_per_second"`
}

// Death is what half of the workers' end did.
type Death struct {
	Killed          int       `json:"killed"`
	LongestGaps     []float64 `json:"longest_gap_seconds"`      // between two steps, of each trainer, ascending
	RecoverySeconds float64   `json:"recovery_seconds"`         // until every trainer had trained what was out at the time
	Before          float64   `json:"chunks_per_second_before"` // the rate of all workers
	After           float64   `json:"chunks_per_second_after"`  // of those that are left, after the recovery
}

func round(x float64) float64 { return math.Round(x*100) / 100 }

// sim is a running simulation.
type sim struct {
	Options
	broker   *child.Process
	crews    []*child.Process
	trainers []*trainer
	pause    atomic.Bool
	tap      *tap
}

// Run simulates the farm.
func Run(ctx context.Context, o Options) (r *Report, err error) {
	o = o.ApplyDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	s := &sim{Options: o}
	ctx, cancel := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	defer func() {
		cancel()
		if gerr := g.Wait(); gerr != nil && (err == nil || errors.Is(err, context.Canceled)) {
			err = gerr // why the rest was cancelled
		}
		for _, p := range append(s.crews, s.broker) {
			if p != nil {
				_ = p.Kill() // the simulation is over
			}
		}
	}()
	r = &Report{
		Workers: o.Workers, Slots: o.Slots, Runs: o.Runs, Trainers: o.Trainers, Samples: o.Samples,
		CostMS: float64(o.Cost) / 1e6, Broker: "embedded", Cores: o.Cores,
	}
	if o.Server != "" {
		r.Broker = o.Server
	}
	url, err := s.begin(ctx, g, r)
	if err != nil {
		return nil, err
	}
	if err := s.gather(ctx, url, r); err != nil {
		return nil, err
	}
	if r.Busy, err = s.measure(ctx); err != nil {
		return nil, err
	}
	o.Log(fmt.Sprintf("busy: %.0f chunks/s, %.0f API requests/s, broker %.2f cores, %v", r.Busy.Chunks, r.Busy.Requests, r.Busy.BrokerCores, r.Busy.Messages))
	s.pause.Store(true)
	s.settle(ctx)
	if r.Idle, err = s.measure(ctx); err != nil {
		return nil, err
	}
	s.pause.Store(false)
	o.Log(fmt.Sprintf("idle: %.0f API requests/s, broker %.2f cores, %v", r.Idle.Requests, r.Idle.BrokerCores, r.Idle.Messages))
	if o.Half {
		if r.Half, err = s.half(ctx, r.Busy.Chunks); err != nil {
			return nil, err
		}
		o.Log(fmt.Sprintf("half killed: recovered in %.1f s", r.Half.RecoverySeconds))
	}
	crews := s.crewState()
	r.Failed, r.Why, r.Lost, r.Said, r.LastSaid = crews.Failed, crews.Why, crews.Lost, crews.Said, crews.Last
	return r, ctx.Err()
}

// begin starts the broker, the runs and the trainers.
func (s *sim) begin(ctx context.Context, g *errgroup.Group, r *Report) (url string, err error) {
	if s.broker, url, err = s.startBroker(ctx); err != nil {
		return "", err
	}
	nc, js, err := broker.Connect(ctx, login(url, s.Keys, broker.RoleOwner))
	if err != nil {
		return "", err
	}
	g.Go(func() error { <-ctx.Done(); nc.Close(); return nil })
	began := time.Now()
	if _, err := s.openRuns(ctx, js); err != nil {
		return "", err
	}
	r.OpenSeconds = round(time.Since(began).Seconds())
	s.Log(fmt.Sprintf("%d runs opened in %.1f s", s.Runs, r.OpenSeconds))
	if s.trainers, err = s.startTrainers(ctx, g, url, &s.pause); err != nil {
		return "", err
	}
	s.tap, err = newTap(nc)
	return url, err
}

// gather starts the workers, all at once, and waits until each has made a chunk.
func (s *sim) gather(ctx context.Context, url string, r *Report) error {
	began := time.Now()
	for i := range s.Procs {
		n := (i+1)*s.Workers/s.Procs - i*s.Workers/s.Procs
		p, err := child.Start(s.Dir, fmt.Sprintf("crew-%d", i), s.Program, nil, "crew", "--nats", url, "--name", fmt.Sprintf("w%d", i),
			"--n", fmt.Sprint(n), "--slots", fmt.Sprint(s.Slots), "--cost", fmt.Sprint(s.Cost.Seconds()), "--keys", s.Keys)
		if err != nil {
			return err
		}
		s.crews = append(s.crews, p)
	}
	for ctx.Err() == nil {
		st := s.crewState()
		r.Gathered = st.Connected - st.Idle
		r.GatherSeconds = round(time.Since(began).Seconds())
		if s.Trainers == 0 {
			r.Gathered = st.Connected
		}
		if r.Gathered >= s.Workers || time.Since(began) > s.Gather {
			s.Log(fmt.Sprintf("%d of %d workers serve after %.0f s (%d connected, %d connections failed %s)", r.Gathered, s.Workers, r.GatherSeconds, st.Connected, st.Failed, st.Why))
			return nil
		}
		for _, p := range s.crews {
			if !p.Alive() {
				return errs.New("run workers", p.Name, "see "+p.Log, errs.Because(errs.ErrUnavailable, p.LastLine()))
			}
		}
		sleep(ctx, 500*time.Millisecond)
	}
	return context.Cause(ctx)
}

// crewState adds up what the crews last said.
func (s *sim) crewState() (sum CrewState) {
	for _, p := range s.crews {
		raw, err := os.ReadFile(p.Out)
		if err != nil {
			continue
		}
		lines := strings.Split(string(raw), "\n")
		var st CrewState
		for i := len(lines) - 1; i >= 0; i-- {
			if lines[i] != "" && json.Unmarshal([]byte(lines[i]), &st) == nil {
				break
			}
		}
		sum.Connected += st.Connected
		sum.Failed += st.Failed
		sum.Idle += st.Idle
		sum.Lost += st.Lost
		sum.Said += st.Said
		sum.Chunks += st.Chunks
		sum.Again += st.Again
		if st.Why != "" {
			sum.Why = st.Why
		}
		if st.Last != "" {
			sum.Last = st.Last
		}
	}
	return sum
}

// settle waits until the workers make nothing more, for the window is full, and their requests
// for tasks stand as long as they come to.
func (s *sim) settle(ctx context.Context) {
	for began, last := time.Now(), int64(-1); ctx.Err() == nil && time.Since(began) < s.Gather; {
		now := s.crewState().Chunks
		if now == last {
			sleep(ctx, s.Settle)
			return
		}
		last = now
		sleep(ctx, 2*time.Second+2*s.Cost) // crews report each second
	}
}

// measure measures for a while.
func (s *sim) measure(ctx context.Context) (Phase, error) {
	cpu := func() (broker, workers, own time.Duration) {
		for _, p := range s.crews {
			workers += p.CPU()
		}
		return s.broker.CPU(), workers, cli.CPUTime()
	}
	s.tap.take()
	began, steps, before := time.Now(), totalSteps(s.trainers), s.crewState()
	b0, w0, t0 := cpu()
	sleep(ctx, s.Measure)
	b1, w1, t1 := cpu()
	rates, control := s.tap.take()
	d := time.Since(began).Seconds()
	p := Phase{
		Seconds: round(d), Messages: rates, ControlBytes: control, Requests: round(requests(rates)),
		Steps:       round(float64(totalSteps(s.trainers)-steps) / d),
		BrokerCores: round((b1 - b0).Seconds() / d), WorkersCores: round((w1 - w0).Seconds() / d), TrainersCores: round((t1 - t0).Seconds() / d),
	}
	after := s.crewState()
	p.Chunks, p.Redelivered = round(float64(after.Chunks-before.Chunks)/d), round(float64(after.Again-before.Again)/d)
	p.Images = round(p.Steps * float64(s.Batch))
	if n := p.Chunks * d; n > 0 {
		p.PlannerPerTask = round(float64((t1 - t0).Microseconds()) / n)
	}
	p.BrokerRSS, _ = s.broker.Resident()
	for _, c := range s.crews {
		rss, _ := c.Resident()
		p.WorkerRSS += rss / int64(s.Workers)
	}
	if !s.broker.Alive() {
		return p, errs.New("measure", "broker", "see "+s.broker.Log, errs.Because(errs.ErrUnavailable, "it ended: "+s.broker.LastLine()))
	}
	return p, ctx.Err()
}

// half kills half of the workers' processes, and waits until what they had in hand is trained.
func (s *sim) half(ctx context.Context, before float64) (*Death, error) {
	sleep(ctx, 5*time.Second) // until the farm is busy again
	d := &Death{Before: before}
	goal := map[*trainer]int64{}
	for _, t := range s.trainers {
		t.reset()
		goal[t] = t.steps.Load() + t.run.Window()
	}
	began := time.Now()
	for i, p := range s.crews[:len(s.crews)/2] {
		if err := p.Kill(); err != nil {
			return nil, err
		}
		d.Killed += (i+1)*s.Workers/s.Procs - i*s.Workers/s.Procs
	}
	s.crews = s.crews[len(s.crews)/2:]
	for _, t := range s.trainers {
		for t.steps.Load() < goal[t] && time.Since(began) < s.Gather && ctx.Err() == nil {
			sleep(ctx, 20*time.Millisecond)
		}
	}
	d.RecoverySeconds, d.LongestGaps = round(time.Since(began).Seconds()), gaps(s.trainers)
	p, err := s.measure(ctx)
	d.After = p.Chunks
	return d, err
}
