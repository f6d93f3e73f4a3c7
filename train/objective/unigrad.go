package objective

import "resslt/train/torch"

var unigradMethod = Method{
	Name: "unigrad", Paper: "arXiv 2112.05141", Views: bothViews, Policy: "byol",
	New: func(o Options) Objective { return unigrad{o} },
}

// unigrad is UniGrad (arXiv 2112.05141): the gradient that its paper finds contrastive methods,
// BYOL's kin and Barlow Twins' kin to share, as a method. A view is drawn to the momentum
// network's embedding of the other view, and pushed out of the directions that the momentum
// network's embeddings have already, by their correlation F. There is no predictor, and no
// negative is kept but F.
//
// Its projector has three layers with BN on the hidden ones (fundamentalvision/UniGrad,
// project/model.py).
type unigrad struct{ o Options }

func (m unigrad) Parts() Parts {
	d := int64(m.o.Dim)
	return Parts{
		Teacher: true, TeacherViews: 2, StudentViews: 2, Locals: true, InBatch: true, Statistics: true,
		Project: Head{Hidden: []int{m.o.ProjHidden, m.o.ProjHidden}, Out: m.o.Dim, BatchNorm: true},
		State:   []Tensor{{Name: "correlation", Shape: []int64{d, d}}},
	}
}

// Targets are the teacher's u² of both views, and in Rows F with this batch in it.
func (m unigrad) Targets(b Batch, u2 []*torch.Tensor) Targets {
	return Targets{Z2: u2, Rows: []*torch.Tensor{m.correlation(b.State["correlation"], torch.Cat(u2, 0))}}
}

// correlation is the moving average F ← ρ·F + (1−ρ)·mean of u·uᵀ, which begins as the first
// batch's: rows of unit length give F the trace 1, and before them it has 0.
func (m unigrad) correlation(f, u *torch.Tensor) *torch.Tensor {
	batch := torch.DivScalar(torch.Mm(torch.T(u), u), float64(u.Size(0)))
	trace := torch.Sum(torch.Mul(f, torch.Eye(f.Size(0), f.DType(), f.Device())), torch.Unset)
	rest := torch.AddScalar(torch.MulScalar(trace, -m.o.Keep), 1, 1)
	return torch.Add(torch.MulScalar(f, m.o.Keep), torch.Mul(batch, rest), 1)
}

// Loss is the one whose gradient by u¹ is the paper's, −u² + λ·F·u¹ (project/pretrainer.py,
// loss_unigrad): −u¹·u² + λ/2·u¹ᵀ·F·u¹, of a direction half.
func (m unigrad) Loss(b Batch, student []Embedding, t Targets) Loss {
	u, f := student[0].P, t.Rows[0]
	u2 := b.across(t.Z2)
	cos := b.mean(u2, func(u2 *torch.Tensor) *torch.Tensor { return negativeCosine(u, u2) })
	taken := torch.Mean(cosines(torch.Mm(u, f), u), torch.Unset)
	return Loss{
		Total: torch.MulScalar(torch.Add(cos, taken, m.o.Repulsion/2), b.direction(u2)/2),
		Terms: Terms{Cosine: cos, Z1: u, Target: u2[0]},
	}
}

// Update keeps F, the mean of the micro-batches'.
func (m unigrad) Update(s State, rows []*torch.Tensor) {
	f := s["correlation"]
	d := f.Size(0)
	all := torch.Reshape(rows[0], []int64{rows[0].Size(0) / d, d, d})
	torch.Copy_(f, torch.MeanDim(all, []int64{0}, false, torch.Unset), false)
}
