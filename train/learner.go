package train

import (
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/objective"
	"resslt/train/optim"
	"resslt/train/torch"
)

// Learner holds everything that a step reads and writes: student, optimiser, and what the
// objective's Parts ask for besides, a teacher and a queue. Its methods run inside torch.Do
// (they call it themselves; nesting is free) and are for one goroutine at a time.
type Learner struct {
	config Config
	parts  objective.Parts // what the objective asks for

	student *student // F_s, g_s, q
	teacher *teacher // F_t, g_t; nil where the objective has none
	keys    *teacher // the student's average, next to a frozen teacher; nil: none
	queue   *queue   // Q; nil where the objective has none
	state   *state   // the objective's own tensors
	opt     *optim.Optimizer
	pixels  *nn.Pixels

	criterion     *criterion     // the objective
	parallel      *dataParallel  // the step's exchange between ranks
	graphs        *graphs        // steps replayed as CUDA graphs
	stream        *torch.Stream  // of the step: a graph cannot be captured on the default one
	teacherStream *teacherStream // nil: the step's
	timers        *timers
	kernels       bool   // the shim's kernels compute on the device
	kernelsOff    string // why they do not (torch.KernelsOff)
}

// NewLearner builds student, teacher (its equal), optimiser and queue. Errors wrap
// errs.ErrUsage, or errs.ErrUnavailable without libtorch.
func NewLearner(c Config) (*Learner, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	l := &Learner{config: c}
	if err := torch.Do(l.build); err != nil {
		l.Free()
		return nil, err
	}
	return l, nil
}

func (l *Learner) build() (err error) {
	c := l.config
	torch.SetDevice(c.Device)
	kernels := c.Fused && torch.Kernels(c.Device)
	if c.Fused {
		l.kernelsOff = torch.KernelsOff(c.Device)
	}
	l.kernels = kernels
	c.Options.Kernels, c.Optimizer.Kernels = kernels, kernels
	o, err := objective.New(c.Objective, c.options())
	if err != nil {
		return err
	}
	if l.parts = o.Parts(); l.parts.Keyed {
		if err := c.checkSamples(); err != nil {
			return err
		}
	}
	l.timers = &timers{device: c.Device}
	l.criterion = &criterion{Objective: o, timers: l.timers, accumulate: c.Accumulate, raw: l.parts.Raw}
	l.stream = torch.NewStream(c.Device)
	if c.Device.Type == torch.DeviceCUDA && l.parts.Teacher && c.Group == nil {
		l.teacherStream = newTeacherStream(c.Device)
	}
	if c.frozen, err = newFrozen(c); err != nil {
		return err
	}
	l.config.frozen = c.frozen
	l.parallel = &dataParallel{group: c.Group, inBatch: l.parts.InBatch, frozen: c.frozen, device: c.Device}
	if l.parallel.norms, err = c.norms(); err != nil {
		return err
	}
	l.pixels, err = nn.NewPixels(c.Mean, c.Std, nn.Builder{Device: c.Device, ChannelsLast: c.ChannelsLast, Fused: c.Fused, Double: c.Double})
	if err != nil {
		return err
	}
	if c.BF16 {
		l.pixels.Halve()
	}
	if err := l.buildNetworks(); err != nil {
		return err
	}
	// What an objective keeps may be as wide as the features, which the network knows.
	c.Options.Features = int(l.student.Backbone.FeatureDim())
	if o, err = objective.New(c.Objective, c.options()); err != nil {
		return err
	}
	l.parts, l.criterion.Objective = o.Parts(), o
	if l.opt, err = optim.New(trainable(l.student), c.Optimizer); err != nil {
		return err
	}
	if l.parts.Queue != objective.NoQueue {
		if l.queue, err = newQueue(c.QueueSize, c.Options.Dim, c.Seed, c.Device, c.dtype()); err != nil {
			return err
		}
	}
	if l.state, err = newState(o, c); err != nil {
		return err
	}
	l.graphs = newGraphs(l)
	return nil
}

func (l *Learner) buildNetworks() error {
	c := l.config
	unit := precision{bf16: c.BF16, device: c.Device}
	p := unit
	p.raw = l.parts.Raw
	e, err := newEncoder(c, l.parts, l.parallel.norms, true)
	if err != nil {
		return err
	}
	l.student = &student{network: network{e, l.pixels, p}, recompute: c.Recompute, first: firstTrainable(e.Backbone)}
	started := []backbone.Backbone{e.Backbone}
	if l.parts.Teacher && !l.parts.Frozen || l.parts.KeyViews != nil {
		if e, err = newEncoder(c, l.parts, l.parallel.norms, false); err != nil {
			return err
		}
		average := newTeacher(network{e, l.pixels, unit}, l.parallel, c.Seed, l.student)
		if l.parts.Frozen {
			l.keys = average
		} else {
			l.teacher = average
		}
		started = append(started, e.Backbone)
	}
	if c.Start.File != "" {
		if _, err := c.startFrom(started...); err != nil {
			return err
		}
	}
	if l.parts.Frozen {
		l.teacher, err = newFrozenTeacher(c, unit, l.parallel)
	}
	return err
}

// batch is what the objective may read in a step besides embeddings.
func (l *Learner) batch(v views, h Hyper) objective.Batch {
	b := objective.Batch{State: l.state.tensors, Alpha: l.criterion.alpha(h.Alpha), Views: len(v.student), Stats: h.Stats}
	if l.queue != nil {
		b.Queue = l.queue.keys
	}
	return b
}

