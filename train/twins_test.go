package train

import (
	"math"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// twins are the gradients by the twins of a GPU's kernels. relus is how many ReLUs follow no
// batch norm, and so are in no kernel.
func (s oneStep) twins(tb testing.TB, relus int) (out nntest.Values) {
	tb.Helper()
	nntest.Do(tb, func() {
		torchtest.Twins(func(order int) {
			if order > 0 {
				return
			}
			var kinks nntest.Kinks
			if out, kinks = s.gradients(tb); len(kinks) != relus {
				tb.Errorf("%d ReLUs are in no kernel, want %d", len(kinks), relus)
			}
		})
	})
	return out
}

// TestKernelsFollow: a step with Fused goes by the kernels, their twins and those of a GPU that is
// here, and in the optimiser's the teacher follows parameter by parameter, as equation 6 has it.
func TestKernelsFollow(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	s, _, _ := fp32Step(t)
	s.ChannelsLast, s.Fused = true, true
	t.Run("twins", func(t *testing.T) {
		nntest.Do(t, func() {
			torchtest.Twins(func(order int) {
				if order == 0 {
					s.follow(t)
				}
			})
		})
	})
	t.Run("cuda", func(t *testing.T) {
		s.Device = gpu(t)
		nntest.Do(t, func() { s.follow(t) })
	})
}

// follow takes a step and compares the teacher with what it must be. Inside torch.Do.
func (s oneStep) follow(t *testing.T) {
	t.Helper()
	l := newSmall(t, s.Config)
	defer l.Free()
	weights := func(m nn.Module) nntest.Values {
		out := nntest.Values{}
		for _, p := range nn.Parameters(m) {
			out.Take(p.Name, p.Tensor)
		}
		return out
	}
	before := weights(l.teacher)
	view := func(name string) []*torch.Tensor {
		size := int64(s.size)
		return []*torch.Tensor{torch.FromUint8(nntest.Pixels(name, s.batch, s.size), int64(s.batch), size, size, 3)}
	}
	const m = 0.75
	calls := map[string]int{}
	torch.Watch(func(op string, _ *torch.Tensor) { calls[op]++ }, func() {
		if _, err := l.Step(view("weak"), view("strong"), Hyper{LR: 0.1, Momentum: m, Alpha: 1}); err != nil {
			t.Fatal(err)
		}
	})
	// ResNet-18 has 20 batch norms, projector and predictor one each; ReSSL attends twice.
	for op, want := range map[string]int{
		"resslt::batch_norm_relu": 2*20 + 3, "resslt::attend": 2, "resslt::normalize_pixels": 2, "resslt::optim_step": 1,
		"aten::relu_": 0, "aten::batch_norm": 0, "aten::softmax.int": 0, "aten::_foreach_mul_.Scalar": 0,
	} {
		if calls[op] != want {
			t.Errorf("%s was called %d times, want %d", op, calls[op], want)
		}
	}
	student, teacher := weights(l.student), weights(l.teacher)
	for name, got := range teacher {
		for i, x := range got {
			want := m*before[name][i] + (1-m)*student[name][i]
			// Two terms of up to 2, each rounded, and their sum.
			if d := math.Abs(x - want); !(d <= 6*nntest.Unit) {
				t.Fatalf("teacher's %s[%d] is %v, want %v", name, i, x, want)
			}
		}
	}
}
