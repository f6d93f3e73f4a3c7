// Package nn is the small layer of modules between libtorch's operators
// (train/torch) and the networks of train/backbone and train.
//
// # Vocabulary
//
//	module     a function of tensors with named parameters and buffers
//	entry      one of those tensors under its name
//	parameter  a tensor that the optimiser changes; requires grad
//	buffer     a tensor of the state that it does not: batch norm's running
//	           statistics and its int64 counter of batches
//	builder    where in the tree of modules a new layer stands, and its seed
//
// # Names
//
// Names and their order are torchvision's: StateDict of a ResNet-18 has the keys
// conv1.weight, bn1.weight, bn1.bias, bn1.running_mean, bn1.running_var,
// bn1.num_batches_tracked, layer1.0.conv1.weight, … so that weights go both ways
// with no mapping. Shapes are PyTorch's: convolution (out,in,kh,kw), linear
// (out,in).
//
// # Initial weights
//
// Every element is a pure function of (seed, parameter name, index), drawn in Go
// in index order from a PCG that is keyed by SHA-256(seed, name):
//
//	rng := Random(seed, "layer1.0.conv1.weight")
//	for i := range w { w[i] = float32(std · rng.Normal()) }
//
// so the order in which layers are built, the device, the number of threads and
// the machine change nothing. No transcendental function of package math is
// used, since those differ between architectures in the last bit, and every
// product stands in an explicit float64 conversion, which forbids the compiler
// to fuse it into a multiply-add.
//
// # Ownership
//
// Parameters and buffers live in the root scope (torch's Keep) until Free. What
// Forward returns belongs to the caller's scope. Everything runs inside torch.Do.
package nn
