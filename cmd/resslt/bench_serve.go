package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"resslt/batcher/produce"
	"resslt/batcher/stream"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/observe"
	"resslt/cmd/internal/scratch"
	"resslt/cmd/internal/serve"
	"resslt/cmd/internal/serve/peer"
	"resslt/cmd/internal/supply"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// serveBench are the flags of `resslt bench serve`.
type serveBench struct {
	serve.Options
	size, views, batch int
	clients, rounds    int
	seconds            float64
	json               bool
}

// hop is what one way to a consumer costs.
type hop struct {
	Way             string  `json:"way"` // stream: in this process, no hop; shm, socket
	MBPerSecond     float64 `json:"mb_per_second"`
	CPUSecondsPerGB float64 `json:"cpu_seconds_per_gb"` // of workers, broker, server and clients
	SamplesPerCPU   float64 `json:"samples_per_cpu_second"`
}

// serveReport is what `bench serve` prints: medians of the rounds.
type serveReport struct {
	Hops        []hop   `json:"hops"`
	ShmCost     float64 `json:"shm_cost"` // of shm's samples a CPU second against stream's, 1 − ratio
	SampleBytes int     `json:"sample_bytes"`
	BatchSize   int     `json:"batch_size"`
	Clients     int     `json:"clients"`
	Rounds      int     `json:"rounds"`
	Data        string  `json:"data"` // "": ready-made pixels
}

func newBenchServeCommand() *cobra.Command {
	o := serveBench{size: 224, views: 2, batch: 64, clients: 1, rounds: 3, seconds: 5}
	o.Workers = cores.Count()
	c := &cobra.Command{
		Use:   "serve",
		Short: "what the hop from resslt serve to a client costs",
		Long: `Brings batches to consumers that copy them and ask for the next, in three ways: a stream
in the process that makes them, as resslt train has; through resslt serve and
shared memory; and through its socket. Everything runs in this process, so that
its CPU time is that of all. Without --data the pixels are ready-made, so that
transport alone is measured. The ways are measured in turn, in several rounds.`,
		Example: `  resslt bench serve --json
  resslt bench serve --data folder:photos --policy imagenet --batch-size 64`,
		RunE: func(c *cobra.Command, _ []string) error {
			o.Given, o.Stderr = c.Flags().Changed, c.ErrOrStderr()
			rep, err := o.run(c.Context())
			if err != nil {
				return err
			}
			if o.json {
				return json.NewEncoder(c.OutOrStdout()).Encode(rep)
			}
			for _, h := range rep.Hops {
				if _, err := fmt.Fprintf(c.OutOrStdout(), "%-6s %7.0f MB/s, %.2f CPU seconds a GB, %.0f samples a CPU second\n", h.Way, h.MBPerSecond, h.CPUSecondsPerGB, h.SamplesPerCPU); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "shared memory costs %.1f %% of the samples a CPU second (%d clients, batches of %d, %.1f kB a sample, medians of %d rounds)\n",
				100*rep.ShmCost, rep.Clients, rep.BatchSize, float64(rep.SampleBytes)/1e3, rep.Rounds)
			return err
		},
	}
	f := c.Flags()
	cli.RegisterData(f, &o.Data, "data `URI` that is read and drawn (default: ready-made pixels)")
	f.StringVar(&o.Policy, "policy", "imagenet", "with --data: augmentation `policy`")
	f.IntVar(&o.ImageSize, "image-size", 0, "with --data: side of the views in pixels (default the policy's)")
	f.IntVar(&o.BatchSize, "batch-size", o.batch, "samples a batch")
	f.IntVar(&o.size, "view-size", o.size, "without --data: side of a view, pixels")
	f.IntVar(&o.views, "views", o.views, "without --data: views a sample")
	f.IntVar(&o.Workers, "workers", o.Workers, "images rendered at once")
	f.IntVar(&o.clients, "clients", o.clients, "consumers, each of all batches")
	f.IntVar(&o.rounds, "rounds", o.rounds, "rounds of all ways")
	f.Float64Var(&o.seconds, "seconds", o.seconds, "how long each is measured in a round")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return c
}

func (o *serveBench) run(ctx context.Context) (*serveReport, error) {
	if o.seconds <= 0 || o.Workers < 1 || o.clients < 1 || o.rounds < 1 {
		return nil, errs.New("bench serve", "--seconds, --workers, --clients, --rounds", "give more than 0", errs.ErrUsage)
	}
	p, err := o.plan(ctx)
	if err != nil {
		return nil, err
	}
	defer p.Close() // nothing was written
	ways := []string{"stream", "shm", "socket"}
	all := map[string][]hop{}
	for range o.rounds {
		for _, way := range ways {
			h, err := o.measure(ctx, p, way)
			if err != nil {
				return nil, err
			}
			all[way] = append(all[way], h)
		}
	}
	rep := &serveReport{SampleBytes: p.Spec.SampleBytes(), BatchSize: p.Spec.BatchSize, Clients: o.clients, Rounds: o.rounds, Data: p.Data}
	for _, way := range ways {
		var mb, cpu, samples []float64
		for _, h := range all[way] {
			mb, cpu, samples = append(mb, h.MBPerSecond), append(cpu, h.CPUSecondsPerGB), append(samples, h.SamplesPerCPU)
		}
		rep.Hops = append(rep.Hops, hop{way, median(mb), median(cpu), median(samples)})
	}
	rep.ShmCost = 1 - rep.Hops[1].SamplesPerCPU/rep.Hops[0].SamplesPerCPU
	return rep, nil
}

