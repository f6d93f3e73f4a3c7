package nntest

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"path/filepath"

	"resslt/train/nn"
	"resslt/train/torch"
)

// hash is raw of fixtures.py: element i of a name's key, by SplitMix64 in counter mode.
func hash(key uint64, i int) uint64 {
	x := key + uint64(i+1)*0x9E3779B97F4A7C15
	x ^= x >> 30
	x *= 0xBF58476D1CE4E5B9
	x ^= x >> 27
	x *= 0x94D049BB133111EB
	return x ^ x>>31
}

func key(name string) uint64 {
	sum := sha256.Sum256([]byte(name))
	return binary.LittleEndian.Uint64(sum[:8])
}

// Formula is n numbers, uniform in [shift−scale, shift+scale).
func Formula(name string, n int, scale, shift float64) []float32 {
	out, k := make([]float32, n), key(name)
	for i := range out {
		u := float64(float64(hash(k, i)>>40)*0x1p-23) - 1
		out[i] = float32(float64(u*scale) + shift)
	}
	return out
}

// FormulaTensor is Formula as a tensor of the current scope.
func FormulaTensor(name string, scale, shift float64, shape ...int64) *torch.Tensor {
	n := 1
	for _, s := range shape {
		n *= int(s)
	}
	return torch.FromFloat32(Formula(name, n, scale, shift), shape...)
}

// Labels is n labels below classes, as generate.py draws them for evaluation.
func Labels(name string, n, classes int) []int32 {
	out, k := make([]int32, n), key(name)
	for i := range out {
		out[i] = int32(hash(k, i) % uint64(classes))
	}
	return out
}

// Pixels is n images of size×size, HWC, as in pixels of fixtures.py: one quarter noise,
// three quarters 4×4 blocks of colour. size is a multiple of 4.
func Pixels(name string, n, size int) []byte {
	noise, blocks := key(name), key(name+" blocks")
	out := make([]byte, 0, n*size*size*3)
	for i := range n * size * size * 3 {
		c, x, y, img := i%3, i/3%size, i/3/size%size, i/3/size/size
		block := ((img*(size/4)+y/4)*(size/4)+x/4)*3 + c
		out = append(out, byte(hash(noise, i)>>56/4+hash(blocks, block)>>56*3/4))
	}
	return out
}

// Fill sets every parameter and buffer of m as fill of fixtures.py does.
func Fill(m nn.Module, prefix string) {
	torch.NoGrad(func() {
		for _, n := range nn.StateDict(m) {
			torch.ScopeDo(func() { fillOne(prefix, n) })
		}
	})
}

func fillOne(prefix string, n nn.Named) {
	name, shape := prefix+n.Name, n.Tensor.Shape()
	vector := func(scale, shift float64) *torch.Tensor { return FormulaTensor(name, scale, shift, shape...) }
	switch base := filepath.Ext(n.Name); {
	case base == ".num_batches_tracked":
	case len(shape) > 1:
		torch.Copy_(n.Tensor, vector(math.Sqrt(6/float64(n.Tensor.Numel()/shape[0])), 0), false)
	case base == ".running_var", base == ".weight":
		torch.Copy_(n.Tensor, vector(0.25, 1), false)
	default:
		torch.Copy_(n.Tensor, vector(0.1, 0), false)
	}
}

// samples is SAMPLES of fixtures.py.
const samples = 24

// Digest is digest of fixtures.py: the largest magnitude of a tensor's elements, then
// elements at hashed positions.
func Digest(name string, elements []float64) []float64 {
	out := make([]float64, 1, 1+samples)
	for _, v := range elements {
		out[0] = max(out[0], math.Abs(v))
	}
	k := key("sample " + name)
	for i := range samples {
		out = append(out, elements[hash(k, i)%uint64(len(elements))])
	}
	return out
}
