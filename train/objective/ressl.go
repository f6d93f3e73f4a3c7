package objective

import "resslt/train/torch"

var resslMethod = Method{
	Name: "ressl", Paper: "ReSSL, section 3", Ramp: "infonce_warmup_epochs", Relational: true,
	Shuffles: func(o Options) bool { return o.NoPredictor },
	Views:    Views{WeakStrong: true}, Policy: "small",
	New: func(o Options) Objective { return ressl{o} },
}

// ressl is the paper's own objective (section 3): the student's relations to the queue
// follow the teacher's, which are sharper and come from a weak view. With
// Options.NoPredictor and α = 1 it is ReSSL*, the objective of the first paper.
//
// Each of several student views (two crops, multi-crop) is compared with the one weak
// teacher view, and the loss is their mean.
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

// Targets is p² of the weak view.
func (m ressl) Targets(b Batch, z2 []*torch.Tensor) Targets {
	t := Targets{Z2: z2}
	switch {
	case b.Alpha.Value <= 0 && !b.Stats: // the warm-up's first step takes no relation
	case m.o.Kernels:
		t.Relations = torch.Attend(z2[0], b.Queue, m.o.TauT)
	default:
		t.P2 = relationTarget(similarities(z2[0], b.Queue), m.o.TauT) // (4) p² = softmax(z²·Qᵀ/τ_t)
	}
	return t
}

// Loss is the warm-up's mixture of the relational loss and InfoNCE.
func (m ressl) Loss(b Batch, student []Embedding, t Targets) Loss {
	z1, z2 := student[0].P, t.Z2[0]
	l := Loss{Terms: Terms{Z1: z1, Target: z2, P2: t.P2}}
	relation, warm := b.Alpha.Value > 0 || b.Stats, b.Alpha.Value < 1 || b.Stats
	if m.o.Kernels {
		m.attend(b, t, &l.Terms, relation, warm)
	} else {
		s1 := similarities(z1, b.Queue)
		if relation {
			l.LogP1 = relationLogProbs(s1, m.o.TauS)   // (3) p¹ = softmax(z¹·Qᵀ/τ_s)
			l.Relation = relationalLoss(t.P2, l.LogP1) // (5) H(p², p¹)
		}
		if warm {
			l.InfoNCE = infoNCE(z1, z2, s1, m.o.Tau) // (1)
		}
	}
	l.Total = warmUp(l.Relation, l.InfoNCE, b.Alpha) // (7) α·H(p², p¹) + (1−α)·InfoNCE
	if b.Views > 1 {
		l.Total = torch.DivScalar(l.Total, float64(b.Views))
	}
	return l
}

// attend computes the terms without keeping p¹ and p²: of the similarities, equations 1, 3 and 5
// need what torch.Attend gives alone.
func (m ressl) attend(b Batch, t Targets, terms *Terms, relation, warm bool) {
	z1, z2 := terms.Z1, terms.Target
	var p1 torch.Attended
	if relation {
		p1 = torch.Attend(z1, b.Queue, m.o.TauS)                              // (3)
		terms.Relation = crossEntropy(z1, p1.LSE, t.Relations.Mean, m.o.TauS) // (5)
	}
	if warm {
		lse := p1.LSE
		if !relation || m.o.Tau != m.o.TauS {
			lse = torch.Attend(z1, b.Queue, m.o.Tau).LSE
		}
		terms.InfoNCE = infoNCEOf(torch.DivScalar(cosines(z1, z2), m.o.Tau), lse) // (1)
	}
	if b.Stats {
		terms.Entropy = crossEntropy(z2, t.Relations.LSE, t.Relations.Mean, m.o.TauT)
		terms.Choice, terms.TargetChoice = p1.Best, t.Relations.Best
	}
}
