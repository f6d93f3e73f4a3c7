package objective

import "resslt/train/torch"

var vicregMethod = Method{
	Name: "vicreg", Paper: "arXiv 2105.04906", Views: pairForStudent, Policy: "byol",
	New: func(o Options) Objective { return vicreg{o} },
}

// vicreg is VICReg (arXiv 2105.04906): two views' embeddings are drawn together
// (invariance), while in each view every dimension keeps its variance and no two dimensions
// say the same. It has neither teacher nor negatives, and the two views are coupled by the
// invariance alone.
//
// Its expander has three layers of 8192 units with BN on the hidden ones (section 4.2); what
// it gives is not of unit length.
type vicreg struct{ o Options }

func (m vicreg) Parts() Parts {
	return Parts{
		StudentViews: 2, Coupled: true, InBatch: true, Statistics: true, Raw: true,
		Project: Head{Hidden: []int{m.o.ProjHidden, m.o.ProjHidden}, Out: m.o.Dim, BatchNorm: true},
	}
}

// Targets are none: the views are each other's.
func (m vicreg) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is the paper's equation 6, λ·s(Z, Z') + μ·[v(Z) + v(Z')] + ν·[c(Z) + c(Z')], as the
// authors' code has it (facebookresearch/vicreg, main_vicreg.py): there s is a mean over the
// dimensions too, and v the mean of the two views.
func (m vicreg) Loss(b Batch, student []Embedding, _ Targets) Loss {
	za, zb := student[0].P, student[1].P
	s := torch.Mean(torch.Square(torch.Sub(za, zb, 1)), torch.Unset) // (5)
	va, ca := spreadTerms(za)
	vb, cb := spreadTerms(zb)
	total := torch.Add(torch.MulScalar(s, m.o.Invariance), torch.Add(va, vb, 1), m.o.Variance/2)
	total = torch.Add(total, torch.Add(ca, cb, 1), m.o.Covariance)
	return Loss{Total: total, Terms: pairTerms(b, za, zb)}
}

// spreadTerms are VICReg's equations 1 and 4 of z (B,D): v, the mean over the dimensions of
// max(0, 1 − √(Var + ε)), and c, the sum of the squares off the diagonal of the covariance
// (equation 3), divided by D.
func spreadTerms(z *torch.Tensor) (v, c *torch.Tensor) {
	const eps = 1e-4
	n, d := float64(z.Size(0)), float64(z.Size(1))
	z = torch.Sub(z, torch.MeanDim(z, []int64{0}, true, torch.Unset), 1)
	variance := torch.DivScalar(torch.SumDim(torch.Square(z), []int64{0}, false, torch.Unset), n-1)
	std := torch.Sqrt(torch.AddScalar(variance, eps, 1))
	v = torch.Mean(torch.ClampMin(torch.AddScalar(torch.Neg(std), 1, 1), 0), torch.Unset)
	cov := torch.DivScalar(torch.Mm(torch.T(z), z), n-1)
	off := torch.MaskedFillScalar(cov, torch.Eye(z.Size(1), torch.Bool, z.Device()), 0)
	return v, torch.DivScalar(torch.Sum(torch.Square(off), torch.Unset), d)
}
