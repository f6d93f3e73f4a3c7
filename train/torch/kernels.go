package torch

// A GPU's own kernels: csrc/kernels. They were compiled when the shim was built, and
// are there for a device or not; what they do not take goes to libtorch's ops. The last
// bits differ from those.

var (
	fnKernels         = op{name: "resslt::kernels", args: "device"}
	fnAttend          = op{name: "resslt::attend", args: "z,queue,tau"}
	fnBatchNormReLU   = op{name: "resslt::batch_norm_relu", args: "input,weight,bias,running_mean,running_var,residual,momentum,eps,relu"}
	fnNormalizePixels = op{name: "resslt::normalize_pixels", args: "input,scale0,scale1,scale2,shift0,shift1,shift2,dtype"}
	fnOptimStep       = op{name: "resslt::optim_step", args: "kind,params,grads,moments,seconds,averages,places,scales,lr,decay,momentum,beta2,first_bias,second_root,eps,eta,average,nesterov"}
)

var fnKernelTwin = op{name: "resslt::kernel_twin", args: "order"}

// twinned: tests have given the CPU the kernels' twins.
var twinned bool

// TwinOrders is in how many orders a twin can run the threads of a block.
const TwinOrders = 3

// SetKernelTwins gives the CPU the kernels' twins, the same source compiled for the host, whose
// threads run one after the other in one of TwinOrders orders; −1 takes them away. It is for
// tests (torchtest.Twins): twins are slow.
func SetKernelTwins(order int) {
	twinned = order >= 0
	if !twinned {
		order = TwinOrders
	}
	fnKernelTwin.none(putInt(nil, int64(order)))
}

// Kernels reports whether kernels of our own take tensors of the device, and compute there what
// libtorch's operators do (KernelsOff): its first call for a GPU tries them. It runs inside Do.
func Kernels(d Device) bool { return hasKernels(d) && KernelsOff(d) == "" }

func hasKernels(d Device) bool {
	if d.Type == DeviceCPU {
		return twinned
	}
	var b [2]uint64
	return fnKernels.word(putDevice(b[:0], d)) != 0
}

// Attended is what the similarities s = z·Qᵀ of unit rows to a queue come to at a temperature
// τ, with p = softmax(s/τ).
type Attended struct {
	LSE  *Tensor // (B): log Σ_k exp(s_k/τ), through which gradients flow to z
	Mean *Tensor // (B,D): Σ_k p_k·q_k, without gradient
	Best *Tensor // (B) int64: argmax_k s_k
}

// Attend computes Attended of z (B,D) and queue (K,D). With kernels the similarities stay on
// chip; their products are in TF32 where that is allowed for matrix products (SetAllowTF32),
// else as accurate as float32.
func Attend(z, queue *Tensor, tau float64) Attended {
	var b [6]uint64
	var out result
	fnAttend.invoke(putDouble(putTensor(putTensor(b[:0], z), queue), tau), nil, &out)
	r := resultWords(&out)
	return Attended{own(r[0]), own(r[1]), own(r[2])}
}

// BatchNormReLU is batch norm in training, plus residual where it is not nil, and ReLU where
// asked for. weight and bias may be nil. It moves the running statistics.
func BatchNormReLU(input, weight, bias, runningMean, runningVar, residual *Tensor, momentum, eps float64, relu bool) *Tensor {
	var b [18]uint64
	w := putOptTensor(putOptTensor(putTensor(b[:0], input), weight), bias)
	w = putOptTensor(putTensor(putTensor(w, runningMean), runningVar), residual)
	return fnBatchNormReLU.one(putBool(putDouble(putDouble(w, momentum), eps), relu))
}

// NormalizePixels maps input (N,S,S,3) uint8 to input·scale + shift by channel: (N,3,S,S) in
// channels_last, in Float32 or BFloat16. The bits are those of Mul and Add.
func NormalizePixels(input *Tensor, scale, shift [3]float64, dtype DType) *Tensor {
	var b [16]uint64
	w := putTensor(b[:0], input)
	for _, v := range [][3]float64{scale, shift} {
		for _, x := range v {
			w = putDouble(w, x)
		}
	}
	return fnNormalizePixels.one(putDType(w, dtype))
}

// Kinds of OptimStep.
const (
	StepSGD int64 = iota
	StepLARS
	StepAdamW
)

// OptimStep is an optimiser's step over whole lists and equation 6, in one pass over memory.
// Package optim has the equations.
type OptimStep struct {
	Kind            int64
	Params, Grads   []*Tensor
	Moments         []*Tensor // momentum buffers or first moments; nil without
	Seconds         []*Tensor // AdamW's
	Averages        []*Tensor // of some parameters, whose numbers are
	Averaged        []int
	Decayed         []int     // numbers of the parameters that decay; LARS adapts them
	Scales          []float64 // of the learning rate, one a parameter; nil for 1
	LR, WeightDecay float64
	Momentum, Beta2 float64 // μ or β₁; β₂
	First, Second   float64 // AdamW: 1−β₁ᵗ, √(1−β₂ᵗ)
	Eps, Eta        float64
	Average         float64 // m of equation 6
	Nesterov        bool
}

// Run takes the step, or reports false and has moved nothing: where there are no kernels, or a
// tensor is not as they take it. It reads gradients only.
func (s OptimStep) Run() bool {
	w := putTensors(putTensors(putInt(nil, s.Kind), s.Params), s.Grads)
	w = putTensors(putTensors(putTensors(w, s.Moments), s.Seconds), s.Averages)
	places := make([]int64, 0, len(s.Averaged)+len(s.Decayed))
	for _, list := range [][]int{s.Averaged, s.Decayed} {
		for _, i := range list {
			places = append(places, int64(i))
		}
	}
	w = putDoubles(putInts(w, places), s.Scales)
	for _, v := range []float64{s.LR, s.WeightDecay, s.Momentum, s.Beta2, s.First, s.Second, s.Eps, s.Eta, s.Average} {
		w = putDouble(w, v)
	}
	return fnOptimStep.word(putBool(w, s.Nesterov)) != 0
}
