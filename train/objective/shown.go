package objective

import "resslt/train/torch"

// Pretext tasks show the student images that are made of its views on the device (Viewer): turned
// ones, patches. They are moved pixels, without resampling; those of CPC v2 may lose their colours.

// turned are the four rotations of each image x (B,S,S,3), by 0, 90, 180 and 270 degrees counter-
// clockwise, (4B,S,S,3): those of one image behind one another.
func turned(x *torch.Tensor) *torch.Tensor {
	across := torch.Transpose(x, 1, 2)
	all := []*torch.Tensor{x, torch.Flip(across, []int64{1}), torch.Flip(x, []int64{1, 2}), torch.Flip(across, []int64{2})}
	return torch.Reshape(torch.Stack(all, 1), append([]int64{-1}, x.Shape()[1:]...))
}

// A grid of 3×3 cells, of which each gives a patch.
const (
	gridSide = 3
	cells    = gridSide * gridSide
	centre   = cells / 2
)

// patchOf is a patch's side for images of S pixels: of a cell of 85 pixels 64, as Goyal et al. have
// it (arXiv 1905.01235, appendix), and PIRL.
func patchOf(s int64) int64 { return max(1, s/gridSide*64/85) }

// jitter draws where in their cells a sample's patches are.
func jitter() []Draw { return []Draw{{Name: "down", Columns: cells}, {Name: "right", Columns: cells}} }

// patches cuts each image x (B,S,S,3) into its cells' patches (9B,P,P,3), those of one image behind
// one another, in the order of the cells or in that of order (B,9) int64. Where in its cell a patch
// is, down and right (B,9) choose, from 0 to below 1.
func patches(x, order, down, right *torch.Tensor) *torch.Tensor {
	b, s, dev := x.Size(0), x.Size(1), x.Device()
	cell, p := s/gridSide, patchOf(s)
	steps := func(n, step int64) *torch.Tensor {
		return torch.Arange(0, float64(n*step), float64(step), torch.Int64, dev)
	}
	sides := steps(gridSide, cell)
	top := torch.Reshape(torch.Repeat(torch.Unsqueeze(sides, 1), []int64{1, gridSide}), []int64{cells})
	left := torch.Repeat(sides, []int64{gridSide})
	if order != nil {
		flat := torch.Reshape(order, []int64{-1})
		top = torch.Reshape(torch.IndexSelect(top, 0, flat), []int64{b, cells})
		left = torch.Reshape(torch.IndexSelect(left, 0, flat), []int64{b, cells})
	}
	// In float64 the product is exact, and below the number of places.
	shift := func(share *torch.Tensor) *torch.Tensor {
		return torch.MulScalar(share.To(dev, torch.Float64, false), float64(cell-p+1)).To(dev, torch.Int64, false)
	}
	y, column := torch.Add(top, shift(down), 1), torch.Add(left, shift(right), 1) // (B,9)
	corner := torch.Add(torch.Mul(y, torch.Full([]int64{1}, float64(s), torch.Int64, dev)), column, 1)
	corner = torch.Add(corner, torch.Unsqueeze(steps(b, s*s), 1), 1)
	inside := torch.Add(torch.Unsqueeze(steps(p, s), 1), steps(p, 1), 1) // (P,P)
	pixels := torch.Add(torch.Reshape(corner, []int64{-1, 1, 1}), inside, 1)
	flat := torch.Reshape(x, []int64{-1, 3})
	return torch.Reshape(torch.IndexSelect(flat, 0, torch.Reshape(pixels, []int64{-1})), []int64{b * cells, p, p, 3})
}

// shuffledPatches are the patches of each image x (B,S,S,3), in an order of each its own: of the draws
// "order", "down" and "right", cells columns each.
func shuffledPatches(b Batch, x *torch.Tensor) *torch.Tensor {
	_, order := torch.Topk(b.Draws["order"], cells, 1, true, true)
	return patches(x, order, b.Draws["down"], b.Draws["right"])
}

