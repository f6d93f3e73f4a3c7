package train

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/racetest"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/objective"
	"resslt/train/optim"
	"resslt/train/recipe"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// gpu gives the first GPU, or skips.
func gpu(t *testing.T) torch.Device {
	t.Helper()
	nntest.Torch(t)
	info, err := torch.Info()
	if err != nil {
		t.Fatal(err)
	}
	if len(info.CUDA) == 0 {
		t.Skipf("libtorch %s here sees no GPU", info.TorchVersion)
	}
	return torch.Device{Type: torch.DeviceCUDA}
}

// modes sets libtorch's switches for a test, and back.
func modes(t *testing.T, dev torch.Device, deterministic, tf32 bool) {
	t.Helper()
	set := func(deterministic, tf32 bool) {
		r := recipe.Default()
		r.Device, r.Deterministic, r.TF32 = dev.String(), deterministic, tf32
		if err := SetModes(&r); err != nil {
			t.Fatal(err)
		}
	}
	set(deterministic, tf32)
	t.Cleanup(func() { set(false, false) })
}

// oneStep is a backward pass on whose gradients devices and precisions are compared.
type oneStep struct {
	Config
	batch, size int
	input       int // of those that a formula gives
	native      bool
	rounded     bool // weights to bf16, once
	tf32        bool // weights to TF32, once
	turn        int  // places by which samples are turned, which sums in another order and nothing else

	grad      float64 // what one gradient is times, for mutations; 0 is 1
	transpose bool    // a weight, for mutations
	alpha     float64 // equation 7's; 0 is ½
}

// gradients are the student's, by parameter.
func (s oneStep) gradients(tb testing.TB) (out nntest.Values, kinks nntest.Kinks) {
	tb.Helper()
	l := newSmall(tb, s.Config)
	defer l.Free()
	out = nntest.Values{}
	nntest.Do(tb, func() {
		if s.native {
			defer torch.SetOneDNN(torch.SetOneDNN(false))
		}
		if s.rounded {
			roundWeights(l)
		}
		if s.tf32 {
			roundToTF32(l)
		}
		if s.transpose {
			for _, p := range nn.Parameters(l.student) {
				if p.Name == "backbone.layer2.1.conv2.weight" {
					nntest.Transpose(p.Tensor)
				}
			}
		}
		b, size := int64(s.batch), int64(s.size)
		view := func(name string) []*torch.Tensor {
			x := torch.FromUint8(nntest.Pixels(fmt.Sprint(name, s.input), s.batch, s.size), b, size, size, 3)
			return []*torch.Tensor{torch.Roll(x, []int64{int64(s.turn)}, []int64{0})}
		}
		var sum tally
		kinks = nntest.SeeKinks(func() {
			v := views{view("weak"), view("strong")}
			if _, err := l.gradients(v, l.batch(v, Hyper{Alpha: cmp.Or(s.alpha, 0.5)}), drawKey{}, &sum); err != nil {
				tb.Fatal(err)
			}
		})
		out.Gradients("", l.student)
	})
	if s.grad != 0 {
		out = nntest.Scaled(out, "backbone.layer3.0.conv1.weight", s.grad)
	}
	return out, kinks
}

// exact is the step in float64.
func (s oneStep) exact() oneStep {
	s.Config.Double, s.Config.BF16, s.Config.Device = true, false, torch.CPU
	return s
}

// fp32Step is one of few activations, on the input, of thirty, that keeps the student's
// ReLUs furthest from zero.
func fp32Step(tb testing.TB) (s oneStep, truth nntest.Values, kinks nntest.Kinks) {
	tb.Helper()
	s = oneStep{batch: 8, size: 8, Config: fixture(Config{
		Width: 4, Options: objective.Options{ProjHidden: 16, PredHidden: 16, Dim: 16}, QueueSize: 64, Optimizer: optim.Options{Momentum: 0.9},
	})}
	best := 0.0
	for i := range 30 {
		c := s.exact()
		c.input = i
		g, k := c.gradients(tb)
		if m := k.Margin(); m > best {
			best, s.input, truth, kinks = m, i, g, k
		}
	}
	return s, truth, kinks
}

