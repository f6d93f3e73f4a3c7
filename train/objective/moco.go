package objective

import "resslt/train/torch"

var mocoMethod = Method{
	Name: "moco-v2", Paper: "arXiv 2003.04297", Shuffles: always,
	Views: Views{Teacher: []int{0}, Student: []int{1}}, Policy: "moco-v2",
	New: func(o Options) Objective { return moco{o, false} },
}

var mocoSymmetricMethod = Method{
	Name: "moco-v2-symmetric", Paper: "arXiv 2003.04297, moco_cifar10_demo.ipynb", Shuffles: always,
	Views: bothViews, Policy: "moco-v2",
	New: func(o Options) Objective { return moco{o, true} },
}

// moco is MoCo v2 (arXiv 2003.04297), the paper's baseline: instance
// discrimination against a queue of the momentum network's keys. Its two views are
// of one law; the first is the key's, the second the query's. Symmetric, each view is both:
// the loss is the sum of the two directions, and the queue takes both views' keys, as in the
// authors' notebook for CIFAR-10. With local crops every student view is a query.
//
// The head is Linear → ReLU → Linear without BN (moco/builder.py). Batch norm in
// the backbones is shuffled, which is the learner's business (train.Config.Groups).
type moco struct {
	o         Options
	symmetric bool
}

func (m moco) Parts() Parts {
	p := Parts{Teacher: true, TeacherViews: 1, StudentViews: 1, Locals: true, Queue: TeacherKeys, Project: m.o.mocoHead()}
	if m.symmetric {
		p.TeacherViews, p.StudentViews = 2, 2
	}
	return p
}

// Targets are the keys k.
func (m moco) Targets(_ Batch, k []*torch.Tensor) Targets { return Targets{Z2: k} }

// Loss is equation 1: the query q against its key and the queue.
func (m moco) Loss(b Batch, student []Embedding, t Targets) Loss {
	q, keys, share := student[0].P, t.Z2, 1/float64(b.Views)
	if m.symmetric {
		keys = b.across(t.Z2)
		share = b.direction(keys)
	}
	negatives := similarities(q, b.Queue)
	nce := b.mean(keys, func(k *torch.Tensor) *torch.Tensor { return infoNCE(q, k, negatives, m.o.Tau) })
	l := Loss{Total: nce, Terms: Terms{InfoNCE: nce, Negatives: negatives, Z1: q, Target: keys[0]}}
	if share != 1 {
		l.Total = torch.MulScalar(nce, share)
	}
	return l
}
