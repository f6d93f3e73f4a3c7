package objective

import "resslt/train/torch"

// The equations of the paper, one function each. Embeddings are (B,D) float,
// rows of unit length (Normalize); the queue Q is (K,D) float, rows of unit
// length, as it was before this batch's keys entered. Gradients flow into z1,
// the student's; the teacher's z2 and the queue carry none.

// Normalize divides each row of z (B,D) by its L2 norm: the paper takes
// L2-normalised vectors throughout (section 3.1).
func Normalize(z *torch.Tensor) *torch.Tensor {
	norm := torch.LinalgVectorNorm(z, 2, []int64{1}, true, torch.Unset)
	return torch.Div(z, torch.ClampMin(norm, 1e-12)) // as F.normalize: no division by zero
}

// Similarities are the cosines z·Qᵀ, (B,K). The student's serve equations 1 and
// 3 alike, so they are taken once and passed to both.
func Similarities(z, queue *torch.Tensor) *torch.Tensor {
	return torch.Mm(z, torch.T(queue))
}

// Cosines are z¹·z² row by row, (B).
func Cosines(z1, z2 *torch.Tensor) *torch.Tensor {
	return torch.SumDim(torch.Mul(z1, z2), []int64{1}, false, torch.Unset)
}

// InfoNCE is equation 1, batch mean, from the positives z1, z2 (B,D) and the
// student's similarities to the negatives s1 (B,K):
//
//	−log( exp(z¹·z²/τ) / (exp(z¹·z²/τ) + Σ_k exp(z¹·z_k/τ)) )
//
// It is taken as log(exp(pos) + exp(lse)) − pos with lse = log Σ_k exp(z¹·z_k/τ),
// which spares a (B,K+1) copy of the similarities.
func InfoNCE(z1, z2, s1 *torch.Tensor, tau float64) *torch.Tensor {
	pos := torch.DivScalar(Cosines(z1, z2), tau)
	lse := torch.Logsumexp(torch.DivScalar(s1, tau), []int64{1}, false)
	all := torch.Logsumexp(torch.Stack([]*torch.Tensor{pos, lse}, 1), []int64{1}, false)
	return torch.Mean(torch.Sub(all, pos, 1), torch.Unset)
}

// NegativeCosine is equation 2's L_cos, batch mean: −p¹·z² of unit rows.
func NegativeCosine(p1, z2 *torch.Tensor) *torch.Tensor {
	return torch.Neg(torch.Mean(Cosines(p1, z2), torch.Unset))
}

// SquaredDistance is equation 2's L_mse, batch mean, ‖p¹ − z²‖². Of unit rows it
// is 2 + 2·L_cos.
func SquaredDistance(p1, z2 *torch.Tensor) *torch.Tensor {
	return torch.Mean(torch.SumDim(torch.Square(torch.Sub(p1, z2, 1)), []int64{1}, false, torch.Unset), torch.Unset)
}

// RelationLogProbs is the logarithm of equation 3, log p¹ (B,K), from the
// student's similarities s1 (B,K) and τ_s.
func RelationLogProbs(s1 *torch.Tensor, tauS float64) *torch.Tensor {
	return torch.LogSoftmax(torch.DivScalar(s1, tauS), 1, torch.Unset)
}

// RelationTarget is equation 4, the target distribution p² (B,K), from the
// teacher's similarities s2 (B,K) and τ_t. τ_t < τ_s makes it the sharper one.
func RelationTarget(s2 *torch.Tensor, tauT float64) *torch.Tensor {
	return torch.Softmax(torch.DivScalar(s2, tauT), 1, torch.Unset)
}

// RelationalLoss is equation 5, batch mean, less the constant H(p²): the
// cross-entropy H(p², p¹) = −Σ_i p²_i·log p¹_i of p2 (B,K) and logP1 (B,K).
func RelationalLoss(p2, logP1 *torch.Tensor) *torch.Tensor {
	rows := torch.SumDim(torch.Mul(p2, logP1), []int64{1}, false, torch.Unset)
	return torch.Neg(torch.Mean(rows, torch.Unset))
}

// WarmUp is equation 7: α·relation + (1−α)·infoNCE, scalars. A term whose weight
// is zero may be nil: past the warm-up InfoNCE need not be computed.
func WarmUp(relation, infoNCE *torch.Tensor, alpha float64) *torch.Tensor {
	switch {
	case alpha >= 1:
		return relation
	case alpha <= 0:
		return infoNCE
	}
	return torch.Add(torch.MulScalar(relation, alpha), infoNCE, 1-alpha)
}
