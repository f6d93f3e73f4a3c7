// Package nn has the modules between libtorch's operators (package torch) and the
// networks of packages backbone and train.
//
// # Vocabulary
//
//	module     a function of tensors with named parameters and buffers
//	entry      one of those tensors with its name
//	parameter  a tensor that the optimiser changes; requires grad
//	buffer     a tensor of the state that it does not change: batch norm's running
//	           statistics and its int64 counter of batches
//	frozen     said of a parameter that stays as it is, and of a batch norm of such parameters
//	builder    a new layer's path in the tree of modules, its device and its seed
//
// # Names
//
// Names and their order are torchvision's: StateDict of a ResNet-18 has the keys
// conv1.weight, bn1.weight, bn1.bias, bn1.running_mean, bn1.running_var,
// bn1.num_batches_tracked, layer1.0.conv1.weight, … so that weights can be exchanged
// in both directions without a mapping. Shapes are PyTorch's: convolution (out,in,kh,kw), linear
// (out,in).
//
// # Initial weights
//
// Every element is a pure function of (seed, parameter name, index), drawn in Go, in
// index order, from a PCG keyed by SHA-256(seed, name):
//
//	rng := Random(seed, "layer1.0.conv1.weight")
//	for i := range w { w[i] = float32(std · rng.Normal()) }
//
// so the weights do not depend on the order in which layers are built, the device, the
// number of threads or the machine. The code uses no transcendental function of package
// math, because their last bits differ between architectures, and puts every product in
// an explicit float64 conversion, which keeps the compiler from fusing it into a
// multiply-add.
//
// # Ownership
//
// Parameters and buffers are kept (torch.Tensor.Keep) until Free. The result of Forward
// belongs to the caller's scope. Everything runs inside torch.Do.
package nn
