package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"resslt/augment"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// augmentReport is what `bench augment` prints. Rates are of all workers
// together, over wall time unless they say CPU.
type augmentReport struct {
	SamplesPerSecond    float64 `json:"samples_per_second"`
	ViewsPerSecond      float64 `json:"views_per_second"`
	DecodePerSecond     float64 `json:"decode_only_per_second"` // whole images to RGB, the same files by the same engine
	Engine              string  `json:"engine"`
	Workers             int     `json:"workers"`
	SamplesPerCPUSecond float64 `json:"samples_per_cpu_second"` // steadier than wall time on a busy machine
	DecodePerCPUSecond  float64 `json:"decode_only_per_cpu_second"`
	AllocsPerSample     float64 `json:"allocs_per_sample"` // of Go, draw and render
	BytesPerSample      float64 `json:"alloc_bytes_per_sample"`
	RSSBytes            int64   `json:"rss_bytes"`      // of the process, after the run
	DataBytes           int64   `json:"data_bytes"`     // of RSSBytes: the undecoded samples held in memory
	Samples             int64   `json:"samples"`        // rendered
	Refused             int64   `json:"refused"`        // of those, undecodable
	DistinctSamples     int     `json:"distinct_files"` // in memory
	Seconds             float64 `json:"seconds"`
	Policy              string  `json:"policy"`
	Data                string  `json:"data"`

	Profile []workCost `json:"profile,omitempty"` // with --profile, from a run of its own
}

// benchAugment holds the flags of `bench augment`.
type benchAugment struct {
	policy, engine, data, split string
	workers, imageSize          int
	seconds                     float64
	samples                     int64 // at most so many in memory
	count                       int64 // render so many; 0: for so many seconds
	asJSON, profile, presets    bool
	opened                      io.Writer // receives a line that describes the data
}

