package backbone_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// parity is a network that torchvision computed in float64: forward in both modes,
// running statistics and gradients.
type parity struct {
	fixture, name string
	config        backbone.Config
	// smooth: compare fp32's gradients, too. A wide ReLU network has ReLU inputs within
	// fp32's rounding of zero, and a change of sign changes the gradients by far more than
	// rounding, so its gradients are only compared in float64. The narrow ResNet's input is
	// chosen so that no sign can change, and EfficientNet's SiLU has no kink.
	smooth bool
}

func parities() []parity {
	small := backbone.Config{Width: 8, SmallStem: true}
	dropping := small
	dropping.StochasticDepth, dropping.Seed = 0.2, 5
	var published backbone.Config
	// Layer norm and GELU have no kinks either.
	transformer := dropping
	transformer.ImageSize = 32
	resized := backbone.Config{Width: 8, ImageSize: 32, Pool: backbone.PoolMean, LayerScale: 1}
	return []parity{
		{"resnet18_narrow", "resnet18", small, true},
		{"efficientnet_b0_narrow", "efficientnet_b0", dropping, true},
		{"mobilenet_v3_large_narrow", "mobilenet_v3_large", small, false},
		{"wide_resnet50_2_narrow", "wide_resnet50_2", small, false},
		{"convnext_tiny_narrow", "convnext_tiny", dropping, true},
		{"vit_tiny_narrow", "vit_tiny_patch8", transformer, true},
		{"vit_tiny_resized", "vit_tiny_patch8", resized, true},
		{"vit_tiny", "vit_tiny_patch16", backbone.Config{ImageSize: 64}, true},
		{"resnet18", "resnet18", published, false},
		{"resnet34", "resnet34", published, false},
		{"resnet50", "resnet50", published, false},
		{"efficientnet_b0", "efficientnet_b0", published, true},
		{"efficientnet_b1", "efficientnet_b1", published, true},
		{"mobilenet_v3_large", "mobilenet_v3_large", published, false},
		{"convnext_tiny", "convnext_tiny", published, true},
	}
}

// meta is the fixture's settings.
type meta struct {
	Batch, Size int64
	Which       int  // the input that the generator chose
	Full        bool // gradients whole, not as digests
}

// run computes the fixture's tensors in the given precision, memory order and kernels.
// change, if not nil, may first introduce a fault.
func (p parity) run(tb testing.TB, m meta, c backbone.Config, change func(backbone.Backbone)) (out nntest.Values, kinks nntest.Kinks) {
	tb.Helper()
	return p.turned(tb, m, c, change, 0)
}

// turned is run with the batch's rows rotated by turn, and rotated back in results by row:
// if no row is dropped, only the order of sums changes.
func (p parity) turned(tb testing.TB, m meta, c backbone.Config, change func(backbone.Backbone), turn int64) (out nntest.Values, kinks nntest.Kinks) {
	tb.Helper()
	b, err := backbone.New(p.name, c)
	if err != nil {
		tb.Fatal(err)
	}
	defer nn.Free(b)
	out = nntest.Values{}
	nntest.Do(tb, func() {
		nntest.Fill(b, p.fixture+".")
		if change != nil {
			change(b)
		}
		x := nntest.FormulaTensor(fmt.Sprintf("%s input %d", p.fixture, m.Which), 2, 0, m.Batch, 3, m.Size, m.Size)
		w := nntest.FormulaTensor(p.fixture+" weight of loss", 1, 0, m.Batch, b.FeatureDim())
		roll := func(x *torch.Tensor, by int64) *torch.Tensor { return torch.Roll(x, []int64{by}, []int64{0}) }
		x, w = roll(x, turn), roll(w, turn)
		if c.Double {
			x, w = x.To(torch.CPU, torch.Float64, false), w.To(torch.CPU, torch.Float64, false)
		}
		b.SetTraining(false)
		torch.NoGrad(func() { out.Take("eval", roll(b.Forward(x), -turn)) })
		b.SetTraining(true)
		var h *torch.Tensor
		pass := func() { h = b.Forward(x) }
		switch {
		case !c.Double && !p.smooth:
			torch.NoGrad(pass)
		case m.Full:
			kinks = nntest.SeeKinks(pass)
		default:
			pass()
		}
		out.Take("train", roll(h, -turn))
		b.Visit("", func(e nn.Entry) {
			if !e.Parameter && e.Tensor.DType() != torch.Int64 {
				out.Take("buffer."+e.Name, e.Tensor)
			}
		})
		if c.Double || p.smooth {
			torch.Sum(torch.Mul(h, w), torch.Unset).Backward()
			out.Gradients("grad.", b)
		}
	})
	return out, kinks
}

