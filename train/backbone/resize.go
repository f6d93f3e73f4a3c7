package backbone

import (
	"math"

	"resslt/train/torch"
)

// ResizePositions resizes a Vision Transformer's positions (1,1+n²,C) to images of side patches a
// row, as its Forward does for images of another size: bicubically and, where they become fewer,
// without a filter before. DINO's, MAE's and DeiT's code do so; timm filters first.
func ResizePositions(x *torch.Tensor, side int64) *torch.Tensor {
	n := SideOf(x.Size(1))
	if n == side {
		return x
	}
	return torch.Scope(func() *torch.Tensor { return positionsFor(x, n, side, side) })
}

// positionsFor is positions x, of n rows of n patches, for h rows of w.
func positionsFor(x *torch.Tensor, n, h, w int64) *torch.Tensor {
	c := x.Size(2)
	grid := torch.Reshape(torch.Narrow(x, 1, 1, n*n), []int64{n, n, c})
	grid = resizeRows(grid, h)                                              // (h,n,C)
	grid = resizeRows(torch.Transpose(grid, 0, 1), w)                       // (w,h,C)
	grid = torch.Reshape(torch.Transpose(grid, 0, 1), []int64{1, h * w, c}) // rows first
	return torch.Cat([]*torch.Tensor{torch.Narrow(x, 1, 0, 1), grid}, 1)
}

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
