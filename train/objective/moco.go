package objective

import "resslt/train/torch"

// moco is MoCo v2 (arXiv 2003.04297), the paper's baseline: instance
// discrimination against a queue of the momentum network's keys. Its two views are
// of one law; the first is the key's, the second the query's.
//
// The head is Linear → ReLU → Linear without BN (moco/builder.py). Batch norm in
// the backbones is shuffled, which is the learner's business (train.Config.Groups).
type moco struct{ o Options }

func (m moco) Parts() Parts {
	g := m.o.twoLayers(m.o.ProjHidden)
	g.BatchNorm = false
	return Parts{Teacher: true, TeacherViews: 1, StudentViews: 1, Queue: TeacherKeys, Project: g}
}

// Targets are the keys k.
func (m moco) Targets(_ Batch, k []*torch.Tensor) Targets { return Targets{Z2: k} }

// Loss is equation 1: the query q against its key and the queue.
func (m moco) Loss(b Batch, student []Embedding, t Targets) Loss {
	q, k := student[0].P, t.Z2[0]
	negatives := similarities(q, b.Queue)
	nce := infoNCE(q, k, negatives, m.o.Tau)
	return Loss{Total: nce, Terms: Terms{InfoNCE: nce, Negatives: negatives, Z1: q, Target: k}}
}