// stored compares float64 results with the fixture.
func (p parity) stored(tb testing.TB, fix *nntest.Fixture, m meta, got nntest.Values) {
	tb.Helper()
	if len(got) != fix.Len() {
		tb.Errorf("compared %d of the fixture's %d tensors", len(got), fix.Len())
	}
	// The gradient of a bias before a batch norm is zero up to rounding: compare it with
	// the largest gradient.
	var greatest float64
	for name := range got {
		if strings.HasPrefix(name, "grad.") {
			greatest = max(greatest, peak(fix.Float32s(name)))
		}
	}
	for name, v := range got {
		want := fix.Float32s(name)
		if !m.Full && name != "eval" && name != "train" {
			_, key, _ := strings.Cut(name, ".")
			v = nntest.Digest(key, v)
		}
		most := peak(want)
		if strings.HasPrefix(name, "grad.") && most < 1e-6*greatest {
			most = greatest
		}
		nntest.StoredOf(tb, name, v, want, most)
	}
}

func twice(c backbone.Config) backbone.Config { c.Double = true; return c }
func last(c backbone.Config) backbone.Config  { c.ChannelsLast = true; return c }

// reference is the network in fp32 without oneDNN, compared with float64. Each memory order
// has its own: libtorch's batch norm sums sequentially in NHWC order and by halves in NCHW.
// Narrow networks, whose tensors have few elements, are evaluated with the rows in several
// orders, too; with dropped rows, on weights that differ by an ulp.
func (p parity) reference(tb testing.TB, m meta, c backbone.Config, truth nntest.Values) (r *nntest.Reference, kinks nntest.Kinks) {
	tb.Helper()
	var all []nntest.Values
	without(tb, func() {
		var first nntest.Values
		first, kinks = p.run(tb, m, c, nil)
		all = append(all, first)
		if p.config.Width == 0 {
			return
		}
		for _, turn := range []int64{1, 2, 3} {
			var more nntest.Values
			if p.config.StochasticDepth == 0 {
				more, _ = p.turned(tb, m, c, nil, turn)
			} else {
				more, _ = p.run(tb, m, c, func(b backbone.Backbone) {
					for _, w := range nn.Parameters(b) {
						nntest.Nudge(fmt.Sprint(turn, w.Name), w.Tensor)
					}
				})
			}
			all = append(all, more)
		}
	})
	same := nntest.Values{}
	for name := range all[0] {
		same[name] = truth[name]
	}
	return nntest.NewReference(tb, same, all...), kinks
}

// without runs fn with oneDNN off.
func without(tb testing.TB, fn func()) {
	tb.Helper()
	set := func(on bool) { nntest.Do(tb, func() { torch.SetOneDNN(on) }) }
	set(false)
	defer set(true)
	fn()
}

// TestParity compares the networks with torchvision's in float64, up to the fixture's
// rounding; and fp32, in both memory orders, with float64, by the error of a second set of
// kernels in fp32.
func TestParity(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	for _, p := range parities() {
		t.Run(p.fixture, func(t *testing.T) {
			if p.config.Width == 0 && p.fixture != "resnet34" {
				torchtest.SkipLike(t, "resnet34 of the published widths, and every layer in a narrow network")
			}
			fix := nntest.Load(t, p.fixture)
			var m meta
			fix.Meta(&m)
			truth, kinks := p.run(t, m, twice(p.config), nil)
			p.stored(t, fix, m, truth)
			for order, c := range map[string]backbone.Config{"fp32": p.config, "fp32 channels_last": last(p.config)} {
				ref, seen := p.reference(t, m, c, truth)
				if m.Full {
					kinks.Clear(t, "reference's "+order, seen)
				}
				check := func(what string, c backbone.Config) {
					got, fp32 := p.run(t, m, c, nil)
					if m.Full {
						kinks.Clear(t, what, fp32)
					}
					ref.Check(t, what, got)
				}
				check(order, c)
				if c.ChannelsLast {
					c.Fused = true
					check(order+" fused", c)
				}
			}
		})
	}
}

