package objective

import (
	"math"

	"resslt/train/torch"
)

var npidMethod = Method{
	Name: "npid", Paper: "arXiv 1805.01978", Views: Views{Same: true}, Policy: "npid",
	New: func(o Options) Objective { return npid{banked{o}} },
}

// npid is NPID (arXiv 1805.01978), instance discrimination: each sample is a class of its own,
// whose weight is the sample's row of a bank, a moving average of its embeddings.
//
// With negatives the loss is noise-contrastive estimation, the paper's for ImageNet; without,
// the softmax over the whole bank that it estimates (its authors' --nce-k 0). The head is one
// linear layer (zhirongw/lemniscate.pytorch, models/resnet.py).
type npid struct{ banked }

func (m npid) Parts() Parts {
	return Parts{
		StudentViews: 1, Keyed: true, Project: Head{Out: m.o.Dim},
		State: []Tensor{m.o.bank()},
		Draws: []Draw{m.o.noise()},
	}
}

// noise draws the samples that each row is told from, the paper's uniform P_n(i) = 1/n.
func (o Options) noise() Draw {
	return Draw{Name: "noise", Columns: o.BankNegatives, Below: o.Samples}
}

// Loss is the paper's J_NCE (equation 8) or J (equation 3), and λ·‖v_i − v_i'‖² where v' is the
// bank's row, the proximal regularization of equation 9.
func (m npid) Loss(b Batch, student []Embedding, _ Targets) Loss {
	v := student[0].P
	l := m.o.instances(b, v)
	l.Rows = []*torch.Tensor{b.Samples, v.Detach()}
	if m.o.Proximal > 0 {
		moved := torch.SumDim(torch.Square(torch.Sub(v, l.Target, 1)), []int64{1}, false, torch.Unset)
		l.Total = torch.Add(l.Total, torch.Mean(moved, torch.Unset), m.o.Proximal)
	}
	return l
}

// instances is NPID's loss of embeddings v (B,D).
func (o Options) instances(b Batch, v *torch.Tensor) Loss {
	bank := b.State[bankName]
	own := torch.IndexSelect(bank, 0, b.Samples)
	positive := cosines(v, own) // (B)
	var loss, negatives *torch.Tensor
	if noise := b.Draws["noise"]; noise != nil {
		negatives = against(v, bank, noise)
		loss = o.contrast(positive, negatives)
	} else {
		logits := torch.DivScalar(similarities(v, bank), o.Tau)
		all := torch.Logsumexp(logits, []int64{1}, false)
		loss = torch.Mean(torch.Sub(all, torch.DivScalar(positive, o.Tau), 1), torch.Unset)
	}
	return Loss{Total: loss, Terms: Terms{InfoNCE: loss, Negatives: negatives, Z1: v, Target: own}}
}

// contrast is equation 8, batch mean, from similarities to the positive (B) and to m negatives
// (B,m): with P = exp(s/τ)/Z and h = P/(P + m·P_n), P_n = 1/n,
//
//	−log h(positive) − Σ log(1 − h(negative))
//
// h is the logistic function of s/τ − log Z − log(m/n).
func (o Options) contrast(positive, negatives *torch.Tensor) *torch.Tensor {
	shift := o.logPartition() + math.Log(float64(negatives.Size(1))/float64(o.Samples))
	x := func(s *torch.Tensor) *torch.Tensor { return torch.AddScalar(torch.DivScalar(s, o.Tau), -shift, 1) }
	return toldApart(x(positive), x(negatives))
}

// toldApart is −log σ(positive) − Σ log(1 − σ(negative)), batch mean, of (B) and (B,m), with σ the
// logistic function.
func toldApart(positive, negatives *torch.Tensor) *torch.Tensor {
	others := torch.SumDim(softplus(negatives), []int64{1}, false, torch.Unset)
	return torch.Mean(torch.Add(softplus(torch.Neg(positive)), others, 1), torch.Unset)
}

// softplus is log(1 + exp(x)), without overflow.
func softplus(x *torch.Tensor) *torch.Tensor {
	return torch.Add(torch.ClampMin(x, 0), torch.Log1p(torch.Exp(torch.Neg(torch.Abs(x)))), 1)
}

// logPartition is the logarithm of NPID's constant Z. The paper estimates it from the first
// batch, as n·mean exp(s/τ) over a bank of random rows. Such rows are spread evenly over the
// sphere, so the mean's expectation is known: with κ = 1/τ
//
//	E exp(κ·t) = ₀F₁(D/2; κ²/4) = Σ_k (κ²/4)^k / (k!·(D/2)·(D/2+1)…(D/2+k−1))
//
// which does not depend on who has which rows of the first batch.
func (o Options) logPartition() float64 {
	half, x := float64(o.Dim)/2, math.Log(1/(4*o.Tau*o.Tau))
	term, sum := 0.0, 0.0 // logarithms
	for k := 1.0; term > sum-40 || k < 4; k++ {
		term += x - math.Log(k) - math.Log(half+k-1)
		sum = math.Max(sum, term) + math.Log1p(math.Exp(-math.Abs(sum-term)))
	}
	return sum + math.Log(float64(o.Samples))
}
