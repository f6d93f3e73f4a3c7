package nn

// NewHead is the two-layer head of the projector g and the predictor q (section
// 5.1): Linear → BN → ReLU → Linear, (N,in) → (N,out).
func NewHead(b Builder, in, hidden, out int64) *Sequential {
	return &Sequential{Children: []Module{
		NewLinear(b.At("0"), in, hidden),
		NewBatchNorm(b.At("1"), hidden),
		ReLU{},
		NewLinear(b.At("3"), hidden, out),
	}}
}
