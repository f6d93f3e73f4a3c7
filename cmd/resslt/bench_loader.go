package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/recipe"
)

// loaderBench are the flags of `resslt bench loader`.
type loaderBench struct {
	recipe, data string
	set, splits  []string
	workers      int
	seconds      float64
	json         bool
}

// loaderReport is what `bench loader` prints.
type loaderReport struct {
	ImagesPerSecond       float64 `json:"images_per_second"`        // samples of whole batches, in the trainer's hands
	RenderImagesPerSecond float64 `json:"render_images_per_second"` // samples read, decoded and drawn, going nowhere
	Ratio                 float64 `json:"ratio"`                    // the first ÷ the second
	MBPerSecond           float64 `json:"mb_per_second"`            // 10⁶ bytes of pixels
	CPUPerImage           float64 `json:"cpu_us_per_image"`         // microseconds of this process, broker and all
	RenderCPUPerImage     float64 `json:"render_cpu_us_per_image"`  // of them by reading, decoding and drawing
	Views                 int     `json:"views"`
	SampleBytes           int     `json:"sample_bytes"` // of pixels, all views
	BatchSize             int     `json:"batch_size"`
	Engine                string  `json:"engine"`
	Workers               int     `json:"workers"`
	PeakRSSBytes          int64   `json:"peak_rss_bytes"`
}

func newBenchLoaderCommand() *cobra.Command {
	o := loaderBench{recipe: "quickstart", workers: cores.Count(), seconds: 10}
	c := &cobra.Command{
		Use:   "loader",
		Short: "how many images a second workers, broker and stream bring to a trainer that does nothing",
		Long: `Runs a recipe's input alone, in one process: workers read, decode and draw, the
embedded broker carries, the stream assembles batches, and what stands for the
trainer copies them and asks for the next. Beside it the workers' share, with
nothing behind them. A trainer that is faster than the first figure waits for data.`,
		Example: `  resslt bench loader --recipe cifar10 --data cifar10:data/cifar10 --workers 16`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			rep, err := o.run(c.Context(), c.ErrOrStderr())
			if err != nil {
				return err
			}
			if o.json {
				return json.NewEncoder(c.OutOrStdout()).Encode(rep)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%.0f images/s in batches of %d (%d views, %.1f kB), %.0f MB/s, %.1f µs of CPU an image; rendering alone %.0f images/s, %.1f µs: ratio %.2f (%d workers, %s, peak RSS %.0f MB)\n",
				rep.ImagesPerSecond, rep.BatchSize, rep.Views, float64(rep.SampleBytes)/1e3, rep.MBPerSecond, rep.CPUPerImage,
				rep.RenderImagesPerSecond, rep.RenderCPUPerImage, rep.Ratio, rep.Workers, rep.Engine, float64(rep.PeakRSSBytes)/1e6)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.recipe, "recipe", o.recipe, "embedded recipe or a YAML `file`")
	data := cli.RegisterData(f, &o.data, "data `URI` in place of the recipe's")
	f.StringArrayVar(&o.set, "set", nil, "override a recipe field, `key=value`; may be repeated")
	data.RegisterRecipeSplit(f, &o.splits)
	f.IntVar(&o.workers, "workers", o.workers, "images rendered at once")
	f.Float64Var(&o.seconds, "seconds", o.seconds, "how long each of the two is measured")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return c
}

func (o *loaderBench) run(ctx context.Context, stderr io.Writer) (*loaderReport, error) {
	if o.seconds <= 0 || o.workers < 1 {
		return nil, errs.New("bench loader", "--seconds, --workers", "give more than 0", errs.ErrUsage)
	}
	r, err := recipe.Load(o.recipe)
	if err != nil {
		return nil, err
	}
	if err := override(r, o.data, append(o.set, o.splits...)); err != nil {
		return nil, err
	}
	if r.Data, err = ingest.Absolute(r.Data); err != nil {
		return nil, err
	}
	src, err := ingest.Open(ctx, r.Data, ingest.Options{Warn: cli.Warn, Split: r.Split, Progress: cli.Progress(stderr, "indexing")})
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(stderr, pipeline.Opened(r.Data, src))
	spec, err := pipeline.Spec(r, src.Manifest())
	src.Close()
	if err != nil {
		return nil, err
	}
	spec.Epochs = 1 << 20 // no measurement ends it
	rep := &loaderReport{Views: len(spec.Views), SampleBytes: spec.SampleBytes(), BatchSize: spec.BatchSize, Engine: spec.Engine, Workers: o.workers}
	open := func(ctx context.Context, rec *schemas.RunInfo) (produce.Source, error) {
		return pipeline.OpenSource(ctx, rec, nil, ingest.Options{Warn: cli.Warn})
	}
	if err := o.render(ctx, &spec, r.Data, open, rep); err != nil {
		return nil, err
	}
	if err := o.stream(ctx, spec, r.Data, open, rep); err != nil {
		return nil, err
	}
	rep.Ratio, rep.PeakRSSBytes = rep.ImagesPerSecond/rep.RenderImagesPerSecond, cli.PeakRSS()
	return rep, nil
}

