package train

import (
	"fmt"
	"math"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/nn/nntest"
	"resslt/train/optim"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// window is over how many steps the curves are averaged.
const window = 20

// TestLossCurve runs 200 steps at a full rate and compares the curve with PyTorch's:
// in float64 step by step, for as long as rounding allows; in every precision that
// the devices here have by the means over windows, no further from PyTorch's float64
// than twice what PyTorch's own fp32 runs are from it, that differ in nothing but
// rounding.
func TestLossCurve(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	torchtest.RestoreThreads(t)
	if err := torch.SetNumThreads(1); err != nil { // two that share a core with others are far slower than one
		t.Fatal(err)
	}
	fix := nntest.Load(t, "curve")
	var m struct {
		learnerCase
		Steps int
		M     float64
	}
	fix.Meta(&m)
	m.optimizer = optim.Options{Momentum: 0.9, WeightDecay: 5e-4}
	truth := widen(fix.Float32s("float64"))

	var noise float64
	for i := range 4 {
		noise = max(noise, distance(windows(widen(fix.Float32s(fmt.Sprintf("fp32 %d", i)))), windows(truth)))
	}
	cases := []curveCase{{name: "cpu float64", double: true}, {name: "cpu fp32"}, {name: "cpu bf16", bf16: true}}
	if info, err := torch.Info(); err == nil && len(info.CUDA) > 0 {
		gpu := torch.Device{Type: torch.DeviceCUDA}
		cases = append(cases, curveCase{name: "cuda fp32", device: gpu}, curveCase{name: "cuda bf16", device: gpu, bf16: true})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			modes(t, c.device, false, false)
			if c.bf16 && c.device == torch.CPU {
				nntest.BFloat16(t)
			}
			got := m.curve(t, c, m.Steps, m.M)
			d := distance(windows(got), windows(truth))
			t.Logf("windows of %d steps are at most %.3f off; PyTorch's fp32 runs %.3f", window, d, noise)
			if d > 2*noise {
				t.Errorf("the curve is %.3f from PyTorch's, its own fp32 runs at most %.3f\ngot  %.3f\nwant %.3f", d, noise, windows(got), windows(truth))
			}
			if c.double {
				// Rounding grows tenfold in about two steps at this rate: 2⁻⁵³ comes to 1e-6
				// in twenty, where fp32's 2⁻²⁴ has reached the loss itself.
				if d := distance(got[:20], truth[:20]); d > 1e-6 {
					t.Errorf("the first 20 losses in float64 are up to %g from PyTorch's", d)
				}
			}
		})
	}
}

// curveCase is a device and a precision.
type curveCase struct {
	name         string
	device       torch.Device
	double, bf16 bool
}

// curve is the loss of every step.
func (c learnerCase) curve(t *testing.T, on curveCase, steps int, m float64) []float64 {
	c.double, c.bf16, c.device = on.double, on.bf16, on.device
	l := c.start(t)
	defer l.Free()
	view := func(pixels []byte) *torch.Tensor {
		return torch.FromUint8(pixels, int64(c.B), int64(c.S), int64(c.S), 3)
	}
	var losses []float64
	for i := range steps {
		weak := nntest.Pixels(fmt.Sprintf("curve %d", i%25), c.B, c.S)
		strong := nntest.Pixels(fmt.Sprintf("curve noise %d", i), c.B, c.S)
		for j, w := range weak {
			strong[j] = w/4*3 + strong[j]/4
		}
		err := torch.Do(func() error {
			s, err := l.Step([]*torch.Tensor{view(weak)}, []*torch.Tensor{view(strong)},
				Hyper{LR: c.Rate, Momentum: m, Alpha: min(1, float64(i)/40), Step: int64(i), Stats: true})
			losses = append(losses, s.Loss)
			return err
		})
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	return losses
}

// windows are the means of so many steps each.
func windows(losses []float64) []float64 {
	var out []float64
	for i := 0; i+window <= len(losses); i += window {
		sum := 0.0
		for _, x := range losses[i : i+window] {
			sum += x
		}
		out = append(out, sum/window)
	}
	return out
}

// distance is the greatest difference, +Inf where one is not finite.
func distance(a, b []float64) float64 {
	worst := 0.0
	for i := range b {
		d := math.Abs(a[i] - b[i])
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		worst = max(worst, d)
	}
	return worst
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
