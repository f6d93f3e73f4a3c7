package objective

import "resslt/train/torch"

var seedMethod = Method{
	Name: "seed", Paper: "arXiv 2101.04731", Relational: true,
	Views: Views{Same: true}, Policy: "moco-v2",
	New: func(o Options) Objective { return seed{o} },
}

// seed is SEED (arXiv 2101.04731): a small student learns from a trained teacher that does
// not move. Both see one and the same view, and the student's similarities to the queue and
// to the teacher's own embedding follow the teacher's. It is ReSSL's relational loss with
// another teacher, and with the instance itself among the candidates.
//
// The student's head is MoCo v2's, and D is the width of the teacher's embedding.
type seed struct{ o Options }

func (m seed) Parts() Parts {
	return Parts{Teacher: true, Frozen: true, TeacherViews: 1, StudentViews: 1, Queue: TeacherKeys, Project: m.o.mocoHead()}
}

// Targets are p^T of equation 4: the teacher's similarities to D⁺, the queue with its own
// embedding, which is similar to itself by 1.
func (m seed) Targets(b Batch, z2 []*torch.Tensor) Targets {
	return Targets{Z2: z2, P2: relationTarget(candidates(z2[0], z2[0], b.Queue), m.o.TauT)}
}

// Loss is equation 3, the cross-entropy of p^T and of p^S, which is equation 5.
func (m seed) Loss(b Batch, student []Embedding, t Targets) Loss {
	z := student[0].P
	logP := relationLogProbs(candidates(z, t.Z2[0], b.Queue), m.o.TauS)
	relation := relationalLoss(t.P2, logP)
	return Loss{Total: relation, Terms: Terms{Relation: relation, LogP1: logP, P2: t.P2, Z1: z, Target: t.Z2[0]}}
}

// candidates are the similarities (B,K+1) of z to its own candidate, own, and to the queue.
func candidates(z, own, queue *torch.Tensor) *torch.Tensor {
	return torch.Cat([]*torch.Tensor{torch.Unsqueeze(cosines(z, own), 1), similarities(z, queue)}, 1)
}
