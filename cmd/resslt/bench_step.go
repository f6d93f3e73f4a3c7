package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/pipeline"
	"resslt/schemas"
	"resslt/train"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// stepReport is what `bench step` prints.
type stepReport struct {
	ImagesPerSecond float64 `json:"images_per_second"` // B over the median step
	MSPerStep       float64 `json:"ms_per_step"`       // median
	Steps           int     `json:"steps"`
	Backbone        string  `json:"backbone"`
	Width           int     `json:"width"`
	ImageSize       int     `json:"image_size"`
	BatchSize       int     `json:"batch_size"`
	Device          string  `json:"device"`
	Threads         int     `json:"threads"`
	Precision       string  `json:"precision"`
	Objective       string  `json:"objective"`
	Accumulate      int     `json:"accumulate"`
	Checkpointing   bool    `json:"activation_checkpointing"`
	PeakRSSBytes    int64   `json:"peak_rss_bytes"` // of the process
	TorchVersion    string  `json:"torch_version"`
}

func newBenchStepCommand() *cobra.Command {
	r := recipe.Default()
	r.Name, r.Data = "bench step", "none:"
	var steps, warmup int
	var asJSON bool
	c := &cobra.Command{
		Use:   "step",
		Short: "time the training step on a batch from memory: two views, student, teacher, queue, loss, backward, SGD, EMA",
		RunE: func(c *cobra.Command, _ []string) error {
			if steps < 1 || warmup < 0 || r.ImageSize < 1 {
				return schemas.E("bench step", fmt.Sprintf("steps %d, warm-up %d, image size %d", steps, warmup, r.ImageSize), "give 1 or more (warm-up: 0 or more)", schemas.ErrUsage)
			}
			if err := r.Resolve(pipeline.Host(runtime.NumCPU())); err != nil {
				return err
			}
			rep, err := benchStep(&r, steps, warmup)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(rep)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s width %d, %d×%d, batch %d on %s (%d threads, %s, libtorch %s): %.1f ms a step, %.0f images/s, median of %d, peak RSS %.0f MB\n",
				rep.Backbone, rep.Width, rep.ImageSize, rep.ImageSize, rep.BatchSize, rep.Device, rep.Threads, rep.Precision, rep.TorchVersion, rep.MSPerStep, rep.ImagesPerSecond, rep.Steps, float64(rep.PeakRSSBytes)/1e6)
			return nil
		},
	}
	networkFlags(c, &r, 64, 64)
	f := c.Flags()
	f.StringVar(&r.Objective, "objective", r.Objective, "one of "+strings.Join(recipe.Objectives(), ", "))
	f.StringVar(&r.Precision, "precision", r.Precision, "fp32 or bf16")
	f.IntVar(&r.Accumulate, "accumulate", r.Accumulate, "micro-batches a step")
	f.BoolVar(&r.ActivationCheckpointing, "activation-checkpointing", false, "keep only what goes in between the backbone's stages")
	f.IntVar(&steps, "steps", 20, "timed steps")
	f.IntVar(&warmup, "warmup", 3, "steps before the timed ones")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// networkFlags are the flags of every benchmark that trains a network; width and
// batch are the defaults.
func networkFlags(c *cobra.Command, r *recipe.Recipe, width, batch int) {
	f := c.Flags()
	f.StringVar(&r.Backbone, "backbone", "resnet18", "network")
	f.IntVar(&r.Width, "width", width, "64 is the published network; others scale its channels")
	f.StringVar(&r.Stem, "stem", "small", "small or imagenet")
	f.IntVar(&r.ImageSize, "image-size", 32, "S, pixels")
	f.IntVar(&r.BatchSize, "batch", batch, "B")
	f.StringVar(&r.Device, "device", "cpu", "cpu, cuda or cuda:N")
	f.IntVar(&r.Threads, "threads", 0, "of libtorch (0: one a core)")
}

func benchStep(r *recipe.Recipe, steps, warmup int) (*stepReport, error) {
	cfg, err := train.LearnerConfig(r)
	if err != nil {
		return nil, err
	}
	if err := torch.Open(""); err != nil {
		return nil, err
	}
	info, err := torch.Info()
	if err != nil {
		return nil, err
	}
	if err := train.SetThreads(r.Threads); err != nil {
		return nil, err
	}
	learner, err := train.NewLearner(cfg)
	if err != nil {
		return nil, err
	}
	defer learner.Free()
	batch := noiseBatch(r)
	h := train.Hyper{LR: r.LR(), Momentum: r.M, Alpha: 0.5} // both losses are at work
	var times []float64                                     // seconds
	for i := range warmup + steps {
		began := time.Now()
		err := torch.Do(func() error {
			teacher, student, err := learner.Views(batch)
			if err != nil {
				return err
			}
			if _, err := learner.Step(teacher, student, h); err != nil {
				return err
			}
			torch.Synchronize(cfg.Device)
			return nil
		})
		if err != nil {
			return nil, err
		}
		if i >= warmup {
			times = append(times, time.Since(began).Seconds())
		}
	}
	typical := median(times)
	return &stepReport{
		ImagesPerSecond: float64(r.BatchSize) / typical, MSPerStep: 1000 * typical, Steps: steps,
		Backbone: r.Backbone, Width: r.Width, ImageSize: r.ImageSize, BatchSize: r.BatchSize,
		Device: r.Device, Threads: r.Threads, Precision: r.Precision, TorchVersion: info.TorchVersion,
		Objective: r.Objective, Accumulate: r.Accumulate, Checkpointing: r.ActivationCheckpointing, PeakRSSBytes: peakRSS(),
	}, nil
}

// noiseBatch is a weak and a strong view of random pixels.
func noiseBatch(r *recipe.Recipe) *schemas.Batch {
	b := &schemas.Batch{Size: r.BatchSize}
	rng := rand.New(rand.NewPCG(r.Seed, 0))
	for _, v := range []schemas.ViewSpec{
		{Name: "weak", Role: schemas.Teacher, Size: r.ImageSize},
		{Name: "strong", Role: schemas.Student, Size: r.ImageSize},
	} {
		px := make([]byte, r.BatchSize*v.Bytes())
		for i := range px {
			px[i] = byte(rng.Uint32())
		}
		b.Views, b.Pixels = append(b.Views, v), append(b.Pixels, px)
	}
	return b
}