// TestMutations: the faults that the parity tests of whole networks detect.
func TestMutations(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	var all []nntest.Mutation
	for _, p := range parities()[:3] {
		fix := nntest.Load(t, p.fixture)
		var m meta
		fix.Meta(&m)
		truth, _ := p.run(t, m, twice(p.config), nil)
		ref, _ := p.reference(t, m, p.config, truth)
		faults := []fault{
			{name: ""},
			{name: "transposed weight", change: func(b backbone.Backbone) { nntest.Transpose(lastOf(b, "weight", true)) }},
			{name: "eps missing in evaluation", double: true, change: func(b backbone.Backbone) {
				torch.NoGrad(func() { torch.AddScalar_(lastOf(b, "running_var", false), -1e-5, 1) })
			}},
			{name: "biased running variance", spoil: func(v nntest.Values) nntest.Values {
				// Of 32 values a channel, which are at most what the last stages have.
				out := nntest.Scaled(v, "", 1)
				for name, e := range v {
					if strings.HasSuffix(name, "running_var") {
						for i := range e {
							old := 0.9 * e[i] // near it: the batch's part is a tenth
							out[name][i] = old + (e[i]-old)*31/32
						}
					}
				}
				return out
			}},
		}
		if p.smooth {
			name := smallest(truth)
			faults = append(faults, fault{name: "the smallest gradient 1 % off", spoil: func(v nntest.Values) nntest.Values { return nntest.Scaled(v, name, 1.01) }})
		}
		for _, f := range faults {
			spoilt := func(tb testing.TB, c backbone.Config) nntest.Values {
				got, _ := p.run(tb, m, c, f.change)
				if f.spoil != nil {
					got = f.spoil(got)
				}
				return got
			}
			all = append(all, nntest.Mutation{Parity: p.fixture + ", float64", Fault: f.name, Check: func(tb testing.TB) {
				p.stored(tb, fix, m, spoilt(tb, twice(p.config)))
			}})
			if f.double {
				continue
			}
			all = append(all, nntest.Mutation{Parity: p.fixture + ", fp32", Fault: f.name, Check: func(tb testing.TB) {
				ref.Check(tb, "fp32", spoilt(tb, p.config))
			}})
		}
	}
	nntest.Mutations(t, all)
}

// fault is the fault of a mutation.
type fault struct {
	name   string
	change func(backbone.Backbone)           // before the network runs
	spoil  func(nntest.Values) nntest.Values // its results
	double bool                              // below fp32's noise: float64 has to see it
}

// lastOf is the last tensor with a name of this suffix; square requires a spatial kernel.
func lastOf(b backbone.Backbone, ending string, square bool) (found *torch.Tensor) {
	b.Visit("", func(e nn.Entry) {
		if !strings.HasSuffix(e.Name, ending) {
			return
		}
		if shape := e.Tensor.Shape(); !square || len(shape) == 4 && shape[2] > 1 {
			found = e.Tensor
		}
	})
	return found
}

// smallest is the gradient with the smallest norm above rounding.
func smallest(v nntest.Values) (name string) {
	least := math.Inf(1)
	for n, e := range v {
		var s float64
		for _, x := range e {
			s += x * x
		}
		if s /= float64(len(e)); strings.HasPrefix(n, "grad.") && s > 1e-8 && s < least {
			name, least = n, s
		}
	}
	return name
}

// peak is max|v|.
func peak(v []float32) float64 { return nntest.Deviation(v, make([]float32, len(v))) }
