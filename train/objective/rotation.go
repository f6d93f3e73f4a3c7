package objective

import "resslt/train/torch"

var rotationMethod = Method{
	Name: "rotation", Paper: "arXiv 1803.07728", Views: Views{Same: true}, Policy: "simclr",
	New: func(o Options) Objective { return rotation{o} },
}

// rotation is RotNet (arXiv 1803.07728): the network tells by how many quarters an image was
// turned. As in the paper (section 3.1) each sample is in the batch in all four rotations, so that
// batch norm sees them together. The head is one linear layer on the features.
type rotation struct{ o Options }

// quarters are the rotations.
const quarters = 4

func (m rotation) Parts() Parts {
	return Parts{StudentViews: 1, Raw: true, Project: Head{Out: quarters}}
}

// Show turns the view.
func (m rotation) Show(_ Batch, student []*torch.Tensor) []*torch.Tensor {
	return []*torch.Tensor{turned(student[0])}
}

// Targets are none: which rotation a row has is known.
func (m rotation) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is the paper's equations 1 and 2, −1/K·Σ_y log F^y(g(X | y)) of the K rotations, batch mean.
func (m rotation) Loss(_ Batch, student []Embedding, _ Targets) Loss {
	return classes(student[0].Z)
}
