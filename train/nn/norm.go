package nn

import "resslt/train/torch"

// NormOptions are batch norm's constants. Zero values mean PyTorch's defaults.
type NormOptions struct {
	Momentum float64 // weight of the batch in the running statistics; default 0.1
	Eps      float64 // added to the variance; default 1e-5
	NoAffine bool    // no weight and no bias
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
	Weight, Bias            *torch.Tensor // (C); nil with NoAffine
	RunningMean, RunningVar *torch.Tensor // (C)
	// Tracked counts the batches seen in training, () int64: PyTorch's
	// num_batches_tracked, which also keys stochastic depth. It stays on the CPU, where
	// counting needs neither a kernel nor a wait.
	Tracked *torch.Tensor

	opts     NormOptions
	groups   int          // of rows, at least 1
	ranks    *torch.Group // whose rows share statistics; nil: this process's
	kernels  bool         // in training, a GPU's own kernels
	training bool
	frozen   bool // stays in evaluation mode
}

// NewBatchNorm starts as the identity on normalised input, in training mode, with
// PyTorch's constants.
func NewBatchNorm(b Builder, channels int64) *BatchNorm {
	return NewBatchNormWith(b, channels, NormOptions{})
}

// NewBatchNormWith is NewBatchNorm with other constants.
func NewBatchNormWith(b Builder, channels int64, o NormOptions) *BatchNorm {
	n := &BatchNorm{
		opts:        o.applyDefaults(),
		groups:      max(1, b.BatchNormGroups),
		ranks:       b.SyncBatchNorm,
		kernels:     b.Fused && torch.Kernels(b.Device),
		RunningMean: b.own(fill(channels, 0), channels),
		RunningVar:  b.own(fill(channels, 1), channels),
		Tracked:     torch.FromInt64([]int64{0}).Keep(),
		training:    true,
	}
	if !o.NoAffine {
		n.Weight, n.Bias = b.filled("weight", 1, channels), b.filled("bias", 0, channels)
		n.frozen = b.frozen("weight") && b.frozen("bias")
		n.training = !n.frozen
	}
	return n
}

// Forward normalises each channel. In training it uses the batch's statistics and
// updates the running ones; in evaluation it uses the running ones. With groups, each of
// so many equal blocks of rows has statistics of its own, and the running ones become
// the groups' mean (MoCo's SplitBatchNorm); the number of rows must be a multiple of the
// number of groups. A synchronised norm's batch is that of all ranks.
func (n *BatchNorm) Forward(x *torch.Tensor) *torch.Tensor {
	if n.training {
		countUp(n.Tracked)
	}
	if n.training && n.groups > 1 {
		return torch.Scope(func() *torch.Tensor { return n.grouped(x) })
	}
	if n.training && n.ranks != nil {
		return n.ranks.SyncBatchNorm(x, n.Weight, n.Bias, n.RunningMean, n.RunningVar, n.opts.Momentum, n.opts.Eps)
	}
	return n.normalize(x, n.RunningMean, n.RunningVar)
}

// ForwardReLU is relu(Forward(x) + shortcut()), without the sum where shortcut is nil: one pass
// over memory where a GPU has kernels for it (torch.BatchNormReLU).
func (n *BatchNorm) ForwardReLU(x *torch.Tensor, shortcut func() *torch.Tensor) *torch.Tensor {
	if !n.kernels || !n.training || n.groups > 1 || n.ranks != nil {
		y := n.Forward(x)
		if shortcut != nil {
			y = torch.Add_(y, shortcut(), 1)
		}
		return torch.Relu_(y)
	}
	countUp(n.Tracked)
	var residual *torch.Tensor
	if shortcut != nil {
		residual = shortcut()
	}
	return torch.BatchNormReLU(x, n.Weight, n.Bias, n.RunningMean, n.RunningVar, residual, n.opts.Momentum, n.opts.Eps, true)
}

func (n *BatchNorm) normalize(x, mean, variance *torch.Tensor) *torch.Tensor {
	if n.kernels && n.training {
		return torch.BatchNormReLU(x, n.Weight, n.Bias, mean, variance, nil, n.opts.Momentum, n.opts.Eps, false)
	}
	return torch.BatchNorm(x, n.Weight, n.Bias, mean, variance, n.training, n.opts.Momentum, n.opts.Eps, true)
}

func (n *BatchNorm) grouped(x *torch.Tensor) *torch.Tensor {
	g := int64(n.groups)
	mean := torch.Repeat(torch.Unsqueeze(n.RunningMean, 0), []int64{g, 1}) // (G,C)
	variance := torch.Repeat(torch.Unsqueeze(n.RunningVar, 0), []int64{g, 1})
	parts := torch.Chunk(x, g, 0)
	for i, p := range parts {
		parts[i] = n.normalize(p, torch.Select(mean, 0, int64(i)), torch.Select(variance, 0, int64(i)))
	}
	torch.NoGrad(func() {
		torch.Copy_(n.RunningMean, torch.MeanDim(mean, []int64{0}, false, torch.Unset), false)
		torch.Copy_(n.RunningVar, torch.MeanDim(variance, []int64{0}, false, torch.Unset), false)
	})
	return torch.Cat(parts, 0)
}

// Visit names the parameters, then the buffers.
func (n *BatchNorm) Visit(prefix string, f func(Entry)) {
	if n.Weight != nil {
		f(Entry{prefix + "weight", n.Weight, true})
		f(Entry{prefix + "bias", n.Bias, true})
	}
	f(Entry{prefix + "running_mean", n.RunningMean, false})
	f(Entry{prefix + "running_var", n.RunningVar, false})
	f(Entry{prefix + "num_batches_tracked", n.Tracked, false})
}

// SetTraining selects the statistics that Forward uses. A frozen norm always uses the running
// ones, and so keeps them.
func (n *BatchNorm) SetTraining(on bool) { n.training = on && !n.frozen }
