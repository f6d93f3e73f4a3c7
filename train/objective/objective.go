package objective

import (
	"fmt"
	"slices"
	"strings"

	"resslt/schemas/bounded"
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

// Updater is an objective whose state moves after a step, by more than its optimiser does.
type Updater interface {
	// Update changes the state's tensors in place. rows are what Targets and then Loss left in
	// their Rows, one tensor each, those of all micro-batches and ranks below one another. It
	// runs without gradient, behind the optimiser's step and equation 6.
	Update(s State, rows []*torch.Tensor)
}

// Viewer is an objective that shows the student other images than its views, made of them on the
// device: rotations, patches.
type Viewer interface {
	// Show makes of the student's views, (B,S,S,3) uint8, those that it sees, of which each has one
	// or more rows for every sample, behind one another. It runs without gradient. What it
	// decides at random is in Batch.Draws.
	Show(b Batch, student []*torch.Tensor) []*torch.Tensor
}

// Refresher is an objective that makes a part of its state again now and then, from the rest of
// it: clusters of a bank.
type Refresher interface {
	// Refresh changes the state's tensors in place, before a step: the first of every
	// cluster_every epochs and the first whose α is 1, none whose α is less. order gives a
	// permutation (N) int64 of the data set's samples, by seed, step and name. It runs without
	// gradient, on every rank.
	Refresh(s State, order func(name string) *torch.Tensor)
}

// Ramper is an objective that multiplies by a number that its ramp moves (Alpha.Factor).
type Ramper interface {
	Factor(alpha float64) float64
}

// Parts is what an objective needs besides backbone and projector.
type Parts struct {
	Teacher bool // a second network: the student's momentum average (equation 6), or Frozen
	Frozen  bool // the teacher's weights are from a file and stay as they are
	// TeacherViews and StudentViews are how many views of a batch each network
	// sees; StudentViews 0 means one or more.
	TeacherViews, StudentViews int
	// KeyViews are, by their index, those of the teacher's views that a key encoder sees: the
	// student's momentum average, next to a Frozen teacher. nil: there is none.
	KeyViews []int
	// Locals: any number of further student views may follow, local crops (multi-crop).
	Locals bool

	Queue   Keys // whose embeddings the queue holds, if there is one
	Coupled bool // the loss sends gradients into two views at once: one pass holds all
	// InBatch: a row's loss depends on the batch's other rows, or a target on those of the
	// teacher. Several ranks then gather the embeddings of both networks.
	InBatch bool
	// Statistics: what it depends on, where InBatch, are statistics over the batch, such as a
	// covariance or an assignment that is balanced; elsewhere the other rows are its negatives.
	Statistics bool
	Keyed      bool // by sample: passes read Batch.Samples
	// Pairs: the batch's rows come in pairs, a sample and its mate below it (schemas.DatasetSpec.Mates).
	Pairs bool
	// Labels: the loss reads the classes of those samples that show theirs (Labels in Batch.Draws).
	Labels  bool
	Raw     bool  // the student's embeddings come as the heads give them, not of unit length
	Project Head  // g
	Predict *Head // q of the student; nil where there is none
	// Predictors is how many of q there are, side by side, each with weights of its own; 0 is one.
	Predictors int

	State []Tensor // the objective's own
	Group Group    // how those of them that are parameters move
	Draws []Draw   // the random numbers of a step
}

// Held reports whether hold_epochs counts: whether there are parameters that move with the
// network's.
func (p Parts) Held() bool {
	return p.Group.Own == nil && !p.Group.Free && slices.ContainsFunc(p.State, func(t Tensor) bool { return t.Parameter })
}

// Keys says which embeddings enter the queue after a step.
type Keys int

// What may enter the queue.
const (
	NoQueue     Keys = iota
	TeacherKeys      // z² of the teacher's views
	StudentKeys      // z of the first student view
	EncoderKeys      // of the key encoder's views
)

// Head is a multi-layer perceptron: Linear → BN → ReLU for every hidden layer, then
// Linear.
type Head struct {
	Hidden    []int // units
	Out       int   // D
	None      bool  // no layer at all: the embedding is the features
	BatchNorm bool  // after the hidden layers
	GELU      bool  // in place of ReLU
	NormOut   bool  // batch norm after the last layer too,
	PlainOut  bool  // there without weight and bias
	// OfFeatures, of q: it takes the backbone's features in place of z, a second head beside g.
	OfFeatures bool
}

// Batch is what a pass may read besides embeddings.
type Batch struct {
	Queue *torch.Tensor            // (K,D) before this batch's keys, or nil
	Keys  []*torch.Tensor          // (B,D) of the key encoder, one for each of Parts.KeyViews; no gradient
	State State                    // of Parts.State, before this batch
	Draws map[string]*torch.Tensor // of Parts.Draws, by name; of Parts.Labels, Labels
	// Samples are, for each row that Loss is given, the sample whose pixels it has, (B) int64
	// from 0 to below N; nil unless Parts.Keyed. One that took another's place has its own number.
	Samples *torch.Tensor

	Side  int64 // S: the student's first view, before Show, has S×S pixels
	Alpha Alpha // of equation 7, or of the schedule that Method.Ramp names
	Views int   // student views of the batch
	View  int   // of a pass that is not coupled: its view, from 0
	Stats bool  // the pass will be described: all terms are wanted
}

// Embedding is the student's output for one view, rows of unit length unless Parts.Raw.
type Embedding struct {
	Z *torch.Tensor // (B,D) of the projector
	P *torch.Tensor // (B,D) of the predictor or second head; Z itself where there is none
	// Others are (B,D) of the further predictors, of Parts.Predictors but the first.
	Others []*torch.Tensor
}

// Targets is an objective's own: z² of each teacher view, and what is made of them.
type Targets struct {
	Z2 []*torch.Tensor // (B,D)
	P2 *torch.Tensor   // (B,K) of ReSSL and SEED, or nil
	// Relations stands for P2 where a kernel computes the relation (Options.Kernels).
	Relations torch.Attended
	Each      []*torch.Tensor // (B,·): one distribution for each teacher view, or nil
	Rows      []*torch.Tensor // for Update, (·,·) each
}

// Tensors lists what a caller has to keep alive from Targets to Loss.
func (t Targets) Tensors() []*torch.Tensor {
	return slices.Concat(t.Z2, t.Each, t.Rows, []*torch.Tensor{t.P2, t.Relations.LSE, t.Relations.Mean, t.Relations.Best})
}

// Loss is one pass's result.
type Loss struct {
	// Total is the scalar that backward starts from. The sum over the passes of a batch
	// is the method's loss, a mean over the batch's samples.
	Total *torch.Tensor
	Terms // all of them where Batch.Stats is set
	// Rows are for Update, (·,·) each and without gradient: of a coupled pass.
	Rows []*torch.Tensor
}

// Options are the sizes, temperatures and weights that objectives read. None has a default:
// they come from a resolved recipe.
type Options struct {
	TauS, TauT, Tau float64 // τ_s, τ_t; τ of InfoNCE in all its forms
	TauTStart       float64 // DINO's τ_t before its ramp

	ProjHidden, PredHidden, Dim int  // hidden units of g and q; D
	ProjLayers                  int  // of MoCo v3's g; 0: two
	NoPredictor                 bool // ReSSL*: no q
	NoHeadNorm                  bool // ReSSL*, the first paper's: no BN in the heads

	K              int     // rows of a queue that is an objective's own
	Features       int     // width of the student's features; 0 before there is a network
	Prototypes     int     // DINO's and SwAV's
	CentreMomentum float64 // DINO's m of the centre
	Epsilon        float64 // Sinkhorn's ε, SwAV
	Iterations     int     // Sinkhorn's, SwAV

	OffDiagonal                      float64 // λ of Barlow Twins
	Invariance, Variance, Covariance float64 // λ, μ and ν of VICReg

	WhitenRows    int     // W-MSE: rows of a sub-batch; 0 is the batch
	WhitenEpsilon float64 // W-MSE: weight of the identity in the covariance
	Beta          float64 // β of CLSA

	Repulsion float64 // λ of UniGrad
	Keep      float64 // ρ of UniGrad: the share that its correlation keeps

	Gamma            float64 // γ of the truncated triplet: the positive's weight
	RankFrom, RankTo int     // of its negatives, from 1, the nearest

	Hardest, Mixed, Harder int // N, s and s' of MoCHi

	AdversaryTau, AdversaryLR, AdversaryDecay float64 // AdCo: temperature, rate and weight decay of its negatives

	Samples       int     // N of the data set: rows of a bank
	BankMomentum  float64 // of a bank's rows
	BankNegatives int     // drawn from it for each row; 0: all of it
	Proximal      float64 // λ of NPID's equation 9
	Clusters      []int   // of each clustering of a bank, PCL and local aggregation; empty: the paper's share of N
	Neighbours    int     // local aggregation: the nearest that are background
	Classes       int     // of a classifier that is an objective's own
	LabelFraction float64 // of the samples that show their label
	Confidence    float64 // FixMatch, UDA: the probability from which a prediction is a target
	Consistency   float64 // FixMatch, UDA, S4L: weight of the loss without labels
	Sharpen       float64 // UDA: temperature of its targets

	DistilWeight float64 // DisCo: of the distance to the teacher's embedding

	ContextHidden, ContextBlocks int // CPC v2: channels within its context networks' blocks, and blocks of each
	StepFrom, StepTo             int // CPC v2: least and greatest number of rows ahead that it predicts

	Kernels bool // the device has kernels for the similarities to the queue (torch.Attend)

	FalseTop   int     // FNC: how many of the nearest may be false negatives,
	FalseAbove float64 // and above which cosine
}

// Method describes an objective to whoever composes a run for it. Every objective's file
// has one; methods is the list of them.
type Method struct {
	Name  string
	Paper string // where it is from
	// Ramp is the recipe key whose epochs α takes from 0 to 1; "": α is always 1.
	Ramp string
	// RampFills: α stays below 1 until K rows have come.
	RampFills bool
	// Relational: the teacher's similarities are the target, sharpened by τ_t < τ_s.
	Relational bool
	// Shuffles reports whether the teacher sees batch norm's groups shuffled; nil: never.
	Shuffles func(Options) bool
	Views    Views
	Policy   string // an augmentation policy with suitable views
	New      func(Options) Objective
}

// Views says which of a batch's views each network sees.
type Views struct {
	// WeakStrong: the teacher sees the one weak view, the student every strong one.
	WeakStrong bool
	// Same: both networks, or the student where there is no teacher, see the first student view.
	Same bool
	// WeakToo: the student sees the one weak view, first, and a strong one.
	WeakToo bool
	// All: there is no teacher, and the student sees every student view.
	All bool
	// Otherwise the objective takes a pair of views of one distribution, and these are the
	// indices in the pair that each network sees. Where Parts.Locals is true the student sees
	// a multi-crop policy's local crops besides.
	Teacher, Student []int
}

// bothViews is for objectives that show both views of a pair to each network.
var bothViews = Views{Teacher: []int{0, 1}, Student: []int{0, 1}}

// pairForStudent is for objectives without a teacher.
var pairForStudent = Views{Student: []int{0, 1}}

// always is a Method.Shuffles.
func always(Options) bool { return true }

// methods is the registry, in the order of the paper's Table 7 and then of age.
var methods = []Method{
	resslMethod, mocoMethod, mocoSymmetricMethod, infoMinMethod, simclrMethod, byolMethod, simsiamMethod, nnclrMethod,
	barlowMethod, vicregMethod, mocoV3Method, dinoMethod, swavMethod, seedMethod, wmseMethod, clsaMethod, isdMethod,
	unigradMethod, tripletMethod, mochiMethod, adcoMethod, wclMethod, fncMethod,
	npidMethod, pclMethod, localAggMethod, rotationMethod, pirlMethod, relativeLocMethod, cpcMethod,
	compressMethod, compressOneMethod, discoMethod, simdisMethod, bingoMethod, fixmatchMethod, udaMethod, s4lMethod,
}

// Parts is what an objective of the method needs, but for sizes, which its options give.
func (m Method) Parts() Parts { return m.New(Options{}).Parts() }

// Names lists the objectives, sorted.
func Names() (names []string) {
	for _, m := range methods {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return names
}

// MethodOf is the objective called name; its error wraps errs.ErrUsage.
func MethodOf(name string) (Method, error) {
	for _, m := range methods {
		if m.Name == name {
			return m, nil
		}
	}
	return Method{}, errs.New("objective", fmt.Sprintf("%q", name), bounded.Suggest(name, Names())+"use one of "+strings.Join(Names(), ", "),
		errs.Because(errs.ErrUsage, "no such objective"))
}

// New gives the objective called name. Its error wraps errs.ErrUsage.
func New(name string, o Options) (Objective, error) {
	m, err := MethodOf(name)
	if err != nil {
		return nil, err
	}
	return m.New(o), nil
}

// twoLayers is the head of ReSSL, SimCLR and BYOL: one hidden layer, with BN.
func (o Options) twoLayers(hidden int) Head {
	return Head{Hidden: []int{hidden}, Out: o.Dim, BatchNorm: true}
}

// mocoHead is that of MoCo v2 (moco/builder.py): one hidden layer, without BN.
func (o Options) mocoHead() Head {
	return Head{Hidden: []int{o.ProjHidden}, Out: o.Dim}
}

// mean2 is the mean of two scalars.
func mean2(a, b *torch.Tensor) *torch.Tensor {
	return torch.MulScalar(torch.Add(a, b, 1), 0.5)
}
