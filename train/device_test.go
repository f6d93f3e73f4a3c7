package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"resslt/schemas"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/optim"
	"resslt/train/recipe"
	"resslt/train/torch"
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

// gradients are the student's after one backward pass, in fp32 on the host.
func gradients(t *testing.T, c Config) map[string][]float32 {
	t.Helper()
	const b, size = 32, 32
	l := newSmall(t, c)
	defer l.Free()
	out := map[string][]float32{}
	nntest.Do(t, func() {
		view := func(name string) []*torch.Tensor {
			return []*torch.Tensor{torch.FromUint8(nntest.Pixels(name, b, size), b, size, size, 3)}
		}
		var sum tally
		if _, err := l.backward(view("weak"), view("strong"), Hyper{Alpha: 0.5}, &sum); err != nil {
			t.Fatal(err)
		}
		for _, p := range nn.Parameters(l.student) {
			out[p.Name] = p.Tensor.Grad().To(torch.CPU, torch.Float32, false).Float32s()
		}
	})
	return out
}

// off is the distance of two gradients, of all parameters as one vector, in units of
// the second's length.
func off(a, b map[string][]float32) float64 {
	var d, n float64
	for name, want := range b {
		for i, w := range want {
			d += math.Pow(float64(a[name][i])-float64(w), 2)
			n += float64(w) * float64(w)
		}
	}
	return math.Sqrt(d / n)
}

// TestDeviceGradients holds the gradients of every device and precision here against
// the CPU's in float64. fp32 has 1e-4. bf16 rounds to 8 bits, and the temperatures
// make 25 times of an embedding's error a logit's, so what it costs is measured on the
// CPU: a GPU may cost half as much again, and TF32, which has 3 bits more, a quarter.
func TestDeviceGradients(t *testing.T) {
	nntest.Torch(t)
	c := Config{
		Width: 16, SmallStem: true, ProjHidden: 128, PredHidden: 128, EmbedDim: 32, QueueSize: 256, TauT: 0.04,
		Optimizer: optim.Options{Momentum: 0.9}, Seed: 5,
	}
	c.Double = true
	truth := gradients(t, c)
	c.Double = false
	check := func(name string, c Config, bound float64) (d float64) {
		t.Run(name, func(t *testing.T) {
			d = off(gradients(t, c), truth)
			t.Logf("%.2g from the CPU's in float64, bound %.2g", d, bound)
			if !(d <= bound) {
				t.Errorf("gradients are %.2g from the CPU's in float64, more than %.2g", d, bound)
			}
		})
		return d
	}
	half := c
	half.BF16 = true
	check("cpu fp32", c, 1e-4)
	known := check("cpu bf16", half, 0.6)
	t.Run("cuda", func(t *testing.T) {
		c.Device, half.Device = gpu(t), gpu(t)
		modes(t, c.Device, false, false)
		check("fp32", c, 1e-4)
		check("bf16", half, 1.5*known)
		modes(t, c.Device, false, true)
		check("tf32", c, known/4)
	})
}

// TestDeviceGraphs: on a GPU too, replayed steps leave the bits of launched ones.
func TestDeviceGraphs(t *testing.T) {
	c := small
	c.Device = gpu(t)
	modes(t, c.Device, true, false)
	want, _, _ := launches(t, c, 24, 2)
	c.Graph = true
	got, _, why := launches(t, c, 24, 2)
	if why != "" {
		t.Fatalf("no graph was captured: %s", why)
	}
	sameContents(t, "replayed", want, got)
}

// TestDeviceLoop: on a GPU, what runs ahead, beside and as one (batches, teacher,
// graphs, losses seen late) leaves the weights of a loop that does one thing after the
// other, stopped and resumed as well.
func TestDeviceLoop(t *testing.T) {
	gpu(t)
	const steps, stop = 40, 23
	set := []string{"device=cuda", "deterministic=true", "log_every=8", "infonce_warmup_epochs=0.5", "checkpoint_every=100"}
	r, spec := tiny(t, steps, set...)
	modes(t, torch.CUDA(0), true, false) // and back at the end
	plain, _ := tiny(t, steps, append(set, "cuda_graph=false")...)
	want := finish(t, Options{Recipe: plain, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir(), Ahead: -1, InFlight: -1})
	var said []string
	notice := func(s string) { said = append(said, s) }
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
	if whole.PhaseMS.Graph <= 0 || len(said) > 0 {
		t.Errorf("phases %+v, told %q; want steps replayed", whole.PhaseMS, said)
	}
	t.Logf("ms a step: %+v; one after the other: %+v", whole.PhaseMS, want.PhaseMS)
}

// TestDeviceDeterministic: with `deterministic`, two runs leave the same bits, and so
// does one that goes on from a state.
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
			s, err := l.Launch([]*torch.Tensor{weak}, []*torch.Tensor{strong}, Hyper{LR: 0.001, Momentum: 0.99, Alpha: 0.5, Step: int64(i), Stats: i%10 == 0})
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
	if !errors.Is(err, schemas.ErrTooLarge) {
		t.Fatalf("32 TiB on a GPU: %v", err)
	}
	c := small
	c.Device = dev
	l := newSmall(t, c)
	defer l.Free()
	stepOn(t, l, "image", hyper)
}