// reference is what fp32 without oneDNN makes of the step, on the CPU, in its memory
// order (libtorch's batch norm has a kernel for each) and with the samples in four
// orders: a tensor of four elements has errors of any size.
func (s oneStep) reference(tb testing.TB, truth nntest.Values, kinks nntest.Kinks) *nntest.Reference {
	tb.Helper()
	s.native = true
	s.Config.Device, s.Config.Fused = torch.CPU, false
	var all []nntest.Values
	for _, s.turn = range []int{0, 1, 3, 5} {
		got, seen := s.gradients(tb)
		if s.turn == 0 {
			kinks.Clear(tb, "reference", seen)
		}
		all = append(all, got)
	}
	return nntest.NewReference(tb, truth, all...)
}

// roundToTF32 rounds every parameter to TF32's 10 bits of mantissa, in its own type. Inside
// torch.Do.
func roundToTF32(l *Learner) {
	for _, p := range append(nn.Parameters(l.student), nn.Parameters(l.teacher)...) {
		values := p.Tensor.Float32s()
		raw := make([]byte, 0, 4*len(values))
		for _, v := range values {
			raw = binary.NativeEndian.AppendUint32(raw, (math.Float32bits(v)+1<<12)&^(1<<13-1))
		}
		p.Tensor.CopyFrom(raw)
	}
}

// winogradError is how many times the error of a plain sum a 3×3 convolution has by Winograd's
// F(4×4,3×3) (Lavin and Gray 2015): what cuDNN may choose by its heuristics, and in benchmark
// mode by what is fastest just then. It computes Y = Aᵀ[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]A: each of the
// products that a pixel of Y sums has its rounding, and of pixels and weights of variance 1 its
// variance is that of the rows of G and B, times A's coefficient squared. A plain sum's terms
// have variance 1, three in each direction. Both sum over as many channels.
func winogradError() float64 {
	b := [6][6]float64{{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0}, {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}}
	g := [6][3]float64{{1. / 4, 0, 0}, {-1. / 6, -1. / 6, -1. / 6}, {-1. / 6, 1. / 6, -1. / 6}, {1. / 24, 1. / 12, 1. / 6}, {1. / 24, -1. / 12, 1. / 6}, {0, 0, 1}}
	a := [4][6]float64{{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}}
	square := func(row []float64) (s float64) {
		for _, v := range row {
			s += v * v
		}
		return s
	}
	var variance float64 // of a row of Y, mean over its pixels
	for _, pixel := range a {
		for k, c := range pixel {
			variance += c * c * square(g[k][:]) * square(b[k][:]) / float64(len(a))
		}
	}
	return variance / 3 // the root of its square, for rows and columns, by that of 3×3
}

// off is the distance of two gradients, of all parameters as one vector, in units of
// the second's length.
func off(a, b nntest.Values) float64 {
	var d, n float64
	for name, want := range b {
		for i, w := range want {
			x := a[name][i] - w
			d += x * x
			n += w * w
		}
	}
	return math.Sqrt(d / n)
}

// halfRoundings is by how much bf16 may be further off than float64 whose weights are
// rounded to bf16 once. That is one rounding a layer. Autocast rounds weights, a layer's
// product, its norm's output and the sum with the shortcut on the way in, and gradients
// of the weights, the product, the norm and the sum on the way back: eight independent
// roundings, √8 times the length of one. Three of them are a convolution's, which may
// cost more than a rounding (nntest.HalfError of the widest layer's channels).
func halfRoundings(tb testing.TB, channels int64) float64 {
	tb.Helper()
	var times float64
	nntest.Do(tb, func() { times = nntest.HalfError(channels) })
	return math.Sqrt(5 + 3*times*times)
}

// bf16Step is a step that bf16 leaves a direction: heads without batch norm, which
// would make 25 times as much of what features differ by.
func bf16Step() oneStep {
	return oneStep{batch: 32, size: 16, Config: fixture(Config{
		Width: 16, Options: objective.Options{ProjHidden: 128, PredHidden: 128, Dim: 32, NoHeadNorm: true}, QueueSize: 256, Optimizer: optim.Options{Momentum: 0.9},
	})}
}

// direction is the greatest distance of a gradient that still is one: 45° from the truth.
const direction = 0.7

