package objective

import "resslt/train/torch"

var simsiamMethod = Method{
	Name: "simsiam", Paper: "arXiv 2011.10566", Views: pairForStudent, Policy: "moco-v2",
	New: func(o Options) Objective { return simsiam{o} },
}

// simsiam is SimSiam (arXiv 2011.10566): BYOL without the momentum network. What
// keeps it from collapse is the stop-gradient on z.
//
// Its projector has three layers with BN on each, the output too (there without
// weight and bias, simsiam/builder.py); its predictor is a bottleneck (section 3,
// "Baseline settings").
type simsiam struct{ o Options }

func (m simsiam) Parts() Parts {
	q := m.o.twoLayers(m.o.PredHidden)
	return Parts{
		StudentViews: 2, Coupled: true, Predict: &q,
		Project: Head{Hidden: []int{m.o.ProjHidden, m.o.ProjHidden}, Out: m.o.Dim, BatchNorm: true, NormOut: true, PlainOut: true},
	}
}

// Targets are none: each view's z is the other's target.
func (m simsiam) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is SimSiam's equation 4: ½·D(p₁, stopgrad(z₂)) + ½·D(p₂, stopgrad(z₁)), D the
// negative cosine.
func (m simsiam) Loss(b Batch, student []Embedding, _ Targets) Loss {
	z1, z2 := student[0].Z.Detach(), student[1].Z.Detach()
	cos := mean2(negativeCosine(student[0].P, z2), negativeCosine(student[1].P, z1))
	return Loss{Total: cos, Terms: Terms{Cosine: cos, Z1: student[0].P, Target: z2}}
}
