package nn

import (
	"encoding/binary"
	"fmt"
	"strings"

	"resslt/train/torch"
)

// SqueezeExcitation scales every channel by a factor computed from the averages of all
// channels (Hu et al. 2018): x·scale(fc2(act(fc1(avg(x))))).
type SqueezeExcitation struct {
	fc1, fc2   *Conv2d // 1×1: channels → squeezed → channels
	act, scale Module
}

// NewSqueezeExcitation names its layers fc1 and fc2, as torchvision does.
func NewSqueezeExcitation(b Builder, channels, squeezed int64, act, scale Module) *SqueezeExcitation {
	return &SqueezeExcitation{
		fc1: NewPointwiseConv2d(b.At("fc1"), channels, squeezed),
		fc2: NewPointwiseConv2d(b.At("fc2"), squeezed, channels),
		act: act, scale: scale,
	}
}

// Forward maps (N,C,H,W) to (N,C,H,W).
func (s *SqueezeExcitation) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		f := torch.AdaptiveAvgPool2d(x, oneByOne) // (N,C,1,1)
		f = s.scale.Forward(s.fc2.Forward(s.act.Forward(s.fc1.Forward(f))))
		return torch.Mul(f, x)
	})
}

// Visit names fc1 and fc2.
func (s *SqueezeExcitation) Visit(prefix string, f func(Entry)) {
	s.fc1.Visit(prefix+"fc1.", f)
	s.fc2.Visit(prefix+"fc2.", f)
}

// SetTraining does nothing.
func (s *SqueezeExcitation) SetTraining(bool) {}

// StochasticDepth drops a residual branch for some samples of a batch (Huang et al.
// 2016): in training each sample's branch is zero with probability p, and otherwise
// scaled by 1/(1−p); in evaluation it is unchanged.
//
// The masks do not come from a global generator. They are a function of (seed, name,
// count), where count is the number of batches that the branch's batch norm has seen, or
// the branch itself where it has none (Batches).
// The count is in every checkpoint, so a resumed run draws the same masks, and a forward
// pass that is repeated with the count restored, as in activation checkpointing, drops
// the same branches.
type StochasticDepth struct {
	p     float64
	seed  uint64
	name  string
	count *torch.Tensor // () int64, after the branch's forward
	ranks *torch.Group  // that share the batch

	training bool
}

// NewStochasticDepth drops the branch whose last batch norm is norm with probability
// p < 1. It starts in training mode.
func NewStochasticDepth(b Builder, p float64, norm *BatchNorm) *StochasticDepth {
	return newStochasticDepth(b.At("stochastic_depth"), p, norm.Tracked)
}

// NewCountedDepth is NewStochasticDepth for a branch without batch norm. b is the
// branch's own.
func NewCountedDepth(b Builder, p float64, batches *Batches) *StochasticDepth {
	return newStochasticDepth(b, p, batches.Tracked)
}

func newStochasticDepth(b Builder, p float64, count *torch.Tensor) *StochasticDepth {
	return &StochasticDepth{p: p, seed: b.Seed, name: strings.TrimSuffix(b.path, "."), count: count, ranks: b.Ranks, training: true}
}

// Batches counts the batches that a block has seen in training, for the masks of its
// stochastic depth. It is a buffer of the block's, so that a resumed run and activation
// checkpointing draw as the first time.
type Batches struct {
	Tracked  *torch.Tensor // () int64, on the CPU
	training bool
}

// NewBatches starts at 0, in training mode.
func NewBatches() *Batches {
	return &Batches{Tracked: torch.FromInt64([]int64{0}).Keep(), training: true}
}

// Count counts a batch in training. Nil counts nothing.
func (n *Batches) Count() {
	if n != nil && n.training {
		countUp(n.Tracked)
	}
}

// Visit names the counter as batch norm does.
func (n *Batches) Visit(prefix string, f func(Entry)) {
	f(Entry{prefix + "num_batches_tracked", n.Tracked, false})
}

// SetTraining switches the counting on or off.
func (n *Batches) SetTraining(on bool) { n.training = on }

// Forward maps (N,…) to (N,…).
func (s *StochasticDepth) Forward(x *torch.Tensor) *torch.Tensor {
	if !s.training || s.p == 0 {
		return x
	}
	return torch.Scope(func() *torch.Tensor {
		shape := x.Shape()
		for i := range shape[1:] {
			shape[i+1] = 1
		}
		mask := torch.FromFloat64(s.mask(shape[0]), shape...)
		return torch.Mul(x, mask.To(x.Device(), x.DType(), true))
	})
}

// mask is n factors, 0 or 1/(1−p): this rank's part of those that a single process would
// draw for the whole batch.
func (s *StochasticDepth) mask(n int64) []float64 {
	r := Random(s.seed, fmt.Sprintf("%s %d", s.name, s.count.Int64s()[0]))
	kept := 1 / (1 - s.p)
	out := make([]float64, n*int64(s.ranks.World()))
	for i := range out {
		if r.Uniform() >= s.p {
			out[i] = kept
		}
	}
	from, to := s.ranks.Rows(len(out))
	return out[from:to]
}

// countUp adds one to a counter of batches.
func countUp(n *torch.Tensor) {
	n.CopyFrom(binary.NativeEndian.AppendUint64(nil, uint64(n.Int64s()[0]+1)))
}

// Visit does nothing.
func (s *StochasticDepth) Visit(string, func(Entry)) {}

// SetTraining switches the dropping on or off.
func (s *StochasticDepth) SetTraining(on bool) { s.training = on }
