package objective

import "resslt/train/torch"

// last is the dimension of candidates.
var last = int64(-1)

// entropy is H(p) in nats, batch mean, of distributions p (B,K).
func entropy(p *torch.Tensor) *torch.Tensor {
	rows := torch.SumDim(torch.Mul(p, torch.Log(torch.ClampMin(p, 1e-30))), []int64{1}, false, torch.Unset)
	return torch.Neg(torch.Mean(rows, torch.Unset))
}

// share is the part of true elements of b, bool, as a scalar like t.
func share(b, t *torch.Tensor) *torch.Tensor {
	return torch.Mean(b.To(t.Device(), t.DType(), false), torch.Unset)
}

// sameChoice is the share of rows whose greatest element stands in the same
// column of a and b, (B,K).
func sameChoice(a, b *torch.Tensor) *torch.Tensor {
	return share(torch.Eq(torch.Argmax(a, &last, false), torch.Argmax(b, &last, false)), b)
}

// ownChoice is the share of rows of p (B,D) that are more similar to their own row
// of z (B,D) than to any other of z.
func ownChoice(p, z *torch.Tensor) *torch.Tensor {
	own := torch.Arange(0, float64(p.Size(0)), 1, torch.Int64, p.Device())
	return share(torch.Eq(torch.Argmax(Similarities(p, z), &last, false), own), p)
}

// similarity is the mean cosine of rows of a and b.
func similarity(a, b *torch.Tensor) *torch.Tensor {
	return torch.Mean(Cosines(a, b), torch.Unset)
}

// mean2 is the mean of two scalars.
func mean2(a, b *torch.Tensor) *torch.Tensor {
	return torch.MulScalar(torch.Add(a, b, 1), 0.5)
}
