package objective

import "resslt/train/torch"

// Learning with some labels: the network is a classifier from the start, a linear one on the
// features, and some of the samples show their class. Of the others no label is there to read.

// Labels is the name in Batch.Draws of the classes, (B,1) int64: −1 of a sample that shows none.
// They are each row's own as draws are, so that a CUDA graph's replay takes a step's.
const Labels = "labels"

// classified is an objective that has a classifier of its own, W (C,F) and b (1,C).
type classified struct{ o Options }

func (m classified) parts() Parts {
	c, f := int64(m.o.Classes), int64(m.o.Features)
	return Parts{
		StudentViews: 2, Coupled: true, Labels: true, Raw: true, Project: Head{None: true},
		State: []Tensor{
			{Name: "classifier", Shape: []int64{c, f}, Start: UnitRows, Parameter: true},
			{Name: "bias", Shape: []int64{1, c}, Parameter: true},
		},
		Group: Group{Free: true},
	}
}

// logits are a view's, (B,C).
func (m classified) logits(b Batch, e Embedding) *torch.Tensor {
	return torch.Add(similarities(e.P, b.State["classifier"]), b.State["bias"], 1)
}

// oneHot is 1 in the column of each row's class, (B,C) like x; a row of class −1 has none.
func oneHot(classes, x *torch.Tensor) *torch.Tensor {
	columns := torch.Arange(0, float64(x.Size(1)), 1, torch.Int64, x.Device())
	return torch.Eq(classes, columns).To(x.Device(), x.DType(), false)
}

// supervised is the cross-entropy of the rows that show their class, by labels (B,1): their sum, over as many
// as a batch has on average. Their mean would weigh a label more in a batch with few others, and
// would not be a sum over ranks and micro-batches. It is an unbiased estimate of the mean over
// all labelled samples; the papers draw batches with a fixed number of them.
func (m classified) supervised(labels, logits *torch.Tensor) *torch.Tensor {
	logP := torch.LogSoftmax(logits, 1, torch.Unset)
	sum := torch.Sum(torch.Mul(oneHot(labels, logits), logP), torch.Unset)
	return torch.DivScalar(sum, -m.o.LabelFraction*float64(logits.Size(0)))
}

// sure is 1 for each row of p (B,C) whose greatest element is above the threshold, else 0, (B).
// (UDA's code has above, FixMatch's from it on: they differ in no number that occurs.)
func (m classified) sure(p *torch.Tensor) *torch.Tensor {
	top := torch.Amax(p, []int64{1}, false)
	return torch.GtScalar(top, m.o.Confidence).To(p.Device(), p.DType(), false)
}

// loss is that of labels, and λ times the one without, a value a row (B) that counts where sure is 1.
func (m classified) loss(supervised, unsupervised, sure *torch.Tensor, t Terms, student []Embedding) Loss {
	consistency := torch.Mean(torch.Mul(unsupervised, sure), torch.Unset)
	t.Relation, t.Supervised, t.Confident = consistency, supervised, torch.Mean(sure, torch.Unset)
	t.Z1, t.Target = Normalize(student[1].P), Normalize(student[0].P.Detach())
	return Loss{Total: torch.Add(supervised, consistency, m.o.Consistency), Terms: t}
}
