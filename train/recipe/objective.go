package recipe

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// Objective is what a recipe needs to know about a training objective: which keys
// apply and which views it takes. The mathematics is in package objective.
type Objective struct {
	Paper   string // where it is from
	Teacher bool   // has a momentum network: m and m_end apply
	Queue   bool   // has a queue: K applies
	WarmUp  bool   // begins with InfoNCE: infonce_warmup_epochs applies
	Coupled bool   // compares a step's samples with one another: accumulate changes what is learnt

	// relational: the teacher's similarities are the target, sharpened by tau_t.
	relational bool
	// shuffles reports whether the teacher sees batch norm's groups shuffled; nil: never.
	shuffles func(*Recipe) bool

	// weakStrong: the teacher sees the one weak view, the student every strong one.
	// Otherwise the objective takes a pair of views of one distribution, and teacher
	// and student are the indices in the pair that each network sees.
	weakStrong       bool
	teacher, student []int
	policy           string // an augmentation policy with suitable views
}

// objectives is the registry: a new objective needs a line here and a file in package
// objective, and nothing else in this package.
var objectives = map[string]Objective{
	"ressl": {
		Paper: "ReSSL, section 3", Teacher: true, Queue: true, WarmUp: true, relational: true,
		shuffles: func(r *Recipe) bool { return !r.Predictor }, weakStrong: true, policy: "small",
	},
	"moco-v2": {
		Paper: "arXiv 2003.04297", Teacher: true, Queue: true,
		shuffles: func(*Recipe) bool { return true }, teacher: []int{0}, student: []int{1}, policy: "moco-v2",
	},
	"simclr":  {Paper: "arXiv 2002.05709", Coupled: true, student: []int{0, 1}, policy: "simclr"},
	"byol":    {Paper: "arXiv 2006.07733", Teacher: true, teacher: []int{0, 1}, student: []int{0, 1}, policy: "byol"},
	"simsiam": {Paper: "arXiv 2011.10566", student: []int{0, 1}, policy: "moco-v2"},
	"nnclr":   {Paper: "arXiv 2104.14548", Queue: true, Coupled: true, student: []int{0, 1}, policy: "byol"},
}

// Objectives lists the objectives' names, sorted.
func Objectives() []string { return slices.Sorted(maps.Keys(objectives)) }

// ObjectiveOf is what the recipe's objective needs.
func (r *Recipe) ObjectiveOf() Objective { return objectives[r.Objective] }

// Sides returns the views of a batch that each network sees, as indices into views.
// ReSSL takes them by role: the weak view for the teacher and the strong ones, or the
// first crops of them if crops is not 0, for the student. The other objectives take a
// pair: both student views of a policy that has two (so that one stream of a weak and
// two strong views serves all objectives), else the teacher's and the student's.
//
// Errors wrap errs.ErrUsage and name a policy that fits.
func Sides(objective string, crops int, views []schemas.ViewSpec) (teacher, student []int, err error) {
	o, ok := objectives[objective]
	if !ok {
		return nil, nil, errs.New("objective", objective, "give one of "+strings.Join(Objectives(), ", "), errs.ErrUsage)
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
		return errs.New("views for objective", objective, "give "+needs+", e.g. policy="+o.policy,
			errs.Because(errs.ErrUsage, fmt.Sprintf("the policy has %d teacher and %d student views", len(weak), len(strong))))
	}
	if o.weakStrong {
		switch {
		case len(weak) != 1 || len(strong) == 0:
			return nil, nil, misfit("one teacher view and one or more student views")
		case crops > len(strong):
			return nil, nil, errs.New("recipe key", "crops", "lower crops, or give a policy of more student views, e.g. policy=small-2crop",
				errs.Because(errs.ErrUsage, fmt.Sprintf("is %d, and the policy has %d student views", crops, len(strong))))
		case crops > 0:
			strong = strong[:crops]
		}
		return weak, strong, nil
	}
	var pair []int
	switch {
	case len(strong) == 2:
		pair = strong
	case len(strong) == 1 && len(weak) == 1:
		pair = []int{weak[0], strong[0]}
	default:
		return nil, nil, misfit("two student views, or one of each role")
	}
	for _, i := range o.teacher {
		teacher = append(teacher, pair[i])
	}
	for _, i := range o.student {
		student = append(student, pair[i])
	}
	return teacher, student, nil
}
