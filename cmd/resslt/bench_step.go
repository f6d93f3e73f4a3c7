package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/backbone"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// stepReport is what `bench step` prints.
type stepReport struct {
	ImagesPerSecond float64 `json:"images_per_second"` // B over the median step
	MSPerStep       float64 `json:"ms_per_step"`       // median
	CPUMSPerStep    float64 `json:"cpu_ms_per_step"`   // the process's CPU time over the timed steps, mean: another program's load hardly moves it
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

	StudentSizes  []int        `json:"student_sizes"` // of the student's views
	Deterministic bool         `json:"deterministic"`
	TF32          bool         `json:"tf32"`
	Fused         bool         `json:"fused"`
	Graph         bool         `json:"cuda_graph"`              // steps were replayed
	Ungraphed     string       `json:"ungraphed,omitempty"`     // why they were not
	KernelsOff    string       `json:"kernels_off,omitempty"`   // why the GPU's own kernels were not used
	PhaseMS       train.Phases `json:"phase_ms"`                // mean of the timed steps
	DeviceMemory  int64        `json:"device_memory,omitempty"` // peak bytes in tensors, of a GPU
	// DeviceReserved is what libtorch holds of the GPU at the end: a graph's pool counts there.
	DeviceReserved int64 `json:"device_reserved,omitempty"`
}

func newBenchStepCommand() *cobra.Command {
	r := recipe.Default()
	r.Name, r.Data = "bench step", "none:"
	var steps, warmup int
	var sizes []int
	var asJSON bool
	c := &cobra.Command{
		Use:   "step",
		Short: "time the training step on a batch from memory: views, student, teacher, queue, loss, backward, SGD, EMA",
		RunE: func(c *cobra.Command, _ []string) error {
			if steps < 1 || warmup < 0 || r.ImageSize < 1 {
				return errs.New("bench step", fmt.Sprintf("steps %d, warm-up %d, image size %d", steps, warmup, r.ImageSize), "give 1 or more (warm-up: 0 or more)", errs.ErrUsage)
			}
			if err := resolveHere(&r); err != nil {
				return err
			}
			rep, err := benchStep(&r, sizes, steps, warmup)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(rep)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s width %d, %d×%d, batch %d on %s (%d threads, %s, libtorch %s): %.1f ms a step, %.0f images/s, median of %d, peak RSS %.0f MB\n",
				rep.Backbone, rep.Width, rep.ImageSize, rep.ImageSize, rep.BatchSize, rep.Device, rep.Threads, rep.Precision, rep.TorchVersion, rep.MSPerStep, rep.ImagesPerSecond, rep.Steps, float64(rep.PeakRSSBytes)/1e6)
			fmt.Fprintln(c.OutOrStdout(), phaseLine(rep.PhaseMS))
			return nil
		},
	}
	networkFlags(c, &r, 64, 64)
	f := c.Flags()
	f.StringVar(&r.Objective, "objective", r.Objective, "one of "+strings.Join(recipe.Objectives(), ", "))
	f.StringVar(&r.Precision, "precision", r.Precision, "fp32 or bf16")
	f.IntVar(&r.Accumulate, "accumulate", r.Accumulate, "micro-batches a step")
	f.BoolVar(&r.ActivationCheckpointing, "activation-checkpointing", false, "keep only the inputs of the backbone's stages")
	f.IntVar(&r.K, "queue", r.K, "K")
	f.IntSliceVar(&sizes, "student-sizes", nil, "sizes of the student's views (default: one of --image-size)")
	f.BoolVar(&r.Deterministic, "deterministic", false, "the same bits run after run on a GPU")
	f.BoolVar(&r.TF32, "tf32", r.TF32, "let a GPU round the factors of fp32 products to 10 bits")
	f.BoolVar(&r.Fused, "fused", r.Fused, "our own loops on the CPU and kernels on a GPU, where they are faster than libtorch's ops")
	f.StringVar(&r.CUDAGraph, "cuda-graph", r.CUDAGraph, "auto, true or false")
	cli.Choices(f, recipe.Choices("objective"), "objective")
	cli.Choices(f, recipe.Choices("precision"), "precision")
	cli.Choices(f, recipe.Choices("cuda_graph"), "cuda-graph")
	f.IntVar(&steps, "steps", 20, "timed steps")
	f.IntVar(&warmup, "warmup", 3, "steps before the timed ones")
	cli.MayBeZero(f, "warmup")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// phaseLine shows the phases that took any time.
