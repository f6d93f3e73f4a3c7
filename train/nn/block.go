package nn

import (
	"fmt"

	"resslt/train/torch"
)

// SqueezeExcitation scales every channel by a factor that all of the map's
// averages decide (Hu et al. 2018): x·scale(fc2(act(fc1(avg(x))))).
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

// StochasticDepth drops a residual branch for some samples of a batch (Huang et
// al. 2016): in training each sample's branch is zero with probability P, and
// 1/(1−P) of itself otherwise; elsewhere the branch is left as it is.
//
// The masks are no global generator's: they are a function of (seed, name, count),
// count being the number of batches that the branch's batch norm has seen. That
// count is part of every checkpoint, so a run that resumes draws the masks of one
// that did not, and a forward pass that is repeated with the count put back, as
// gradient checkpointing does, drops the same branches.
type StochasticDepth struct {
	P float64

	seed  uint64
	name  string
	count *torch.Tensor // () int64, a batch norm's, after the branch's forward
	ranks *torch.Group  // over which the batch lies

	training bool
}

// NewStochasticDepth drops with probability p < 1 the branch whose last batch norm
// is norm, in training mode.
func NewStochasticDepth(b Builder, p float64, norm *BatchNorm) *StochasticDepth {
	return &StochasticDepth{
		P: p, seed: b.Seed, name: b.path + "stochastic_depth", count: norm.Tracked, ranks: b.Ranks, training: true,
	}
}

// Forward maps (N,C,H,W) to (N,C,H,W).
func (s *StochasticDepth) Forward(x *torch.Tensor) *torch.Tensor {
	if !s.training || s.P == 0 {
		return x
	}
	return torch.Scope(func() *torch.Tensor {
		n := x.Size(0)
		mask := torch.FromFloat64(s.mask(n), n, 1, 1, 1)
		return torch.Mul(x, mask.To(x.Device(), x.DType(), true))
	})
}

// mask is n factors, 0 or 1/(1−P): this rank's part of those that one process would
// draw for the whole batch.
func (s *StochasticDepth) mask(n int64) []float64 {
	r := Random(s.seed, fmt.Sprintf("%s %d", s.name, s.count.Int64s()[0]))
	kept := 1 / (1 - s.P)
	out := make([]float64, n*int64(s.ranks.World()))
	for i := range out {
		if r.Uniform() >= s.P {
			out[i] = kept
		}
	}
	from, to := s.ranks.Rows(len(out))
	return out[from:to]
}

// Visit has nothing to name.
func (s *StochasticDepth) Visit(string, func(Entry)) {}

// SetTraining switches the dropping on or off.
func (s *StochasticDepth) SetTraining(on bool) { s.training = on }
