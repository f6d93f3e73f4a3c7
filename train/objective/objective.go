package objective

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"resslt/schemas/errs"
	"resslt/train/torch"
)

// Objective is one method of self-supervision. Its methods are pure functions of their
// arguments and run inside torch.Do.
type Objective interface {
	// Parts says what the learner is composed of.
	Parts() Parts
	// Targets is what every student view of a batch is compared with, computed once from
	// the teacher's embeddings z2, one (B,D) a view. It runs without gradient; z2 is empty
	// where Parts.Teacher is false. What it returns goes to Loss as it is.
	Targets(b Batch, z2 []*torch.Tensor) Targets
	// Loss is one pass: of the single student view b.View, or of all of them where
	// Parts.Coupled is true.
	Loss(b Batch, student []Embedding, t Targets) Loss
}

// Parts is what an objective needs besides backbone and projector.
type Parts struct {
	Teacher bool // a momentum network (equation 6)
	// TeacherViews and StudentViews are how many views of a batch each network
	// sees; StudentViews 0 means one or more.
	TeacherViews, StudentViews int

	Queue   Keys // whose embeddings the queue holds, if there is one
	Coupled bool // the loss sends gradients into two views at once: one pass holds both
	// InBatch: a row's loss depends on the batch's other rows. Only a coupled
	// objective without a teacher has that.
	InBatch bool
	Project Head  // g
	Predict *Head // q of the student; nil where there is none
}

// Keys says which embeddings enter the queue after a step.
type Keys int

// What may enter the queue.
const (
	NoQueue     Keys = iota
	TeacherKeys      // z² of the teacher's views
	StudentKeys      // z of the first student view
)

// Head is a multi-layer perceptron: Linear → BN → ReLU for every hidden layer, then
// Linear.
type Head struct {
	Hidden    []int // units
	Out       int   // D
	BatchNorm bool  // after the hidden layers
	NormOut   bool  // batch norm after the last layer too,
	PlainOut  bool  // there without weight and bias
}

// Batch is what a pass may read besides embeddings.
type Batch struct {
	Queue *torch.Tensor // (K,D) before this batch's keys, or nil
	Alpha Alpha         // of equation 7
	Views int           // student views of the batch
	View  int           // of a pass that is not coupled: its view, from 0
	Stats bool          // the pass will be described: all terms are wanted
}

// Embedding is the student's output for one view, rows of unit length.
type Embedding struct {
	Z *torch.Tensor // (B,D) of the projector
	P *torch.Tensor // (B,D) of the predictor; Z itself where there is none
}

// Targets is an objective's own: z² of each teacher view, and for ReSSL p².
type Targets struct {
	Z2 []*torch.Tensor // (B,D)
	P2 *torch.Tensor   // (B,K), or nil
}

// Tensors lists what a caller has to keep alive from Targets to Loss.
func (t Targets) Tensors() []*torch.Tensor { return append(slices.Clone(t.Z2), t.P2) }

// Loss is one pass's result.
type Loss struct {
	// Total is the scalar that backward starts from. The sum over the passes of a batch
	// is the method's loss, a mean over the batch's samples.
	Total *torch.Tensor
	Terms // all of them where Batch.Stats is set
}

// Options are the sizes and temperatures that objectives share. None has a default: they
// come from a resolved recipe.
type Options struct {
	TauS, TauT, Tau float64 // τ_s, τ_t; τ of InfoNCE in all its forms

	ProjHidden, PredHidden, Dim int  // hidden units of g and q; D
	NoPredictor                 bool // ReSSL*: no q
	NoHeadNorm                  bool // ReSSL*, the first paper's: no BN in the heads
}

var registry = map[string]func(Options) Objective{
	"ressl":   func(o Options) Objective { return ressl{o} },
	"moco-v2": func(o Options) Objective { return moco{o} },
	"simclr":  func(o Options) Objective { return simclr{o} },
	"byol":    func(o Options) Objective { return byol{o} },
	"simsiam": func(o Options) Objective { return simsiam{o} },
	"nnclr":   func(o Options) Objective { return nnclr{o} },
}

// Names lists the objectives, sorted.
func Names() []string { return slices.Sorted(maps.Keys(registry)) }

// New gives the objective called name. Its error wraps errs.ErrUsage.
func New(name string, o Options) (Objective, error) {
	build, ok := registry[name]
	if !ok {
		return nil, errs.New("objective", fmt.Sprintf("%q", name), "use one of "+strings.Join(Names(), ", "),
			errs.Because(errs.ErrUsage, "no such objective"))
	}
	return build(o), nil
}

// twoLayers is the head of ReSSL, SimCLR and BYOL: one hidden layer, with BN.
func (o Options) twoLayers(hidden int) Head {
	return Head{Hidden: []int{hidden}, Out: o.Dim, BatchNorm: true}
}

// other is the view of a pair that view is not.
func other(view int) int { return 1 - view }

// mean2 is the mean of two scalars.
func mean2(a, b *torch.Tensor) *torch.Tensor {
	return torch.MulScalar(torch.Add(a, b, 1), 0.5)
}