func newBenchAugmentCommand() *cobra.Command {
	var b benchAugment
	c := &cobra.Command{
		Use:   "augment",
		Short: "time decoding, drawing and rendering of views: samples from memory, no broker, no disk",
		RunE: func(c *cobra.Command, _ []string) error {
			if b.workers < 1 || b.seconds <= 0 || b.samples < 1 || b.count < 0 {
				return errs.New("bench augment", fmt.Sprintf("workers %d, seconds %g, samples %d, count %d", b.workers, b.seconds, b.samples, b.count),
					"give 1 or more workers and samples, and a time above 0", errs.ErrUsage)
			}
			if b.data == "" {
				return errs.New("bench augment", "--data", "name a data set, e.g. --data folder:DIR", errs.Because(errs.ErrUsage, "is missing"))
			}
			b.opened = c.ErrOrStderr()
			if b.presets {
				return b.allPresets(c.Context(), c.OutOrStdout())
			}
			rep, err := b.run(c.Context())
			if err != nil {
				return err
			}
			if b.asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(rep)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s, policy %s, %d workers: %.0f samples/s, %.0f views/s (%.0f samples per CPU second); decoding alone %.0f/s; %.2f allocations a sample; %.0f MB resident, %.0f of them data\n",
				rep.Engine, rep.Policy, rep.Workers, rep.SamplesPerSecond, rep.ViewsPerSecond, rep.SamplesPerCPUSecond, rep.DecodePerSecond, rep.AllocsPerSample, float64(rep.RSSBytes)/1e6, float64(rep.DataBytes)/1e6)
			if b.profile {
				writeProfile(c.OutOrStdout(), rep.Profile)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&b.policy, "policy", "imagenet", "preset, or a YAML file")
	cli.RegisterData(f, &b.data, "data set: `URI`").RegisterSplit(f, "split", "part of the data set (default train)", &b.split)
	f.StringVar(&b.engine, "engine", "", "engine or its family: turbo, gift, ref (default: the fastest that is built in)")
	f.IntVar(&b.workers, "workers", 1, "images decoded and rendered at once")
	f.IntVar(&b.imageSize, "image-size", 0, "size of all views (0: the policy's)")
	f.Float64Var(&b.seconds, "seconds", 10, "time to measure rendering for; decoding alone gets half of it")
	f.Int64Var(&b.samples, "samples", 2000, "hold at most so many samples in memory")
	f.Int64Var(&b.count, "count", 0, "render so many samples, however long it takes (0: by --seconds)")
	f.BoolVar(&b.profile, "profile", false, "print where the CPU time goes, by a second run with the clock read around every step")
	f.BoolVar(&b.presets, "presets", false, "measure every preset in turn, and print a table")
	f.BoolVar(&b.asJSON, "json", false, "print one JSON object")
	c.MarkFlagsMutuallyExclusive("presets", "policy")
	c.MarkFlagsMutuallyExclusive("presets", "profile")
	c.MarkFlagsMutuallyExclusive("presets", "json")
	c.MarkFlagsMutuallyExclusive("presets", "image-size")
	return c
}

func (b *benchAugment) run(ctx context.Context) (*augmentReport, error) {
	// The policy first: a wrong name is said before anything is read.
	if _, err := pipeline.Policy(b.policy, b.imageSize); err != nil {
		return nil, err
	}
	samples, bytes, engine, err := b.load(ctx)
	if err != nil {
		return nil, err
	}
	return b.report(ctx, engine, samples, bytes)
}

// report measures b's policy on samples that are bytes long together.
func (b *benchAugment) report(ctx context.Context, engine augment.Engine, samples []schemas.Sample, bytes int64) (*augmentReport, error) {
	policy, err := pipeline.Policy(b.policy, b.imageSize)
	if err != nil {
		return nil, err
	}
	rep := &augmentReport{Engine: engine.Name(), Workers: b.workers, DataBytes: bytes, DistinctSamples: len(samples), Policy: policy.Name, Data: b.data}

	renderers := make([]*rendering, b.workers)
	for i := range renderers {
		if renderers[i], err = newRendering(engine, policy); err != nil {
			return nil, err
		}
		defer renderers[i].renderer.Close()
	}
	render := func(w int, at int64) error {
		return renderers[w].render(&samples[at%int64(len(samples))], at/int64(len(samples)))
	}
	// A short first run grows buffers and warms caches.
	if _, err := b.measure(ctx, b.seconds/10, 0, render); err != nil {
		return nil, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := b.measure(ctx, b.seconds, b.count, render)
	if err != nil {
		return nil, err
	}
	runtime.ReadMemStats(&after)
	rep.RSSBytes = residentBytes()
	rep.Samples, rep.Refused, rep.Seconds = m.n, m.refused, m.wall
	rep.SamplesPerSecond, rep.SamplesPerCPUSecond = float64(m.n)/m.wall, float64(m.n)/m.cpu
	rep.ViewsPerSecond = rep.SamplesPerSecond * float64(len(policy.Views))
	rep.AllocsPerSample = float64(after.Mallocs-before.Mallocs) / float64(m.n)
	rep.BytesPerSample = float64(after.TotalAlloc-before.TotalAlloc) / float64(m.n)

	painters := make([]augment.Painter, b.workers)
	for i := range painters {
		painters[i] = engine.NewPainter(policy.Limits)
		defer painters[i].Close()
	}
	decode := func(w int, at int64) error {
		p := painters[w]
		width, height, err := p.Open(&samples[at%int64(len(samples))])
		if err != nil {
			return err
		}
		return p.Decode(augment.Box{W: width, H: height})
	}
	if m, err = b.measure(ctx, b.seconds/2, 0, decode); err != nil {
		return nil, err
	}
	rep.DecodePerSecond, rep.DecodePerCPUSecond = float64(m.n)/m.wall, float64(m.n)/m.cpu
	if !b.profile {
		return rep, nil
	}
	for _, r := range renderers {
		if err := r.renderer.StartProfile(); err != nil {
			return nil, err
		}
	}
	if m, err = b.measure(ctx, b.seconds, b.count, render); err != nil {
		return nil, err
	}
	rep.Profile = costs(renderers, m)
	return rep, nil
}

// load reads samples into memory, evenly from the whole data set, and finds the engine for
// them.
func (b *benchAugment) load(ctx context.Context) (out []schemas.Sample, bytes int64, e augment.Engine, err error) {
	src, err := ingest.Open(ctx, b.data, ingest.Options{Split: b.split, Warn: cli.Warn})
	if err != nil {
		return nil, 0, nil, err
	}
	defer src.Close()
	if e, err = pipeline.EngineOf(b.engine, src.Manifest()); err != nil {
		return nil, 0, nil, err
	}
	fmt.Fprintln(b.opened, pipeline.Opened(b.data, src))
	n := min(src.Len(), b.samples)
	if n == 0 {
		return nil, 0, nil, errs.New("bench augment", b.data, "name a data set with images", errs.Because(errs.ErrNotFound, "it has no samples"))
	}
	out = make([]schemas.Sample, n)
	for i := range out {
		if err := src.Read(ctx, int64(i)*src.Len()/n, &out[i]); err != nil {
			return nil, 0, nil, err
		}
		bytes += int64(len(out[i].Data))
	}
	return out, bytes, e, nil
}

// rendering is a worker's renderer with its buffers.
type rendering struct {
	renderer      *augment.Renderer
	pixels, plans [][]byte
}

func newRendering(e augment.Engine, p *augment.Policy) (*rendering, error) {
	r, err := augment.NewRenderer(e, p)
	if err != nil {
		return nil, err
	}
	out := &rendering{renderer: r}
	for _, v := range p.ViewSpecs() {
		out.pixels = append(out.pixels, make([]byte, v.Bytes()))
	}
	return out, nil
}

func (r *rendering) render(s *schemas.Sample, epoch int64) (err error) {
	r.plans, err = r.renderer.Render(s, augment.Key{Seed: 1, Epoch: epoch, Sample: s.ID}, r.pixels, r.plans)
	return err
}

// measured is one timed run: what was done, in seconds of wall and CPU time.
type measured struct {
	n, refused int64
	wall, cpu  float64
}

// measure has every worker call do(worker, 0, 1, 2 …), each number once, for so
// many seconds, but a number for each, or, where count is not 0, for so many numbers. A sample's
// fault is counted; any other error ends the run.
func (b *benchAugment) measure(ctx context.Context, seconds float64, count int64, do func(worker int, at int64) error) (measured, error) {
	var next, done, refused atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	cpu, began := cli.CPUTime().Seconds(), time.Now()
	end := began.Add(time.Duration(seconds * float64(time.Second)))
	enough := func(at int64) bool {
		if count > 0 {
			return at >= count
		}
		return at >= int64(b.workers) && time.Now().After(end) && (done.Load() > refused.Load() || at >= b.samples)
	}
	for w := range b.workers {
		g.Go(func() error {
			for {
				at := next.Add(1) - 1
				if enough(at) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				switch err := do(w, at); {
				case err == nil:
				case schemas.AsBadSample(err) != nil:
					refused.Add(1)
				default:
					return err
				}
				done.Add(1) // behind refused: what was done is never counted too early
			}
		})
	}
	if err := g.Wait(); err != nil {
		return measured{}, err
	}
	m := measured{n: done.Load(), refused: refused.Load(), wall: time.Since(began).Seconds(), cpu: cli.CPUTime().Seconds() - cpu}
	if m.n == m.refused {
		return measured{}, errs.New("bench augment", b.data, "name a data set of images", errs.Because(errs.ErrCorrupt, "no sample could be decoded"))
	}
	return m, nil
}

// residentBytes is the process's resident set now, 0 where the system does not tell.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm") //nolint:forbidigo // the kernel's
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}
