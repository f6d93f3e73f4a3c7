package recipe

import (
	"fmt"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/objective"
)

// Objective is what a recipe needs to know about its training objective: which keys apply,
// which views it takes, and what the learner is composed of.
type Objective struct {
	objective.Method
	objective.Parts
}

// Objectives lists the objectives' names, sorted.
func Objectives() []string { return objective.Names() }

// ObjectiveOf is the recipe's objective, the zero value where there is none of that name.
func (r *Recipe) ObjectiveOf() Objective {
	m, err := objective.MethodOf(r.Objective)
	if err != nil {
		return Objective{}
	}
	return Objective{m, m.New(r.ObjectiveOptions()).Parts()}
}

// ObjectiveOptions are the objective's sizes, temperatures and weights.
func (r *Recipe) ObjectiveOptions() objective.Options {
	o := objective.Options{
		TauS: r.TauS, TauT: r.TauT, Tau: r.TauNCE,
		ProjHidden: r.ProjectorHidden, PredHidden: r.PredictorHidden, Dim: r.EmbeddingDim,
		ProjLayers: r.ProjectorLayers, NoPredictor: !r.Predictor, NoHeadNorm: !r.HeadBN,
		K: r.K, TauTStart: r.TauTStart,
		Prototypes: r.Prototypes, CentreMomentum: r.CenterMomentum, Epsilon: r.SinkhornEpsilon, Iterations: r.SinkhornIterations,
		OffDiagonal: r.BarlowLambda, WhitenRows: r.WhitenRows, WhitenEpsilon: r.WhitenEpsilon, Beta: r.CLSABeta,
		Invariance: element(r.VICRegWeights, 0), Variance: element(r.VICRegWeights, 1), Covariance: element(r.VICRegWeights, 2),
		Repulsion: r.UniGradLambda, Keep: r.UniGradRho,
		Gamma: r.TripletGamma, RankFrom: element(r.TripletRanks, 0), RankTo: element(r.TripletRanks, 1),
		Hardest: r.MoCHiHardest, Mixed: r.MoCHiMixed, Harder: r.MoCHiHarder,
		AdversaryTau: r.AdCoTau, AdversaryLR: r.AdCoLR, AdversaryDecay: r.AdCoWeightDecay,
		FalseTop: r.FNCTop, FalseAbove: r.FNCThreshold,
		BankMomentum: r.BankMomentum, BankNegatives: r.BankNegatives, Proximal: r.NPIDProximal, Clusters: r.Clusters, Neighbours: r.LocalAggNeighbours,
		DistilWeight:  r.DisCoWeight,
		ContextHidden: r.CPCHidden, ContextBlocks: r.CPCBlocks, StepFrom: element(r.CPCSteps, 0), StepTo: element(r.CPCSteps, 1),
		Classes: r.Classes, LabelFraction: r.LabelFraction, Sharpen: r.UDATemperature,
		Confidence: r.FixMatchThreshold, Consistency: r.FixMatchWeight,
	}
	switch r.Objective {
	case "uda":
		o.Confidence, o.Consistency = r.UDAThreshold, r.UDAWeight
	case "s4l":
		o.Consistency = r.S4LWeight
	}
	return o
}

// element is the list's i-th number, 0 of one that validate refuses for its length.
func element[T int | float64](list []T, i int) T {
	if i < len(list) {
		return list[i]
	}
	return 0
}

// RampEpochs is over how many epochs α rises from 0 to 1, by the key that the objective
// names; 0 where it names none.
func (r *Recipe) RampEpochs() float64 {
	if f, ok := r.field(r.ObjectiveOf().Ramp); ok {
		return f.Float()
	}
	return 0
}

