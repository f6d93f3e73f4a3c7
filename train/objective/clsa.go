package objective

import "resslt/train/torch"

var clsaMethod = Method{
	Name: "clsa", Paper: "arXiv 2104.07713", Shuffles: always,
	Views: Views{WeakStrong: true}, Policy: "clsa-query",
	New: func(o Options) Objective { return clsa{o} },
}

// clsa is CLSA (arXiv 2104.07713): MoCo v2 with further, more strongly augmented queries,
// which are not told from the keys one by one: their distribution over the key and the queue
// follows that of the usual query. The first student view is that query.
type clsa struct{ o Options }

func (m clsa) Parts() Parts {
	return Parts{Teacher: true, TeacherViews: 1, StudentViews: 2, Locals: true, Coupled: true, Queue: TeacherKeys, Project: m.o.mocoHead()}
}

// Targets are the keys k.
func (m clsa) Targets(_ Batch, k []*torch.Tensor) Targets { return Targets{Z2: k} }

// Loss is the paper's equation 7, L_C + β·L_D: MoCo's InfoNCE (equation 1), and the mean over
// the strong views of the distributional divergence (equation 6).
func (m clsa) Loss(b Batch, student []Embedding, t Targets) Loss {
	q, k := student[0].P, t.Z2[0]
	negatives := similarities(q, b.Queue)
	nce := infoNCE(q, k, negatives, m.o.Tau) // (1)
	var weak *torch.Tensor                   // p(z_k | z'), of the usual query, without gradient
	torch.NoGrad(func() {
		weak = torch.Scope(func() *torch.Tensor { return relationTarget(candidates(q, k, b.Queue), m.o.Tau) })
	})
	var divergence, logP *torch.Tensor
	for _, e := range student[1:] {
		logP = relationLogProbs(candidates(e.P, k, b.Queue), m.o.Tau)
		d := relationalLoss(weak, logP) // (6) −Σ_k p(z_k | z')·log p(z_k | z'')
		if divergence == nil {
			divergence = d
		} else {
			divergence = torch.Add(divergence, d, 1)
		}
	}
	divergence = torch.DivScalar(divergence, float64(len(student)-1))
	return Loss{
		Total: torch.Add(nce, divergence, m.o.Beta),
		Terms: Terms{InfoNCE: nce, Relation: divergence, Negatives: negatives, Z1: q, Target: k},
	}
}
