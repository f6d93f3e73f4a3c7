package objective

import "resslt/train/torch"

// Multi-crop (SwAV, arXiv 2006.09882, section 3.3): of a batch's V student views the first
// are the global crops, which the teacher sees too, and the others local ones. Each student
// view is compared with every global crop but itself.

// across are, of one tensor for each global crop, those that the pass's view is compared
// with.
func (b Batch) across(globals []*torch.Tensor) (others []*torch.Tensor) {
	for i, g := range globals {
		if i != b.View {
			others = append(others, g)
		}
	}
	return others
}

// direction is what a pass's mean over its comparisons counts for: 1 for a pair of global
// crops, where a batch has two directions. With local crops the sum over the passes remains
// that of two directions, each of the 2V−2 comparisons counting alike.
func (b Batch) direction(others []*torch.Tensor) float64 {
	return float64(len(others)) / float64(b.Views-1)
}

// mean is that of f, a scalar, over the comparisons.
func (b Batch) mean(others []*torch.Tensor, f func(*torch.Tensor) *torch.Tensor) *torch.Tensor {
	sum := f(others[0])
	for _, o := range others[1:] {
		sum = torch.Add(sum, f(o), 1)
	}
	if len(others) > 1 {
		sum = torch.DivScalar(sum, float64(len(others)))
	}
	return sum
}

// globals are how many crops of a coupled multi-crop batch are compared with: the first ones.
const globals = 2

// coupledCrops is the mean of f(v, i) over the views v of a pass that has them all, and the global
// crops i ≠ v. Of a pair it is that of the two directions.
func coupledCrops(views int, f func(v, i int) *torch.Tensor) *torch.Tensor {
	var sum *torch.Tensor
	for v := range views {
		for i := range globals {
			if i == v {
				continue
			}
			if l := f(v, i); sum == nil {
				sum = l
			} else {
				sum = torch.Add(sum, l, 1)
			}
		}
	}
	return torch.MulScalar(sum, 1/float64(globals*(views-1)))
}
