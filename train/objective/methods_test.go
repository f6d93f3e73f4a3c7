package objective

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// input is what an objective sees, by the formula's names: of the student, its projections
// where the loss reads them beside predictions, and of the teacher.
type input struct {
	p, z, z2, keys []string
	// rows is how many p has for each sample, columns how many it has; 0 are 1 and D.
	rows, columns int64
	halved        bool // p has a row for each pair of samples
}

// unused is a view's embedding that the loss does not read.
const unused = "unused"

var (
	pair  = []string{"view a", "view b"}
	crops = []string{"view a", "view b", "local c", "local d"}
	both  = []string{"target a", "target b"}
)

// inputs are the cases of the fixture. A case is an objective's name, and after a space what
// is special about it.
var inputs = map[string]input{
	"moco-v2":                      {p: []string{"query"}, z2: []string{"key"}},
	"moco-v2-symmetric":            {p: pair, z2: both},
	"moco-v2-symmetric multi-crop": {p: crops, z2: both},
	"infomin":                      {p: []string{unused, "nine"}, z: []string{"query", unused}, z2: []string{"key"}, rows: cells},
	"simclr":                       {p: pair},
	"byol":                         {p: pair, z2: both},
	"byol multi-crop":              {p: crops, z2: both},
	"simsiam":                      {p: pair, z: []string{"z a", "z b"}},
	"simsiam multi-crop":           {p: crops, z: []string{"z a", "z b", unused, unused}},
	"nnclr":                        {p: pair, z: []string{"z a", "z b"}},
	"nnclr multi-crop":             {p: crops, z: []string{"z a", "z b", unused, unused}},
	"barlow-twins":                 {p: pair},
	"vicreg":                       {p: pair},
	"moco-v3":                      {p: pair, z2: both},
	"moco-v3 multi-crop":           {p: crops, z2: both},
	"dino":                         {p: pair, z2: both},
	"dino multi-crop":              {p: crops, z2: both},
	"swav":                         {p: pair},
	"swav multi-crop":              {p: crops},
	"swav queue":                   {p: crops},
	"seed":                         {p: []string{"query"}, z2: []string{"key"}},
	"w-mse":                        {p: pair},
	"w-mse 4":                      {p: crops},
	"clsa":                         {p: crops[:3], z2: []string{"key"}},
	"isd":                          {p: []string{"query"}, z2: []string{"key"}},
	"unigrad":                      {p: pair, z2: both},
	"unigrad multi-crop":           {p: crops, z2: both},
	"truncated-triplet":            {p: pair, z2: both},
	"truncated-triplet multi-crop": {p: crops, z2: both},
	"mochi":                        {p: []string{"query"}, z2: []string{"key"}},
	"adco":                         {p: []string{"query"}, z2: []string{"key"}},
	"adco multi-crop":              {p: []string{"query", "local c", "local d"}, z2: []string{"key"}},
	"wcl":                          {p: pair, z: []string{"z a", "z b"}},
	"fnc":                          {p: pair},
	"fnc 4":                        {p: crops},
	"npid":                         {p: []string{"query"}},
	"npid all":                     {p: []string{"query"}},
	"pcl-v2":                       {p: []string{"query"}, z2: []string{"key"}},
	"localagg":                     {p: []string{"query"}},
	"rotation":                     {p: []string{"turned"}, rows: quarters, columns: quarters},
	"relative-loc":                 {p: []string{"nine"}, rows: cells},
	"cpc-v2":                       {p: []string{"patches"}, rows: patchCount},
	"pirl":                         {p: []string{unused, "nine"}, z: []string{"view a", unused}, rows: cells},
	"compress":                     {p: []string{"query"}, z2: []string{"key"}, keys: []string{"student key"}},
	"compress-1q":                  {p: []string{"query"}, z2: []string{"key"}},
	"fixmatch":                     {p: pair},
	"uda":                          {p: pair},
	"s4l":                          {p: []string{"turned features"}, rows: quarters},
	"disco":                        {p: pair, z2: both, keys: []string{"student key"}},
	"simdis":                       {p: pair, z: []string{"z a", "z b"}, z2: both, keys: []string{"student key a", "student key b"}},
	"bingo":                        bags,
	"bingo warm-up":                bags,
}

