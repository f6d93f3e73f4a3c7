package objective

import "resslt/train/torch"

var s4lMethod = Method{
	Name: "s4l", Paper: "arXiv 1905.03670",
	Views: Views{Same: true}, Policy: "supervised",
	New: func(o Options) Objective { return s4l{classified{o}} },
}

// s4l is S4L-Rotation (arXiv 1905.03670): one network tells the rotation of every image, and the
// class of those that show theirs, in all four rotations. Both heads are one linear layer on the
// features (google-research/s4l, semi_supervised/rotation.py).
type s4l struct{ classified }

func (m s4l) Parts() Parts {
	p := m.parts()
	p.StudentViews, p.Coupled = 1, false
	p.State = append(p.State,
		Tensor{Name: "rotations", Shape: []int64{quarters, int64(m.o.Features)}, Start: UnitRows, Parameter: true},
		Tensor{Name: "rotations_bias", Shape: []int64{1, quarters}, Parameter: true},
	)
	return p
}

// Show turns the view.
func (m s4l) Show(_ Batch, student []*torch.Tensor) []*torch.Tensor {
	return []*torch.Tensor{turned(student[0])}
}

// Targets are none: rotations are known, and classes come with the batch.
func (m s4l) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is the paper's equation 1, L_l + w·L_u, with L_u of its equation 2 over all images of the
// batch, labelled or not: their code takes the mean of the two kinds' means, of batches with as many
// of each.
func (m s4l) Loss(b Batch, student []Embedding, _ Targets) Loss {
	l := classes(torch.Add(similarities(student[0].P, b.State["rotations"]), b.State["rotations_bias"], 1))
	each := torch.Reshape(torch.Repeat(b.Draws[Labels], []int64{1, quarters}), []int64{-1, 1})
	l.Terms.Supervised = m.supervised(each, m.logits(b, student[0]))
	l.Total = torch.Add(l.Terms.Supervised, l.Total, m.o.Consistency)
	return l
}
