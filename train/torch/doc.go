// Package torch is resslt's own binding of libtorch: tensors, autograd and some
// two hundred operators under PyTorch's names.
//
// # Vocabulary
//
//	libtorch  PyTorch's C++ libraries, from 1.13 to 2.x, CPU or CUDA.
//	shim      libresslt_torch.so: a C ABI over libtorch, built by csrc/build.sh
//	          and opened at run time. Building Go needs neither. The ABI has a
//	          number; a shim of another number is refused by name.
//	op        an operator of libtorch's dispatcher, such as aten::add.Tensor,
//	          found by name at its first call and called with boxed arguments; or
//	          a function of the shim itself, such as resslt::backward.
//	handle    the address of a tensor object that the shim made; a *Tensor holds
//	          one. Two handles can share a tensor's memory; each is freed by itself.
//	scope     a stretch of code whose new handles are freed at its end.
//	Do        runs a function on the device thread, the one OS thread from which
//	          libtorch is called, in a scope.
//
// # Ownership
//
//   - A new handle belongs to the innermost scope. It is freed when the scope
//     ends, unless the scope's function returns it: then it belongs to the scope
//     around.
//   - Keep moves a handle out of all scopes: it lives across calls of Do until
//     Free. Parameters, buffers, the queue and optimiser state are kept.
//   - There are no finalizers: what is alive is what the code says. LiveTensors
//     counts, and tests assert that it goes back to what it was.
//   - A freed handle is remembered as freed. Using it is an error that says so.
//   - Close the scope of the forward pass before Backward: the graph holds what
//     backward needs, and everything else is freed before the peak.
//
// A training step reads
//
//	err := torch.Do(func() error {
//		for step := range steps {
//			torch.ScopeDo(func() {
//				loss := torch.Scope(func() *torch.Tensor {
//					return loss(student(batch(step)))
//				})
//				loss.Backward()
//				torch.NoGrad(func() { optimise(params) })
//			})
//		}
//		return nil
//	})
//
// # Threads
//
// Grad mode, autocast, the current CUDA device and OpenMP's teams belong to an
// OS thread, which a goroutine does not keep. So Do has a locked thread of its
// own and runs one function at a time there; an op called anywhere else fails.
// Loaders hand byte slices to Do's function, never tensors.
//
// Open has OpenMP's threads sleep while they wait, unless the environment says
// otherwise (waiting.go), and before main the process gets one heap for all threads
// (dl.c): both cost training a good part of its speed otherwise.
//
// # Loops of the shim's own
//
// Where libtorch's ops are slow on the CPU the shim computes by loops of its own
// (fused.go, csrc/fused.cc): 3×3 convolutions so far, by Winograd's algorithm. They come
// for AVX-512, AVX2 and NEON, all of the same bits, run on libtorch's threads, and fall
// back to libtorch's op wherever they do not apply. The environment's RESSLT_TIER names
// another instruction set than the best; BuildInfo.Fused says which one runs.
//
// # Errors
//
// Ops return no error, so that model code reads like the paper. A failing op
// panics with a value private to this package, which Do recovers into an
// *errs.Error: one line, with the op's name and libtorch's message. Nothing
// else is recovered; another panic goes on in Do's caller, as a *Panic.
//
// # Operators
//
// ops.txt lists aten schemas, one a line; gen makes ops_gen.go from it. To add an
// operator, add its line and run `go generate ./train/torch`: no C++ changes, nor
// the ABI. Take those whose schema is the same in 1.13 and 2.x; the shim fills in
// the defaults of arguments that a newer libtorch has appended, and refuses a
// schema whose arguments have moved.
//
// Names: the schema's in CamelCase, then its overload's, unless that is the usual
// one (Tensor, self, int, ...; gen's silentOverloads lists them); the underscore of an
// in-place op comes last. So aten::add.Tensor is Add, aten::add.Scalar AddScalar,
// aten::add_.Tensor Add_, aten::sum.dim_IntList SumDim, aten::_foreach_add_.List
// ForeachAddList_.
//
// Arguments: all of them, in the schema's order.
//
//	Tensor, Tensor?          *Tensor; nil is None, for Tensor? alone
//	Tensor[]                 []*Tensor
//	int, int?                int64, *int64
//	int[2], int[], int[]?    []int64, spelt out in full; nil is None for int[]?
//	float, bool, str         float64, bool, string
//	Scalar, Scalar?          float64, *float64. An integral value is passed as an
//	                         integer: MulScalar(t, 2) of int64 is int64, as in PyTorch
//	ScalarType, ScalarType?  DType; Unset is None
//	Device?                  Device; the zero value is the CPU
//	Generator?               *Generator; nil draws from the device's default
//	Layout?, MemoryFormat?, bool? pin_memory: left out, None
//
// and *_like ops take dtype and device from the tensor. In-place ops return their
// first argument, the same *Tensor.
//
// # Files
//
//	open.go    finding and loading the shim    dl*.go, dl.c   dlopen; cgo or not
//	do.go      the device thread, errors       scope.go       ownership
//	call.go    arguments to words              ops_gen.go     the operators
//	stream.go event.go graph.go: a GPU's, of little or no effect on the CPU
//	tensor.go create.go dtype.go mode.go rng.go info.go: what is no operator
//	dist.go    groups of processes: collectives, synchronised batch norm
//	csrc/      the shim: shim.h is the ABI     gen/           the generator
package torch

//go:generate go run ./gen -ops ops.txt -out ops_gen.go
