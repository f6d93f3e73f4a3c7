package objective

import "resslt/train/torch"

var simclrMethod = Method{
	Name: "simclr", Paper: "arXiv 2002.05709", Views: pairForStudent, Policy: "simclr",
	New: func(o Options) Objective { return simclr{o} },
}

// simclr is SimCLR (arXiv 2002.05709): each of the 2B views of a batch has to find
// its partner among the others. There is neither teacher nor queue, so the batch
// is all there is of negatives.
type simclr struct{ o Options }

func (m simclr) Parts() Parts {
	return Parts{StudentViews: 2, Coupled: true, InBatch: true, Project: m.o.twoLayers(m.o.ProjHidden)}
}

// Targets are none: the views are each other's.
func (m simclr) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is NT-Xent, the mean over all 2B views.
func (m simclr) Loss(b Batch, student []Embedding, _ Targets) Loss {
	za, zb := student[0].P, student[1].P
	nce := ntXent(za, zb, m.o.Tau)
	return Loss{Total: nce, Terms: Terms{InfoNCE: nce, Z1: za, Target: zb}}
}

// ntXent is SimCLR's equation 1, mean over i and both orders: with z the 2B rows of
// za and zb (B,D) each, and j the partner of i,
//
//	ℓ(i,j) = −log( exp(z_i·z_j/τ) / Σ_{k≠i} exp(z_i·z_k/τ) )
func ntXent(za, zb *torch.Tensor, tau float64) *torch.Tensor {
	z := torch.Cat([]*torch.Tensor{za, zb}, 0) // (2B,D)
	n := z.Size(0)
	self := torch.Eye(n, torch.Bool, z.Device())
	logits := torch.MaskedFillScalar(torch.DivScalar(similarities(z, z), tau), self, -1e9) // as SimCLR's own LARGE_NUM
	pos := torch.DivScalar(cosines(za, zb), tau)
	all := torch.Logsumexp(logits, []int64{1}, false)
	return torch.Mean(torch.Sub(all, torch.Cat([]*torch.Tensor{pos, pos}, 0), 1), torch.Unset)
}
