package torch_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// convCase is a convolution that torch.Conv3x3 computes itself.
type convCase struct {
	n, in, out, h, w int64
}

var convCases = []convCase{
	{2, 32, 32, 8, 8},
	{3, 32, 48, 5, 6},   // a half tile at one side
	{1, 48, 32, 11, 13}, // at both sides, and columns of one vector
	{5, 64, 64, 16, 16}, // several blocks of tiles, sums of several chains
	{4, 160, 96, 7, 7},
	{1, 32, 32, 1, 3}, // fits no tile well: computed by libtorch
}

// random is a tensor of standard normals, drawn by the name.
func random(name string, shape ...int64) *torch.Tensor {
	n, seed := int64(1), uint64(0)
	for _, s := range shape {
		n *= s
	}
	for _, c := range name {
		seed = seed*131 + uint64(c)
	}
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return torch.FromFloat32(v, shape...)
}

type convolve func(x, w *torch.Tensor) *torch.Tensor

func plainConv(x, w *torch.Tensor) *torch.Tensor {
	return torch.Conv2d(x, w, nil, []int64{1, 1}, []int64{1, 1}, []int64{1, 1}, 1)
}

// run returns y, dx and dw of a convolution in the dtype.
func (c convCase) run(f convolve, dtype torch.DType) map[string]*torch.Tensor {
	place := func(t *torch.Tensor) *torch.Tensor {
		return t.To(torch.CPU, dtype, false).ToMemoryFormat(torch.ChannelsLast)
	}
	x, w := place(random("x", c.n, c.in, c.h, c.w)).SetRequiresGrad(true), place(random("w", c.out, c.in, 3, 3)).SetRequiresGrad(true)
	y := f(x, w)
	y.BackwardWith(place(random("dy", c.n, c.out, c.h, c.w)), false)
	return map[string]*torch.Tensor{"y": y.Detach(), "dx": x.Grad(), "dw": w.Grad()}
}

// distance is ‖a − b‖ / ‖b‖.
func distance(a, b *torch.Tensor) float64 {
	p, q := a.To(torch.CPU, torch.Float64, false).Float64s(), b.To(torch.CPU, torch.Float64, false).Float64s()
	var d, n float64
	for i := range q {
		d += (p[i] - q[i]) * (p[i] - q[i])
		n += q[i] * q[i]
	}
	return math.Sqrt(d / n)
}

// convBound is the allowed error of a float32 convolution relative to float64, from that of
// libtorch's own float32 convolution on this machine: twice that, because both sum as many
// terms, each rounded to 2⁻²⁴, in different orders. For sums so short that libtorch's error
// is almost zero it adds the error of the transforms: each of three sums up to four terms
// twice, with a mean error of about 2·2⁻²⁴.
func convBound(reference float64) float64 {
	const transforms = 8.0 / (1 << 24)
	return max(2*reference, transforms)
}

// TestConv3x3 compares value and gradients with float64, and checks that the bound detects
// faults.
func TestConv3x3(t *testing.T) {
	racetest.SkipNumbers(t)
	torchtest.Require(t)
	torchtest.Do(t, func() {
		for _, c := range convCases {
			truth, theirs, ours := c.run(plainConv, torch.Float64), c.run(plainConv, torch.Float32), c.run(torch.Conv3x3, torch.Float32)
			for _, name := range []string{"y", "dx", "dw"} {
				bound, d := convBound(distance(theirs[name], truth[name])), distance(ours[name], truth[name])
				t.Logf("%+v %s: %.2g from float64, libtorch's float32 %.2g", c, name, d, distance(theirs[name], truth[name]))
				if !(d <= bound) {
					t.Errorf("%+v %s lies %.2g from float64's, more than %.2g", c, name, d, bound)
				}
				if !ours[name].IsContiguous(torch.ChannelsLast) {
					t.Errorf("%+v %s is not in channels_last order", c, name)
				}
			}
			// Faults: one of nine taps wrong by 1 %, the filter rotated, in and out exchanged.
			faults := map[string]convolve{
				"a tap 1 % off": func(x, w *torch.Tensor) *torch.Tensor {
					tap := make([]float32, 9)
					for i := range tap {
						tap[i] = 1
					}
					tap[5] = 1.01
					return torch.Conv3x3(x, torch.Mul(w, torch.FromFloat32(tap, 1, 1, 3, 3)))
				},
				"the filter turned": func(x, w *torch.Tensor) *torch.Tensor {
					return torch.Conv3x3(x, torch.Transpose(w, 2, 3).ToMemoryFormat(torch.ChannelsLast))
				},
			}
			for fault, f := range faults {
				if c.w == 3 && fault == "the filter turned" {
					continue
				}
				wrong := c.run(f, torch.Float32)
				if d, bound := distance(wrong["y"], truth["y"]), convBound(distance(theirs["y"], truth["y"])); d <= bound {
					t.Errorf("%+v with %s lies %.2g from float64's: the bound %.2g does not see it", c, fault, d, bound)
				}
			}
		}
	})
}

