package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/cmd/internal/cores"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// streamReport is what `bench stream` prints: what transport costs the trainer.
type streamReport struct {
	MemoryImagesPerSecond float64 `json:"memory_images_per_second"` // batches from this process's memory
	StreamImagesPerSecond float64 `json:"stream_images_per_second"` // the same batches through the broker
	Ratio                 float64 `json:"ratio"`                    // stream ÷ memory, median of the rounds' ratios
	Rounds                int     `json:"rounds"`
	StepsPerRound         int     `json:"steps_per_round"`
	BatchBytes            int     `json:"batch_bytes"`
	Width                 int     `json:"width"`
	ImageSize             int     `json:"image_size"`
	BatchSize             int     `json:"batch_size"`
	Threads               int     `json:"threads"`
}

func newBenchStreamCommand() *cobra.Command {
	r := recipe.Default()
	r.Name, r.Data = "bench stream", "none:"
	var rounds, steps int
	var asJSON bool
	c := &cobra.Command{
		Use:   "stream",
		Short: "training from the broker against training from memory, the same ready-made batches",
		Long: `Trains on the same ready-made batches from memory and through the embedded
broker, in turn. The chunks are in the broker before the clock starts: measured is
what transport costs a trainer whose farm keeps up.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if rounds < 1 || steps < 2 || r.ImageSize < 1 {
				return errs.New("bench stream", fmt.Sprintf("rounds %d, steps %d", rounds, steps), "give 1 round and 2 steps or more", errs.ErrUsage)
			}
			if err := resolveHere(&r); err != nil {
				return err
			}
			rep, err := benchStream(c.Context(), &r, rounds, steps)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(rep)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "width %d, %d×%d, batch %d (%.1f MB): %.0f images/s from memory, %.0f through the broker, ratio %.3f (median of %d rounds of %d steps, %d threads)\n",
				rep.Width, rep.ImageSize, rep.ImageSize, rep.BatchSize, float64(rep.BatchBytes)/1e6, rep.MemoryImagesPerSecond, rep.StreamImagesPerSecond, rep.Ratio, rep.Rounds, rep.StepsPerRound, rep.Threads)
			return err
		},
	}
	networkFlags(c, &r, 16, 256)
	f := c.Flags()
	f.IntVar(&rounds, "rounds", 5, "rounds of both")
	f.IntVar(&steps, "steps", 8, "steps a round")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func benchStream(ctx context.Context, r *recipe.Recipe, rounds, steps int) (*streamReport, error) {
	cfg, err := train.LearnerConfig(r)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(torch.Open(""), torch.SetNumThreads(r.Threads)); err != nil {
		return nil, err
	}
	cfg.Samples = benchSamples
	learner, err := train.NewLearner(cfg)
	if err != nil {
		return nil, err
	}
	defer learner.Free()

	tb := transportBench{size: r.ImageSize, views: 2, batch: r.BatchSize, storage: string(runs.StorageMemory)}
	spec, err := tb.spec()
	if err != nil {
		return nil, err
	}
	spec.Epochs = int64(steps)
	batch := noiseBatch(r, []int{r.ImageSize})
	var memory, input, ratios []float64
	for range rounds {
		m, err := stream.NewMemory(&spec, 0, []*schemas.Batch{batch})
		if err != nil {
			return nil, err
		}
		a, err := rate(ctx, learner, m, r, steps)
		if err != nil {
			return nil, err
		}
		b, err := tb.filled(ctx, spec, batch, func(s train.Stream) (float64, error) { return rate(ctx, learner, s, r, steps) })
		if err != nil {
			return nil, err
		}
		memory, input, ratios = append(memory, a), append(input, b), append(ratios, b/a)
	}
	return &streamReport{
		MemoryImagesPerSecond: median(memory), StreamImagesPerSecond: median(input), Ratio: median(ratios),
		Rounds: rounds, StepsPerRound: steps, BatchBytes: spec.SampleBytes() * spec.BatchSize,
		Width: r.Width, ImageSize: r.ImageSize, BatchSize: r.BatchSize, Threads: r.Threads,
	}, nil
}

// rate trains steps steps and gives images a second, the waits for batches
// included. The first step warms up and is not counted.
func rate(ctx context.Context, l *train.Learner, s train.Stream, r *recipe.Recipe, steps int) (float64, error) {
	h := train.Hyper{LR: r.LR(), Momentum: r.M, Alpha: 0.5, Stats: true} // Stats waits for the device
	var began time.Time
	for i := range steps {
		if i == 1 {
			began = time.Now()
		}
		b, err := s.Next(ctx)
		if err != nil {
			return 0, err
		}
		err = stepOn(l, b, h)
		b.Release()
		if err != nil {
			return 0, err
		}
	}
	return float64((steps-1)*r.BatchSize) / time.Since(began).Seconds(), nil
}

// filled makes a run whose chunks, all rows of batch for every step, are in the embedded
// broker, and gives use a stream of it.
func (o *transportBench) filled(ctx context.Context, spec schemas.RunSpec, batch *schemas.Batch, use func(train.Stream) (float64, error)) (v float64, err error) {
	js, done, err := embeddedBroker(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	run, err := runs.Open(ctx, js, "bench", spec, runs.Options{
		Storage: runs.Storage(o.storage), Window: spec.Steps(), MaxBytes: 2 * spec.Steps() * int64(spec.SampleBytes()*spec.BatchSize+1<<20),
	})
	if err != nil {
		return 0, err
	}
	w, err := worker.New(js, worker.Options{
		Workers: cores.Count(), Grace: time.Second,
		Open: func(context.Context, *schemas.RunInfo) (produce.Source, error) {
			return &batchPixels{batch: batch}, nil
		},
	})
	if err != nil {
		return 0, err
	}
	wctx, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- w.ServeRun(wctx, "bench") }()
	s, err := stream.Open(ctx, run, readyOrder{}, stream.Options{})
	if err != nil {
		stop()
		return 0, errors.Join(err, <-served)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for want := spec.Steps() * int64(spec.Chunks()); w.Stats().Chunks < want; {
		select {
		case err := <-served:
			stop()
			return 0, errors.Join(err, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
	stop()
	if err := <-served; err != nil {
		return 0, err
	}
	return use(s)
}

// batchPixels makes every sample by copying a row of a ready batch.
type batchPixels struct {
	readyPixels
	batch *schemas.Batch
}

func (p *batchPixels) NewMaker() (produce.Maker, error) { return p, nil }

func (p *batchPixels) Make(ctx context.Context, row wire.TaskRow, dst, plans [][]byte) (produce.Made, error) {
	for v, view := range p.batch.Views {
		at := int(row.Slot) * view.Bytes()
		copy(dst[v], p.batch.Pixels[v][at:at+view.Bytes()])
	}
	return p.readyPixels.Make(ctx, row, dst, plans)
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}
