package train

import (
	"fmt"
	"slices"

	"resslt/schemas"
	"resslt/train/nn"
	"resslt/train/optim"
	"resslt/train/torch"
)

// Learner holds everything that a step of ReSSL reads and writes: student,
// teacher, optimiser and queue. Its methods run inside torch.Do (they call it
// themselves; nesting is free) and are for one goroutine at a time.
type Learner struct {
	config  Config
	student *Encoder // F_s, g_s, q
	teacher *Encoder // F_t, g_t
	queue   *Queue
	opt     *optim.Optimizer
	pixels  *nn.Pixels

	// studentAvg and teacherAvg are the parameters of F and g, in one order.
	studentAvg, teacherAvg []*torch.Tensor
}

// Hyper is what the schedules give for one step.
type Hyper struct {
	LR       float64 // learning rate
	Momentum float64 // m of equation 6
	Alpha    float64 // α of equation 7; 1 after the warm-up
	// Stats asks for the step's statistics. They cost a wait for the device, so
	// only steps that are logged want them.
	Stats bool
}

// Stats describes one step, means over the batch and the student's views. All
// are zero where Hyper.Stats was false.
type Stats struct {
	Loss     float64 // equation 7
	Relation float64 // equation 5, H(p², p¹), in nats
	InfoNCE  float64 // equation 1, in nats
	// EmbeddingStd is the standard deviation over the batch of the student's
	// unit embeddings, mean over dimensions: near 1/√D when spread over the
	// sphere, 0 when collapsed.
	EmbeddingStd float64
	// TargetEntropy is H(p²) in nats, at most ln K.
	TargetEntropy float64
	// Agreement is the share of samples whose most similar key is the same for
	// student and teacher, 0–1.
	Agreement float64
	// Similarity is the mean cosine of the student's and the teacher's embedding
	// of the same sample.
	Similarity float64
}

// numStats is the number of fields of Stats.
const numStats = 7

// NewLearner builds student, teacher (its equal), optimiser and queue. Errors
// wrap schemas.ErrUsage, or schemas.ErrUnavailable without libtorch.
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
	if l.student, err = newEncoder(c, true); err != nil {
		return err
	}
	if l.teacher, err = newEncoder(c, false); err != nil {
		return err
	}
	teacher := map[string]*torch.Tensor{}
	for _, p := range nn.Parameters(l.teacher) {
		p.Tensor.SetRequiresGrad(false)
		teacher[p.Name] = p.Tensor
	}
	params := nn.Parameters(l.student)
	for _, p := range params {
		if t := teacher[p.Name]; t != nil { // the predictor has no partner
			l.studentAvg = append(l.studentAvg, p.Tensor)
			l.teacherAvg = append(l.teacherAvg, t)
		}
	}
	if l.opt, err = optim.New(params, c.Optimizer); err != nil {
		return err
	}
	if l.queue, err = NewQueue(c.QueueSize, c.EmbedDim, c.Seed, c.Device, c.dtype()); err != nil {
		return err
	}
	l.pixels, err = nn.NewPixels(c.Mean, c.Std, nn.Builder{Device: c.Device, ChannelsLast: c.ChannelsLast, Double: c.Double})
	return err
}

// Student is the network being trained; its Backbone is what is evaluated.
func (l *Learner) Student() *Encoder { return l.student }

// Teacher is the momentum network.
func (l *Learner) Teacher() *Encoder { return l.teacher }

// Views copies the batch's pixels into tensors (B,S,S,3) uint8 of the current
// scope, the teacher's views and the student's, in the spec's order. After that
// the batch may be released.
func Views(b *schemas.Batch) (teacher, student []*torch.Tensor) {
	for v, spec := range b.Views {
		t := torch.FromUint8(b.Pixels[v], int64(b.Size), int64(spec.Size), int64(spec.Size), 3)
		if spec.Role == schemas.Teacher {
			teacher = append(teacher, t)
		} else {
			student = append(student, t)
		}
	}
	return teacher, student
}

