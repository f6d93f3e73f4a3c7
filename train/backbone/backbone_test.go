package backbone_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// key is a state dict's entry as torchvision_keys.json holds it: [name, shape].
type key struct {
	name  string
	shape []int64
}

func (k *key) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&k.name, &k.shape})
}

func TestKeysAreTorchvisions(t *testing.T) {
	nntest.Torch(t)
	raw, err := os.ReadFile(nntest.File(t, "torchvision_keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][]key
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	for _, name := range backbone.Names() {
		b, err := backbone.New(name, backbone.Config{})
		if err != nil {
			t.Fatal(err)
		}
		nntest.Do(t, func() {
			got := nn.StateDict(b)
			if len(got) != len(want[name]) {
				t.Fatalf("%s has %d entries, torchvision %d", name, len(got), len(want[name]))
			}
			for i, w := range want[name] {
				if g := got[i]; g.Name != w.name || !slices.Equal(g.Tensor.Shape(), w.shape) {
					t.Errorf("%s entry %d is %s %v, want %s %v", name, i, g.Name, g.Tensor.Shape(), w.name, w.shape)
				}
			}
		})
		nn.Free(b)
	}
}

// TestParity compares forward in both modes, running statistics and all
// gradients with torchvision's, and the masks of stochastic depth with those that
// the generator draws once more from their definition.
func TestParity(t *testing.T) {
	nntest.Torch(t)
	const (
		double = 1e-7 // rounding to the fixture's float32
		wide   = 1e-4 // of millions of fp32 additions, batch norm of few values in between
	)
	small := backbone.Config{Width: 8, SmallStem: true}
	dropping := small
	dropping.StochasticDepth, dropping.Seed = 0.2, 5
	twice := func(c backbone.Config) backbone.Config { c.Double = true; return c }
	last := func(c backbone.Config) backbone.Config { c.ChannelsLast = true; return c }
	var published backbone.Config
	cases := []struct {
		fixture, name string
		config        backbone.Config
		// forwardOnly: no gradients. Among a wide network's many activations
		// rounding flips a ReLU here and there, and the gradients of two correct
		// fp32 programs then differ by far more than rounding; these are compared
		// in float64. The narrow ResNet's input is chosen to keep every ReLU clear
		// of zero, and EfficientNet's SiLU is smooth, so their gradients are
		// compared in fp32.
		forwardOnly bool
		tolerance   float64
	}{
		{"resnet18_narrow", "resnet18", small, false, nntest.Tolerance},
		{"resnet18_narrow", "resnet18", last(small), false, nntest.Tolerance},
		{"resnet18_narrow", "resnet18", twice(small), false, double},
		{"resnet18", "resnet18", published, true, nntest.Tolerance},
		{"resnet18", "resnet18", twice(published), false, double},
		{"resnet34", "resnet34", published, true, nntest.Tolerance},
		{"resnet34", "resnet34", twice(published), false, double},
		{"resnet50", "resnet50", published, true, wide},
		{"resnet50", "resnet50", twice(published), false, double},
		{"efficientnet_b0_narrow", "efficientnet_b0", dropping, false, wide},
		{"efficientnet_b0_narrow", "efficientnet_b0", last(dropping), false, wide},
		{"efficientnet_b0_narrow", "efficientnet_b0", twice(dropping), false, double},
		{"efficientnet_b0", "efficientnet_b0", published, false, wide},
		{"efficientnet_b0", "efficientnet_b0", twice(published), false, double},
		{"efficientnet_b1", "efficientnet_b1", published, false, wide},
		{"efficientnet_b1", "efficientnet_b1", twice(published), false, double},
		{"mobilenet_v3_large_narrow", "mobilenet_v3_large", small, true, nntest.Tolerance},
		{"mobilenet_v3_large_narrow", "mobilenet_v3_large", last(small), true, nntest.Tolerance},
		{"mobilenet_v3_large_narrow", "mobilenet_v3_large", twice(small), false, double},
		{"mobilenet_v3_large", "mobilenet_v3_large", published, true, wide},
		{"mobilenet_v3_large", "mobilenet_v3_large", twice(published), false, double},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s %+v", c.fixture, c.config), func(t *testing.T) {
			fix := nntest.Load(t, c.fixture)
			var m struct {
				Batch, Size int64
				Which       int
				Full        bool
			}
			fix.Meta(&m)
			b, err := backbone.New(c.name, c.config)
			if err != nil {
				t.Fatal(err)
			}
			defer nn.Free(b)
			nntest.Do(t, func() {
				nntest.Fill(b, c.fixture+".")
				x := nntest.FormulaTensor(fmt.Sprintf("%s input %d", c.fixture, m.Which), 2, 0, m.Batch, 3, m.Size, m.Size)
				if c.config.Double {
					x = x.To(torch.CPU, torch.Float64, false)
				}
				b.SetTraining(false)
				torch.NoGrad(func() {
					nntest.Close(t, "eval forward", b.Forward(x).Float32s(), fix.Float32s("eval"), c.tolerance)
				})
				b.SetTraining(true)
				h := b.Forward(x)
				nntest.Close(t, "train forward", h.Float32s(), fix.Float32s("train"), c.tolerance)
				if c.forwardOnly {
					return
				}
				w := nntest.FormulaTensor(c.fixture+" weight of loss", 1, 0, m.Batch, b.FeatureDim())
				torch.Sum(torch.Mul(h, w), torch.Unset).Backward()
				// A bias that the next batch norm subtracts again has a gradient of
				// zero but for rounding: what is a millionth of the greatest gradient
				// is compared with the greatest.
				var greatest float64
				b.Visit("", func(e nn.Entry) {
					if e.Parameter {
						greatest = max(greatest, peak(fix.Float32s("grad."+e.Name)))
					}
				})
				var worst float64
				var where string
				compared := 2
				b.Visit("", func(e nn.Entry) {
					what, got := "buffer."+e.Name, e.Tensor
					if e.Parameter {
						what, got = "grad."+e.Name, e.Tensor.Grad()
					}
					if !fix.Has(what) {
						return
					}
					compared++
					values := got.Float32s()
					if !m.Full {
						values = nntest.Digest(e.Name, values)
					}
					d := nntest.Deviation(values, fix.Float32s(what))
					if e.Parameter && peak(fix.Float32s(what)) < 1e-6*greatest {
						d = peak(values) / greatest
					}
					if !(d <= c.tolerance) {
						t.Errorf("%s deviates by %.2g, want at most %.2g", what, d, c.tolerance)
					}
					if d > worst {
						worst, where = d, what
					}
					if e.Parameter {
						e.Tensor.SetGrad(nil)
					}
				})
				if compared != fix.Len() {
					t.Errorf("compared %d of the fixture's %d tensors", compared, fix.Len())
				}
				t.Logf("greatest deviation %.2g, of %s", worst, where)
			})
		})
	}
}

