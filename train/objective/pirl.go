package objective

import (
	"slices"

	"resslt/train/torch"
)

var pirlMethod = Method{
	Name: "pirl", Paper: "arXiv 1912.01991", Views: pairForStudent, Policy: "pirl",
	New: func(o Options) Objective { return pirl{banked{o}} },
}

// pirl is PIRL (arXiv 1912.01991): an image and a jigsaw of it, nine patches of another crop, have
// like embeddings, and both are told from other images by a bank of the images' embeddings.
//
// The head f of the image is one linear layer. The head g of the jigsaw is a linear layer on each
// patch, here in the second head's place, and one on the nine of them in random order (section
// 3.2), which is the objective's own.
type pirl struct{ banked }

// imageWeight is λ of the paper's equation 6.
const imageWeight = 0.5

func (m pirl) Parts() Parts {
	d := int64(m.o.Dim)
	return Parts{
		StudentViews: 2, Coupled: true, Keyed: true, Raw: true,
		Project: Head{Out: m.o.Dim}, Predict: &Head{Out: m.o.Dim, OfFeatures: true},
		State: []Tensor{m.o.bank(), {Name: "jigsaw", Shape: []int64{d, cells * d}, Start: UnitRows, Parameter: true}},
		Group: Group{Free: true},
		Draws: slices.Concat([]Draw{m.o.noise(), {Name: "order", Columns: cells}}, jitter()),
	}
}

// Show cuts the second view into patches, in an order drawn at random.
func (m pirl) Show(b Batch, student []*torch.Tensor) []*torch.Tensor {
	return []*torch.Tensor{student[0], shuffledPatches(b, student[1])}
}

// Loss is the paper's equation 6, λ·L_NCE(m_I, g(v_It)) + (1−λ)·L_NCE(m_I, f(v_I)), m_I the sample's
// row of the bank.
func (m pirl) Loss(b Batch, student []Embedding, _ Targets) Loss {
	f := Normalize(student[0].Z)
	g := Normalize(ofNine(student[1].P, b.State["jigsaw"], f.Size(0)))
	bank := b.State[bankName]
	own := torch.IndexSelect(bank, 0, b.Samples)
	nce := func(v *torch.Tensor) (loss, negatives *torch.Tensor) {
		negatives = against(v, bank, b.Draws["noise"])
		return shareNCE(torch.DivScalar(cosines(v, own), m.o.Tau), torch.DivScalar(negatives, m.o.Tau)), negatives
	}
	jigsaw, negatives := nce(g)
	image, _ := nce(f)
	total := torch.Add(torch.MulScalar(jigsaw, imageWeight), image, 1-imageWeight)
	return Loss{
		Total: total, Rows: []*torch.Tensor{b.Samples, f.Detach()},
		Terms: Terms{InfoNCE: total, Negatives: negatives, Z1: g, Target: own},
	}
}

// shareNCE is the paper's equation 5, batch mean, of s/τ with the positive (B) and with N negatives
// (B,N): with h(s) = exp(s)/(exp(s) + Σ exp(negative)), equation 4,
//
//	−log h(positive) − Σ log(1 − h(negative))
func shareNCE(positive, negatives *torch.Tensor) *torch.Tensor {
	all := torch.Logsumexp(negatives, []int64{1}, true)
	return toldApart(torch.Sub(positive, torch.Reshape(all, []int64{-1}), 1), torch.Sub(negatives, all, 1))
}