// Sides returns the views of a batch that each network sees, as indices into views.
//
// ReSSL takes them by role: the weak view for the teacher and the strong ones, or the
// first crops of them if crops is not 0, for the student. SEED shows the first student view
// to both networks, the objectives with a bank and no teacher to the student, W-MSE and FNC every one to the student,
// FixMatch and UDA the weak one and a strong one. The other objectives take a pair: both student views of a policy that
// has two (so that one stream of a weak and two strong views serves all objectives), else
// the teacher's and the student's. Of a multi-crop policy the pair are the two global crops,
// and the local ones, or the first crops of them, follow on the student's side.
//
// Errors wrap errs.ErrUsage and name a policy that fits.
func Sides(name string, crops int, views []schemas.ViewSpec) (teacher, student []int, err error) {
	m, err := objective.MethodOf(name)
	if err != nil {
		return nil, nil, err
	}
	var weak, strong []int
	for i, v := range views {
		if v.Role == schemas.Teacher {
			weak = append(weak, i)
		} else {
			strong = append(strong, i)
		}
	}
	misfit := func(needs string) error {
		return errs.New("views for objective", name, "give "+needs+", e.g. policy="+m.Policy,
			errs.Because(errs.ErrUsage, fmt.Sprintf("the policy has %d teacher and %d student views", len(weak), len(strong))))
	}
	first := func(strong []int) ([]int, error) {
		if crops > len(strong) {
			return nil, errs.New("recipe key", "crops", "lower crops, or give a policy of more student views, e.g. policy=small-2crop",
				errs.Because(errs.ErrUsage, fmt.Sprintf("is %d, and the policy has %d student views", crops, len(strong))))
		}
		if crops > 0 {
			return strong[:crops], nil
		}
		return strong, nil
	}
	parts := m.Parts()
	switch least := max(1, parts.StudentViews); {
	case m.Views.WeakStrong && parts.StudentViews > 0 && !parts.Locals && (len(weak) != 1 || len(strong) != least):
		return nil, nil, misfit("one teacher view and two student views")
	case m.Views.WeakStrong && parts.StudentViews > 0 && !parts.Locals:
		return weak, strong, nil
	case m.Views.WeakStrong && (len(weak) != 1 || len(strong) < least):
		return nil, nil, misfit("one teacher view and " + []string{"", "one", "two"}[least] + " or more student views")
	case m.Views.WeakStrong:
		strong, err = first(strong)
		return weak, strong, err
	case m.Views.WeakToo && (len(weak) != 1 || len(strong) == 0):
		return nil, nil, misfit("one teacher view, which is the weak one, and a student view")
	case m.Views.WeakToo:
		return nil, []int{weak[0], strong[0]}, nil
	case m.Views.Same && len(strong) == 0:
		return nil, nil, misfit("a student view")
	case m.Views.Same && !parts.Teacher:
		return nil, strong[:1], nil
	case m.Views.Same:
		return strong[:1], strong[:1], nil
	case m.Views.All && len(strong) < least:
		return nil, nil, misfit("two or more student views")
	case m.Views.All:
		strong, err = first(strong)
		return nil, strong, err
	}
	var pair, locals []int
	switch {
	case parts.Locals && multiCrop(views, weak, strong):
		pair = weak
		if locals, err = first(strong); err != nil {
			return nil, nil, err
		}
	case len(strong) == 2:
		pair = strong
	case len(strong) == 1 && len(weak) == 1:
		pair = []int{weak[0], strong[0]}
	default:
		return nil, nil, misfit("two student views, or one of each role")
	}
	for _, i := range m.Views.Teacher {
		teacher = append(teacher, pair[i])
	}
	for _, i := range m.Views.Student {
		student = append(student, pair[i])
	}
	return teacher, append(student, locals...), nil
}

// multiCrop reports whether the views are two global crops, in the teacher's role, and local
// ones that are smaller.
func multiCrop(views []schemas.ViewSpec, globals, locals []int) bool {
	if len(globals) != 2 || len(locals) == 0 {
		return false
	}
	for _, l := range locals {
		for _, g := range globals {
			if views[l].Size >= views[g].Size {
				return false
			}
		}
	}
	return true
}
