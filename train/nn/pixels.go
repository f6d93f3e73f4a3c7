package nn

import (
	"fmt"
	"slices"

	"resslt/schemas/errs"
	"resslt/train/torch"
)

// ImageNet's pixel statistics by channel (red, green, blue), of values in 0–1: what
// torchvision's models take, and the recipe's defaults.
var (
	ImageNetMean = [3]float64{0.485, 0.456, 0.406}
	ImageNetStd  = [3]float64{0.229, 0.224, 0.225}
)

// Pixels converts stored pixels to the network's input on the training device:
// (x/255 − mean)/std by channel, as one multiplication and one addition.
type Pixels struct {
	b            Builder
	scale, shift *torch.Tensor // (1,3,1,1): 1/(255·std), −mean/std

	kernels    bool // a GPU's own kernel, which takes these numbers
	mul, add   [3]float64
	kernelType torch.DType // what it writes
}

// NewPixels makes the transform for a network built by b; if mean and std are both zero,
// they are ImageNet's. It runs inside torch.Do and lives until Free.
func NewPixels(mean, std [3]float64, b Builder) (*Pixels, error) {
	if mean == ([3]float64{}) && std == ([3]float64{}) {
		mean, std = ImageNetMean, ImageNetStd
	}
	var scale, shift [3]float64
	for c := range 3 {
		if !(std[c] > 0) {
			return nil, errs.New("pixel statistics", "std", "give three positive numbers, of pixels in 0–1",
				errs.Because(errs.ErrUsage, fmt.Sprintf("is %v", std)))
		}
		scale[c], shift[c] = 1/float64(255*std[c]), -mean[c]/std[c]
	}
	constant := func(v [3]float64) *torch.Tensor {
		return b.place(func() *torch.Tensor { return torch.FromFloat64(v[:], 1, 3, 1, 1) })
	}
	return &Pixels{
		b: b, scale: constant(scale), shift: constant(shift),
		kernels: b.Fused && b.ChannelsLast && !b.Double && torch.Kernels(b.Device), mul: scale, add: shift, kernelType: torch.Float32,
	}, nil
}

// Halve lets Forward give bfloat16 where that costs nothing: for a network in autocast, which
// would round the input to it, to the same bits.
func (p *Pixels) Halve() { p.kernelType = torch.BFloat16 }

// CheckPixels returns an error that wraps errs.ErrUsage unless x is a batch of images,
// (N,S,S,3) uint8.
func CheckPixels(x *torch.Tensor) error {
	if s := x.Shape(); len(s) != 4 || s[1] != s[2] || s[3] != 3 || x.DType() != torch.Uint8 || slices.Contains(s, 0) {
		return errs.New("normalise pixels", x.String(), "give (N,S,S,3) uint8", errs.ErrUsage)
	}
	return nil
}

// Forward maps x (N,S,S,3) uint8, on any device, to (N,3,S,S) float on the network's
// device. Its error is that of CheckPixels.
func (p *Pixels) Forward(x *torch.Tensor) (*torch.Tensor, error) {
	if err := CheckPixels(x); err != nil {
		return nil, err
	}
	return torch.Scope(func() *torch.Tensor {
		// Copy uint8 to the device, a quarter of float's bytes. The permuted view is NHWC
		// in memory, and the conversion keeps that order.
		x = x.To(p.b.Device, torch.Uint8, true)
		if p.kernels {
			return torch.NormalizePixels(x, p.mul, p.add, p.kernelType)
		}
		y := torch.Permute(x, []int64{0, 3, 1, 2}).To(p.b.Device, p.b.dtype(), false)
		if !p.b.ChannelsLast {
			y = torch.Contiguous(y, torch.ContiguousFormat)
		}
		return torch.Add_(torch.Mul_(y, p.scale), p.shift, 1)
	}), nil
}

// Free releases the constants.
func (p *Pixels) Free() {
	p.scale.Free()
	p.shift.Free()
}