// Student is the network being trained; its Backbone is what is evaluated.
func (l *Learner) Student() *Encoder {
	l.flush()
	return l.student.Encoder
}

// Teacher is the momentum network, nil where the objective has none.
func (l *Learner) Teacher() *Encoder {
	if l.teacher == nil {
		return nil
	}
	l.flush()
	return l.teacher.Encoder
}

// flush brings the networks' counters of batches up to date.
func (l *Learner) flush() {
	// Counters are on the CPU: writing them does not fail.
	_ = torch.Do(func() error { l.graphs.flush(); return nil })
}

// KernelsOff says why the shim's kernels for the device are not used, "" where they are or it has
// none.
func (l *Learner) KernelsOff() string { return l.kernelsOff }

// GPUKernels says what computes on the GPU, for Summary; "" on a CPU.
func (l *Learner) GPUKernels() string {
	if l.config.Device.Type == torch.DeviceCPU {
		return ""
	}
	return gpuKernels(l.config.Fused, l.kernels, l.kernelsOff)
}

// gpuKernels: fused is what the recipe asks for, own whether the shim's kernels compute, off why they
// do not.
func gpuKernels(fused, own bool, off string) string {
	switch {
	case own:
		return "own"
	case !fused:
		return "libtorch: fused=false"
	case off != "":
		return "libtorch: " + off
	}
	return "libtorch" // the shim was built without kernels for it
}

// Ungraphed says why StepAsync does not replay CUDA graphs, "" where it does or will.
func (l *Learner) Ungraphed() string { return l.graphs.off }

// Phases gives the mean time of each phase over the given number of steps, those since
// the last call. It waits for the device.
func (l *Learner) Phases(steps int64) (p Phases, err error) {
	err = torch.Do(func() error {
		torch.Synchronize(l.config.Device)
		sum := l.timers.take()
		p = sum.mean(steps)
		return nil
	})
	return p, err
}

// finite is 1 where every weight of the student, every key of the queue and all of the
// objective's state is a finite number, else 0: (1) uint8 on the device, of the current scope.
func (l *Learner) finite() *torch.Tensor {
	tensors := nn.Tensors(nn.Parameters(l.student))
	if l.queue != nil {
		tensors = append(tensors, l.queue.keys)
	}
	tensors = append(tensors, nn.Tensors(l.state.named)...)
	return torch.Scope(func() *torch.Tensor {
		var all []*torch.Tensor
		for _, t := range tensors {
			all = append(all, torch.Scope(func() *torch.Tensor { return torch.All(torch.Isfinite(t)) }))
		}
		one := torch.All(torch.Stack(all, 0)).To(l.config.Device, torch.Uint8, false)
		return torch.Reshape(one, []int64{1})
	})
}

// State lists every tensor that the next step depends on, by the names
//
//	student.backbone.*, student.projector.*, student.predictor.*, student.predictor2.*, …
//	teacher.backbone.*, teacher.projector.*, or teacher.digest of a frozen one
//	keys.backbone.*, keys.projector.* of a key encoder next to it
//	optimizer.momentum.backbone.*, …
//	queue.keys, queue.pointer
//	objective.*, optimizer.momentum.objective.*
//
// of which an objective without predictor, teacher, queue or state of its own has none. The tensors
// are the learner's own: read them before the next step.
func (l *Learner) State() []nn.Named {
	var out []nn.Named
	add := func(prefix string, named []nn.Named) {
		for _, n := range named {
			out = append(out, nn.Named{Name: prefix + n.Name, Tensor: n.Tensor})
		}
	}
	add("student.", nn.StateDict(l.Student()))
	if l.teacher != nil {
		add("teacher.", l.teacher.state())
	}
	if l.keys != nil {
		add("keys.", l.keys.state())
	}
	add("optimizer.", l.opt.State())
	if l.queue != nil {
		add("queue.", l.queue.state())
	}
	add("", l.state.named)
	add("optimizer.", l.state.optimizer())
	return out
}

// LoadState copies the tensors of State back, by name. Every name is needed and
// no other taken; an error wraps errs.ErrMismatch and leaves the learner as
// it was, or errs.ErrCorrupt for a queue pointer outside the queue.
func (l *Learner) LoadState(values map[string]*torch.Tensor) error {
	return torch.Do(func() error {
		if err := l.teacher.sameTeacher(values); err != nil {
			return err
		}
		if err := nn.LoadNamed(l.State(), values, true); err != nil {
			return err
		}
		if l.queue == nil {
			return nil
		}
		return l.queue.restored()
	})
}

// Free releases everything. The learner must not be used afterwards.
func (l *Learner) Free() {
	if l.student != nil {
		nn.Free(l.student)
	}
	if l.teacher != nil {
		nn.Free(l.teacher)
		l.teacher.free()
	}
	if l.keys != nil {
		nn.Free(l.keys)
	}
	if l.opt != nil {
		l.opt.Free()
	}
	if l.queue != nil {
		l.queue.free()
	}
	if l.pixels != nil {
		l.pixels.Free()
	}
	quietly(func() {
		l.graphs.free()
		l.state.free()
		l.timers.free()
		l.teacherStream.free()
	})
}