// peak is max|v|.
func peak(v []float32) float64 { return nntest.Deviation(v, make([]float32, len(v))) }

func TestStagesComposeToForward(t *testing.T) {
	nntest.Torch(t)
	for _, name := range backbone.Names() {
		b, err := backbone.New(name, backbone.Config{Width: 4, SmallStem: true, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		nntest.Do(t, func() {
			b.SetTraining(false)
			x := nntest.FormulaTensor("stages", 1, 0, 2, 3, 32, 32)
			want, h := b.Forward(x), x
			for _, s := range b.Stages() {
				h = s.Forward(h)
			}
			if !slices.Equal(h.Bytes(), want.Bytes()) {
				t.Errorf("%s: its stages in a row give other features than Forward", name)
			}
		})
		nn.Free(b)
	}
}

func TestWeightsDependOnSeedAndNameAlone(t *testing.T) {
	nntest.Torch(t)
	make := func(name string, c backbone.Config) map[string][]byte {
		b, err := backbone.New(name, c)
		if err != nil {
			t.Fatal(err)
		}
		defer nn.Free(b)
		out := map[string][]byte{}
		nntest.Do(t, func() {
			for _, n := range nn.StateDict(b) {
				out[n.Name] = n.Tensor.Bytes()
			}
		})
		return out
	}
	a := make("resnet18", backbone.Config{Width: 8, Seed: 1})
	b := make("resnet34", backbone.Config{Width: 8, Seed: 1, ChannelsLast: true})
	c := make("resnet18", backbone.Config{Width: 8, Seed: 2})
	const key = "layer1.1.conv2.weight"
	if !slices.Equal(a[key], b[key]) {
		t.Error("another network and memory order changed a weight of the same name and seed")
	}
	if slices.Equal(a[key], c[key]) {
		t.Error("another seed left the weight as it was")
	}
	if slices.Equal(a[key], a["layer1.0.conv2.weight"]) {
		t.Error("two weights of different names are equal")
	}
}

func TestBadConfig(t *testing.T) {
	for _, c := range []struct {
		name   string
		config backbone.Config
		says   string
	}{
		{"resnet19", backbone.Config{}, "resnet18, resnet34, resnet50"},
		{"resnet18", backbone.Config{Width: -1}, "width is -1"},
		{"resnet18", backbone.Config{Width: 1 << 20}, "width is 1048576"},
	} {
		_, err := backbone.New(c.name, c.config)
		if !errors.Is(err, schemas.ErrUsage) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("New(%q, %+v) gives %v, want a usage error that says %q", c.name, c.config, err, c.says)
		}
	}
}
