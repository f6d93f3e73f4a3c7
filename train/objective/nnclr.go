package objective

import "resslt/train/torch"

var nnclrMethod = Method{
	Name: "nnclr", Paper: "arXiv 2104.14548", Views: pairForStudent, Policy: "byol",
	New: func(o Options) Objective { return nnclr{o} },
}

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
		StudentViews: globals, Locals: true, Coupled: true, InBatch: true, Queue: StudentKeys, Predict: &q,
		Project: Head{Hidden: []int{m.o.ProjHidden, m.o.ProjHidden}, Out: m.o.Dim, BatchNorm: true, NormOut: true},
	}
}

// Targets are none: they are the neighbours of this pass's own embeddings.
func (m nnclr) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is the paper's Algorithm 1: ½·L(NN(z₁), p₂) + ½·L(NN(z₂), p₁). Local crops predict the
// neighbours of both global ones (section 4.1, "Multi-crop").
func (m nnclr) Loss(b Batch, student []Embedding, _ Targets) Loss {
	var n [globals]*torch.Tensor
	for i := range n {
		n[i] = nearestNeighbour(student[i].Z, b.Queue)
	}
	nce := coupledCrops(len(student), func(v, i int) *torch.Tensor { return batchInfoNCE(n[i], student[v].P, m.o.Tau) })
	return Loss{Total: nce, Terms: Terms{InfoNCE: nce, Z1: n[0], Target: student[1].P}}
}

// nearestNeighbour is NNCLR's NN(z, Q): for each row of z (B,D) the most similar row
// of the queue (K,D). It carries no gradient.
func nearestNeighbour(z, queue *torch.Tensor) (nn *torch.Tensor) {
	torch.NoGrad(func() {
		nn = torch.Scope(func() *torch.Tensor {
			return torch.IndexSelect(queue, 0, torch.Argmax(similarities(z, queue), &last, false))
		})
	})
	return nn
}

// batchInfoNCE is NNCLR's equation 2, batch mean: with n and p (B,D),
//
//	−log( exp(n_i·p_i/τ) / Σ_k exp(n_i·p_k/τ) )
func batchInfoNCE(n, p *torch.Tensor, tau float64) *torch.Tensor {
	all := torch.Logsumexp(torch.DivScalar(similarities(n, p), tau), []int64{1}, false)
	return torch.Mean(torch.Sub(all, torch.DivScalar(cosines(n, p), tau), 1), torch.Unset)
}
