package nn_test

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// TestInitialWeights compares with generate.py, which implements the generator and the
// distributions independently, from their definitions.
func TestInitialWeights(t *testing.T) {
	nntest.Torch(t)
	fix := nntest.Load(t, "initial")
	// Both sides draw in float64 and round once to fp32; where their float64 differs in
	// the last bit, the roundings may be neighbours.
	const exact = 2 * nntest.Unit
	floats := func(n int, f func() float64) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(f())
		}
		return out
	}
	nntest.Close(t, "uniform", floats(64, nn.Random(7, "stream").Uniform), fix.Float32s("uniform"), exact)
	nntest.Close(t, "normal", floats(64, nn.Random(7, "stream").Normal), fix.Float32s("normal"), exact)
	if got, want := nn.Random(7, "stream").Permutation(33), fix.Int64s("permutation"); !slices.Equal(got, want) {
		t.Errorf("permutation is %v, want %v", got, want)
	}
	nntest.Do(t, func() {
		b := nn.Builder{Seed: 11}
		conv := nn.NewConv2d(b.At("layer1").At("0").At("conv1"), 8, 8, 3, 1, 1)
		defer nn.Free(conv)
		nntest.Close(t, "convolution", conv.Weight.Float32s(), fix.Float32s("conv"), exact)
		head := nntest.Head(b.At("projector"), 10, 6, 4)
		defer nn.Free(head)
		nntest.Close(t, "linear", nn.StateDict(head)[0].Tensor.Float32s(), fix.Float32s("linear"), exact)
	})
}

func TestNormalIsNormal(t *testing.T) {
	r := nn.Random(1, "moments")
	const n = 200_000
	var m1, m2, m4 float64
	for range n {
		v := r.Normal()
		m1, m2, m4 = m1+v/n, m2+v*v/n, m4+v*v*v*v/n
	}
	// Five standard errors of each moment.
	for _, c := range []struct{ got, want, err float64 }{
		{m1, 0, 1}, {m2, 1, math.Sqrt2}, {m4, 3, math.Sqrt(96)},
	} {
		if math.Abs(c.got-c.want) > 5*c.err/math.Sqrt(n) {
			t.Errorf("a moment is %v, want %v", c.got, c.want)
		}
	}
}

func TestUnitVectors(t *testing.T) {
	v := nn.Random(1, "queue").UnitVectors(100, 7)
	for i := 0; i < len(v); i += 7 {
		var s float64
		for _, x := range v[i : i+7] {
			s += float64(x) * float64(x)
		}
		// Each of 7 squares has a relative error of two roundings of its element.
		if math.Abs(s-1) > 2*nntest.Unit {
			t.Fatalf("row %d has squared norm %v", i/7, s)
		}
	}
}

func TestLoadStateDict(t *testing.T) {
	nntest.Torch(t)
	nntest.Do(t, func() {
		a, b := nntest.Head(nn.Builder{Seed: 1}, 4, 6, 2), nntest.Head(nn.Builder{Seed: 2}, 4, 6, 2)
		defer nn.Free(a)
		defer nn.Free(b)
		values := func() map[string]*torch.Tensor {
			m := map[string]*torch.Tensor{}
			for _, n := range nn.StateDict(a) {
				m[n.Name] = n.Tensor
			}
			return m
		}
		if err := nn.LoadStateDict(b, values(), true); err != nil {
			t.Fatal(err)
		}
		for i, n := range nn.StateDict(a) {
			if !slices.Equal(n.Tensor.Bytes(), nn.StateDict(b)[i].Tensor.Bytes()) {
				t.Errorf("%s was not copied", n.Name)
			}
		}
		wrong := []struct {
			change func(map[string]*torch.Tensor)
			says   string
		}{
			{func(m map[string]*torch.Tensor) { delete(m, "1.bias") }, "missing keys: 1.bias"},
			{func(m map[string]*torch.Tensor) { m["2.x"] = m["1.bias"] }, "unexpected keys: 2.x"},
			{func(m map[string]*torch.Tensor) { m["0.weight"] = m["3.weight"] }, "0.weight is [2 6], want [6 4]"},
		}
		for _, w := range wrong {
			m := values()
			w.change(m)
			before := nn.StateDict(b)[2].Tensor.Bytes()
			err := nn.LoadStateDict(b, m, true)
			if !errors.Is(err, errs.ErrMismatch) || !strings.Contains(err.Error(), w.says) {
				t.Errorf("got %v, want a mismatch that says %q", err, w.says)
			}
			if !slices.Equal(before, nn.StateDict(b)[2].Tensor.Bytes()) {
				t.Error("a refused load changed the module")
			}
		}
		m := values()
		delete(m, "1.bias")
		m["classifier"] = m["0.bias"]
		if err := nn.LoadStateDict(b, m, false); err != nil {
			t.Errorf("not strict: %v", err)
		}
	})
}

