package objective

import "resslt/train/torch"

var mocoV3Method = Method{
	Name: "moco-v3", Paper: "arXiv 2104.02057", Views: bothViews, Policy: "byol",
	New: func(o Options) Objective { return mocoV3{o} },
}

// mocoV3 is MoCo v3 (arXiv 2104.02057): the student's prediction of one view has to find the
// momentum network's embedding of the other among those of the batch. There is no queue.
//
// Its heads are those of its ResNets (facebookresearch/moco-v3, builder.py): two layers with
// BN, and on the projector's output BN without weight and bias. Its transformers' projector has
// three (Options.ProjLayers).
type mocoV3 struct{ o Options }

func (m mocoV3) Parts() Parts {
	g, q := m.o.twoLayers(m.o.ProjHidden), m.o.twoLayers(m.o.PredHidden)
	for len(g.Hidden)+1 < m.o.ProjLayers {
		g.Hidden = append(g.Hidden, m.o.ProjHidden)
	}
	g.NormOut, g.PlainOut = true, true
	return Parts{Teacher: true, TeacherViews: 2, StudentViews: 2, Locals: true, InBatch: true, Project: g, Predict: &q}
}

// Targets are the keys k of both views.
func (m mocoV3) Targets(_ Batch, k []*torch.Tensor) Targets { return Targets{Z2: k} }

// Loss is one direction of the paper's Algorithm 1, ctr(q₁, k₂): equation 1 with the batch's
// other keys for negatives, times 2τ. The sum of the passes is its loss.
func (m mocoV3) Loss(b Batch, student []Embedding, t Targets) Loss {
	q, k := student[0].P, b.across(t.Z2)
	nce := b.mean(k, func(k *torch.Tensor) *torch.Tensor { return batchInfoNCE(q, k, m.o.Tau) }) // (1)
	return Loss{
		Total: torch.MulScalar(nce, b.direction(k)*2*m.o.Tau),
		Terms: Terms{InfoNCE: nce, Z1: q, Target: k[0]},
	}
}