// Step is one update of everything:
//
//	z² ← normalise(g_t(F_t(weak)))                   no gradient
//	p² ← softmax(z²·Qᵀ/τ_t)                          (4), Q before this batch's keys
//	for every student view:
//	    z¹ ← normalise(q(g_s(F_s(strong))))
//	    loss ← α·H(p², p¹) + (1−α)·InfoNCE           (7), mean over views
//	student ← optimiser(student, ∇loss, lr)
//	teacher ← m·teacher + (1−m)·student              (6)
//	Q ← Q without its oldest keys, with z²
//
// There is one teacher view and at least one student view, each (B,S,S,3) uint8
// of one B, S free by view; they stay the caller's. Each view's graph is walked
// backward before the next is built, so peak memory is one view's. An error
// wraps schemas.ErrUsage for views of wrong number or shape, and nothing has
// moved then. After any other error, an operator's (memory), the state is of no
// step: load a checkpoint.
func (l *Learner) Step(teacher, student []*torch.Tensor, h Hyper) (Stats, error) {
	var s Stats
	err := torch.Do(func() error {
		if err := checkViews(teacher, student); err != nil {
			return err
		}
		var err error
		torch.ScopeDo(func() { s, err = l.step(teacher[0], student, h) })
		return err
	})
	return s, err
}

func (l *Learner) step(weak *torch.Tensor, strong []*torch.Tensor, h Hyper) (Stats, error) {
	z2, err := l.targets(weak)
	if err != nil {
		return Stats{}, err
	}
	queue := l.queue.Keys
	p2 := torch.Scope(func() *torch.Tensor {
		if h.Alpha <= 0 && !h.Stats {
			return nil // warm-up's first step takes no relation
		}
		return RelationTarget(Similarities(z2, queue), l.config.TauT)
	})
	var sums []*torch.Tensor
	for _, x := range strong {
		var stats *torch.Tensor
		loss, err := l.loss(x, z2, p2, h, float64(len(strong)), &stats)
		if err != nil {
			return Stats{}, err
		}
		loss.Backward()
		loss.Free()
		if stats != nil {
			sums = append(sums, stats)
		}
	}
	if err := l.opt.Step(h.LR); err != nil {
		return Stats{}, err
	}
	l.opt.ZeroGrad()
	MomentumUpdate(l.teacherAvg, l.studentAvg, h.Momentum)
	l.queue.Enqueue(z2)
	if !h.Stats {
		return Stats{}, nil
	}
	return meanStats(sums), nil
}

// targets is the teacher's side: z² (B,D), unit rows, no gradient. The teacher
// stays in training mode, so its batch norm uses the batch's own statistics.
func (l *Learner) targets(weak *torch.Tensor) (z2 *torch.Tensor, err error) {
	torch.NoGrad(func() { z2, err = l.embed(l.teacher, weak) })
	return z2, err
}

// embed maps pixels to unit embeddings (B,D) in fp32, whatever the precision of
// the network.
func (l *Learner) embed(e *Encoder, pixels *torch.Tensor) (z *torch.Tensor, err error) {
	z = torch.Scope(func() *torch.Tensor {
		var x, z *torch.Tensor
		if x, err = l.pixels.Forward(pixels); err != nil {
			return nil
		}
		if l.config.BF16 {
			torch.Autocast(l.config.Device.Type, torch.BFloat16, func() { z = e.Forward(x) })
			z = z.To(l.config.Device, torch.Float32, false)
		} else {
			z = e.Forward(x)
		}
		return Normalize(z)
	})
	return z, err
}

// loss is one student view's share of equation 7, divided by the number of
// views; with h.Stats, *stats is set to (numStats) floats of the view.
func (l *Learner) loss(x, z2, p2 *torch.Tensor, h Hyper, views float64, stats **torch.Tensor) (loss *torch.Tensor, err error) {
	out := torch.ScopeN(func() []*torch.Tensor {
		var z1, logP1, relation, nce *torch.Tensor
		if z1, err = l.embed(l.student, x); err != nil {
			return nil
		}
		s1 := Similarities(z1, l.queue.Keys)
		if h.Alpha > 0 || h.Stats {
			logP1 = RelationLogProbs(s1, l.config.TauS)
			relation = RelationalLoss(p2, logP1)
		}
		if h.Alpha < 1 || h.Stats {
			nce = InfoNCE(z1, z2, s1, l.config.TauNCE)
		}
		total := WarmUp(relation, nce, h.Alpha)
		share := total
		if views > 1 {
			share = torch.DivScalar(total, views)
		}
		if !h.Stats {
			return []*torch.Tensor{share}
		}
		var described *torch.Tensor
		torch.NoGrad(func() { described = describe(total, relation, nce, z1, z2, p2, logP1) })
		return []*torch.Tensor{share, described}
	})
	if err != nil {
		return nil, err
	}
	if h.Stats {
		*stats = out[1]
	}
	return out[0], nil
}

