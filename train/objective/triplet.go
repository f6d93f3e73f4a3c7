package objective

import "resslt/train/torch"

var tripletMethod = Method{
	Name: "truncated-triplet", Paper: "arXiv 2104.08913", Views: bothViews, Policy: "byol",
	New: func(o Options) Objective { return triplet{o} },
}

// triplet is the truncated triplet loss (arXiv 2104.08913): the student's prediction of one
// view has to be nearer to the momentum network's embedding of the other than to its
// neighbours among the batch's others. The nearest of these are left out, for they may be of
// the same class, and those farther than the last rank too, for they teach nothing.
//
// The networks are BYOL's. The authors' code also resizes every view at random, which here is
// the policy's matter.
type triplet struct{ o Options }

func (m triplet) Parts() Parts {
	q := m.o.twoLayers(m.o.PredHidden)
	return Parts{
		Teacher: true, TeacherViews: 2, StudentViews: 2, Locals: true, InBatch: true,
		Project: m.o.twoLayers(m.o.ProjHidden), Predict: &q,
	}
}

// Targets are z' of both views.
func (m triplet) Targets(_ Batch, z2 []*torch.Tensor) Targets { return Targets{Z2: z2} }

// Loss is one direction of the authors' (wanggrun/triplet, heads/triplet_loss_head.py), the
// batch mean of γ·d(p, z'⁺) − d(p, z'⁻), where d is −2·cos, the squared distance less 2, and
// d(p, z'⁻) its mean over the ranks that count. The hinge's margin of 100 is left out: no
// distance comes near it, so that it adds a constant.
func (m triplet) Loss(b Batch, student []Embedding, t Targets) Loss {
	p, z := student[0].P, b.across(t.Z2)
	cos := b.mean(z, func(z *torch.Tensor) *torch.Tensor { return negativeCosine(p, z) })
	others := b.mean(z, func(z *torch.Tensor) *torch.Tensor { return m.neighbours(p, z) })
	total := torch.Add(torch.MulScalar(cos, m.o.Gamma), others, 1)
	return Loss{
		Total: torch.MulScalar(total, 2*b.direction(z)),
		Terms: Terms{Cosine: cos, Z1: p, Target: z[0]},
	}
}

// neighbours is the mean cosine, over the batch, of each row of p (B,D) with those rows of z
// (B,D) that are from RankFrom-th to RankTo-th nearest to it, its own left out.
func (m triplet) neighbours(p, z *torch.Tensor) *torch.Tensor {
	self := torch.Eye(z.Size(0), torch.Bool, z.Device())
	others := torch.MaskedFillScalar(similarities(p, z), self, -2)
	near, _ := torch.Topk(others, int64(m.o.RankTo), 1, true, true)
	from := int64(m.o.RankFrom) - 1
	return torch.Mean(torch.Narrow(near, 1, from, int64(m.o.RankTo)-from), torch.Unset)
}
