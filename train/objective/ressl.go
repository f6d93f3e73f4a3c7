package objective

import "resslt/train/torch"

// ressl is the paper's own objective (section 3): the student's relations to the
// queue follow the teacher's, which are sharper and taken from a weak view. With
// Options.NoPredictor and α = 1 it is ReSSL*, that of the first paper.
//
// Of several student views (two crops, multi-crop) each is compared with the one
// weak teacher view, and the loss is their mean.
type ressl struct{ o Options }

func (m ressl) Parts() Parts {
	p := Parts{Teacher: true, TeacherViews: 1, Queue: TeacherKeys, Project: m.o.twoLayers(m.o.ProjHidden)}
	p.Project.BatchNorm = !m.o.NoHeadNorm
	if m.o.NoPredictor {
		return p
	}
	q := m.o.twoLayers(m.o.PredHidden)
	q.BatchNorm = !m.o.NoHeadNorm
	p.Predict = &q
	return p
}

// Targets is p² of the weak view, equation 4.
func (m ressl) Targets(b Batch, z2 []*torch.Tensor) Targets {
	t := Targets{Z2: z2}
	if b.Alpha > 0 || b.Stats { // the warm-up's first step takes no relation
		t.P2 = RelationTarget(Similarities(z2[0], b.Queue), m.o.TauT)
	}
	return t
}

// Loss is equation 7, its terms equations 5 and 1.
func (m ressl) Loss(b Batch, student []Embedding, t Targets) Loss {
	z1, z2 := student[0].P, t.Z2[0]
	s1 := Similarities(z1, b.Queue)
	var logP1, relation, nce *torch.Tensor
	if b.Alpha > 0 || b.Stats {
		logP1 = RelationLogProbs(s1, m.o.TauS)
		relation = RelationalLoss(t.P2, logP1)
	}
	if b.Alpha < 1 || b.Stats {
		nce = InfoNCE(z1, z2, s1, m.o.Tau)
	}
	l := Loss{Total: b.warmUp(relation, nce)}
	if b.Views > 1 {
		l.Total = torch.DivScalar(l.Total, float64(b.Views))
	}
	if b.Stats {
		torch.NoGrad(func() {
			l.Stats = Stats{
				Relation: relation.Detach(), InfoNCE: nce.Detach(), TargetEntropy: entropy(t.P2),
				Agreement: sameChoice(logP1, t.P2), Similarity: similarity(z1, z2),
			}
		})
	}
	return l
}

// warmUp is equation 7 with the batch's α, from the device where Mix has it there.
func (b Batch) warmUp(relation, nce *torch.Tensor) *torch.Tensor {
	if b.Mix == nil || b.Alpha <= 0 || b.Alpha >= 1 {
		return WarmUp(relation, nce, b.Alpha)
	}
	alpha, rest := torch.Select(b.Mix, 0, 0), torch.Select(b.Mix, 0, 1)
	return torch.Add(torch.Mul(relation, alpha), torch.Mul(nce, rest), 1)
}
