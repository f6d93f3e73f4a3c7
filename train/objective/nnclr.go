package objective

import "resslt/train/torch"

// nnclr is NNCLR (arXiv 2104.14548): SimCLR whose positive is not the view itself
// but its nearest neighbour in a queue of earlier embeddings, and whose negatives
// are the batch's other predictions.
//
// Its projector has three layers with BN on each, the output too (section 3.2,
// "Architecture").
type nnclr struct{ o Options }

func (m nnclr) Parts() Parts {
	q := m.o.twoLayers(m.o.PredHidden)
	return Parts{
		StudentViews: 2, Coupled: true, InBatch: true, Queue: StudentKeys, Predict: &q,
		Project: Head{Hidden: []int{m.o.ProjHidden, m.o.ProjHidden}, Out: m.o.Dim, BatchNorm: true, NormOut: true},
	}
}

// Targets are none: they are the neighbours of this pass's own embeddings.
func (m nnclr) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is the paper's Algorithm 1: ½·L(NN(z₁), p₂) + ½·L(NN(z₂), p₁).
func (m nnclr) Loss(b Batch, student []Embedding, _ Targets) Loss {
	n1, n2 := NearestNeighbour(student[0].Z, b.Queue), NearestNeighbour(student[1].Z, b.Queue)
	p1, p2 := student[0].P, student[1].P
	l := Loss{Total: mean2(BatchInfoNCE(n1, p2, m.o.Tau), BatchInfoNCE(n2, p1, m.o.Tau))}
	if b.Stats {
		torch.NoGrad(func() {
			l.Stats = Stats{InfoNCE: l.Total.Detach(), Agreement: ownChoice(n1, p2), Similarity: similarity(n1, p2)}
		})
	}
	return l
}

// NearestNeighbour is NNCLR's NN(z, Q): for each row of z (B,D) the most similar row
// of the queue (K,D). It carries no gradient.
func NearestNeighbour(z, queue *torch.Tensor) (nn *torch.Tensor) {
	torch.NoGrad(func() {
		nn = torch.Scope(func() *torch.Tensor {
			return torch.IndexSelect(queue, 0, torch.Argmax(Similarities(z, queue), &last, false))
		})
	})
	return nn
}

// BatchInfoNCE is NNCLR's equation 2, batch mean: with n and p (B,D),
//
//	−log( exp(n_i·p_i/τ) / Σ_k exp(n_i·p_k/τ) )
func BatchInfoNCE(n, p *torch.Tensor, tau float64) *torch.Tensor {
	all := torch.Logsumexp(torch.DivScalar(Similarities(n, p), tau), []int64{1}, false)
	return torch.Mean(torch.Sub(all, torch.DivScalar(Cosines(n, p), tau), 1), torch.Unset)
}
