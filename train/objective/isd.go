package objective

import "resslt/train/torch"

var isdMethod = Method{
	Name: "isd", Paper: "arXiv 2012.09259", Shuffles: always,
	Views: Views{Teacher: []int{0}, Student: []int{1}}, Policy: "moco-v2",
	New: func(o Options) Objective { return isd{o} },
}

// isd is ISD (arXiv 2012.09259): the student's similarities to the queue follow the momentum
// network's. It is the relation that ReSSL sharpens, here with one temperature for both
// networks, by a predictor in their place, and between views of one law.
//
// Projector and predictor are BYOL's (UMBCvision/ISD, train_isd.py). With local crops every
// student view follows the one teacher view.
type isd struct{ o Options }

func (m isd) Parts() Parts {
	q := m.o.twoLayers(m.o.PredHidden)
	return Parts{
		Teacher: true, TeacherViews: 1, StudentViews: 1, Locals: true, Queue: TeacherKeys,
		Project: m.o.twoLayers(m.o.ProjHidden), Predict: &q,
	}
}

// Targets are p_t of the paper's equation 1.
func (m isd) Targets(b Batch, z2 []*torch.Tensor) Targets {
	return Targets{Z2: z2, P2: relationTarget(similarities(z2[0], b.Queue), m.o.Tau)}
}

// Loss is the paper's equation 2, KL(p_t ‖ p_s), batch mean.
func (m isd) Loss(b Batch, student []Embedding, t Targets) Loss {
	z := student[0].P
	logP := relationLogProbs(similarities(z, b.Queue), m.o.Tau)
	relation := relationalLoss(t.P2, logP)
	total := torch.Sub(relation, entropy(t.P2), 1) // KL(p, q) = H(p, q) − H(p)
	if b.Views > 1 {
		total = torch.DivScalar(total, float64(b.Views))
	}
	return Loss{Total: total, Terms: Terms{Relation: relation, LogP1: logP, P2: t.P2, Z1: z, Target: t.Z2[0]}}
}