// TestRefusedTier: an unavailable tier is an error, not silently replaced.
func TestRefusedTier(t *testing.T) {
	racetest.SkipNumbers(t)
	torchtest.Require(t)
	const run = "RESSLT_TEST_REFUSED"
	if os.Getenv(run) != "" {
		err := torch.Do(func() error {
			torch.Conv3x3(random("x", 1, 32, 4, 4), random("w", 32, 32, 3, 3))
			return nil
		})
		fmt.Println("said:", err)
		return
	}
	for tier, want := range map[string]string{
		"": "said: <nil>", "scalar": "said: <nil>", "avx9": `RESSLT_TIER is "avx9", and this CPU has scalar`,
	} {
		p := exec.Command(os.Args[0], "-test.run", "^TestRefusedTier$")
		p.Env = append(os.Environ(), run+"=1", "RESSLT_TIER="+tier)
		out, err := p.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("RESSLT_TIER=%q: %v, %s; want %s", tier, err, out, want)
		}
	}
}

// TestFusedThreads: the shim's loops run on libtorch's threads, and follow their number.
func TestFusedThreads(t *testing.T) {
	torchtest.Require(t)
	torchtest.RestoreThreads(t)
	for _, n := range []int{1, 2, 3} {
		if err := torch.SetNumThreads(n); err != nil {
			t.Fatal(err)
		}
		torchtest.Do(t, func() {
			if got := torch.FusedThreads(); got != n {
				t.Errorf("the loops run on %d threads, want %d", got, n)
			}
		})
	}
}

// TestConv3x3IsTheSameEverywhere: results do not depend on the instruction set or the
// number of threads.
func TestConv3x3IsTheSameEverywhere(t *testing.T) {
	racetest.SkipNumbers(t)
	torchtest.Require(t)
	info, err := torch.Info()
	if err != nil {
		t.Fatal(err)
	}
	torchtest.RestoreThreads(t)
	defer torchtest.Do(t, func() { torch.UseFusedTier(info.Fused) })
	tiers := 0
	for i, c := range convCases {
		var want map[string][]byte
		for _, tier := range []string{"avx512", "avx2", "neon"} {
			for _, threads := range []int{1, 2, 3, 7} {
				if err := torch.SetNumThreads(threads); err != nil {
					t.Fatal(err)
				}
				torchtest.Do(t, func() {
					if !torch.UseFusedTier(tier) || c.h == 1 { // one row is computed by libtorch
						return
					}
					if i == 0 && threads == 1 {
						tiers++
					}
					got := map[string][]byte{}
					for name, x := range c.run(torch.Conv3x3, torch.Float32) {
						got[name] = x.Bytes()
					}
					if want == nil {
						want = got
					}
					for name := range want {
						if !bytes.Equal(got[name], want[name]) {
							t.Errorf("%+v %s: %s with %d threads gives other bits", c, name, tier, threads)
						}
					}
				})
			}
		}
	}
	t.Logf("%d instruction sets compared", tiers)
}

