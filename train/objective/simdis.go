package objective

import "resslt/train/torch"

var simdisMethod = Method{
	Name: "simdis", Paper: "arXiv 2106.11304, SimDis-Off", Views: bothViews, Policy: "byol",
	New: func(o Options) Objective { return simdis{o} },
}

// simdis is SimDis-Off (arXiv 2106.11304): BYOL of a small network, whose momentum average is one
// target among others. A trained teacher, which does not move, gives further ones, and each target
// has a predictor of its own. Every network sees both views.
//
// In the paper's code (JindongGu/SimDis, models/sim_dis_train_model.py) there are seven targets:
// the student's other view, and of its average, of the teacher and of the teacher's average the
// same view and the other one. A file holds one encoder, so that the teacher and its average
// are one here, and five targets are left, of equal weight as theirs are.
type simdis struct{ o Options }

// simdisPredictors is the number of targets, in the order of Loss.
const simdisPredictors = 5

func (m simdis) Parts() Parts {
	q := m.o.twoLayers(m.o.PredHidden)
	return Parts{
		Teacher: true, Frozen: true, TeacherViews: 2, StudentViews: 2, KeyViews: []int{0, 1},
		Coupled: true, Project: m.o.twoLayers(m.o.ProjHidden), Predict: &q, Predictors: simdisPredictors,
	}
}

// Targets are the teacher's embeddings of both views.
func (m simdis) Targets(_ Batch, z2 []*torch.Tensor) Targets { return Targets{Z2: z2} }

// Loss is the mean over the targets of ‖q_i(z₁) − t₁‖² + ‖q_i(z₂) − t₂‖², batch mean, where
// t₁ and t₂ are the target's embeddings for the two views (pred_feat_loss, 4 − 2·Σ cos of
// unit rows).
func (m simdis) Loss(b Batch, student []Embedding, t Targets) Loss {
	z1, z2 := student[0].Z.Detach(), student[1].Z.Detach()
	targets := [simdisPredictors][2]*torch.Tensor{
		{b.Keys[1], b.Keys[0]}, // sema_dv: of the average, the other view, which is BYOL's
		{b.Keys[0], b.Keys[1]}, // sema_sv: the same view
		{z2, z1},               // s_dv: of the student itself, as in SimSiam
		{t.Z2[0], t.Z2[1]},     // t_sv, tema_sv: of the teacher
		{t.Z2[1], t.Z2[0]},     // t_dv, tema_dv
	}
	var cos *torch.Tensor
	for i, target := range targets {
		both := mean2(negativeCosine(student[0].prediction(i), target[0]), negativeCosine(student[1].prediction(i), target[1]))
		if cos == nil {
			cos = both
		} else {
			cos = torch.Add(cos, both, 1)
		}
	}
	cos = torch.DivScalar(cos, simdisPredictors)
	return Loss{
		Total: torch.AddScalar(torch.MulScalar(cos, 4), 4, 1),
		Terms: Terms{Cosine: cos, Z1: student[0].P, Target: b.Keys[1]},
	}
}

// prediction is that of predictor i, from 0.
func (e Embedding) prediction(i int) *torch.Tensor {
	if i == 0 {
		return e.P
	}
	return e.Others[i-1]
}
