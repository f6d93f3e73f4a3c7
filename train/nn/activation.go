package nn

import "resslt/train/torch"

// ReLU is max(x, 0), in place: the caller must not need its input again.
type ReLU struct{ Stateless }

// Forward overwrites x.
func (ReLU) Forward(x *torch.Tensor) *torch.Tensor { return torch.Relu_(x) }

// SiLU is x·sigmoid(x), as in EfficientNet; it keeps x, which its derivative needs.
type SiLU struct{ Stateless }

// Forward maps elementwise.
func (SiLU) Forward(x *torch.Tensor) *torch.Tensor { return torch.Silu(x) }

// GELU is x·Φ(x), as in DINO's head; it keeps x, which its derivative needs.
type GELU struct{ Stateless }

// Forward maps elementwise.
func (GELU) Forward(x *torch.Tensor) *torch.Tensor { return torch.Gelu(x, "none") }

// Hardswish is x·min(max(x+3, 0), 6)/6, as in MobileNetV3; it keeps x, which its
// derivative needs.
type Hardswish struct{ Stateless }

// Forward maps elementwise.
func (Hardswish) Forward(x *torch.Tensor) *torch.Tensor { return torch.Hardswish(x) }

// Sigmoid is 1/(1+e⁻ˣ).
type Sigmoid struct{ Stateless }

// Forward maps elementwise.
func (Sigmoid) Forward(x *torch.Tensor) *torch.Tensor { return torch.Sigmoid(x) }

// Hardsigmoid is min(max(x+3, 0), 6)/6.
type Hardsigmoid struct{ Stateless }

// Forward maps elementwise.
func (Hardsigmoid) Forward(x *torch.Tensor) *torch.Tensor { return torch.Hardsigmoid(x) }