// TestConv3x3FallsBack: where its loops do not apply, the result is libtorch's, to the bit.
func TestConv3x3FallsBack(t *testing.T) {
	torchtest.Require(t)
	channels := func(f torch.MemoryFormat) func(t *torch.Tensor) *torch.Tensor {
		return func(t *torch.Tensor) *torch.Tensor { return t.ToMemoryFormat(f) }
	}
	for _, c := range []struct {
		name    string
		in, out int64
		place   func(*torch.Tensor) *torch.Tensor
	}{
		{"channels first", 32, 32, channels(torch.ContiguousFormat)},
		{"few channels", 16, 16, channels(torch.ChannelsLast)},
		{"channels that fill no vector", 40, 36, channels(torch.ChannelsLast)},
		{"more filters than tiles", 512, 512, channels(torch.ChannelsLast)},
		{"float64", 32, 32, func(x *torch.Tensor) *torch.Tensor {
			return x.To(torch.CPU, torch.Float64, false).ToMemoryFormat(torch.ChannelsLast)
		}},
	} {
		torchtest.Do(t, func() {
			x, w := c.place(random("x", 2, c.in, 6, 6)), c.place(random("w", c.out, c.in, 3, 3))
			if got, want := torch.Conv3x3(x, w), plainConv(x, w); !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Errorf("%s: other bits than libtorch's", c.name)
			}
		})
	}
	torchtest.BFloat16(t)
	torchtest.Do(t, func() {
		x, w := random("x", 2, 32, 6, 6).ToMemoryFormat(torch.ChannelsLast), random("w", 32, 32, 3, 3).ToMemoryFormat(torch.ChannelsLast)
		torch.Autocast(torch.DeviceCPU, torch.BFloat16, func() {
			if got := torch.Conv3x3(x, w); got.DType() != torch.BFloat16 {
				t.Errorf("under autocast it gives %v", got.DType())
			}
		})
		if torch.UseFusedTier("none") {
			if !bytes.Equal(torch.Conv3x3(x, w).Bytes(), plainConv(x, w).Bytes()) {
				t.Error("with no tier: other bits than libtorch's")
			}
		}
	})
	info, err := torch.Info()
	if err != nil || info.Fused != "none" {
		t.Errorf("tier %q, %v", info.Fused, err)
	}
	torchtest.Do(t, func() {
		if torch.UseFusedTier("sse9") {
			t.Error("an unknown tier was taken")
		}
		if !slices.ContainsFunc([]string{"avx512", "avx2", "neon"}, torch.UseFusedTier) {
			t.Log("this CPU has no tier")
		}
	})
}

// TestConv3x3Gradients: only the required gradients are computed, none under NoGrad, and
// wrong shapes are refused.
func TestConv3x3Gradients(t *testing.T) {
	torchtest.Require(t)
	torchtest.Do(t, func() {
		c := convCases[0]
		both := c.run(torch.Conv3x3, torch.Float32)
		for i, name := range []string{"dx", "dw"} {
			x := random("x", c.n, c.in, c.h, c.w).ToMemoryFormat(torch.ChannelsLast).SetRequiresGrad(i == 0)
			w := random("w", c.out, c.in, 3, 3).ToMemoryFormat(torch.ChannelsLast).SetRequiresGrad(i == 1)
			// A gradient in another memory order than its tensor's.
			torch.Conv3x3(x, w).BackwardWith(random("dy", c.n, c.out, c.h, c.w), false)
			got := map[string]*torch.Tensor{"dx": x.Grad(), "dw": w.Grad()}
			for n, g := range got {
				if (g != nil) != (n == name) {
					t.Errorf("asked for %s alone: %s is there: %v", name, n, g != nil)
				}
			}
			if g := got[name]; g != nil && !bytes.Equal(g.Bytes(), both[name].Bytes()) {
				t.Errorf("%s alone has other bits", name)
			}
		}
		torch.NoGrad(func() {
			w := random("w", 32, 32, 3, 3).ToMemoryFormat(torch.ChannelsLast).SetRequiresGrad(true)
			if torch.Conv3x3(random("x", 1, 32, 4, 4).ToMemoryFormat(torch.ChannelsLast), w).RequiresGrad() {
				t.Error("history was recorded under NoGrad")
			}
		})
	})
	for _, shapes := range [][2][]int64{{{1, 32, 4, 4}, {32, 16, 3, 3}}, {{1, 32, 4, 4}, {32, 32, 5, 5}}, {{32, 4}, {32, 32, 3, 3}}} {
		err := torch.Do(func() error {
			torch.Conv3x3(random("x", shapes[0]...), random("w", shapes[1]...))
			return nil
		})
		if err == nil {
			t.Errorf("%v with %v was convolved", shapes[0], shapes[1])
		} else if !strings.Contains(err.Error(), "conv3x3 takes") {
			t.Errorf("%v: says %v", shapes, err)
		}
	}
}