// describe packs Stats' fields, in their order, into (numStats) floats, so that
// reading them waits for the device once.
func describe(total, relation, nce, z1, z2, p2, logP1 *torch.Tensor) *torch.Tensor {
	std := torch.Mean(torch.StdDim(z1, []int64{0}, false, false), torch.Unset)
	entropy := torch.Neg(torch.Mean(torch.SumDim(torch.Mul(p2, torch.Log(torch.ClampMin(p2, 1e-30))), []int64{1}, false, torch.Unset), torch.Unset))
	last := int64(-1)
	agree := torch.Mean(torch.Eq(torch.Argmax(logP1, &last, false), torch.Argmax(p2, &last, false)).To(p2.Device(), p2.DType(), false), torch.Unset)
	cosine := torch.Mean(torch.SumDim(torch.Mul(z1, z2), []int64{1}, false, torch.Unset), torch.Unset)
	return torch.Stack([]*torch.Tensor{total.Detach(), relation.Detach(), nce.Detach(), std, entropy, agree, cosine}, 0)
}

// meanStats is the mean over views, read back.
func meanStats(views []*torch.Tensor) Stats {
	var sum [numStats]float64
	for _, v := range views {
		for i, x := range v.Float32s() {
			sum[i] += float64(x)
		}
	}
	for i := range sum {
		sum[i] /= float64(len(views))
	}
	return Stats{
		Loss: sum[0], Relation: sum[1], InfoNCE: sum[2],
		EmbeddingStd: sum[3], TargetEntropy: sum[4], Agreement: sum[5], Similarity: sum[6],
	}
}

// checkViews refuses what Step cannot take.
func checkViews(teacher, student []*torch.Tensor) error {
	if len(teacher) != 1 || len(student) == 0 {
		return schemas.E("training step", "views", "give one teacher view and at least one student view",
			schemas.Because(schemas.ErrUsage, fmt.Sprintf("got %d teacher and %d student views", len(teacher), len(student))))
	}
	for _, v := range slices.Concat(teacher, student) {
		// All of them before anything moves: the teacher's forward changes its
		// running statistics.
		if err := nn.CheckPixels(v); err != nil {
			return err
		}
		if v.Size(0) != teacher[0].Size(0) {
			return schemas.E("training step", "views", "give every view the same batch size",
				schemas.Because(schemas.ErrUsage, fmt.Sprintf("teacher view is %v, a student view %v", teacher[0], v)))
		}
	}
	return nil
}

// Finite says whether every weight of the student and every key of the queue is
// a finite number. It waits for the device.
func (l *Learner) Finite() (finite bool, err error) {
	finite = true
	err = torch.Do(func() error {
		tensors := append(nn.Tensors(nn.Parameters(l.student)), l.queue.Keys)
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
// The tensors are the learner's own: read them before the next step.
func (l *Learner) State() []nn.Named {
	var out []nn.Named
	add := func(prefix string, named []nn.Named) {
		for _, n := range named {
			out = append(out, nn.Named{Name: prefix + n.Name, Tensor: n.Tensor})
		}
	}
	add("student.", nn.StateDict(l.student))
	add("teacher.", nn.StateDict(l.teacher))
	add("optimizer.", l.opt.State())
	add("queue.", l.queue.State())
	return out
}

// LoadState copies the tensors of State back, by name. Every name is needed and
// no other taken; an error wraps schemas.ErrMismatch and leaves the learner as
// it was, or schemas.ErrCorrupt for a queue pointer outside the queue.
func (l *Learner) LoadState(values map[string]*torch.Tensor) error {
	return torch.Do(func() error {
		if err := nn.LoadNamed(l.State(), values, true); err != nil {
			return err
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
}