// plan is of the data, or of ready-made pixels.
func (o *serveBench) plan(ctx context.Context) (*serve.Plan, error) {
	if o.Data != "" {
		return serve.MakePlan(ctx, &o.Options)
	}
	tb := transportBench{size: o.size, views: o.views, batch: o.BatchSize}
	spec, err := tb.spec()
	return &serve.Plan{Spec: spec, Mean: []float64{0, 0, 0}, Std: []float64{1, 1, 1}}, err
}

// measure brings batches to the consumers by one way, in a run of its own.
func (o *serveBench) measure(ctx context.Context, p *serve.Plan, way string) (h hop, err error) {
	eo := supply.EmbeddedOptions{
		Name: "resslt bench", Spec: p.Spec, Run: o.RunOptions(p), Workers: o.Workers,
		Registry: observe.NewRegistry(), Print: func(line string) { fmt.Fprintln(o.Stderr, line) },
		Data: p.Source(),
	}
	if p.Data == "" {
		eo.Order = readyOrder{}
		eo.Source = func(context.Context, *schemas.RunInfo) (produce.Source, error) { return &readyPixels{}, nil }
	}
	e, err := supply.OpenEmbedded(ctx, eo)
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	m := &meter{plan: p, warm: o.warmUp(), lap: time.Duration(o.seconds * float64(time.Second))}
	if way == "stream" {
		err = m.all(o.clients, func(i int) error { return m.streamed(ctx, e, i) })
	} else {
		err = o.served(ctx, p, e, func(address string) error {
			return m.all(o.clients, func(i int) error { return m.served(address, i, way == "shm") })
		})
	}
	if err != nil {
		return h, err
	}
	gb := float64(m.samples.Load()) * float64(p.Spec.SampleBytes()) / 1e9
	return hop{way, gb * 1e3 / m.wall.Seconds(), m.cpu.Seconds() / gb, float64(m.samples.Load()) / m.cpu.Seconds()}, nil
}

func (o *serveBench) warmUp() time.Duration {
	return time.Duration(o.seconds * float64(time.Second) / 5)
}

// served runs a server for as long as use takes.
func (o *serveBench) served(ctx context.Context, p *serve.Plan, e *supply.Embedded, use func(address string) error) (err error) {
	dir, err := scratch.Make("bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ready, tell := io.Pipe()
	so := serve.Options{Listen: "unix:" + filepath.Join(dir.Path, "door"), MaxShared: 8 << 30, Stdout: tell, Stderr: o.Stderr}
	ended := make(chan error, 1)
	go func() {
		err := serve.Serve(ctx, so, p, e)
		tell.CloseWithError(io.ErrUnexpectedEOF) // it may never have said that it is ready
		ended <- err
	}()
	var line serve.Ready
	if err = json.NewDecoder(ready).Decode(&line); err == nil {
		err = use(line.Listen)
	}
	stop()
	return errors.Join(err, <-ended)
}

// meter counts what consumers get between the end of the warm-up and the end of the lap.
type meter struct {
	plan      *serve.Plan
	warm, lap time.Duration

	began, end time.Time // of the lap
	samples    atomic.Int64
	cpu, wall  time.Duration
}

// all runs consumers at the same time, and measures the lap.
func (m *meter) all(clients int, consume func(i int) error) error {
	m.began = time.Now().Add(m.warm)
	m.end = m.began.Add(m.lap)
	var all sync.WaitGroup
	failed := make([]error, clients)
	for i := range clients {
		all.Go(func() { failed[i] = consume(i) })
	}
	time.Sleep(time.Until(m.began))
	cpu, start := cli.CPUTime(), time.Now()
	time.Sleep(time.Until(m.end))
	m.cpu, m.wall = cli.CPUTime()-cpu, time.Since(start)
	all.Wait()
	return errors.Join(failed...)
}

// took counts a batch that was copied; false when the lap is over.
func (m *meter) took(rows int) bool {
	now := time.Now()
	if now.After(m.end) {
		return false
	}
	if now.After(m.began) {
		m.samples.Add(int64(rows))
	}
	return true
}

// streamed consumes a stream of this process.
func (m *meter) streamed(ctx context.Context, e *supply.Embedded, i int) error {
	s, err := e.Open(ctx, stream.Options{Trainer: fmt.Sprintf("client%d", i)})
	if err != nil {
		return err
	}
	host := make([]byte, m.plan.Spec.SampleBytes()*m.plan.Spec.BatchSize)
	for {
		b, err := s.Next(ctx)
		if err != nil {
			return errors.Join(err, s.Close())
		}
		at := 0
		for _, px := range b.Pixels {
			at += copy(host[at:], px)
		}
		b.Release()
		if !m.took(b.Size) {
			return s.Close()
		}
	}
}

// served consumes what a server sends.
func (m *meter) served(address string, i int, shared bool) error {
	h := peer.Default(fmt.Sprintf("client%d", i))
	h.Shared = shared
	p, err := peer.Connect(address, nil, h, 0)
	if err != nil {
		return err
	}
	defer p.Close()
	host := make([]byte, p.MaxFrame)
	for step := p.From; ; {
		e, err := p.Next()
		if err != nil {
			return err
		}
		if e.Message == nil {
			continue
		}
		copy(host, e.Message)
		if err := p.Done(step, e.Slot); err != nil {
			return err
		}
		step++
		if !m.took(m.plan.Spec.BatchSize) {
			return p.Bye()
		}
	}
}
