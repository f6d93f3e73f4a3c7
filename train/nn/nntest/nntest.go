package nntest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"resslt/train/nn"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// moduleRoot is the folder of go.mod, above the test's.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}

// Torch opens libtorch's shim: where torch.Open finds it, or in bin/ at the
// module's root, where `make shim` puts it. Without one the test is skipped, or
// fails where RESSLT_REQUIRE_TORCH is 1. At the test's end it checks that no
// tensor is left over.
func Torch(t testing.TB) {
	t.Helper()
	torchtest.Require(t)
	before := torch.LiveTensors()
	t.Cleanup(func() {
		if after := torch.LiveTensors(); after != before {
			t.Errorf("%d tensors are left over", after-before)
		}
	})
}

// Do runs fn inside torch.Do and fails the test by its error.
func Do(t testing.TB, fn func()) {
	t.Helper()
	if err := torch.Do(func() error { fn(); return nil }); err != nil {
		t.Fatal(err)
	}
}

// hash is fixtures.py's raw: element i of name, SplitMix64 in counter mode.
func hash(key uint64, i int) uint64 {
	x := key + uint64(i+1)*0x9E3779B97F4A7C15
	x ^= x >> 30
	x *= 0xBF58476D1CE4E5B9
	x ^= x >> 27
	x *= 0x94D049BB133111EB
	return x ^ x>>31
}

func key(name string) uint64 {
	sum := sha256.Sum256([]byte(name))
	return binary.LittleEndian.Uint64(sum[:8])
}

// Formula is n numbers, uniform in [shift−scale, shift+scale).
func Formula(name string, n int, scale, shift float64) []float32 {
	out, k := make([]float32, n), key(name)
	for i := range out {
		u := float64(float64(hash(k, i)>>40)*0x1p-23) - 1
		out[i] = float32(float64(u*scale) + shift)
	}
	return out
}

// FormulaTensor is Formula as a tensor of the current scope.
func FormulaTensor(name string, scale, shift float64, shape ...int64) *torch.Tensor {
	n := 1
	for _, s := range shape {
		n *= int(s)
	}
	return torch.FromFloat32(Formula(name, n, scale, shift), shape...)
}

// Labels is n classes below classes, as generate.py's evaluation draws them.
func Labels(name string, n, classes int) []int32 {
	out, k := make([]int32, n), key(name)
	for i := range out {
		out[i] = int32(hash(k, i) % uint64(classes))
	}
	return out
}

// Pixels is n images of size×size, HWC, as fixtures.py's pixels: a quarter noise,
// three quarters 4×4 blocks of colour. size is a multiple of 4.
func Pixels(name string, n, size int) []byte {
	noise, blocks := key(name), key(name+" blocks")
	out := make([]byte, 0, n*size*size*3)
	for i := range n * size * size * 3 {
		c, x, y, img := i%3, i/3%size, i/3/size%size, i/3/size/size
		block := ((img*(size/4)+y/4)*(size/4)+x/4)*3 + c
		out = append(out, byte(hash(noise, i)>>56/4+hash(blocks, block)>>56*3/4))
	}
	return out
}

// Fill sets every parameter and buffer of m as fixtures.py's fill does.
func Fill(m nn.Module, prefix string) {
	torch.NoGrad(func() {
		for _, n := range nn.StateDict(m) {
			torch.ScopeDo(func() { fillOne(prefix, n) })
		}
	})
}

func fillOne(prefix string, n nn.Named) {
	name, shape := prefix+n.Name, n.Tensor.Shape()
	vector := func(scale, shift float64) *torch.Tensor { return FormulaTensor(name, scale, shift, shape...) }
	switch base := filepath.Ext(n.Name); {
	case base == ".num_batches_tracked":
	case len(shape) > 1:
		torch.Copy_(n.Tensor, vector(math.Sqrt(6/float64(n.Tensor.Numel()/shape[0])), 0), false)
	case base == ".running_var", base == ".weight":
		torch.Copy_(n.Tensor, vector(0.25, 1), false)
	default:
		torch.Copy_(n.Tensor, vector(0.1, 0), false)
	}
}

// samples is fixtures.py's SAMPLES.
const samples = 24

// Digest is fixtures.py's digest of a tensor's elements: the greatest magnitude,
// then elements at hashed places.
func Digest(name string, elements []float64) []float64 {
	out := make([]float64, 1, 1+samples)
	for _, v := range elements {
		out[0] = max(out[0], math.Abs(v))
	}
	k := key("sample " + name)
	for i := range samples {
		out = append(out, elements[hash(k, i)%uint64(len(elements))])
	}
	return out
}

