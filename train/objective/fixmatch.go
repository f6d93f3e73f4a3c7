package objective

import "resslt/train/torch"

var fixmatchMethod = Method{
	Name: "fixmatch", Paper: "arXiv 2001.07685",
	Views: Views{WeakToo: true}, Policy: "fixmatch",
	New: func(o Options) Objective { return fixmatch{classified{o}} },
}

// fixmatch is FixMatch (arXiv 2001.07685): a class that the network predicts of a weak view, with
// enough confidence, is the strong view's target. Weak views of the samples that show their class
// are learned as in supervised training. Both views go through one network, and every sample's
// strong view counts, labelled or not (google-research/fixmatch, fixmatch.py).
type fixmatch struct{ classified }

func (m fixmatch) Parts() Parts { return m.parts() }

// Targets are none: they are of the network that is trained.
func (m fixmatch) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is ℓ_s + λ_u·ℓ_u, the paper's equations 3 and 4, of logits of the weak view and the strong.
func (m fixmatch) Loss(b Batch, student []Embedding, _ Targets) Loss {
	weak, strong := m.logits(b, student[0]), m.logits(b, student[1])
	q := torch.Softmax(weak.Detach(), 1, torch.Unset)
	logP := torch.LogSoftmax(strong, 1, torch.Unset)
	hard := oneHot(torch.Argmax(q, &last, true), q) // q̂
	h := torch.Neg(torch.SumDim(torch.Mul(hard, logP), []int64{1}, false, torch.Unset))
	return m.loss(m.supervised(b.Draws[Labels], weak), h, m.sure(q), Terms{LogP1: logP, P2: q}, student)
}
