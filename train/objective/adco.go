package objective

import "resslt/train/torch"

var adcoMethod = Method{
	Name: "adco", Paper: "arXiv 2011.08435", RampFills: true, Shuffles: always,
	Views: Views{Teacher: []int{0}, Student: []int{1}}, Policy: "moco-v2",
	New: func(o Options) Objective { return adco{o} },
}

// adco is AdCo (arXiv 2011.08435): MoCo v2 whose negatives are no keys of earlier batches but
// K parameters, adversaries. While the network goes down the loss, they go up, all at once, to
// where queries are. Their temperature is their own, and so is their optimiser, at a rate that
// does not fall.
//
// They begin as keys: until K have come, while α is below 1, they are the queue of these and do
// not climb. (The authors' code does that in a pass over data before training.) With local
// crops every student view is a query.
type adco struct{ o Options }

func (m adco) Parts() Parts {
	return Parts{
		Teacher: true, TeacherViews: 1, StudentViews: 1, Locals: true, Project: m.o.mocoHead(),
		State: []Tensor{{Name: "adversaries", Shape: []int64{int64(m.o.K), int64(m.o.Dim)}, Start: UnitRows, Parameter: true}},
		Group: Group{Climb: true, Own: &SGD{LR: m.o.AdversaryLR, WeightDecay: m.o.AdversaryDecay}},
	}
}

// Targets are the keys k.
func (m adco) Targets(b Batch, k []*torch.Tensor) Targets {
	t := Targets{Z2: k}
	if b.Alpha.Value < 1 {
		t.Rows = k
	}
	return t
}

// Loss is the paper's L(θ, N), InfoNCE of the query with its key and the adversaries, which
// have unit length where they are compared. The network's part has its value and its gradient
// by θ; the adversaries' part, of their temperature, has no value and the gradient by N.
func (m adco) Loss(b Batch, student []Embedding, t Targets) Loss {
	q, k, n := student[0].P, t.Z2[0], b.State["adversaries"]
	negatives := similarities(q, Normalize(n.Detach()))
	nce := infoNCE(q, k, negatives, m.o.Tau)
	still := q.Detach()
	theirs := infoNCE(still, k, similarities(still, Normalize(n)), m.o.AdversaryTau)
	total := torch.Add(nce, torch.Sub(theirs, theirs.Detach(), 1), 1)
	if b.Views > 1 {
		total = torch.DivScalar(total, float64(b.Views))
	}
	return Loss{Total: total, Terms: Terms{InfoNCE: nce, Negatives: negatives, Z1: q, Target: k}}
}

// Update lets the keys in, while there are any.
func (m adco) Update(s State, rows []*torch.Tensor) {
	for _, k := range rows {
		push(s["adversaries"], k)
	}
}