// Deviation is max|a−b| / max|b|; of two empty or all-zero lists it is max|a−b|.
func Deviation(a, b []float32) float64 { return deviation(a, b) }

func deviation[F float32 | float64](a, b []F) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var diff, most float64
	for i := range a {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		diff, most = max(diff, d), max(most, math.Abs(float64(b[i])))
	}
	if most == 0 {
		return diff
	}
	return diff / most
}

// Close fails the test where the deviation is above tolerance, and returns it.
func Close(t testing.TB, what string, got, want []float32, tolerance float64) float64 {
	t.Helper()
	d := Deviation(got, want)
	if !(d <= tolerance) {
		t.Errorf("%s deviates by %.2g, want at most %.2g", what, d, tolerance)
	}
	return d
}

// Close64 is Close in float64.
func Close64(t testing.TB, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if d := deviation(got, want); !(d <= tolerance) {
		t.Errorf("%s deviates by %.2g, want at most %.2g", what, d, tolerance)
	}
}

// Stored fails the test unless float64 results are those that a fixture keeps in fp32:
// each was rounded once, by Unit of itself at most. Both programs' own float64 error is
// put at a tenth of that, 6e-9: a condition of 5e7 on float64's unit 2⁻⁵³.
func Stored(tb testing.TB, what string, got []float64, want []float32) {
	tb.Helper()
	var most float64
	for _, w := range want {
		most = max(most, math.Abs(float64(w)))
	}
	StoredOf(tb, what, got, want, most)
}

// StoredOf is Stored for a tensor whose elements count against a greatest magnitude of
// most, that of what it is a part of.
func StoredOf(tb testing.TB, what string, got []float64, want []float32, most float64) {
	tb.Helper()
	if len(got) != len(want) {
		tb.Errorf("%s has %d elements, the fixture %d", what, len(got), len(want))
		return
	}
	var worst float64
	for i, w := range want {
		d := math.Abs(got[i] - float64(w))
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		worst = max(worst, d)
	}
	if most == 0 {
		most = 1
	}
	if worst /= most; !(worst <= 1.1*Unit) {
		tb.Errorf("%s deviates by %.2g, want at most %.2g: a rounding to fp32", what, worst, 1.1*Unit)
	}
}

// Fixture is one safetensors file of train/testdata/parity.
type Fixture struct {
	t      testing.TB
	name   string
	header map[string]entry
	data   []byte
	meta   string
}

type entry struct {
	DType   string  `json:"dtype"`
	Shape   []int64 `json:"shape"`
	Offsets [2]int  `json:"data_offsets"`
}

// File is the path of a file in train/testdata/parity.
func File(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(moduleRoot(t), "train", "testdata", "parity", name)
}

// Load reads the fixture called name.
func Load(t testing.TB, name string) *Fixture {
	t.Helper()
	raw, err := os.ReadFile(File(t, name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(raw)
	var header map[string]json.RawMessage
	if err := json.Unmarshal(raw[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	f := &Fixture{t: t, name: name, header: map[string]entry{}, data: raw[8+n:]}
	for key, v := range header {
		if key == "__metadata__" {
			var m map[string]string
			if err := json.Unmarshal(v, &m); err != nil {
				t.Fatal(err)
			}
			f.meta = m["json"]
			continue
		}
		var e entry
		if err := json.Unmarshal(v, &e); err != nil {
			t.Fatal(err)
		}
		f.header[key] = e
	}
	return f
}

// Meta decodes the fixture's settings.
func (f *Fixture) Meta(into any) {
	f.t.Helper()
	if err := json.Unmarshal([]byte(f.meta), into); err != nil {
		f.t.Fatal(err)
	}
}

// Has tells whether the fixture holds the tensor.
func (f *Fixture) Has(key string) bool { _, ok := f.header[key]; return ok }

// Len is the number of tensors.
func (f *Fixture) Len() int { return len(f.header) }

func (f *Fixture) bytes(key, dtype string) []byte {
	f.t.Helper()
	e, ok := f.header[key]
	if !ok || e.DType != dtype {
		f.t.Fatalf("fixture %s has no %s tensor %q", f.name, dtype, key)
	}
	return f.data[e.Offsets[0]:e.Offsets[1]]
}

// Float32s is a float tensor's elements.
func (f *Fixture) Float32s(key string) []float32 {
	f.t.Helper()
	raw := f.bytes(key, "F32")
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

// Int64s is an integer tensor's elements.
func (f *Fixture) Int64s(key string) []int64 {
	f.t.Helper()
	raw := f.bytes(key, "I64")
	out := make([]int64, len(raw)/8)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return out
}
