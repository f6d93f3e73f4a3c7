package objective

import (
	"math"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// Parity of this package is in float64, up to the fixture's rounding, and in fp32, by
// what fp32 costs the same equations in another order: dimensions, and keys of the
// queue, turned by some places. Sums then run in another order and nothing else changes.

// turns are the orders of the references.
var turns = []int64{3, 5, 7, 11}

// order is a precision and a turn.
type order struct {
	double bool
	turn   int64
	rows   bool // samples are turned about instead: the loss depends on the columns' order
	// samples, if set, is how many there are: they are turned by some places instead, each with
	// all of its rows.
	samples int64
}

// place is a formula's tensor in that order: columns turned, and rows too for a queue.
func (o order) place(name string, shape ...int64) *torch.Tensor {
	x := nntest.FormulaTensor(name, 1, 0, shape...)
	if o.double {
		x = x.To(torch.CPU, torch.Float64, false)
	}
	switch {
	case o.samples > 0:
		x = o.rolled(x)
	case o.turn > 0 && o.rows:
		x = torch.Flip(x, []int64{0})
	case o.turn > 0:
		x = torch.Roll(x, []int64{o.turn}, []int64{1})
		if name == "queue" {
			x = torch.Roll(x, []int64{o.turn}, []int64{0})
		}
	}
	return x
}

// rolled are x's samples turned by up to four places: so the first and the fourth of eight, which
// are one sample, keep their order, of which a bank takes the later.
func (o order) rolled(x *torch.Tensor) *torch.Tensor {
	return torch.Roll(x, []int64{o.turn % 5 * (x.Size(0) / o.samples)}, []int64{0})
}

// whole is the order for what has no rows of samples.
func (o order) whole() order {
	if o.samples > 0 {
		return order{double: o.double}
	}
	return o
}

// back undoes the turn.
func (o order) back(x *torch.Tensor) *torch.Tensor {
	if o.samples > 0 {
		o.turn = -o.turn
		return o.rolled(x)
	}
	if o.turn > 0 && o.rows {
		return torch.Flip(x, []int64{0})
	}
	if o.turn > 0 && x.Dim() == 2 {
		return torch.Roll(x, []int64{-o.turn}, []int64{1})
	}
	return x
}

// evaluate gives results by name, in the given order.
type evaluate func(tb testing.TB, o order) nntest.Values

// compare checks f in float64 against the fixture's tensors of those names, or in fp32
// against right's float64.
func compare(tb testing.TB, fix *nntest.Fixture, prefix string, double bool, f, right evaluate) {
	tb.Helper()
	if double {
		for name, v := range f(tb, order{double: true}) {
			nntest.Stored(tb, prefix+name, v, fix.Float32s(prefix+name))
		}
		return
	}
	var references []nntest.Values
	for _, turn := range turns {
		references = append(references, right(tb, order{turn: turn}))
	}
	nntest.NewReference(tb, right(tb, order{double: true}), references...).Check(tb, "fp32 "+prefix, f(tb, order{}))
}

// paper is ReSSL's equations 1, 3, 4, 5 and 7 on the fixture's sizes.
type paper struct {
	B, D, K    int64
	Alpha, Tau float64
	TauS       float64 `json:"tau_s"`
	TauT       float64 `json:"tau_t"`

	drop string  // a term that the total lacks, for mutations
	grad float64 // what gradients are times, for mutations; 0 is 1
}

func (p paper) evaluate(tb testing.TB, o order) nntest.Values {
	out := nntest.Values{}
	for _, loss := range []string{"relation", "infonce", "total"} {
		nntest.Do(tb, func() {
			student := o.place("student", p.B, p.D).SetRequiresGrad(true)
			z2 := Normalize(o.place("teacher", p.B, p.D))
			queue := Normalize(o.place("queue", p.K, p.D))
			z1 := Normalize(student)
			s1 := similarities(z1, queue)
			logP1 := relationLogProbs(s1, p.TauS)
			p2 := relationTarget(similarities(z2, queue), p.TauT)
			relation := relationalLoss(p2, logP1)
			nce := infoNCE(z1, z2, s1, p.Tau)
			a, b := relation, nce
			switch p.drop {
			case "relation":
				a = torch.MulScalar(relation, 0)
			case "infonce":
				b = torch.MulScalar(nce, 0)
			}
			value := map[string]*torch.Tensor{"relation": relation, "infonce": nce, "total": warmUp(a, b, Alpha{Value: p.Alpha})}[loss]
			if loss == "total" {
				out.Take("z1", o.back(z1))
				out.Take("p1", o.back(torch.Exp(logP1)))
				out.Take("p2", o.back(p2))
			}
			out.Take(loss, value)
			value.Backward()
			out.Take(loss+".grad", o.back(student.Grad()))
		})
	}
	if p.grad != 0 {
		out = nntest.Scaled(out, "total.grad", p.grad)
	}
	return out
}

func loadPaper(t testing.TB) (fix *nntest.Fixture, p paper) {
	fix = nntest.Load(t, "objective")
	fix.Meta(&p)
	return fix, p
}

// TestEquationParity compares equations 1, 3, 4, 5 and 7 and their gradients with
// respect to the student's embeddings.
func TestEquationParity(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	fix, p := loadPaper(t)
	for _, double := range []bool{true, false} {
		compare(t, fix, "", double, p.evaluate, p.evaluate)
	}
	if got := p.evaluate(t, order{}); len(got) != fix.Len() {
		t.Errorf("compared %d of the fixture's %d tensors", len(got), fix.Len())
	}
}

// squaredDistance is equation 2's L_mse, batch mean, ‖p¹ − z²‖². Of unit rows it is
// 2 + 2·L_cos.
func squaredDistance(p1, z2 *torch.Tensor) *torch.Tensor {
	return torch.Mean(torch.SumDim(torch.Square(torch.Sub(p1, z2, 1)), []int64{1}, false, torch.Unset), torch.Unset)
}

// TestCosineParity compares the two forms of equation 2.
func TestCosineParity(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	both := func(tb testing.TB, o order) nntest.Values {
		out := nntest.Values{}
		nntest.Do(tb, func() {
			p, z := Normalize(o.place("view a", 8, 16)), Normalize(o.place("target b", 8, 16))
			out.Take("cosine", negativeCosine(p, z))
			out.Take("mse", squaredDistance(p, z))
		})
		return out
	}
	fix := nntest.Load(t, "objectives")
	for _, double := range []bool{true, false} {
		compare(t, fix, "", double, both, both)
	}
	v := both(t, order{double: true})
	if d := v["mse"][0] - (2 + 2*v["cosine"][0]); math.Abs(d) > 1e-14 {
		t.Errorf("L_mse %v is not 2 + 2·L_cos %v", v["mse"], v["cosine"])
	}
}

// TestMutations: what the parity tests of objectives see.
func TestMutations(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	var all []nntest.Mutation
	add := func(parity, fault string, fix *nntest.Fixture, prefix string, f, right evaluate) {
		for double, precision := range map[bool]string{true: ", float64", false: ", fp32"} {
			all = append(all, nntest.Mutation{Parity: parity + precision, Fault: fault, Check: func(tb testing.TB) { compare(tb, fix, prefix, double, f, right) }})
		}
	}
	fix, right := loadPaper(t)
	for fault, change := range map[string]func(*paper){
		"":                        func(*paper) {},
		"τ_s 1 % off":             func(p *paper) { p.TauS *= 1.01 },
		"τ_t 1 % off":             func(p *paper) { p.TauT *= 1.01 },
		"InfoNCE's τ 1 % off":     func(p *paper) { p.Tau *= 1.01 },
		"α 1 % off":               func(p *paper) { p.Alpha *= 1.01 },
		"the relation is missing": func(p *paper) { p.drop = "relation" },
		"InfoNCE is missing":      func(p *paper) { p.drop = "infonce" },
		"the gradient is 1 % off": func(p *paper) { p.grad = 1.01 },
	} {
		p := right
		change(&p)
		add("equations", fault, fix, "", p.evaluate, right.evaluate)
	}
	for name := range inputs {
		fix, right := loadMethod(t, name)
		for fault, change := range right.faults() {
			m := right
			change(&m)
			add(name, fault, fix, name+".", m.evaluate, right.evaluate)
		}
	}
	nntest.Mutations(t, all)
}
