package objective

import "resslt/train/torch"

var udaMethod = Method{
	Name: "uda", Paper: "arXiv 1904.12848",
	Views: Views{WeakToo: true}, Policy: "fixmatch",
	New: func(o Options) Objective { return uda{classified{o}} },
}

// uda is UDA (arXiv 1904.12848): what the network predicts of a strong view follows, as a
// distribution, what it predicts of a weak one, sharpened, where that is confident. Weak views of
// the samples that show their class are learned as in supervised training.
//
// It is what the authors train images by (google-research/uda, image/main.py): their training
// signal annealing is off by default there.
type uda struct{ classified }

func (m uda) Parts() Parts { return m.parts() }

// Targets are none: they are of the network that is trained.
func (m uda) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is the paper's equation 1, with its confidence-based masking and sharpening: the target is softmax(logits/τ) of the weak view, without gradient, the divergence KL(target ‖ p) of
// the strong one; what is sure is judged before sharpening.
func (m uda) Loss(b Batch, student []Embedding, _ Targets) Loss {
	weak, strong := m.logits(b, student[0]), m.logits(b, student[1])
	still := weak.Detach()
	logT := torch.LogSoftmax(torch.DivScalar(still, m.o.Sharpen), 1, torch.Unset)
	target := torch.Exp(logT)
	logP := torch.LogSoftmax(strong, 1, torch.Unset)
	kl := torch.SumDim(torch.Mul(target, torch.Sub(logT, logP, 1)), []int64{1}, false, torch.Unset)
	return m.loss(m.supervised(b.Draws[Labels], weak), kl, m.sure(torch.Softmax(still, 1, torch.Unset)), Terms{LogP1: logP, P2: target}, student)
}
