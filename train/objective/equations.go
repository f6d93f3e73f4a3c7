package objective

import "resslt/train/torch"

// The equations of the paper, one function each, but for equation 6, which moves weights
// (momentumUpdate of package train). Embeddings are (B,D) float with rows of unit length
// (Normalize). The queue Q is (K,D) float with rows of unit length, as it was before this
// batch's keys entered. Gradients flow into z1, the student's; the teacher's z2 and the
// queue carry none.

// Normalize divides each row of z (B,D) by its L2 norm: the paper takes L2-normalised
// vectors throughout (section 3.1).
func Normalize(z *torch.Tensor) *torch.Tensor {
	norm := torch.LinalgVectorNorm(z, 2, []int64{1}, true, torch.Unset)
	return torch.Div(z, torch.ClampMin(norm, 1e-12)) // as F.normalize: no division by zero
}

// similarities are the cosines z·Qᵀ, (B,K). The student's serve equations 1 and 3 alike,
// so they are computed once and passed to both.
func similarities(z, queue *torch.Tensor) *torch.Tensor {
	return torch.Mm(z, torch.T(queue))
}

// cosines are z¹·z² row by row, (B).
func cosines(z1, z2 *torch.Tensor) *torch.Tensor {
	return torch.SumDim(torch.Mul(z1, z2), []int64{1}, false, torch.Unset)
}

// infoNCE is equation 1, batch mean, from the positives z1, z2 (B,D) and the student's
// similarities to the negatives s1 (B,K):
//
//	−log( exp(z¹·z²/τ) / (exp(z¹·z²/τ) + Σ_k exp(z¹·z_k/τ)) )
//
// It is computed as log(exp(pos) + exp(lse)) − pos with lse = log Σ_k exp(z¹·z_k/τ),
// which saves a (B,K+1) copy of the similarities.
func infoNCE(z1, z2, s1 *torch.Tensor, tau float64) *torch.Tensor {
	pos := torch.DivScalar(cosines(z1, z2), tau)
	return infoNCEOf(pos, torch.Logsumexp(torch.DivScalar(s1, tau), []int64{1}, false))
}

// infoNCEOf is equation 1 from z¹·z²/τ and log Σ_k exp(z¹·z_k/τ), (B) each.
func infoNCEOf(pos, lse *torch.Tensor) *torch.Tensor {
	return torch.Mean(infoNCERows(pos, lse), torch.Unset)
}

// infoNCERows is equation 1 row by row, (B).
func infoNCERows(pos, lse *torch.Tensor) *torch.Tensor {
	all := torch.Logsumexp(torch.Stack([]*torch.Tensor{pos, lse}, 1), []int64{1}, false)
	return torch.Sub(all, pos, 1)
}

// crossEntropy is H(p, p¹) of equation 5, batch mean, where the similarities have not been kept:
// p¹ is the student's distribution, of which lse = log Σ_k exp(z¹·q_k/τ), and p another one, of
// which mean = Σ_k p_k·q_k (B,D):
//
//	−Σ_k p_k·(z¹·q_k/τ − lse) = lse − z¹·mean/τ
//
// With z¹ and τ of p itself it is p's entropy.
func crossEntropy(z1, lse, mean *torch.Tensor, tau float64) *torch.Tensor {
	return torch.Mean(torch.Sub(lse, torch.DivScalar(cosines(z1, mean), tau), 1), torch.Unset)
}

// negativeCosine is equation 2's L_cos, batch mean: −p¹·z² of unit rows.
func negativeCosine(p1, z2 *torch.Tensor) *torch.Tensor {
	return torch.Neg(torch.Mean(cosines(p1, z2), torch.Unset))
}

// relationLogProbs is the logarithm of equation 3, log p¹ (B,K), from the student's
// similarities s1 (B,K) and τ_s.
func relationLogProbs(s1 *torch.Tensor, tauS float64) *torch.Tensor {
	return torch.LogSoftmax(torch.DivScalar(s1, tauS), 1, torch.Unset)
}

// relationTarget is equation 4, the target distribution p² (B,K), from the teacher's
// similarities s2 (B,K) and τ_t. τ_t < τ_s makes it the sharper one.
func relationTarget(s2 *torch.Tensor, tauT float64) *torch.Tensor {
	return torch.Softmax(torch.DivScalar(s2, tauT), 1, torch.Unset)
}

// relationalLoss is equation 5, batch mean, less the constant H(p²): the cross-entropy
// H(p², p¹) = −Σ_i p²_i·log p¹_i of p2 (B,K) and logP1 (B,K).
func relationalLoss(p2, logP1 *torch.Tensor) *torch.Tensor {
	rows := torch.SumDim(torch.Mul(p2, logP1), []int64{1}, false, torch.Unset)
	return torch.Neg(torch.Mean(rows, torch.Unset))
}

// Alpha is α of equation 7, or of another ramp. Value alone decides which terms are computed.
// Tensor, if set, is (3), α, 1−α and Factor on the device: what a step that is captured as a
// CUDA graph multiplies by, so that a replay can take another α.
type Alpha struct {
	Value  float64 // 1 after the warm-up
	Factor float64 // of the objective's Ramper; 0 without one
	Tensor *torch.Tensor
}

// times is x multiplied by the factor that the ramp moves.
func (a Alpha) times(x *torch.Tensor) *torch.Tensor {
	if a.Tensor != nil {
		return torch.Mul(x, torch.Select(a.Tensor, 0, 2))
	}
	return torch.MulScalar(x, a.Factor)
}

// warmUp is equation 7: α·relation + (1−α)·infoNCE, scalars. A term whose weight is zero
// may be nil: past the warm-up InfoNCE need not be computed.
func warmUp(relation, infoNCE *torch.Tensor, a Alpha) *torch.Tensor {
	switch {
	case a.Value >= 1:
		return relation
	case a.Value <= 0:
		return infoNCE
	case a.Tensor != nil:
		alpha, rest := torch.Select(a.Tensor, 0, 0), torch.Select(a.Tensor, 0, 1)
		return torch.Add(torch.Mul(relation, alpha), torch.Mul(infoNCE, rest), 1)
	}
	return torch.Add(torch.MulScalar(relation, a.Value), infoNCE, 1-a.Value)
}
