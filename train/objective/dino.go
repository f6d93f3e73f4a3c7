package objective

import "resslt/train/torch"

var dinoMethod = Method{
	Name: "dino", Paper: "arXiv 2104.14294", Ramp: "tau_t_warmup_epochs", Relational: true,
	Views: bothViews, Policy: "dino",
	New: func(o Options) Objective { return dino{o} },
}

// dino is DINO (arXiv 2104.14294): the student's distribution over prototypes follows the
// momentum network's of another crop. Centring keeps one prototype from taking all, and
// sharpening (τ_t < τ_s) keeps the distribution from becoming flat.
//
// The head is three layers with GELU, a bottleneck of D units, normalised, and the last
// layer W with rows of unit length (facebookresearch/dino, vision_transformer.py, DINOHead).
// W is the objective's own: the bottleneck's output is the embedding.
type dino struct{ o Options }

func (m dino) Parts() Parts {
	h := m.o.ProjHidden
	return Parts{
		Teacher: true, TeacherViews: 2, StudentViews: 2, Locals: true,
		Project: Head{Hidden: []int{h, h}, Out: m.o.Dim, GELU: true, BatchNorm: !m.o.NoHeadNorm},
		State: []Tensor{
			{Name: "prototypes", Shape: []int64{int64(m.o.Prototypes), int64(m.o.Dim)}, Start: UnitRows, Parameter: true, Averaged: true},
			{Name: "centre", Shape: []int64{1, int64(m.o.Prototypes)}},
		},
	}
}

// Factor is 1/τ_t, where τ_t goes from its start to its value as α goes from 0 to 1.
func (m dino) Factor(alpha float64) float64 {
	return 1 / (m.o.TauTStart + float64(alpha*(m.o.TauT-m.o.TauTStart)))
}

// Targets are the teacher's distributions, for each global crop P_t = softmax((g_t − c)/τ_t)
// (equation 1 with the centre of equation 4), and the batch's part of the new centre.
func (m dino) Targets(b Batch, z2 []*torch.Tensor) Targets {
	t := Targets{Z2: z2}
	w := Normalize(b.State[AverageOf("prototypes")])
	var means []*torch.Tensor
	for _, z := range z2 {
		g := similarities(z, w) // (B,K)
		means = append(means, torch.MeanDim(g, []int64{0}, true, torch.Unset))
		t.Each = append(t.Each, torch.Softmax(b.Alpha.times(torch.Sub(g, b.State["centre"], 1)), 1, torch.Unset))
	}
	t.Rows = []*torch.Tensor{torch.MeanDim(torch.Cat(means, 0), []int64{0}, true, torch.Unset)}
	return t
}

// Loss is a view's part of equation 3, the mean over all pairs of crops of H(P_t, P_s).
func (m dino) Loss(b Batch, student []Embedding, t Targets) Loss {
	z := student[0].P
	logPs := relationLogProbs(similarities(z, Normalize(b.State["prototypes"])), m.o.TauS) // (1)
	pt := b.across(t.Each)
	h := b.mean(pt, func(p *torch.Tensor) *torch.Tensor { return relationalLoss(p, logPs) }) // (2)
	return Loss{
		Total: torch.MulScalar(h, b.direction(pt)/2),
		Terms: Terms{Relation: h, LogP1: logPs, P2: pt[0], Z1: z, Target: b.across(t.Z2)[0]},
	}
}

// Update is equation 4, c ← m·c + (1−m)·mean of the batch's g_t.
func (m dino) Update(s State, rows []*torch.Tensor) {
	torch.MulScalar_(s["centre"], m.o.CentreMomentum)
	torch.Add_(s["centre"], torch.MeanDim(rows[0], []int64{0}, true, torch.Unset), 1-m.o.CentreMomentum)
}
