package objective

import (
	"fmt"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// relational is ReSSL's objective with all terms and its description.
type relational struct {
	o     Options
	alpha float64
}

// evaluate gives loss, terms, statistics and gradient.
func (r relational) evaluate(tb testing.TB, o order) nntest.Values {
	tb.Helper()
	out := nntest.Values{}
	nntest.Do(tb, func() {
		m := ressl{r.o}
		leaf := o.place("student", 12, 24).SetRequiresGrad(true)
		z1, z2 := Normalize(leaf), Normalize(o.place("teacher", 12, 24))
		b := Batch{Queue: Normalize(o.place("queue", 300, 24)), Alpha: Alpha{Value: r.alpha}, Views: 2, Stats: true}
		student := []Embedding{{Z: z1, P: z1}}
		l := m.Loss(b, student, m.Targets(b, []*torch.Tensor{z2}))
		out.Take("total", l.Total)
		l.Total.Backward()
		out.Take("grad", o.back(leaf.Grad()))
		s := Describe(student, l.Terms)
		for name, v := range map[string]*torch.Tensor{
			"relation": s.Relation, "infonce": s.InfoNCE, "entropy": s.TargetEntropy, "agreement": s.Agreement, "similarity": s.Similarity,
		} {
			out.Take(name, v)
		}
	})
	return out
}

// TestAttendedRelations: ReSSL's terms from what torch.Attend gives of the similarities, by the
// kernels' twins, are held to the truth and bound of the similarities themselves; with faults that
// the bound must show.
func TestAttendedRelations(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	var all []nntest.Mutation
	for _, alpha := range []float64{0, 0.3, 1} {
		right := relational{Options{TauS: 0.1, TauT: 0.04, Tau: 0.1}, alpha}
		if alpha == 0.3 {
			right.o.Tau = 0.2
		}
		var references []nntest.Values
		for _, turn := range turns {
			references = append(references, right.evaluate(t, order{turn: turn}))
		}
		reference := nntest.NewReference(t, right.evaluate(t, order{double: true}), references...)
		attended := func(c relational) (out nntest.Values) {
			c.o.Kernels = true
			nntest.Do(t, func() {
				torchtest.Twins(func(order0 int) {
					if order0 == 0 {
						out = c.evaluate(t, order{})
					}
				})
			})
			return out
		}
		for fault, change := range map[string]func(*relational){
			"":            func(*relational) {},
			"τ_s 1 % off": func(r *relational) { r.o.TauS *= 1.01 },
			"τ_t 1 % off": func(r *relational) { r.o.TauT *= 1.01 },
			"τ 1 % off":   func(r *relational) { r.o.Tau *= 1.01 },
		} {
			c := right
			change(&c)
			all = append(all, nntest.Mutation{Parity: fmt.Sprintf("attended, α %v", alpha), Fault: fault, Check: func(tb testing.TB) {
				reference.Check(tb, "attended", attended(c))
			}})
		}
	}
	nntest.Mutations(t, all)
}