// render measures the workers alone, without transport.
func (o *loaderBench) render(ctx context.Context, spec *schemas.RunSpec, uri string, open openSource, rep *loaderReport) error {
	src, err := open(ctx, &schemas.RunInfo{Spec: *spec, DataURI: uri})
	if err != nil {
		return err
	}
	defer src.Close()
	var next, done, warm atomic.Int64
	var began time.Time
	var cpu time.Duration
	after := time.AfterFunc(o.warmUp(), func() { began, cpu = time.Now(), cli.CPUTime(); warm.Store(done.Load() + 1) })
	defer after.Stop()
	tctx, cancel := context.WithTimeout(ctx, o.warmUp()+o.lap())
	defer cancel()
	g, gctx := errgroup.WithContext(tctx)
	for range o.workers {
		g.Go(func() (err error) {
			maker, err := src.NewMaker()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, maker.Close()) }()
			dst, plans := make([][]byte, len(spec.Views)), make([][]byte, len(spec.Views))
			for v, view := range spec.Views {
				dst[v] = make([]byte, view.Bytes())
			}
			for gctx.Err() == nil {
				i := next.Add(1) - 1
				epoch, index := i/spec.Dataset.Samples, i%spec.Dataset.Samples
				row := wire.TaskRow{Slot: int32(i % int64(spec.BatchSize)), Epoch: epoch, Index: index, Sample: src.Order().At(epoch, index)}
				if _, err := maker.Make(gctx, row, dst, plans); err != nil {
					if tctx.Err() != nil {
						return nil // the time is over
					}
					return err
				}
				done.Add(1)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	before := warm.Load()
	n := float64(done.Load() - before + 1)
	if before == 0 || n <= 0 {
		return o.tooShort()
	}
	rep.RenderImagesPerSecond = n / time.Since(began).Seconds()
	rep.RenderCPUPerImage = float64((cli.CPUTime() - cpu).Microseconds()) / n
	return nil
}

// stream measures workers and transport together.
func (o *loaderBench) stream(ctx context.Context, spec schemas.RunSpec, uri string, open openSource, rep *loaderReport) error {
	js, done, err := embeddedBroker(ctx)
	if err != nil {
		return err
	}
	defer done()
	run, err := runs.Open(ctx, js, "bench", spec, runs.Options{DataURI: uri})
	if err != nil {
		return err
	}
	order, err := pipeline.Order(&spec)
	if err != nil {
		return err
	}
	return served(ctx, js, run, order, o.workers, open, func(ctx context.Context, s *stream.Stream) error {
		return o.consume(ctx, s, &spec, rep)
	})
}

// consume takes batches as a trainer does, without training.
func (o *loaderBench) consume(ctx context.Context, s *stream.Stream, spec *schemas.RunSpec, rep *loaderReport) error {
	host := make([]byte, spec.SampleBytes()*spec.BatchSize)
	next := func() error {
		b, err := s.Next(ctx)
		if err != nil {
			return err
		}
		at := 0
		for _, px := range b.Pixels {
			at += copy(host[at:], px)
		}
		b.Release()
		return nil
	}
	for began := time.Now(); time.Since(began) < o.warmUp(); {
		if err := next(); err != nil {
			return err
		}
	}
	began, cpu, n := time.Now(), cli.CPUTime(), 0
	for ; time.Since(began) < o.lap(); n++ {
		if err := next(); err != nil {
			return err
		}
	}
	images, seconds := float64(n*spec.BatchSize), time.Since(began).Seconds()
	rep.ImagesPerSecond, rep.MBPerSecond = images/seconds, images*float64(spec.SampleBytes())/1e6/seconds
	rep.CPUPerImage = float64((cli.CPUTime() - cpu).Microseconds()) / images
	return nil
}

func (o *loaderBench) lap() time.Duration { return time.Duration(o.seconds * float64(time.Second)) }

// warmUp fills files' caches and the broker's window.
func (o *loaderBench) warmUp() time.Duration { return o.lap() / 5 }

func (o *loaderBench) tooShort() error {
	return errs.New("bench loader", "--seconds", "give more time", errs.Because(errs.ErrUsage, "no image was drawn"))
}
