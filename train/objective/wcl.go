package objective

import "resslt/train/torch"

var wclMethod = Method{
	Name: "wcl", Paper: "arXiv 2110.04770", Views: pairForStudent, Policy: "simclr",
	New: func(o Options) Objective { return wcl{o} },
}

// wcl is WCL (arXiv 2110.04770): SimCLR, and beside it a second projector that learns with weak
// labels. In each view the samples that the graph of nearest neighbours connects have one
// label, and the other view's embeddings are contrasted by it.
//
// Both projectors take the backbone's features and have three layers with BN on the hidden ones
// (mingkai-zheng/WCL, network/head.py). The second is the predictor's place.
type wcl struct{ o Options }

func (m wcl) Parts() Parts {
	g := Head{Hidden: []int{m.o.ProjHidden, m.o.ProjHidden}, Out: m.o.Dim, BatchNorm: true}
	second := g
	second.OfFeatures = true
	return Parts{StudentViews: 2, Coupled: true, InBatch: true, Project: g, Predict: &second}
}

// Targets are none: the views are each other's.
func (m wcl) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is the sum of NT-Xent by the first head and of the mean weakly supervised loss of the
// two views by the second, each with the other view's labels (network/wcl.py, forward).
func (m wcl) Loss(b Batch, student []Embedding, _ Targets) Loss {
	za, zb := student[0].Z, student[1].Z
	nce := ntXent(za, zb, m.o.Tau)
	wa, wb := student[0].P, student[1].P
	weak := mean2(supervised(wa, weakLabels(wb), m.o.Tau), supervised(wb, weakLabels(wa), m.o.Tau))
	return Loss{Total: torch.Add(nce, weak, 1), Terms: Terms{InfoNCE: nce, Relation: weak, Z1: za, Target: zb}}
}

// supervised is the supervised contrastive loss (sup_contra) of z (B,D) with labels (B), no
// label alone: the mean over i of
//
//	−1/|P(i)|·Σ_{p∈P(i)} log( exp(z_i·z_p/τ) / Σ_{k≠i} exp(z_i·z_k/τ) )
//
// where P(i) are the other rows with the label of i.
func supervised(z, labels *torch.Tensor, tau float64) *torch.Tensor {
	self := torch.Eye(z.Size(0), torch.Bool, z.Device())
	logits := torch.MaskedFillScalar(torch.DivScalar(similarities(z, z), tau), self, -1e9)
	same := torch.Eq(torch.Unsqueeze(labels, 1), torch.Unsqueeze(labels, 0))
	positive := torch.MaskedFillScalar(same.To(z.Device(), z.DType(), false), self, 0)
	return multiNCE(logits, positive)
}

// multiNCE is InfoNCE with several positives, mean over the rows of logits (N,M): those where
// positive (N,M) is 1, of which each row has one or more.
func multiNCE(logits, positive *torch.Tensor) *torch.Tensor {
	sum := func(x *torch.Tensor) *torch.Tensor { return torch.SumDim(x, []int64{1}, false, torch.Unset) }
	pos := torch.Div(sum(torch.Mul(logits, positive)), sum(positive))
	return torch.Mean(torch.Sub(torch.Logsumexp(logits, []int64{1}, false), pos, 1), torch.Unset)
}

// weakLabels are the connected components of the graph that has an edge from each row of z
// (B,D) to the most similar other one, as labels (B) int64.
func weakLabels(z *torch.Tensor) (labels *torch.Tensor) {
	torch.NoGrad(func() {
		labels = torch.Scope(func() *torch.Tensor {
			self := torch.Eye(z.Size(0), torch.Bool, z.Device())
			return components(torch.Argmax(torch.MaskedFillScalar(similarities(z, z), self, -2), &last, false))
		})
	})
	return labels
}

// components labels the nodes of a graph in which next (B) int64 is each node's only edge: two
// nodes have the same label where edges, taken in either direction, connect them. Who follows
// the edges for B hops is on a cycle, and a component has just one cycle: the label is its least
// node. Hops are doubled, on the device, so that a CUDA graph can replay it.
func components(next *torch.Tensor) *torch.Tensor {
	n := next.Size(0)
	least := torch.Arange(0, float64(n), 1, torch.Int64, next.Device()) // of the nodes that a walk of hops visits
	at := next                                                          // where it ends
	for hops := int64(1); hops < n; hops *= 2 {
		further := torch.IndexSelect(least, 0, at)
		least = torch.Where(torch.Gt(least, further), further, least)
		at = torch.IndexSelect(at, 0, at)
	}
	return torch.IndexSelect(least, 0, at)
}