// bags is BINGO's input.
var bags = input{p: []string{"anchor", "mate", "mixed"}, z2: []string{"key"}, halved: true}

// method is an objective on the fixture's sizes.
type method struct {
	name                             string
	B, D, K                          int64
	Tau                              float64
	TauS                             float64 `json:"tau_s"`
	TauT                             float64 `json:"tau_t"`
	TauTStart                        float64 `json:"tau_t_start"`
	Ramp                             float64 // α of dino
	Prototypes                       int
	CentreMomentum                   float64 `json:"centre_momentum"`
	Epsilon                          float64
	Iterations                       int
	OffDiagonal                      float64 `json:"off_diagonal"`
	Invariance, Variance, Covariance float64
	WhitenRows                       int     `json:"whiten_rows"`
	WhitenEpsilon                    float64 `json:"whiten_epsilon"`
	Beta                             float64
	Repulsion, Keep, Gamma           float64
	RankFrom                         int `json:"rank_from"`
	RankTo                           int `json:"rank_to"`
	Hardest, Mixed, Harder           int
	AdversaryTau                     float64 `json:"adversary_tau"`
	FalseTop                         int     `json:"false_top"`
	FalseAbove                       float64 `json:"false_above"`
	Samples                          int
	IDs                              []int64
	PredHidden                       int     `json:"pred_hidden"`
	BankMomentum                     float64 `json:"bank_momentum"`
	BankNegatives                    int     `json:"bank_negatives"`
	Proximal                         float64
	Clusters                         []int
	Neighbours                       int
	DistilWeight                     float64 `json:"distil_weight"`
	ContextHidden                    int     `json:"context_hidden"`
	ContextBlocks                    int     `json:"context_blocks"`
	StepFrom                         int     `json:"step_from"`
	StepTo                           int     `json:"step_to"`
	Classes                          int
	LabelFraction                    float64 `json:"label_fraction"`
	Confidence, Consistency, Sharpen float64
	Labels                           []int64
	Side                             int64

	exchanged []string // parts of names whose tensors have each other's numbers, for mutations

	early bool    // before the end of the objective's ramp
	over  bool    // behind it, whatever the case, for mutations
	drop  bool    // the last view's term is missing, for mutations
	grad  float64 // what gradients are times, for mutations; 0 is 1
	// crossed exchanges targets of the two views, for mutations.
	crossed func(b *Batch, z2 []*torch.Tensor)
}

func loadMethod(t testing.TB, name string) (fix *nntest.Fixture, m method) {
	fix = nntest.Load(t, "objectives")
	fix.Meta(&m)
	m.name = name
	return fix, m
}

