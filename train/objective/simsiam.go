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
		StudentViews: globals, Locals: true, Coupled: true, Predict: &q,
		Project: Head{Hidden: []int{m.o.ProjHidden, m.o.ProjHidden}, Out: m.o.Dim, BatchNorm: true, NormOut: true, PlainOut: true},
	}
}

// Targets are none: each view's z is the other's target.
func (m simsiam) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is SimSiam's equation 4: ½·D(p₁, stopgrad(z₂)) + ½·D(p₂, stopgrad(z₁)), D the
// negative cosine. Local crops predict both global ones.
func (m simsiam) Loss(b Batch, student []Embedding, _ Targets) Loss {
	var z [globals]*torch.Tensor
	for i := range z {
		z[i] = student[i].Z.Detach()
	}
	cos := coupledCrops(len(student), func(v, i int) *torch.Tensor { return negativeCosine(student[v].P, z[i]) })
	return Loss{Total: cos, Terms: Terms{Cosine: cos, Z1: student[0].P, Target: z[1]}}
}