// ofNine is a linear layer of weight (D,9E) on the nine patches of each of n images, (9n,E) → (n,D).
func ofNine(patches, weight *torch.Tensor, n int64) *torch.Tensor {
	return similarities(torch.Reshape(patches, []int64{n, -1}), weight)
}

// classes are the loss of a pretext task and what describes it: of logits (n·C,C), the rows of each
// sample in the order of the classes, the cross-entropy, batch mean.
func classes(logits *torch.Tensor) Loss {
	c := logits.Size(1)
	right := torch.Repeat(torch.Eye(c, logits.DType(), logits.Device()), []int64{logits.Size(0) / c, 1})
	logP := torch.LogSoftmax(logits, 1, torch.Unset)
	ce := relationalLoss(right, logP)
	return Loss{Total: ce, Terms: Terms{Relation: ce, LogP1: logP, P2: right, Z1: Normalize(logits), Target: right}}
}

// A grid of 6×6 overlapping patches, CPC v2's.
const (
	patchSide  = 6
	patchCount = patchSide * patchSide
)

// grid cuts each image x (B,S,S,3) into overlapping patches (36B,P,P,3), those of one image behind
// one another, row by row. Of an image of 260 pixels they have 80 and begin every 36, as in the
// paper; of others as many for as many, and what is left over is around the grid.
func grid(x *torch.Tensor) *torch.Tensor {
	s := x.Size(1)
	p := max(1, s*80/260)
	stride := (s - p) / (patchSide - 1)
	edge := (s - p - (patchSide-1)*stride) / 2
	var all []*torch.Tensor
	for i := range int64(patchSide) {
		row := torch.Narrow(x, 1, edge+i*stride, p)
		for j := range int64(patchSide) {
			all = append(all, torch.Narrow(row, 2, edge+j*stride, p))
		}
	}
	return torch.Reshape(torch.Stack(all, 1), []int64{-1, p, p, 3})
}

// patchDraws draw what happens to each patch of a sample's grid.
func patchDraws() []Draw {
	return []Draw{{Name: "mirror", Columns: patchCount, Below: 2}, {Name: "colors", Columns: patchCount, Below: 8}}
}

// mirrored turns about left and right of those images x (n,P,P,3) whose draw is 1.
func mirrored(x, draw *torch.Tensor) *torch.Tensor {
	one := torch.GtScalar(torch.Reshape(draw, []int64{-1, 1, 1, 1}), 0)
	return torch.Where(one, torch.Flip(x, []int64{2}), x)
}

// recolored drops colours of images x (n,P,P,3) uint8 by their draws of 0 to 7: with 0, 1 and 2 all
// channels but that one become the middle grey, Doersch et al.'s colour dropping; with 3 and 4 the
// image becomes grey, with the paper's probability of 1/4; with others it stays.
func recolored(x, draw *torch.Tensor) *torch.Tensor {
	dev := x.Device()
	d := torch.Reshape(draw, []int64{-1, 1, 1, 1})
	channel := torch.Eq(d, torch.Arange(0, 3, 1, torch.Int64, dev)) // (n,1,1,3)
	grey := torch.Amax(torch.Eq(d, torch.Arange(3, 5, 1, torch.Int64, dev)), []int64{3}, true)
	out := torch.Where(torch.Amax(channel, []int64{3}, true), torch.Where(channel, x, torch.Full([]int64{1}, 128, torch.Uint8, dev)), x)
	return torch.Where(grey, luma(x), out)
}

// luma is the brightness of images x (n,P,P,3) uint8, (n,P,P,1), by BT.601's weights in 1024ths,
// rounded: whole numbers below 2²⁴, and so exact.
func luma(x *torch.Tensor) *torch.Tensor {
	dev := x.Device()
	sum := torch.Full([]int64{1}, 512, torch.Float32, dev)
	for c, weight := range []float64{306, 601, 117} {
		sum = torch.Add(sum, torch.Narrow(x, 3, int64(c), 1).To(dev, torch.Float32, false), weight)
	}
	return torch.DivScalar(sum, 1024).To(dev, torch.Uint8, false)
}