// TestBatchNormModes: by hand, for x = (0, 4), mean 2, variance 4 (unbiased 8). Seven
// roundings at most (mean, difference, variance, eps, root, quotient, scale) make a
// value, each of one Unit.
func TestBatchNormModes(t *testing.T) {
	nntest.Torch(t)
	nntest.Do(t, func() {
		bn := nn.NewBatchNorm(nn.Builder{}, 1)
		defer nn.Free(bn)
		x := torch.FromFloat32([]float32{0, 4}, 2, 1)
		unit := float32(2 / math.Sqrt(4+1e-5)) // 1.2e-6 less than 1, which is 21 Units
		nntest.Close(t, "training", bn.Forward(x).Float32s(), []float32{-unit, unit}, 7*nntest.Unit)
		nntest.Close(t, "running mean", bn.RunningMean.Float32s(), []float32{0.2}, 7*nntest.Unit)
		nntest.Close(t, "running variance", bn.RunningVar.Float32s(), []float32{0.9 + 0.8}, 7*nntest.Unit)
		bn.SetTraining(false)
		s := 1 / math.Sqrt(1.7+1e-5)
		nntest.Close(t, "evaluation", bn.Forward(x).Float32s(), []float32{float32(-0.2 * s), float32(3.8 * s)}, 7*nntest.Unit)
		if got := bn.Tracked.Int64s()[0]; got != 1 {
			t.Errorf("counted %d batches, want 1", got)
		}
		if d := bn.Tracked.Dim(); d != 0 {
			t.Errorf("the counter has %d dimensions, PyTorch's is a scalar", d)
		}
	})
}

func TestPixels(t *testing.T) {
	nntest.Torch(t)
	nntest.Do(t, func() {
		p, err := nn.NewPixels([3]float64{0.5, 0.25, 0}, [3]float64{0.5, 0.25, 1}, nn.Builder{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Free()
		// One image of 2×2: white, (0, 255, 51); black, white.
		x := torch.FromUint8([]byte{255, 255, 255, 0, 255, 51, 0, 0, 0, 255, 255, 255}, 1, 2, 2, 3)
		y, err := p.Forward(x)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := y.Shape(), []int64{1, 3, 2, 2}; !slices.Equal(got, want) {
			t.Errorf("shape %v, want %v", got, want)
		}
		// x·scale + shift: scale, shift, product and sum are rounded, of at most 4 where
		// the greatest value is 3.
		nntest.Close(t, "pixels", y.Float32s(), []float32{1, -1, -1, 1, 3, 3, -1, 3, 1, 0.2, 0, 1}, 4*4./3*nntest.Unit)
		if _, err := p.Forward(y); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("floats give %v, want a usage error", err)
		}
		if _, err := nn.NewPixels([3]float64{}, [3]float64{1, 0, 1}, nn.Builder{}); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("a zero deviation gives %v, want a usage error", err)
		}
	})
}

// TestNarrowStridedConv2d compares the shape whose strided backward pass overruns libtorch
// 1.13's heap with a sum by hand.
func TestNarrowStridedConv2d(t *testing.T) {
	nntest.Torch(t)
	nntest.Do(t, func() {
		const n, in, out, side = 4, 8, 16, 64
		conv := nn.NewConv2d(nn.Builder{Seed: 1, ChannelsLast: true}, in, out, 1, 2, 0)
		defer nn.Free(conv)
		x := nntest.FormulaTensor("narrow", 1, 0, n, in, side, side).ToMemoryFormat(torch.ChannelsLast)
		x.SetRequiresGrad(true)
		for range 20 { // an overrun shows at a later allocation
			torch.ScopeDo(func() {
				x.SetGrad(nil)
				conv.Weight.SetGrad(nil)
				torch.Sum(conv.Forward(x), torch.Unset).Backward()
			})
		}
		w, grad := conv.Weight.Float32s(), x.Grad().Float32s()
		want := make([]float32, len(grad))
		// Either side rounds 15 sums of 16 terms, each of a magnitude of at most Σ|w|.
		var sum, most float64
		for c := range in {
			var s, v float64
			for o := range out {
				s, v = s+math.Abs(float64(w[o*in+c])), v+float64(w[o*in+c])
			}
			sum, most = max(sum, s), max(most, math.Abs(v))
		}
		for i := range want {
			if row, column, c := i/side%side, i%side, i/side/side%in; row%2 == 0 && column%2 == 0 {
				for o := range out {
					want[i] += w[o*in+c]
				}
			}
		}
		nntest.Close(t, "gradient", grad, want, 2*15*nntest.Unit*sum/most)
	})
}

