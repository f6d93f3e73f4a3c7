package torch_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// normals is a float32 tensor of normal deviates. Call it inside Do.
func normals(r *rand.Rand, mean, std float64, shape ...int64) *torch.Tensor {
	n := int64(1)
	for _, s := range shape {
		n *= s
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(mean + std*r.NormFloat64())
	}
	return torch.FromFloat32(values, shape...)
}

func TestDataGoesInAndOut(t *testing.T) {
	torchtest.Do(t, func() {
		a := torch.FromFloat32([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
		if !slices.Equal(a.Shape(), []int64{2, 3}) || a.Dim() != 2 || a.Numel() != 6 || a.Size(-1) != 3 {
			t.Errorf("shape %v, dim %d, numel %d, last %d", a.Shape(), a.Dim(), a.Numel(), a.Size(-1))
		}
		if a.DType() != torch.Float32 || a.Device() != torch.CPU || a.RequiresGrad() {
			t.Errorf("%v, requires grad %v", a, a.RequiresGrad())
		}
		if got := a.String(); got != "float32[2 3] on cpu" {
			t.Errorf("String is %q", got)
		}
		// A transposed view reads in its own row-major order.
		if got := torch.T(a).Float32s(); !slices.Equal(got, []float32{1, 4, 2, 5, 3, 6}) {
			t.Errorf("transposed: %v", got)
		}
		if got := a.To(torch.CPU, torch.BFloat16, false).Float32s(); !slices.Equal(got, []float32{1, 2, 3, 4, 5, 6}) {
			t.Errorf("from bfloat16: %v", got)
		}
		if got := torch.FromUint8([]byte{0, 128, 255}, 3).Int64s(); !slices.Equal(got, []int64{0, 128, 255}) {
			t.Errorf("from uint8: %v", got)
		}
		if got := torch.FromInt64([]int64{math.MaxInt64, -1}, 2).Int64s(); !slices.Equal(got, []int64{math.MaxInt64, -1}) {
			t.Errorf("int64: %v", got)
		}
		if got := torch.Scalar(2.5, torch.Float64, torch.CPU); got.Item() != 2.5 || got.Dim() != 0 {
			t.Errorf("scalar: %v %g", got, got.Item())
		}
		if got := torch.Zeros([]int64{0, 3}, torch.Float32, torch.CPU).Float32s(); len(got) != 0 {
			t.Errorf("empty: %v", got)
		}
		// The source is copied.
		src := []float32{7}
		b := torch.FromFloat32(src, 1)
		src[0] = 8
		if b.Item() != 7 {
			t.Error("a change of the Go slice reached the tensor")
		}
	})
}

func TestCopyFromWritesInPlace(t *testing.T) {
	torchtest.Do(t, func() {
		a := torch.FromFloat32([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
		column := torch.Select(a, 1, 1) // strided: elements 1 and 4
		column.CopyFrom(torch.FromFloat32([]float32{20, 50}, 2).Bytes())
		if got := a.Float32s(); !slices.Equal(got, []float32{1, 20, 3, 4, 50, 6}) {
			t.Errorf("after CopyFrom into a column: %v", got)
		}
		leaf := torch.FromFloat32([]float32{1}, 1).SetRequiresGrad(true)
		leaf.CopyFrom(torch.FromFloat32([]float32{9}, 1).Bytes())
		if leaf.Item() != 9 || !leaf.RequiresGrad() {
			t.Error("CopyFrom into a leaf that requires a gradient")
		}
	})
}

func TestInPlaceOpsReturnTheirArgument(t *testing.T) {
	torchtest.Do(t, func() {
		a := torch.FromFloat32([]float32{-1, 2}, 2)
		live := torch.LiveTensors()
		if torch.Relu_(a) != a || torch.MulScalar_(a, 3) != a {
			t.Error("an in-place op returned another handle")
		}
		if got := torch.LiveTensors(); got != live {
			t.Errorf("in-place ops made %d handles", got-live)
		}
		if got := a.Float32s(); !slices.Equal(got, []float32{0, 6}) {
			t.Errorf("values %v", got)
		}
		list := []*torch.Tensor{a, torch.FromFloat32([]float32{3, 4}, 2)}
		torch.ForeachMulScalar_(list, 2)
		norms := torch.ForeachNormScalar(list, 2)
		if got := norms[0].Item(); got != 12 {
			t.Errorf("norm of (0, 12) is %g", got)
		}
		if got := norms[1].Item(); got != 10 {
			t.Errorf("norm of (6, 8) is %g", got)
		}
		many := torch.Chunk(torch.Arange(0, 20, 1, torch.Float32, torch.CPU), 20, 0)
		if len(many) != 20 || many[19].Item() != 19 {
			t.Errorf("20 results came back as %d", len(many))
		}
	})
}

func TestAliasAndSame(t *testing.T) {
	torchtest.Do(t, func() {
		a := torch.FromFloat32([]float32{1, 2}, 2)
		b := a.Alias()
		if !a.Same(b) || a.Same(torch.Clone(a)) {
			t.Error("Same does not tell the tensor from its copy")
		}
		a.Free()
		if !a.Freed() || b.Freed() || b.Float32s()[1] != 2 {
			t.Error("the alias did not outlive the first handle")
		}
	})
}

func TestGradIsSetAndDropped(t *testing.T) {
	torchtest.Do(t, func() {
		a := torch.FromFloat32([]float32{1, 2}, 2).SetRequiresGrad(true)
		y := torch.Mul(a, a)
		y.BackwardWith(torch.FromFloat32([]float32{1, 10}, 2), true)
		y.BackwardWith(torch.FromFloat32([]float32{1, 10}, 2), false)
		if got := a.Grad().Float32s(); !slices.Equal(got, []float32{4, 80}) {
			t.Errorf("accumulated gradient %v, want [4 80]", got)
		}
		a.SetGrad(torch.FromFloat32([]float32{5, 5}, 2))
		if got := a.Grad().Float32s(); !slices.Equal(got, []float32{5, 5}) {
			t.Errorf("gradient %v after SetGrad", got)
		}
		a.SetGrad(nil)
		if a.Grad() != nil {
			t.Error("SetGrad(nil) left a gradient")
		}
	})
}

func TestChannelsLast(t *testing.T) {
	torchtest.Do(t, func() {
		x := torch.Arange(0, 24, 1, torch.Float32, torch.CPU)
		x = torch.Reshape(x, []int64{1, 2, 3, 4})
		last := x.ToMemoryFormat(torch.ChannelsLast)
		if x.IsContiguous(torch.ChannelsLast) || !last.IsContiguous(torch.ChannelsLast) {
			t.Error("memory format")
		}
		if !slices.Equal(x.Float32s(), last.Float32s()) {
			t.Error("the memory format changed the values")
		}
	})
}

func TestAutocastIsScoped(t *testing.T) {
	torchtest.Do(t, func() {
		a := torch.Ones([]int64{2, 2}, torch.Float32, torch.CPU)
		dtype := func() torch.DType { return torch.Mm(a, a).DType() }
		torch.Autocast(torch.DeviceCPU, torch.BFloat16, func() {
			torch.Autocast(torch.DeviceCPU, torch.BFloat16, func() {})
			if got := dtype(); got != torch.BFloat16 {
				t.Errorf("inside: %v", got)
			}
		})
		if got := dtype(); got != torch.Float32 {
			t.Errorf("after: %v", got)
		}
		err := torch.Do(func() error {
			torch.Autocast(torch.DeviceCPU, torch.Float32, func() {})
			return nil
		})
		if !errors.Is(err, errs.ErrMismatch) {
			t.Errorf("autocast to float32: %v", err)
		}
		if got := dtype(); got != torch.Float32 {
			t.Errorf("after a failed Autocast: %v", got)
		}
	})
}

func TestDeterministicRefusesOrObeys(t *testing.T) {
	torchtest.Do(t, func() {
		torch.SetDeterministic(true)
		defer torch.SetDeterministic(false)
		torch.SetAllowTF32(false)
		torch.SetCuDNNBenchmark(false)
		torch.Synchronize(torch.CPU)
		x := torch.Ones([]int64{4}, torch.Float32, torch.CPU)
		if got := torch.Sum(x, torch.Unset).Item(); got != 4 {
			t.Errorf("sum %g", got)
		}
	})
}

func TestDTypesAndDevices(t *testing.T) {
	for _, d := range []torch.DType{torch.Float32, torch.Float64, torch.Float16, torch.BFloat16, torch.Int64, torch.Int32, torch.Uint8, torch.Bool} {
		if d.Size() == 0 || strings.HasPrefix(d.String(), "dtype(") {
			t.Errorf("%v has size %d", d, d.Size())
		}
	}
	if d := torch.DType(99); d.Size() != 0 || d.String() != "dtype(99)" {
		t.Errorf("an unknown dtype is %v of size %d", d, d.Size())
	}
	for s, want := range map[string]torch.Device{"cpu": torch.CPU, "cuda": torch.CUDA(0), "cuda:3": torch.CUDA(3)} {
		got, err := torch.ParseDevice(s)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
		if again, err := torch.ParseDevice(got.String()); err != nil || again != want {
			t.Errorf("%q: its String %q parses as %v, %v", s, got, again, err)
		}
	}
	for _, s := range []string{"", "gpu", "cuda:", "cuda:-1", "cuda:127", "cuda:1x", "cpu:0", "CUDA"} {
		if d, err := torch.ParseDevice(s); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("%q: %v, %v", s, d, err)
		}
	}
}
