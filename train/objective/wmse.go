package objective

import "resslt/train/torch"

var wmseMethod = Method{
	Name: "w-mse", Paper: "arXiv 2007.06346", Views: Views{All: true}, Policy: "small-4crop",
	New: func(o Options) Objective { return wmse{o} },
}

// wmse is W-MSE (arXiv 2007.06346): views of one image are drawn together after their
// embeddings were whitened over the batch, which no collapsed embedding survives. With four
// student views it is the paper's W-MSE 4, with two W-MSE 2. There is neither teacher nor
// negative.
//
// Whitening is over sub-batches of Options.WhitenRows rows, so that its estimate is that of
// any batch size; they are consecutive rows, which the order of the samples has mixed.
type wmse struct{ o Options }

func (m wmse) Parts() Parts {
	return Parts{
		StudentViews: 2, Locals: true, Coupled: true, InBatch: true, Statistics: true, Raw: true,
		Project: m.o.twoLayers(m.o.ProjHidden),
	}
}

// Targets are none: the views are each other's.
func (m wmse) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is the paper's equation 2 with equation 3's distance of unit vectors, 2 − 2·cos, mean
// over the pairs of views.
func (m wmse) Loss(b Batch, student []Embedding, _ Targets) Loss {
	var v []*torch.Tensor
	for _, e := range student {
		v = append(v, Normalize(m.whitened(e.P)))
	}
	var cos *torch.Tensor
	pairs := 0.0
	for i := range v {
		for j := range i {
			c := negativeCosine(v[j], v[i])
			if pairs++; cos == nil {
				cos = c
			} else {
				cos = torch.Add(cos, c, 1)
			}
		}
	}
	cos = torch.DivScalar(cos, pairs)
	return Loss{
		Total: torch.AddScalar(torch.MulScalar(cos, 2), 2, 1), // (3)
		Terms: Terms{Cosine: cos, Z1: v[0], Target: v[1]},
	}
}

// whitened whitens v (B,D) in sub-batches.
func (m wmse) whitened(v *torch.Tensor) *torch.Tensor {
	rows := v.Size(0)
	size := int64(m.o.WhitenRows)
	if size == 0 || size > rows {
		size = rows
	}
	var parts []*torch.Tensor
	for from := int64(0); from < rows; from += size {
		n := size
		if rest := rows - from; rest < 2*size { // a remainder joins the last
			n = rest
		}
		parts = append(parts, m.whiten(torch.Narrow(v, 0, from, n)))
		if n > size {
			break
		}
	}
	return torch.Cat(parts, 0)
}

// whiten is equation 5, W_V·(v − μ_V), by W = L⁻¹ of Σ = L·Lᵀ (Cholesky), where Σ is shrunk
// towards the identity by Options.WhitenEpsilon.
func (m wmse) whiten(v *torch.Tensor) *torch.Tensor {
	v = torch.Sub(v, torch.MeanDim(v, []int64{0}, true, torch.Unset), 1)
	cov := torch.DivScalar(torch.Mm(torch.T(v), v), float64(v.Size(0)-1))
	identity := torch.Eye(v.Size(1), v.DType(), v.Device())
	cov = torch.Add(torch.MulScalar(cov, 1-m.o.WhitenEpsilon), identity, m.o.WhitenEpsilon)
	w := torch.Inverse(torch.LinalgCholesky(cov, false))
	return torch.Mm(v, torch.T(w))
}