// half is the bound of bf16's distance from the step's float64, truth. After BFloat16.
func (s oneStep) half(tb testing.TB) (truth nntest.Values, bound float64) {
	tb.Helper()
	exact := s.exact()
	truth, _ = exact.gradients(tb)
	exact.rounded = true
	rounded, _ := exact.gradients(tb)
	return truth, min(direction, halfRoundings(tb, int64(8*s.Width))*off(rounded, truth))
}

// within fails where the step's gradients are further from truth than bound.
func (s oneStep) within(tb testing.TB, truth nntest.Values, bound float64) {
	tb.Helper()
	got, _ := s.gradients(tb)
	d := off(got, truth)
	tb.Logf("%.2g from the CPU's in float64, bound %.2g", d, bound)
	if !(d <= bound) {
		tb.Errorf("gradients are %.2g from the CPU's in float64, more than %.2g", d, bound)
	}
}

// TestDeviceGradients compares the gradients of every device and precision here with the
// CPU's in float64: fp32's by what fp32 costs without oneDNN, where no ReLU can change sides, on a
// GPU times what Winograd's algorithm costs; bf16's by its epsilon and the network's depth, as
// rounded weights show them. TF32 has two bits more than bf16, and a quarter of its bound.
func TestDeviceGradients(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	s, truth, kinks := fp32Step(t)
	fp32 := func(t *testing.T, s oneStep, times float64) {
		for _, how := range []struct{ last, fused bool }{{false, false}, {true, false}, {true, true}} {
			s.ChannelsLast, s.Fused = how.last, how.fused
			ref := s.reference(t, truth, kinks)
			name := fmt.Sprintf("fp32 %+v", how)
			got, seen := s.gradients(t)
			if len(seen) > 0 { // those of a GPU's kernels are not
				kinks.Clear(t, name, seen)
			}
			ref.Times(times).Check(t, name, got)
		}
	}
	t.Run("cpu fp32", func(t *testing.T) { fp32(t, s, 1) })
	t.Run("twins fp32", func(t *testing.T) {
		c := s
		c.ChannelsLast, c.Fused = true, true
		s.reference(t, truth, kinks).Check(t, "twins fp32", c.twins(t, 0)) // whose ReLUs the step's margin is for, too
	})
	half := bf16Step()
	var coarse nntest.Values
	var bound float64
	t.Run("cpu bf16", func(t *testing.T) {
		nntest.BFloat16(t)
		coarse, bound = half.half(t)
		c := half
		c.BF16 = true
		c.within(t, coarse, bound)
		c.ChannelsLast, c.Fused = true, true
		if d := off(c.twins(t, 2), coarse); !(d <= bound) {
			t.Errorf("by the kernels' twins gradients are %.2g from the CPU's in float64, more than %.2g", d, bound)
		}
	})
	t.Run("cuda", func(t *testing.T) {
		dev := gpu(t)
		modes(t, dev, false, false)
		c := s
		c.Device = dev
		t.Run("fp32", func(t *testing.T) { fp32(t, c, winogradError()) })
		c = half
		c.Device = dev
		t.Run("bf16", func(t *testing.T) {
			c := c
			c.BF16 = true
			c.within(t, coarse, bound)
		})
		modes(t, dev, false, true)
		t.Run("tf32", func(t *testing.T) { c.within(t, coarse, bound/4) })
	})
}

