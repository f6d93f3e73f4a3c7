package train

import "resslt/train/torch"

// MomentumUpdate is equation 6 for whole lists of parameters: teacher ←
// m·teacher + (1−m)·student. The lists are of equal length and shapes; batch
// norm's buffers are no part of them, since the teacher keeps statistics of its
// own. It runs inside torch.Do.
func MomentumUpdate(teacher, student []*torch.Tensor, m float64) {
	torch.NoGrad(func() {
		// 1.13 has no _foreach_lerp_.
		torch.ForeachMulScalar_(teacher, m)
		torch.ForeachAddList_(teacher, student, 1-m)
	})
}
