package objective

import "resslt/train/torch"

var relativeLocMethod = Method{
	Name: "relative-loc", Paper: "arXiv 1505.05192", Views: Views{Same: true}, Policy: "simclr",
	New: func(o Options) Objective { return relativeLoc{o} },
}

// relativeLoc is context prediction (arXiv 1505.05192): of two patches of an image, the middle one
// of a grid of 3×3 and one of its eight neighbours, the network tells which neighbour that is.
// Gaps and jitter between patches keep it from following lines over their borders. As in Kolesnikov
// et al. (arXiv 1901.09005, section 3.2) all eight pairs of an image are in the batch.
//
// Each patch goes through the network by itself; what is behind the pair, a hidden layer and the
// classifier, is the objective's own.
type relativeLoc struct{ o Options }

// neighbours are the places around the middle.
const neighbours = cells - 1

func (m relativeLoc) Parts() Parts {
	return Parts{
		StudentViews: 1, Raw: true, Project: m.o.twoLayers(m.o.ProjHidden), Draws: jitter(),
		State: []Tensor{
			{Name: "pair", Shape: []int64{int64(m.o.PredHidden), int64(2 * m.o.Dim)}, Start: UnitRows, Parameter: true},
			{Name: "place", Shape: []int64{neighbours, int64(m.o.PredHidden)}, Start: UnitRows, Parameter: true},
		},
		Group: Group{Free: true},
	}
}

// Show cuts the view into patches.
func (m relativeLoc) Show(b Batch, student []*torch.Tensor) []*torch.Tensor {
	return []*torch.Tensor{patches(student[0], nil, b.Draws["down"], b.Draws["right"])}
}

// Targets are none: which neighbour a patch is is known.
func (m relativeLoc) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Loss is the cross-entropy of the eight places, mean over pairs.
func (m relativeLoc) Loss(b Batch, student []Embedding, _ Targets) Loss {
	z := student[0].Z
	d := z.Size(1)
	z = torch.Reshape(z, []int64{-1, cells, d})
	middle := torch.Expand(torch.Narrow(z, 1, centre, 1), []int64{z.Size(0), neighbours, d}, false)
	around := torch.Cat([]*torch.Tensor{torch.Narrow(z, 1, 0, centre), torch.Narrow(z, 1, centre+1, neighbours-centre)}, 1)
	pairs := torch.Reshape(torch.Cat([]*torch.Tensor{middle, around}, 2), []int64{-1, 2 * d})
	hidden := torch.ClampMin(similarities(pairs, b.State["pair"]), 0)
	return classes(similarities(hidden, b.State["place"]))
}