// deviceMutations are what TestDeviceGradients has to see on the CPU. A fault of 1 % is
// below bf16's noise; there it is a missing term and a wrong layer.
func deviceMutations(t *testing.T) (all []nntest.Mutation) {
	s, truth, kinks := fp32Step(t)
	ref := s.reference(t, truth, kinks)
	half := bf16Step()
	half.BF16 = true
	// Where bf16 sums are rounded to bf16 term after term (nntest.HalfError), nothing
	// smaller than a lost direction is to be seen.
	coarse := !torchtest.HasBFloat16()
	if coarse {
		t.Log("this libtorch's own bf16 convolutions, without oneDNN: no faults are tried on bf16")
	}
	for fault, change := range map[string]func(*oneStep){
		"":                  func(*oneStep) {},
		"gradient 1 % off":  func(s *oneStep) { s.grad = 1.01 },
		"transposed weight": func(s *oneStep) { s.transpose = true },
		"τ_s 1 % off":       func(s *oneStep) { s.Options.TauS, s.Options.Tau = 0.101, 0.101 },
		"τ_t 1 % off":       func(s *oneStep) { s.Options.TauT *= 1.01 },
		"α 1 % off":         func(s *oneStep) { s.alpha = 0.505 },
		"InfoNCE missing":   func(s *oneStep) { s.alpha = 1 },
	} {
		c := s
		change(&c)
		for parity, bound := range map[string]*nntest.Reference{"device gradients, fp32": ref, "device gradients, fp32 of a GPU": ref.Times(winogradError())} {
			all = append(all, nntest.Mutation{Parity: parity, Fault: fault, Check: func(tb testing.TB) {
				got, _ := c.gradients(tb)
				bound.Check(tb, "fp32", got)
			}})
		}
		if fault != "" && (coarse || fault != "transposed weight" && fault != "InfoNCE missing") {
			continue
		}
		h := half
		change(&h)
		all = append(all, nntest.Mutation{Parity: "device gradients, bf16", Fault: fault, Check: func(tb testing.TB) {
			nntest.BFloat16(tb)
			truth, bound := bf16Step().half(tb)
			h.within(tb, truth, bound)
		}})
	}
	c, coarser := s, s
	c.BF16, coarser.tf32 = true, true
	all = append(all, nntest.Mutation{Parity: "device gradients, fp32 of a GPU", Fault: "TF32 in fp32's place", Check: func(tb testing.TB) {
		got, _ := coarser.gradients(tb)
		ref.Times(winogradError()).Check(tb, "fp32", got)
	}})
	return append(all, nntest.Mutation{Parity: "device gradients, fp32", Fault: "bf16 in fp32's place", Check: func(tb testing.TB) {
		nntest.BFloat16(tb)
		got, _ := c.gradients(tb)
		ref.Check(tb, "fp32", got)
	}})
}

// TestDeviceGraphs: on a GPU too, replayed steps leave the bits of steps that are not.
func TestDeviceGraphs(t *testing.T) {
	c := small
	c.Device = gpu(t)
	modes(t, c.Device, true, false)
	want, _, _ := runAsync(t, c, 24, 2)
	c.Graph = true
	got, _, why := runAsync(t, c, 24, 2)
	if why != "" {
		t.Fatalf("no graph was captured: %s", why)
	}
	sameContents(t, "replayed", want, got)
}

// TestDeviceLoop: on a GPU, prefetched batches, the teacher on its own stream, graphs and
// steps in flight leave the weights of a loop that does one thing after the other, stopped
// and resumed as well.
func TestDeviceLoop(t *testing.T) {
	gpu(t)
	const steps, stop = 40, 23
	set := []string{"device=cuda", "deterministic=true", "log_every=8", "infonce_warmup_epochs=0.5", "checkpoint_every=100"}
	r, spec := tiny(t, steps, set...)
	modes(t, torch.CUDA(0), true, false) // and back at the end
	plain, _ := tiny(t, steps, append(set, "cuda_graph=false")...)
	want := finish(t, Options{Recipe: plain, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir(), Ahead: -1, InFlight: -1})
	var notices []string
	notice := func(s string) { notices = append(notices, s) }
	whole := finish(t, Options{Recipe: r, Spec: spec, Stream: &counted{noise: noise{spec: spec}}, Out: t.TempDir(), Notice: notice})
	out := t.TempDir()
	if _, err := Run(context.Background(), Options{Recipe: r, Spec: spec, Stream: &counted{noise: noise{spec: spec, failAt: stop}}, Out: out}); !errors.Is(err, errBroker) {
		t.Fatal(err)
	}
	c, _, err := LatestCheckpoint(CheckpointDir(out))
	if err != nil || c.Step != stop {
		t.Fatalf("checkpoint %+v, %v; want step %d", c, err, stop)
	}
	resumed := finish(t, Options{Recipe: r, Spec: spec, Stream: &counted{noise: noise{spec: spec, step: stop}}, Out: out, Resume: c})
	for name, got := range map[string]Summary{"whole": whole, "resumed": resumed} {
		if got.StudentSHA256 != want.StudentSHA256 || got.TeacherSHA256 != want.TeacherSHA256 || got.QueueSHA256 != want.QueueSHA256 {
			t.Errorf("%s: student %.12s, want %.12s", name, got.StudentSHA256, want.StudentSHA256)
		}
	}
	if whole.PhaseMS.Graph <= 0 || len(notices) > 0 {
		t.Errorf("phases %+v, notices %q; want steps replayed", whole.PhaseMS, notices)
	}
	t.Logf("ms a step: %+v; one after the other: %+v", whole.PhaseMS, want.PhaseMS)
}