// objective is the case's objective.
func (m method) objective(tb testing.TB) (string, Objective) {
	tb.Helper()
	name, special, _ := strings.Cut(m.name, " ")
	if special == "all" {
		m.BankNegatives = 0
	}
	obj, err := New(name, Options{
		TauS: m.TauS, TauT: m.TauT, TauTStart: m.TauTStart, Tau: m.Tau, Dim: int(m.D), K: int(m.K), PredHidden: m.PredHidden,
		Prototypes: m.Prototypes, CentreMomentum: m.CentreMomentum, Epsilon: m.Epsilon, Iterations: m.Iterations,
		OffDiagonal: m.OffDiagonal, Invariance: m.Invariance, Variance: m.Variance, Covariance: m.Covariance,
		WhitenRows: m.WhitenRows, WhitenEpsilon: m.WhitenEpsilon, Beta: m.Beta,
		Repulsion: m.Repulsion, Keep: m.Keep, Gamma: m.Gamma, RankFrom: m.RankFrom, RankTo: m.RankTo,
		Hardest: m.Hardest, Mixed: m.Mixed, Harder: m.Harder, AdversaryTau: m.AdversaryTau,
		FalseTop: m.FalseTop, FalseAbove: m.FalseAbove,
		Samples: m.Samples, BankMomentum: m.BankMomentum, BankNegatives: m.BankNegatives, Proximal: m.Proximal,
		Clusters: m.Clusters, Neighbours: m.Neighbours,
		DistilWeight: m.DistilWeight, Features: int(m.D),
		ContextHidden: m.ContextHidden, ContextBlocks: m.ContextBlocks, StepFrom: m.StepFrom, StepTo: m.StepTo,
		Classes: m.Classes, LabelFraction: m.LabelFraction, Confidence: m.Confidence, Consistency: m.Consistency, Sharpen: m.Sharpen,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return name, obj
}

// alpha is where the case is in its objective's ramp.
func (m method) alpha(obj Objective) Alpha {
	name, special, _ := strings.Cut(m.name, " ")
	a := Alpha{Value: 1}
	switch {
	case name == "dino":
		a.Value = m.Ramp
	case name == "swav" && special != "queue", special == "warm-up", m.early:
		a.Value = 0.5
	}
	if m.over {
		a.Value = 1
	}
	if r, ok := obj.(Ramper); ok {
		a.Factor = r.Factor(a.Value)
	}
	return a
}

// state are the objective's tensors by the formula. Rows of unit length are what prototypes,
// their average and queues have; a correlation is that of such rows.
func (m method) state(p Parts, o order) State {
	s := State{}
	put := func(name string, d Tensor, units bool) *torch.Tensor {
		if name == "correlation" {
			x := Normalize(o.place(name, m.K, m.D))
			s[name] = torch.DivScalar(torch.Mm(torch.T(x), x), float64(m.K))
			return s[name]
		}
		if d.Whole {
			s[name] = torch.Zeros(d.Shape, torch.Int64, torch.CPU)
			return s[name]
		}
		formula := strings.NewReplacer(m.exchanged...).Replace(name)
		x := o.place(formula, d.Shape...)
		if columns(d) != m.D { // its columns are prototypes, which stay where they are
			x = order{double: o.double}.place(formula, d.Shape...)
		}
		if units && len(d.Shape) > 1 { // not a bias
			x = Normalize(x)
		}
		s[name] = x
		return x
	}
	for _, d := range p.State {
		x := put(d.Name, d, d.Name != "centre" && d.Name != "adversaries" && !d.Whole)
		if d.Averaged {
			put(AverageOf(d.Name), d, true)
		}
		if d.Parameter {
			s[d.Name] = x.Detach().SetRequiresGrad(true)
		}
	}
	return s
}

// columns is the size of the last dimension, D where they are an embedding's.
func columns(d Tensor) int64 { return d.Shape[len(d.Shape)-1] }

// order is a permutation of the samples, by the formula.
func (m method) order(name string) *torch.Tensor {
	places := nntest.Formula("order "+name, m.Samples, 1, 0)
	all := make([]int64, m.Samples)
	for i := range all {
		all[i] = int64(i)
	}
	slices.SortFunc(all, func(a, b int64) int { return cmp.Compare(places[a], places[b]) })
	return torch.FromInt64(all, int64(len(all)))
}

// draws are what the learner would draw, by the formula.
func (m method) draws(p Parts, o order) map[string]*torch.Tensor {
	out := map[string]*torch.Tensor{}
	for _, d := range p.Draws {
		if d.Columns == 0 {
			continue
		}
		x := nntest.FormulaTensor("draw "+d.Name, 0.5, 0.5, m.B, int64(d.Columns))
		if o.samples > 0 {
			x = o.rolled(x)
		}
		if o.double || d.Below > 0 {
			x = x.To(torch.CPU, torch.Float64, false)
		}
		if d.Below > 0 {
			x = torch.MulScalar(x, float64(d.Below)).To(torch.CPU, torch.Int64, false)
		}
		out[d.Name] = x
	}
	if p.Labels {
		if out[Labels] = torch.FromInt64(m.Labels, m.B, 1); o.samples > 0 {
			out[Labels] = o.rolled(out[Labels])
		}
	}
	return out
}

// embeddings are the student's for each view, with the leaves that they are made of.
func (m method) embeddings(in input, p Parts, o order) (student []Embedding, views, projections, others []*torch.Tensor) {
	unit := Normalize
	if p.Raw {
		unit = func(x *torch.Tensor) *torch.Tensor { return x }
	}
	leaf := func(name string, rows, columns int64) *torch.Tensor {
		return o.place(name, rows, columns).SetRequiresGrad(true)
	}
	rows := m.B * max(1, in.rows)
	if in.halved {
		rows /= 2
	}
	for i, name := range in.p {
		views = append(views, leaf(name, rows, cmp.Or(in.columns, m.D)))
		e := Embedding{P: unit(views[i])}
		e.Z = e.P
		if in.z != nil {
			projections = append(projections, leaf(in.z[i], m.B, m.D))
			e.Z = unit(projections[i])
		}
		for q := 1; q < p.Predictors; q++ {
			others = append(others, leaf(fmt.Sprintf("%s, %d", name, q), m.B, m.D))
			e.Others = append(e.Others, unit(others[len(others)-1]))
		}
		student = append(student, e)
	}
	return student, views, projections, others
}

// evaluate computes loss, agreement and gradients as the learner calls the objective: in
// one pass where the views are coupled, in one a view elsewhere; and the state afterwards.
func (m method) evaluate(tb testing.TB, o order) nntest.Values {
	in, out := inputs[m.name], nntest.Values{}
	name, obj := m.objective(tb)
	o.rows = name == "w-mse" // Cholesky's factor is of an order of dimensions
	parts := obj.Parts()
	_, shows := obj.(Viewer)
	if shows && !parts.Pairs {
		o.samples = m.B
	}
	if len(in.keys) != len(parts.KeyViews) || len(in.z2) != parts.TeacherViews || !shows && len(in.p) != parts.StudentViews && !parts.Locals {
		tb.Fatalf("%s takes %d teacher and %d student views", m.name, parts.TeacherViews, parts.StudentViews)
	}
	nntest.Do(tb, func() {
		student, views, projections, others := m.embeddings(in, parts, o)
		var z2 []*torch.Tensor
		for _, z := range in.z2 {
			z2 = append(z2, Normalize(o.place(z, m.B, m.D)))
		}
		b := Batch{Side: m.Side, Alpha: m.alpha(obj), Views: len(student), Stats: true, State: m.state(parts, o.whole()), Draws: m.draws(parts, o)}
		for _, k := range in.keys {
			b.Keys = append(b.Keys, Normalize(o.place(k, m.B, m.D)))
		}
		if m.crossed != nil {
			m.crossed(&b, z2)
		}
		if parts.Queue != NoQueue {
			b.Queue = Normalize(o.place("queue", m.K, m.D))
		}
		if parts.Keyed {
			if b.Samples = torch.FromInt64(m.IDs, m.B); o.samples > 0 {
				b.Samples = o.rolled(b.Samples)
			}
		}
		if r, ok := obj.(Refresher); ok {
			torch.NoGrad(func() { r.Refresh(b.State, m.order) })
		}
		var targets Targets
		torch.NoGrad(func() { targets = obj.Targets(b, z2) })
		var loss, agreement float64
		rows := targets.Rows
		pass := func(student []Embedding) {
			l := obj.Loss(b, student, targets)
			l.Total.BackwardWith(nil, true)
			loss += l.Total.Item()
			rows = append(rows, l.Rows...)
			torch.NoGrad(func() { agreement += Describe(student, l.Terms).Agreement.Item() })
		}
		if parts.Coupled {
			pass(student)
		} else {
			for v := range student {
				if b.View = v; !(m.drop && v+1 == len(student)) {
					pass(student[v : v+1])
				}
			}
			agreement /= float64(len(student))
		}
		out["loss"] = []float64{loss}
		if slices.Contains([]string{"moco-v2", "simclr", "byol"}, m.name) { // of which the fixture has it
			out["agreement"] = []float64{agreement}
		}
		for i, p := range views {
			if in.p[i] == unused {
				continue
			}
			g := p.Grad()
			if g == nil { // of a view that a mutation drops
				g = torch.ZerosLike(p)
			}
			out.Take("grad"+string(rune('0'+i)), o.back(g))
		}
		for i, q := range others { // view by view
			n := parts.Predictors - 1
			out.Take(fmt.Sprintf("grad%d.%d", i/n, i%n+1), o.back(q.Grad()))
		}
		for i, z := range projections {
			switch {
			case in.z[i] == unused:
			case parts.Predict.OfFeatures:
				out.Take("second"+string(rune('0'+i)), o.back(z.Grad()))
			case z.Grad() != nil:
				tb.Errorf("%s: the projection of view %d has a gradient, and the paper stops it there", name, i)
			}
		}
		m.takeState(obj, b.State, rows, o.whole(), out)
	})
	if m.grad != 0 {
		name := "grad0"
		if in.p[0] == unused {
			name = "grad1"
		}
		out = nntest.Scaled(out, name, m.grad)
	}
	return out
}

// takeState takes the gradients of the objective's parameters, and its buffers after the step.
func (m method) takeState(obj Objective, s State, rows []*torch.Tensor, o order, out nntest.Values) {
	turned := func(d Tensor, x *torch.Tensor) *torch.Tensor {
		switch {
		case d.Shape[0] == m.D:
			return torch.T(o.back(torch.T(o.back(x))))
		case columns(d) == m.D:
			return o.back(x)
		}
		return x
	}
	for _, d := range obj.Parts().State {
		if d.Parameter {
			out.Take(d.Name+".grad", turned(d, s[d.Name].Grad()))
		}
	}
	u, ok := obj.(Updater)
	if !ok {
		return
	}
	torch.NoGrad(func() { u.Update(s, rows) })
	for _, d := range obj.Parts().State {
		if !d.Parameter {
			out.Take(d.Name+".after", turned(d, s[d.Name]))
		}
	}
}

// TestSpecialCases: an objective that is another one where what it adds is switched off.
func TestSpecialCases(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	of := func(name string, change func(*method)) nntest.Values {
		_, m := loadMethod(t, name)
		change(&m)
		v := m.evaluate(t, order{double: true})
		delete(v, "agreement")
		return v
	}
	plain := func(*method) {}
	loss := func(v nntest.Values) nntest.Values { return nntest.Values{"loss": v["loss"], "grad0": v["grad0"]} }
	for what, pair := range map[string][2]nntest.Values{
		"MoCHi that mixes nothing is MoCo v2":        {of("mochi", func(m *method) { m.Mixed, m.Harder = 0, 0 }), of("moco-v2", plain)},
		"PCL before its ramp's end is MoCo v2":       {loss(of("pcl-v2", func(m *method) { m.early = true })), of("moco-v2", plain)},
		"local aggregation's warm-up is NPID":        {loss(of("localagg", func(m *method) { m.early = true })), loss(of("npid", func(m *method) { m.Proximal = 0 }))},
		"MoCHi before its ramp's end is MoCo v2":     {of("mochi", func(m *method) { m.early = true }), of("moco-v2", plain)},
		"FNC without false negatives is SimCLR":      {of("fnc", func(m *method) { m.FalseAbove = 1 }), of("simclr", plain)},
		"UniGrad without correlation is half BYOL's": {of("unigrad", func(m *method) { m.Repulsion = 0 }), of("byol", plain)},
	} {
		for name, want := range pair[1] {
			got := pair[0][name]
			switch {
			case strings.Contains(what, "half BYOL's") && name == "loss":
				continue // they differ by a constant
			case strings.Contains(what, "half BYOL's"):
				want = slices.Clone(want)
				for i := range want {
					want[i] /= 4 // of 2 − 2·cos, and the sum of the directions
				}
			}
			nntest.Close(t, what+": "+name, got, want, 1e-13)
		}
	}
}

// TestObjectiveParity compares each objective's loss and its gradients with respect
// to what the student gives for each view and to its own parameters, and what it keeps.
func TestObjectiveParity(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	for name := range inputs {
		t.Run(name, func(t *testing.T) {
			fix, m := loadMethod(t, name)
			for _, double := range []bool{true, false} {
				compare(t, fix, name+".", double, m.evaluate, m.evaluate)
			}
		})
	}
}