func phaseLine(p train.Phases) string {
	var parts []string
	for i, ms := range p.Values() {
		if ms > 0 {
			parts = append(parts, fmt.Sprintf("%s %.2f", train.PhaseNames[i], ms))
		}
	}
	return "ms a step: " + strings.Join(parts, ", ")
}

// networkFlags are the flags of every benchmark that trains a network; width and
// batch are the defaults.
func networkFlags(c *cobra.Command, r *recipe.Recipe, width, batch int) {
	f := c.Flags()
	f.StringVar(&r.Backbone, "backbone", "resnet18", "network")
	f.IntVar(&r.Width, "width", width, "64 is the published network; others scale its channels")
	f.StringVar(&r.Stem, "stem", "small", "small or imagenet")
	cli.Choices(f, backbone.Names(), "backbone")
	cli.Choices(f, recipe.Choices("stem"), "stem")
	f.IntVar(&r.ImageSize, "image-size", 32, "S, pixels")
	f.IntVar(&r.BatchSize, "batch", batch, "B")
	f.StringVar(&r.Device, "device", "cpu", "cpu, cuda or cuda:N")
	f.IntVar(&r.Threads, "threads", 0, "of libtorch (0: OMP_NUM_THREADS, else one a core)")
}

// benchSamples is N of objectives that keep something of every sample.
const benchSamples = 100_000

func benchStep(r *recipe.Recipe, sizes []int, steps, warmup int) (*stepReport, error) {
	if len(sizes) == 0 {
		sizes = []int{r.ImageSize}
	}
	for _, n := range sizes {
		if n < 1 {
			return nil, errs.New("bench step", fmt.Sprintf("student size %d", n), "give 1 or more", errs.ErrUsage)
		}
	}
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
	if err := torch.SetNumThreads(r.Threads); err != nil {
		return nil, err
	}
	if err := train.SetModes(r); err != nil {
		return nil, err
	}
	cfg.Samples = benchSamples
	learner, err := train.NewLearner(cfg)
	if err != nil {
		return nil, err
	}
	defer learner.Free()
	bench := &stepBench{learner: learner, device: cfg.Device, batch: noiseBatch(r, sizes)}
	defer bench.close()
	bench.hyper = train.Hyper{LR: r.LR(), Momentum: r.M, Alpha: 0.5, Samples: bench.batch.Samples} // both losses count
	rep, err := bench.run(steps, warmup)
	if err != nil {
		return nil, err
	}
	rep.ImagesPerSecond = float64(r.BatchSize) / (rep.MSPerStep / 1000)
	rep.Backbone, rep.Width, rep.ImageSize, rep.BatchSize = r.Backbone, r.Width, r.ImageSize, r.BatchSize
	rep.Device, rep.Threads, rep.Precision, rep.TorchVersion = r.Device, r.Threads, r.Precision, info.TorchVersion
	rep.Objective, rep.Accumulate, rep.Checkpointing, rep.PeakRSSBytes = r.Objective, r.Accumulate, r.ActivationCheckpointing, cli.PeakRSS()
	rep.StudentSizes, rep.Deterministic, rep.TF32, rep.Fused = sizes, r.Deterministic, r.TF32, r.Fused
	rep.Ungraphed, rep.KernelsOff = learner.Ungraphed(), learner.KernelsOff()
	rep.Graph = cfg.Device.Type == torch.DeviceCUDA && learner.Ungraphed() == ""
	return rep, nil
}

// stepBench times a learner's steps on one batch.
type stepBench struct {
	learner          *train.Learner
	device           torch.Device
	batch            *schemas.Batch
	hyper            train.Hyper
	teacher, student []*torch.Tensor      // of batch, on a GPU, where the copy is not timed
	pending          []*train.PendingStep // started and not waited for, oldest first
}

// inFlight is how many steps a GPU has been given and not finished, as in training.
const inFlight = 2