// TestDeviceDeterministic: with `deterministic`, two runs leave the same bits, and so
// does one that continues from a state.
func TestDeviceDeterministic(t *testing.T) {
	dev := gpu(t)
	modes(t, dev, true, false)
	for _, bf16 := range []bool{false, true} {
		c := small
		c.Device, c.BF16, c.ChannelsLast = dev, bf16, true
		run := func(stop bool) map[string][]byte {
			l := newSmall(t, c)
			defer func() { l.Free() }()
			for i := range 20 {
				if stop && i == 10 {
					state := map[string]*torch.Tensor{}
					nntest.Do(t, func() {
						for _, n := range l.State() {
							state[n.Name] = n.Tensor.To(torch.CPU, torch.Unset, false).Keep()
						}
					})
					l.Free()
					l = newSmall(t, c)
					if err := l.LoadState(state); err != nil {
						t.Fatal(err)
					}
					for _, x := range state {
						x.Free()
					}
				}
				stepOn(t, l, fmt.Sprint("image ", i), Hyper{LR: 0.01, Momentum: 0.99, Alpha: 0.5, Step: int64(i)})
			}
			return contents(t, l)
		}
		first := run(false)
		sameContents(t, fmt.Sprint("again, bf16 ", bf16), first, run(false))
		sameContents(t, fmt.Sprint("resumed, bf16 ", bf16), first, run(true))
	}
}

// TestDeviceMemoryIsFlat: 2,000 steps, eager and replayed, take what 100 take.
func TestDeviceMemoryIsFlat(t *testing.T) {
	dev := gpu(t)
	for _, graph := range []bool{false, true} {
		c := small
		c.Device, c.Graph = dev, graph
		l := newSmall(t, c)
		var weak, strong *torch.Tensor
		nntest.Do(t, func() {
			image := func(name string) *torch.Tensor {
				return torch.FromUint8(nntest.Pixels(name, smallBatch, smallSize), smallBatch, smallSize, smallSize, 3).To(dev, torch.Unset, false).Keep()
			}
			weak, strong = image("weak"), image("strong")
		})
		var early torch.CUDAMemory
		for i := range 2000 {
			s, err := l.StepAsync([]*torch.Tensor{weak}, []*torch.Tensor{strong}, Hyper{LR: 0.001, Momentum: 0.99, Alpha: 0.5, Step: int64(i), Stats: i%10 == 0})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Wait(); err != nil {
				t.Fatal(err)
			}
			if i == 100 {
				nntest.Do(t, func() { early = torch.CUDAMemoryOf(dev) })
			}
		}
		nntest.Do(t, func() {
			late := torch.CUDAMemoryOf(dev)
			t.Logf("graph %v: %d bytes in tensors, %d reserved", graph, late.Allocated, late.Reserved)
			if late.Allocated != early.Allocated || late.Reserved != early.Reserved {
				t.Errorf("graph %v: %+v after 100 steps, %+v after 2,000", graph, early, late)
			}
		})
		weak.Free()
		strong.Free()
		l.Free()
	}
}

// TestDeviceOutOfMemory: a batch that the GPU cannot hold is an error that says so,
// and the device is of use afterwards.
func TestDeviceOutOfMemory(t *testing.T) {
	dev := gpu(t)
	err := torch.Do(func() error {
		torch.ScopeDo(func() { torch.Empty([]int64{1 << 45}, torch.Uint8, dev) })
		return nil
	})
	if !errors.Is(err, errs.ErrTooLarge) {
		t.Fatalf("32 TiB on a GPU: %v", err)
	}
	c := small
	c.Device = dev
	l := newSmall(t, c)
	defer l.Free()
	stepOn(t, l, "image", hyper)
}
