package objective

import "resslt/train/torch"

var barlowMethod = Method{
	Name: "barlow-twins", Paper: "arXiv 2103.03230", Views: pairForStudent, Policy: "byol",
	New: func(o Options) Objective { return barlow{o} },
}

// barlow is Barlow Twins (arXiv 2103.03230): the cross-correlation of two views' embeddings
// over the batch is drawn to the identity, so that dimensions agree between the views and
// say different things. It has neither teacher nor negatives.
//
// Its projector has three layers of 8192 units with BN on the hidden ones (section 2.2);
// what it gives is not of unit length.
type barlow struct{ o Options }

func (m barlow) Parts() Parts {
	return Parts{
		StudentViews: 2, Coupled: true, InBatch: true, Statistics: true, Raw: true,
		Project: Head{Hidden: []int{m.o.ProjHidden, m.o.ProjHidden}, Out: m.o.Dim, BatchNorm: true},
	}
}

// Targets are none: the views are each other's.
func (m barlow) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is the paper's equation 1, Σ_i (1 − C_ii)² + λ·Σ_i Σ_{j≠i} C_ij².
func (m barlow) Loss(b Batch, student []Embedding, _ Targets) Loss {
	za, zb := student[0].P, student[1].P
	c := crossCorrelation(za, zb) // (2)
	identity := torch.Eye(c.Size(0), c.DType(), c.Device())
	weights := torch.AddScalar(torch.MulScalar(identity, 1-m.o.OffDiagonal), m.o.OffDiagonal, 1)
	total := torch.Sum(torch.Mul(torch.Square(torch.Sub(c, identity, 1)), weights), torch.Unset)
	return Loss{Total: total, Terms: pairTerms(b, za, zb)}
}

// crossCorrelation is Barlow Twins' equation 2, C (D,D): of za and zb (B,D), each dimension
// first brought to mean 0 and variance 1 over the batch, as by the authors' BatchNorm1d
// without weights (facebookresearch/barlowtwins, main.py).
func crossCorrelation(za, zb *torch.Tensor) *torch.Tensor {
	normed := func(z *torch.Tensor) *torch.Tensor {
		return torch.BatchNorm(z, nil, nil, nil, nil, true, 0, 1e-5, true)
	}
	return torch.DivScalar(torch.Mm(torch.T(normed(za)), normed(zb)), float64(za.Size(0)))
}

// pairTerms describe a pass whose loss has no part that is a statistic: the two views'
// embeddings, of unit length.
func pairTerms(b Batch, za, zb *torch.Tensor) (t Terms) {
	if b.Stats {
		torch.NoGrad(func() { t.Z1, t.Target = Normalize(za), Normalize(zb) })
	}
	return t
}
