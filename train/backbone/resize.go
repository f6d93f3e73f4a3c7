package backbone

import (
	"math"

	"resslt/train/torch"
)

// resizeRows resizes the first dimension of x (n,m,C) to out rows by cubic convolution, as
// torch.nn.functional.interpolate(mode="bicubic", align_corners=False) does along one axis.
// It is a product with a matrix that is computed here: libtorch's operator adds gradients
// atomically on a GPU, so that their last bits change from run to run.
func resizeRows(x *torch.Tensor, out int64) *torch.Tensor {
	s := x.Shape()
	if s[0] == out {
		return x
	}
	w := torch.FromFloat64(cubicWeights(s[0], out), out, s[0]).To(x.Device(), x.DType(), false)
	y := torch.Mm(w, torch.Reshape(x, []int64{s[0], s[1] * s[2]}))
	return torch.Reshape(y, []int64{out, s[1], s[2]})
}

// cubicWeights is (out,in), row-major: the weights of Keys' kernel with a = −0.75 at the
// four samples around (i+½)·in/out − ½; samples beyond the border are the border's.
func cubicWeights(in, out int64) []float64 {
	w := make([]float64, out*in)
	for i := range out {
		at := float64((float64(i)+0.5)*float64(in)/float64(out)) - 0.5
		first := math.Floor(at)
		for k := -1; k <= 2; k++ {
			j := min(max(int64(first)+int64(k), 0), in-1)
			w[i*in+j] += keys(math.Abs(at - first - float64(k)))
		}
	}
	return w
}

// keys is Keys' cubic convolution kernel at a distance 0 ≤ d ≤ 2 (Keys 1981).
func keys(d float64) float64 {
	const a = -0.75
	if d <= 1 {
		return float64(float64((float64((a+2)*d)-(a+3))*d)*d) + 1
	}
	return float64(float64((float64((float64(a*d)-5*a)*d)+8*a)*d)) - 4*a
}