// graphWarmUp are the steps of a GPU that run before a graph is captured, and the capture.
const graphWarmUp = 4

// run makes warmup steps and then the timed ones. On the CPU each is timed, the copy of
// the pixels with it; a GPU's steps overlap, so there the time between the ends of two
// is taken.
func (b *stepBench) run(steps, warmup int) (*stepReport, error) {
	step := b.onCPU
	if b.device.Type == torch.DeviceCUDA {
		step = b.onGPU
		if err := torch.Do(b.toDevice); err != nil {
			return nil, err
		}
		warmup += inFlight + graphWarmUp
	}
	var times []float64 // seconds
	last, used := time.Now(), cli.CPUTime()
	for i := range warmup + steps {
		if i == warmup {
			if _, err := b.learner.Phases(1); err != nil {
				return nil, err
			}
			last, used = time.Now(), cli.CPUTime()
		}
		if err := step(); err != nil {
			return nil, err
		}
		now := time.Now()
		if i >= warmup {
			times = append(times, now.Sub(last).Seconds())
		}
		last = now
	}
	rep := &stepReport{MSPerStep: 1000 * median(times), CPUMSPerStep: 1000 * (cli.CPUTime() - used).Seconds() / float64(steps), Steps: steps}
	var err error
	if rep.PhaseMS, err = b.learner.Phases(int64(steps)); err != nil || b.device.Type != torch.DeviceCUDA {
		return rep, err
	}
	// A shim without CUDA's headers does not know the memory: then it is left out.
	err = torch.Do(func() error {
		m := torch.CUDAMemoryOf(b.device)
		rep.DeviceMemory, rep.DeviceReserved = m.PeakAllocated, m.Reserved
		return nil
	})
	if errors.Is(err, errs.ErrUnsupported) {
		err = nil
	}
	return rep, err
}

func (b *stepBench) onCPU() error { return stepOn(b.learner, b.batch, b.hyper) }

// stepOn makes a step on a batch in host memory.
func stepOn(l *train.Learner, batch *schemas.Batch, h train.Hyper) error {
	return torch.Do(func() error {
		teacher, student, err := l.Views(batch)
		if err != nil {
			return err
		}
		h.Samples = batch.Samples
		_, err = l.Step(teacher, student, h)
		return err
	})
}

// toDevice copies the views to the device.
func (b *stepBench) toDevice() error {
	teacher, student, err := b.learner.Views(b.batch)
	if err != nil {
		return err
	}
	for _, x := range teacher {
		b.teacher = append(b.teacher, x.To(b.device, torch.Unset, false).Keep())
	}
	for _, x := range student {
		b.student = append(b.student, x.To(b.device, torch.Unset, false).Keep())
	}
	return nil
}

// onGPU starts a step and waits for the one that was started inFlight steps before.
func (b *stepBench) onGPU() error {
	l, err := b.learner.StepAsync(b.teacher, b.student, b.hyper)
	if err != nil {
		return err
	}
	b.pending = append(b.pending, l)
	if len(b.pending) > inFlight {
		l, b.pending = b.pending[0], b.pending[1:]
		_, err = l.Wait()
	}
	return err
}

func (b *stepBench) close() {
	for _, l := range b.pending {
		_, _ = l.Wait() // its loss is no part of the figures
	}
	for _, x := range append(b.teacher, b.student...) {
		x.Free()
	}
}

// noiseBatch is a weak view and strong ones of the given sizes, of random pixels.
func noiseBatch(r *recipe.Recipe, student []int) *schemas.Batch {
	b := &schemas.Batch{Size: r.BatchSize}
	rng := rand.New(rand.NewPCG(r.Seed, 0))
	views := []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: r.ImageSize}}
	for i, size := range student {
		views = append(views, schemas.ViewSpec{Name: fmt.Sprintf("strong %d", i), Role: schemas.Student, Size: size})
	}
	for _, v := range views {
		px := make([]byte, r.BatchSize*v.Bytes())
		for i := range px {
			px[i] = byte(rng.Uint32())
		}
		b.Views, b.Pixels = append(b.Views, v), append(b.Pixels, px)
	}
	for i := range b.Size {
		b.Samples = append(b.Samples, int64(i))
	}
	return b
}
