package nn

import (
	"encoding/binary"

	"resslt/train/torch"
)

// NormOptions are batch norm's constants; zero values mean PyTorch's defaults.
type NormOptions struct {
	Momentum float64 // weight of the batch in the running statistics; default 0.1
	Eps      float64 // added to the variance; default 1e-5
}

func (o NormOptions) applyDefaults() NormOptions {
	if o.Momentum == 0 {
		o.Momentum = 0.1
	}
	if o.Eps == 0 {
		o.Eps = 1e-5
	}
	return o
}

// BatchNorm is BatchNorm1d for (N,C) and BatchNorm2d for (N,C,H,W).
type BatchNorm struct {
	Weight, Bias            *torch.Tensor // (C)
	RunningMean, RunningVar *torch.Tensor // (C)
	// Tracked counts the batches seen in training, () int64. No computation reads
	// it; PyTorch's state dict has it. It stays on the CPU, where counting costs
	// neither a kernel nor a wait.
	Tracked *torch.Tensor

	opts     NormOptions
	training bool
}

// NewBatchNorm starts as the identity on normalised input, in training mode, with
// PyTorch's constants.
func NewBatchNorm(b Builder, channels int64) *BatchNorm {
	return NewBatchNormWith(b, channels, NormOptions{})
}

// NewBatchNormWith is NewBatchNorm with other constants.
func NewBatchNormWith(b Builder, channels int64, o NormOptions) *BatchNorm {
	return &BatchNorm{
		opts:        o.applyDefaults(),
		Weight:      b.own(fill(channels, 1), channels).SetRequiresGrad(true),
		Bias:        b.own(fill(channels, 0), channels).SetRequiresGrad(true),
		RunningMean: b.own(fill(channels, 0), channels),
		RunningVar:  b.own(fill(channels, 1), channels),
		Tracked:     torch.FromInt64([]int64{0}).Keep(),
		training:    true,
	}
}

// Forward normalises each channel by the batch's statistics, and folds them into
// the running ones, in training; by the running ones otherwise.
func (n *BatchNorm) Forward(x *torch.Tensor) *torch.Tensor {
	if n.training {
		n.Tracked.CopyFrom(binary.NativeEndian.AppendUint64(nil, uint64(n.Tracked.Int64s()[0]+1)))
	}
	return torch.BatchNorm(x, n.Weight, n.Bias, n.RunningMean, n.RunningVar,
		n.training, n.opts.Momentum, n.opts.Eps, true)
}

// Visit names the parameters, then the buffers.
func (n *BatchNorm) Visit(prefix string, f func(Entry)) {
	f(Entry{prefix + "weight", n.Weight, true})
	f(Entry{prefix + "bias", n.Bias, true})
	f(Entry{prefix + "running_mean", n.RunningMean, false})
	f(Entry{prefix + "running_var", n.RunningVar, false})
	f(Entry{prefix + "num_batches_tracked", n.Tracked, false})
}

// SetTraining chooses whose statistics Forward uses.
func (n *BatchNorm) SetTraining(on bool) { n.training = on }
