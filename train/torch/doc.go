// Package torch binds libtorch: tensors, autograd and the operators that resslt
// calls, under PyTorch's names.
//
// # Vocabulary
//
//	libtorch  PyTorch's C++ libraries, from 1.13 to 2.x, CPU or CUDA.
//	shim      libresslt_torch.so: a C ABI over libtorch, built by csrc/build.sh
//	          and opened at run time. Building Go needs neither. The ABI has a
//	          version number; a shim with another one is refused.
//	op        an operator of libtorch's dispatcher, such as aten::add.Tensor,
//	          looked up by name at its first call and called with boxed arguments;
//	          or a function of the shim itself, such as resslt::backward.
//	handle    the address of a tensor object that the shim allocated; a *Tensor
//	          holds one. Two handles may share memory; each is freed on its own.
//	scope     a stretch of code whose new handles are freed at its end.
//	Do        runs a function in a scope on the device thread, the one OS thread
//	          that calls libtorch.
//
// # Ownership
//
//   - A new handle belongs to the innermost scope. It is freed when the scope
//     ends, unless the scope's function returns it: then it belongs to the enclosing
//     scope.
//   - Keep takes a handle out of all scopes: it lives across calls of Do until
//     Free. Parameters, buffers, the queue and optimiser state are kept.
//   - There are no finalizers. LiveTensors counts the handles, and tests assert that
//     the count returns to what it was.
//   - A freed handle is marked. Using it is an error that says so.
//   - End the scope of the forward pass before Backward: the graph keeps what
//     backward needs, and everything else is freed before memory peaks.
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
// OS thread, and a goroutine may move between threads. So Do has a locked thread
// of its own and runs one function at a time there; an op called anywhere else
// fails. Data loaders pass byte slices to Do's function, never tensors.
//
// Open makes OpenMP's idle threads sleep, unless the environment says otherwise
// (waiting.go), and the process uses one heap for all threads from before main on
// (dl.c). Without either, training is much slower.
//
// # Fused loops
//
// Where libtorch's ops are slow on the CPU, the shim has loops of its own (fused.go,
// csrc/fused.cc): so far 3×3 convolutions, by Winograd's algorithm. There are versions
// for AVX-512, AVX2 and NEON, which give the same bits, run on libtorch's threads, and
// fall back to libtorch's op wherever they do not apply. The environment variable
// RESSLT_TIER selects another instruction set than the best; BuildInfo.Fused reports
// the one in use.
//
// # Kernels
//
// For GPUs the shim has kernels of its own (kernels.go, csrc/kernels): ReSSL's relations to the
// queue, an optimiser's step with equation 6, the network's input, and batch norm with what follows
// it. build.sh compiles them by nvrtc into machine code that the shim embeds; without it, and
// for tensors that a kernel does not take, libtorch's ops do the work. The same source is
// compiled for the host: these twins are what tests run (SetKernelTwins).
//
// # Errors
//
// Ops return no error, so that model code reads like the paper. A failing op
// panics with a value private to this package, which Do recovers into an
// *errs.Error: one line, with the op's name and libtorch's message. Do recovers
// nothing else; any other panic continues in its caller, as a *Panic.
//
// # Operators
//
// ops.txt lists aten schemas, one a line; gen makes ops_gen.go from it. To add an
// operator, add its line and run `go generate ./train/torch`: neither C++ nor the
// ABI changes. An operator that nobody calls any more loses its line. Take operators
// whose schema is the same in 1.13 and 2.x; the shim fills in the defaults of
// arguments that a newer libtorch appends, and refuses a schema whose arguments have
// moved.
//
// Names: the schema's in CamelCase, then its overload's, unless that is the usual
// one (Tensor, self, int, ...; silentOverloads in gen lists them); the underscore of
// an in-place op comes last. So aten::add.Tensor is Add, aten::add.Scalar AddScalar,
// aten::add_.Tensor Add_, aten::sum.dim_IntList SumDim, aten::_foreach_add_.List
// ForeachAddList_.
//
// Arguments: all of them, in the schema's order. A type that is not listed needs a
// line in gen's argForms and a put function in call.go.
//
//	Tensor, Tensor?          *Tensor; nil is None, for Tensor? alone
//	Tensor[]                 []*Tensor
//	int, int?                int64, *int64
//	int[2], int[], int[]?    []int64, spelt out in full; nil is None for int[]?
//	float, bool, str         float64, bool, string
//	Scalar                   float64. An integral value is passed as an integer:
//	                         MulScalar(t, 2) of int64 is int64, as in PyTorch
//	ScalarType, ScalarType?  DType; Unset is None
//	Device?                  Device; the zero value is the CPU
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
//	tensor.go create.go dtype.go               tensors beyond the operators
//	mode.go    grad mode, autocast, flags      info.go        versions, threads
//	stream.go event.go graph.go                for GPUs; hardly any effect on the CPU
//	dist.go    process groups: collectives, synchronised batch norm
//	fused.go kernels.go                        loops and kernels of our own
//	csrc/      the shim; shim.h is the ABI     gen/           the generator
package torch

//go:generate go run ./gen -ops ops.txt -out ops_gen.go