// TestStochasticDepth: what is dropped, how the rest is scaled, and what the masks depend
// on.
func TestStochasticDepth(t *testing.T) {
	nntest.Torch(t)
	nntest.Do(t, func() {
		const n, p = 4000, 0.25
		b := nn.Builder{Seed: 3}
		norm := nn.NewBatchNorm(b, 1)
		defer nn.Free(norm)
		depth := nn.NewStochasticDepth(b.At("features"), p, norm)
		x := torch.Ones([]int64{n, 1, 1, 1}, torch.Float32, torch.CPU)
		norm.Forward(x) // the first batch
		first := depth.Forward(x).Float32s()
		kept := 0
		for _, v := range first {
			switch v {
			case 0:
			case float32(1 / (1 - p)):
				kept++
			default:
				t.Fatalf("a sample is scaled by %v, want 0 or 1/(1−p)", v)
			}
		}
		// Five standard errors of a binomial.
		if off := math.Abs(float64(kept) - n*(1-p)); off > 5*math.Sqrt(n*p*(1-p)) {
			t.Errorf("%d of %d samples are kept, want about %v", kept, n, n*(1-p))
		}
		if !slices.Equal(depth.Forward(x).Float32s(), first) {
			t.Error("the same batch, twice, has two masks")
		}
		norm.Forward(x)
		if slices.Equal(depth.Forward(x).Float32s(), first) {
			t.Error("the next batch has the same mask")
		}
		norm.Tracked.CopyFrom(binary.NativeEndian.AppendUint64(nil, 1))
		if !slices.Equal(depth.Forward(x).Float32s(), first) {
			t.Error("with the count put back, the mask is another")
		}
		other := nn.NewStochasticDepth(b.At("classifier"), p, norm)
		if slices.Equal(other.Forward(x).Float32s(), first) {
			t.Error("another layer has the same mask")
		}
		depth.SetTraining(false)
		if depth.Forward(x) != x {
			t.Error("evaluation changes the branch")
		}
	})
}

// TestBatchNormGroups: each group by its own statistics; the running ones take the
// groups' mean. In float64, where sums in any order agree to 1e-12.
func TestBatchNormGroups(t *testing.T) {
	nntest.Torch(t)
	nntest.Do(t, func() {
		split, single := nn.NewBatchNorm(nn.Builder{BatchNormGroups: 3, Double: true}, 4), [3]*nn.BatchNorm{}
		defer nn.Free(split)
		const exact = 1e-12
		x := nntest.FormulaTensor("split batch norm", 2, 1, 12, 4, 5, 5).To(torch.CPU, torch.Float64, false)
		got := split.Forward(x)
		mean, variance := make([]float64, 4), make([]float64, 4)
		for g := range single {
			single[g] = nn.NewBatchNorm(nn.Builder{Double: true}, 4)
			defer nn.Free(single[g])
			want := single[g].Forward(torch.Narrow(x, 0, int64(4*g), 4))
			nntest.Close(t, "a group", torch.Narrow(got, 0, int64(4*g), 4).Float64s(), want.Float64s(), exact)
			for c := range mean {
				mean[c] += single[g].RunningMean.Float64s()[c] / 3
				variance[c] += single[g].RunningVar.Float64s()[c] / 3
			}
		}
		nntest.Close(t, "running mean", split.RunningMean.Float64s(), mean, exact)
		nntest.Close(t, "running variance", split.RunningVar.Float64s(), variance, exact)
		if got := split.Tracked.Int64s()[0]; got != 1 {
			t.Errorf("%d batches tracked, want 1", got)
		}
		split.SetTraining(false)
		if slices.Equal(got.Float32s(), split.Forward(x).Float32s()) {
			t.Error("evaluation took the groups' statistics")
		}
	})
}
