package torch

var (
	fnGradMode   = op{name: "resslt::set_grad_enabled", args: "enabled"}
	fnAutocast   = op{name: "resslt::set_autocast", args: "device_type,dtype,enabled,depth"}
	fnAutocastIs = op{name: "resslt::autocast", args: "device_type"}
	fnDetermine  = op{name: "resslt::set_deterministic", args: "enabled"}
	fnTF32       = op{name: "resslt::set_allow_tf32", args: "enabled"}
	fnBenchmark  = op{name: "resslt::set_cudnn_benchmark", args: "enabled"}
	fnOneDNN     = op{name: "resslt::set_onednn", args: "enabled"}
	fnSync       = op{name: "resslt::synchronize", args: "device"}
)

// NoGrad runs fn without recording history for backward.
func NoGrad(fn func()) {
	was := setGrad(false)
	defer setGrad(was)
	fn()
}

// setGrad switches grad mode and returns what it was.
func setGrad(on bool) (was bool) {
	var b [2]uint64
	return fnGradMode.word(putBool(b[:0], on)) != 0
}

// Autocast runs fn with autocast on: convolutions and products on the device type
// compute in dtype (BFloat16, or Float16 on CUDA), ops that need more range stay in
// float32. Call Backward outside. Casts of weights are cached until the outermost
// Autocast ends.
func Autocast(device DeviceType, dtype DType, fn func()) {
	was := autocastOf(device)
	setAutocast(device, dtype, true, +1)
	defer setAutocast(device, was.dtype, was.on, -1)
	fn()
}

type autocastState struct {
	on    bool
	dtype DType
}

func autocastOf(device DeviceType) autocastState {
	var b [2]uint64
	r := fnAutocastIs.words(putInt(b[:0], int64(device)))
	return autocastState{on: r[0] != 0, dtype: DType(r[1])}
}

// setAutocast: depth is +1 on the way in, -1 on the way out.
func setAutocast(device DeviceType, dtype DType, on bool, depth int64) {
	var b [8]uint64
	w := putInt(b[:0], int64(device))
	w = putDType(w, dtype)
	w = putBool(w, on)
	fnAutocast.none(putInt(w, depth))
}

// SetDeterministic makes every op, and cuDNN, choose a deterministic algorithm or
// fail. CUDA products also need CUBLAS_WORKSPACE_CONFIG=:4096:8 in the environment.
// It holds for the process.
func SetDeterministic(on bool) {
	var b [2]uint64
	fnDetermine.none(putBool(b[:0], on))
}

// SetAllowTF32 lets CUDA compute float32 products and convolutions with 10-bit
// mantissas. It holds for the process.
func SetAllowTF32(on bool) {
	var b [2]uint64
	fnTF32.none(putBool(b[:0], on))
}

// SetCuDNNBenchmark lets cuDNN time its convolution algorithms and take the
// fastest, which may differ from run to run. It holds for the process.
func SetCuDNNBenchmark(on bool) {
	var b [2]uint64
	fnBenchmark.none(putBool(b[:0], on))
}

// SetOneDNN lets libtorch's CPU convolutions and products use oneDNN, which is the
// default; when off, they use libtorch's own kernels and BLAS. It holds for the process
// and returns the previous setting.
func SetOneDNN(on bool) (was bool) {
	var b [2]uint64
	return fnOneDNN.word(putBool(b[:0], on)) != 0
}

// Synchronize waits until the device has finished all its work. On the CPU nothing is
// ever pending.
func Synchronize(device Device) {
	var b [2]uint64
	fnSync.none(putDevice(b[:0], device))
}
