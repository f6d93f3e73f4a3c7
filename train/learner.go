package train

import (
	"fmt"
	"slices"
	"time"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/objective"
	"resslt/train/optim"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// Learner holds everything that a step reads and writes: student, optimiser, and
// what the objective's Parts ask for besides, a teacher and a queue. Its methods
// run inside torch.Do (they call it themselves; nesting is free) and are for one
// goroutine at a time.
type Learner struct {
	config    Config
	objective objective.Objective
	parts     objective.Parts
	norms     norms

	student *Encoder // F_s, g_s, q
	teacher *Encoder // F_t, g_t; nil where the objective has none
	queue   *Queue   // nil where the objective has none
	opt     *optim.Optimizer
	pixels  *nn.Pixels

	graphs    *graphs // nil where no step is captured
	ungraphed string  // why no step is, or is any more; "" where they are

	timers      *timers
	stream      *torch.Stream // of the step
	side        *torch.Stream // of the teacher, beside it; nil where there is nothing to be beside of
	forked, met *torch.Event  // where side leaves stream, and comes back
	apart       bool          // side has left and not come back

	// studentAvg and teacherAvg are the parameters of F and g, in one order.
	studentAvg, teacherAvg []*torch.Tensor
}

// NewLearner builds student, teacher (its equal), optimiser and queue. Errors
// wrap errs.ErrUsage, or errs.ErrUnavailable without libtorch.
func NewLearner(c Config) (*Learner, error) {
	c = c.applyDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	l := &Learner{config: c}
	err := torch.Do(func() error { return l.build() })
	if err != nil {
		l.Free()
		return nil, err
	}
	return l, nil
}

func (l *Learner) build() (err error) {
	c := l.config
	if l.objective, err = c.objective(); err != nil {
		return err
	}
	l.parts = l.objective.Parts()
	l.openStreams()
	if l.norms, err = c.norms(); err != nil {
		return err
	}
	if l.student, err = newEncoder(c, l.parts, l.norms, true); err != nil {
		return err
	}
	if l.parts.Teacher {
		if err := l.buildTeacher(); err != nil {
			return err
		}
	}
	if l.opt, err = optim.New(nn.Parameters(l.student), c.Optimizer); err != nil {
		return err
	}
	if l.parts.Queue != objective.NoQueue {
		if l.queue, err = NewQueue(c.QueueSize, c.EmbedDim, c.Seed, c.Device, c.dtype()); err != nil {
			return err
		}
	}
	l.openGraphs()
	l.pixels, err = nn.NewPixels(c.Mean, c.Std, nn.Builder{Device: c.Device, ChannelsLast: c.ChannelsLast, Double: c.Double})
	return err
}

// buildTeacher makes the momentum network and pairs its parameters with the
// student's.
func (l *Learner) buildTeacher() (err error) {
	if l.teacher, err = newEncoder(l.config, l.parts, l.norms, false); err != nil {
		return err
	}
	teacher := map[string]*torch.Tensor{}
	for _, p := range nn.Parameters(l.teacher) {
		p.Tensor.SetRequiresGrad(false)
		teacher[p.Name] = p.Tensor
	}
	for _, p := range nn.Parameters(l.student) {
		if t := teacher[p.Name]; t != nil { // the predictor has no partner
			l.studentAvg = append(l.studentAvg, p.Tensor)
			l.teacherAvg = append(l.teacherAvg, t)
		}
	}
	return nil
}

// Student is the network being trained; its Backbone is what is evaluated.
func (l *Learner) Student() *Encoder { return l.counted(l.student) }

// Teacher is the momentum network, nil where the objective has none.
func (l *Learner) Teacher() *Encoder { return l.counted(l.teacher) }

// counted is e with all batches counted that it has seen.
func (l *Learner) counted(e *Encoder) *Encoder {
	if l.graphs != nil {
		// Counters lie on the CPU: writing them does not fail.
		_ = torch.Do(func() error { l.graphs.settle(); return nil })
	}
	return e
}

// Views copies the batch's pixels into tensors (B,S,S,3) uint8 of the current
// scope: the views that the objective gives to each side (recipe.Sides), which may
// be the same ones. After that the batch may be released.
func (l *Learner) Views(b *schemas.Batch) (teacher, student []*torch.Tensor, err error) {
	t, s, err := recipe.Sides(l.config.Objective, l.config.Crops, b.Views)
	if err != nil {
		return nil, nil, err
	}
	made := make([]*torch.Tensor, len(b.Views))
	began := time.Now()
	defer func() { l.timers.add(phaseCopy, time.Since(began)) }()
	pick := func(indices []int) (out []*torch.Tensor) {
		for _, v := range indices {
			if made[v] == nil {
				size := int64(b.Views[v].Size)
				made[v] = torch.FromUint8(b.Pixels[v], int64(b.Size), size, size, 3)
			}
			out = append(out, made[v])
		}
		return out
	}
	return pick(t), pick(s), nil
}

// checkViews refuses what Step cannot take, before anything moves: a forward pass
// changes running statistics.
func (l *Learner) checkViews(teacher, student []*torch.Tensor) error {
	wrong := func(hint, why string) error {
		return errs.New("training step", "views", hint, errs.Because(errs.ErrUsage, why))
	}
	p := l.parts
	if len(teacher) != p.TeacherViews || len(student) == 0 || p.StudentViews > 0 && len(student) != p.StudentViews {
		want := "at least one student view"
		if p.StudentViews > 0 {
			want = fmt.Sprintf("%d student views", p.StudentViews)
		}
		return wrong(fmt.Sprintf("give %s %d teacher and %s", l.config.Objective, p.TeacherViews, want),
			fmt.Sprintf("got %d teacher and %d student views", len(teacher), len(student)))
	}
	rows := int64(0)
	for _, v := range slices.Concat(teacher, student) {
		if err := nn.CheckPixels(v); err != nil {
			return err
		}
		if rows == 0 {
			rows = v.Size(0)
		}
		if v.Size(0) != rows {
			return wrong("give every view the same batch size", fmt.Sprintf("one view has %d samples, another %d", rows, v.Size(0)))
		}
	}
	if n := int64(l.config.Accumulate * l.norms.groups); rows%n != 0 {
		return wrong("give a batch size that accumulate·bn_groups divides",
			fmt.Sprintf("%d samples do not fall into %d equal micro-batches of %d equal groups", rows, l.config.Accumulate, l.norms.groups))
	}
	return nil
}

// Finite says whether every weight of the student and every key of the queue is
// a finite number. It waits for the device.
func (l *Learner) Finite() (finite bool, err error) {
	finite = true
	err = torch.Do(func() error {
		tensors := nn.Tensors(nn.Parameters(l.student))
		if l.queue != nil {
			tensors = append(tensors, l.queue.Keys)
		}
		for _, t := range tensors {
			torch.ScopeDo(func() { finite = finite && torch.All(torch.Isfinite(t)).Item() != 0 })
		}
		return nil
	})
	return finite, err
}

// State lists every tensor that the next step depends on, by the names
//
//	student.backbone.*, student.projector.*, student.predictor.*
//	teacher.backbone.*, teacher.projector.*
//	optimizer.momentum.backbone.*, …
//	queue.keys, queue.pointer
//
// of which an objective without predictor, teacher or queue has none. The tensors
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
		add("teacher.", nn.StateDict(l.teacher))
	}
	add("optimizer.", l.opt.State())
	if l.queue != nil {
		add("queue.", l.queue.State())
	}
	return out
}

// LoadState copies the tensors of State back, by name. Every name is needed and
// no other taken; an error wraps errs.ErrMismatch and leaves the learner as
// it was, or errs.ErrCorrupt for a queue pointer outside the queue.
func (l *Learner) LoadState(values map[string]*torch.Tensor) error {
	return torch.Do(func() error {
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
	for _, e := range []*Encoder{l.student, l.teacher} {
		if e != nil {
			nn.Free(e)
		}
	}
	if l.opt != nil {
		l.opt.Free()
	}
	if l.queue != nil {
		l.queue.Free()
	}
	if l.pixels != nil {
		l.pixels.Free()
	}
	l.closeStreams()
}
