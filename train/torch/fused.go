package torch

var fnConv3x3 = op{name: "resslt::conv3x3", args: "input,weight"}

// Conv3x3 convolves input (N,C,H,W) with weight (O,C,3,3), stride 1, padding 1, without
// bias: (N,O,H,W). On the CPU, for float32 in channels_last and at least 32 channels, it
// uses Winograd's F(2×2,3×3) (csrc/winograd.h): 16 products instead of 36. The results
// are as accurate as libtorch's but differ in the last bits; they are the same for every
// number of threads and every instruction set. Elsewhere it is Conv2d.
func Conv3x3(input, weight *Tensor) *Tensor {
	var b [4]uint64
	return fnConv3x3.one(putTensor(putTensor(b[:0], input), weight))
}
