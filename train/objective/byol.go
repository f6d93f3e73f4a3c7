package objective

import "resslt/train/torch"

var byolMethod = Method{
	Name: "byol", Paper: "arXiv 2006.07733", Views: bothViews, Policy: "byol",
	New: func(o Options) Objective { return byol{o} },
}

// byol is BYOL (arXiv 2006.07733): the student's prediction of one view follows the
// momentum network's projection of the other, without negatives. Both networks see both
// views.
type byol struct{ o Options }

func (m byol) Parts() Parts {
	q := m.o.twoLayers(m.o.PredHidden)
	return Parts{Teacher: true, TeacherViews: 2, StudentViews: 2, Locals: true, Project: m.o.twoLayers(m.o.ProjHidden), Predict: &q}
}

// Targets are z' of both views.
func (m byol) Targets(_ Batch, z2 []*torch.Tensor) Targets { return Targets{Z2: z2} }

// Loss is BYOL's equation 2 for one direction, 2 − 2·cos(p, z'); the sum of the two
// passes is its L + L̃, and with local crops as large.
func (m byol) Loss(b Batch, student []Embedding, t Targets) Loss {
	p, z := student[0].P, b.across(t.Z2)
	cos := b.mean(z, func(z *torch.Tensor) *torch.Tensor { return negativeCosine(p, z) })
	share := 2 * b.direction(z)
	return Loss{
		Total: torch.AddScalar(torch.MulScalar(cos, share), share, 1),
		Terms: Terms{Cosine: cos, Z1: p, Target: z[0]},
	}
}
