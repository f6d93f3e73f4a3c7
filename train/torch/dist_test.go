package torch_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"resslt/schemas/errs"
	"resslt/schemas/racetest"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// TestCollectives compares every collective with a computation by hand from its ranks'
// parts, over three ranks, so that orders of summation could differ.
func TestCollectives(t *testing.T) {
	const world = 3
	results := torchtest.Ranks(t, world, func(g *torch.Group) (all []byte) {
		err := torch.Do(func() error {
			mine := torch.AddScalar(torch.Reshape(torch.Arange(0, 6, 1, torch.Float32, torch.CPU), []int64{2, 3}), 10*float64(g.Rank()), 1)
			gathered := g.Gather(mine)
			if want := []int64{2 * world, 3}; !slices.Equal(gathered.Shape(), want) {
				t.Errorf("gathered %v, want %v", gathered.Shape(), want)
			}
			for i, v := range gathered.Float32s() {
				if want := float32(i%6 + 10*(i/6)); v != want {
					t.Errorf("gathered element %d is %v, want %v", i, v, want)
				}
			}
			pixels := g.Gather(torch.FromUint8([]byte{byte(g.Rank())}, 1)).Bytes()
			if !bytes.Equal(pixels, []byte{0, 1, 2}) {
				t.Errorf("gathered bytes %v", pixels)
			}

			// Thirds have no exact sum, so that the order shows in the bits.
			n := int64(10007) // no multiple of the ring's parts
			thirds := torch.DivScalar(torch.Arange(float64(g.Rank()+1), float64(n)+float64(g.Rank()+1), 1, torch.Float32, torch.CPU), 3)
			g.Sum(thirds)
			all = append(all, thirds.Bytes()...)
			for i, v := range thirds.Float32s() {
				if want := float64(3*i+6) / 3; math.Abs(float64(v)-want) > 1e-6*want {
					t.Fatalf("sum %d is %v, want %v", i, v, want)
				}
			}

			var list []*torch.Tensor // three types, of which two share no bucket
			for i, d := range []torch.DType{torch.Float32, torch.Float64, torch.Float32} {
				list = append(list, torch.Full([]int64{int64(i + 1), 7}, float64(g.Rank()*(i+1)), d, torch.CPU))
			}
			g.Mean(list)
			for i, l := range list {
				for _, v := range l.Float32s() {
					if v != float32(i+1) { // (0+1+2)/3·(i+1)
						t.Errorf("mean of tensor %d is %v, want %d", i, v, i+1)
					}
				}
				all = append(all, l.Bytes()...)
			}
			if g.Gone() {
				t.Error("a rank is gone that is here")
			}
			for round := range 3 {
				for r, said := range g.Exchange(fmt.Appendf(nil, "%d says %d", g.Rank(), round)) {
					if want := fmt.Sprintf("%d says %d", r, round); string(said) != want {
						t.Errorf("exchanged %q, want %q", said, want)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return all
	})
	for r := 1; r < world; r++ {
		if !bytes.Equal(results[r], results[0]) {
			t.Errorf("rank %d has other bits than rank 0", r)
		}
	}
}

// TestSyncBatchNorm compares two ranks' halves of a batch, output, running statistics and
// gradients, with plain batch norm on the whole batch.
func TestSyncBatchNorm(t *testing.T) {
	racetest.SkipNumbers(t)
	shapes := map[string][]int64{"maps": {6, 5, 4, 4}, "rows": {6, 5}}
	for name, shape := range shapes {
		for _, affine := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s affine=%v", name, affine), func(t *testing.T) {
				torchtest.Ranks(t, 2, func(g *torch.Group) []byte {
					for _, dtype := range []torch.DType{torch.Float64, torch.Float32} {
						if err := torch.Do(func() error { compareNorms(t, g, torch.CPU, shape, dtype, affine); return nil }); err != nil {
							t.Error(err)
						}
					}
					return nil
				})
			})
		}
	}
}

// compareNorms runs both norms on one batch, of which this rank has its rows.
func compareNorms(t *testing.T, g *torch.Group, dev torch.Device, shape []int64, dtype torch.DType, affine bool) {
	t.Helper()
	random := func(seed uint64, shape ...int64) *torch.Tensor {
		return normals(rand.New(rand.NewPCG(seed, 0)), 0.7, 2, shape...).To(dev, dtype, false)
	}
	c := shape[1]
	whole, grad := random(1, shape...), random(2, shape...)
	if len(shape) == 4 {
		whole = torch.Contiguous(whole, torch.ChannelsLast)
	}
	type norm struct{ x, w, b, mean, variance, y *torch.Tensor }
	make := func(x *torch.Tensor) norm {
		n := norm{x: torch.Clone(x).SetRequiresGrad(true), mean: random(5, c), variance: torch.Square(random(6, c))}
		if affine {
			n.w, n.b = random(3, c).SetRequiresGrad(true), random(4, c).SetRequiresGrad(true)
		}
		return n
	}
	from, to := g.Rows(int(shape[0]))
	slice := func(x *torch.Tensor) *torch.Tensor { return torch.Narrow(x, 0, int64(from), int64(to-from)) }

	want := make(whole)
	want.y = torch.BatchNorm(want.x, want.w, want.b, want.mean, want.variance, true, 0.1, 1e-5, true)
	want.y.BackwardWith(grad, false)
	got := make(slice(whole))
	got.y = g.SyncBatchNorm(got.x, got.w, got.b, got.mean, got.variance, 0.1, 1e-5)
	got.y.BackwardWith(slice(grad), false)

	// Both programs sum at most 96 values a channel, with 96 roundings each in the worst
	// case, and add some thirty in mean, variance and gradient: 128 units of 2⁻²⁴ or 2⁻⁵³.
	tolerance := 128 * 0x1p-53
	if dtype == torch.Float32 {
		tolerance = 128 * 0x1p-24
	}
	near := func(what string, got, want *torch.Tensor) {
		t.Helper()
		diff := torch.Amax(torch.Abs(torch.Sub(torch.Flatten(got, 0, -1), torch.Flatten(want, 0, -1), 1)), []int64{0}, false).Item()
		most := torch.Amax(torch.Abs(torch.Flatten(want, 0, -1)), []int64{0}, false).Item()
		if !(diff <= tolerance*most) {
			t.Errorf("%v: %s is off by %.2g of %.2g", dtype, what, diff, most)
		}
	}
	near("output", got.y, slice(want.y))
	near("running mean", got.mean, want.mean)
	near("running variance", got.variance, want.variance)
	near("input gradient", got.x.Grad(), slice(want.x.Grad()))
	if affine {
		for i, pair := range [][2]*torch.Tensor{{got.w, want.w}, {got.b, want.b}} {
			sum := torch.Clone(pair[0].Grad())
			g.Sum(sum)
			near([]string{"weight", "bias"}[i]+" gradient", sum, pair[1].Grad())
		}
	}
}

// TestGroupOfOne runs the collectives and the norm of each kind of device in a group of
// one process, which is what a single GPU can show of NCCL and of CUDA's kernels.
func TestGroupOfOne(t *testing.T) {
	torchtest.Require(t)
	have, err := torch.Backends()
	if err != nil {
		t.Fatal(err)
	}
	info, err := torch.Info()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []struct {
		device  torch.Device
		backend string
		there   bool
	}{{torch.CPU, "gloo", true}, {torch.CUDA(0), "nccl", len(info.CUDA) > 0}} {
		t.Run(kind.backend, func(t *testing.T) {
			if !kind.there || !slices.Contains(have, kind.backend) {
				t.Skipf("needs %v and a shim with %s", kind.device, kind.backend)
			}
			g, err := torch.JoinGroup(torch.GroupOptions{World: 1, Host: "127.0.0.1", Port: torchtest.FreePort(t), Serve: true, Prefix: "one", Device: kind.device, Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			err = torch.Do(func() error {
				x := torch.Arange(0, 6, 1, torch.Float32, kind.device)
				want := x.Float32s()
				g.Sum(x)
				g.Mean([]*torch.Tensor{x})
				if got := g.Gather(x).Float32s(); !slices.Equal(got, want) {
					t.Errorf("sum, mean and gather of one rank give %v, want %v", got, want)
				}
				if pixels := g.Gather(torch.FromUint8([]byte{7, 9}, 2).To(kind.device, torch.Uint8, false)); !bytes.Equal(pixels.Bytes(), []byte{7, 9}) {
					t.Errorf("gathered bytes %v", pixels.Bytes())
				}
				for i := range byte(3) {
					if all := g.Exchange([]byte{i}); len(all) != 1 || all[0][0] != i {
						t.Errorf("exchanged %v", all)
					}
				}
				for _, shape := range [][]int64{{6, 5, 4, 4}, {6, 5}} {
					for _, affine := range []bool{true, false} {
						compareNorms(t, g, kind.device, shape, torch.Float32, affine)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if err := g.Leave(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestGroupErrors: missing, gone and silent ranks cause an error of one line in bounded
// time.
func TestGroupErrors(t *testing.T) {
	torchtest.Require(t)
	start := time.Now()
	_, err := torch.JoinGroup(torch.GroupOptions{Rank: 0, World: 2, Host: "127.0.0.1", Port: 1, Serve: false, Timeout: time.Second})
	if !errors.Is(err, errs.ErrUnavailable) && !errors.Is(err, errs.ErrUnsupported) {
		t.Errorf("no store: %v", err)
	}
	_, err = torch.JoinGroup(torch.GroupOptions{Rank: 2, World: 2, Host: "127.0.0.1", Port: 1})
	if !errors.Is(err, errs.ErrUsage) {
		t.Errorf("rank 2 of 2: %v", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("that took %v", took)
	}
	torchtest.Ranks(t, 2, func(g *torch.Group) []byte {
		if g.Rank() == 1 {
			g.Free() // and is gone
			return nil
		}
		err := torch.Do(func() error {
			for range 100 {
				g.Exchange([]byte{1})
			}
			return nil
		})
		if !errors.Is(err, errs.ErrUnavailable) {
			t.Errorf("a rank that is gone: %v", err)
		} else if strings.Contains(err.Error(), "nvidia-smi") || !strings.Contains(err.Error(), "other rank") {
			t.Errorf("a rank that is gone is reported as something else: %v", err)
		}
		gone := func() (is bool) {
			if err := torch.Do(func() error { is = g.Gone(); return nil }); err != nil {
				t.Error(err)
			}
			return is
		}
		for end := time.Now().Add(20 * time.Second); !gone(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("nobody says that a rank is gone")
			}
		}
		g.Abort()
		g.Free()
		return nil
	})
}

// TestAlone: a single process is a group of one.
func TestAlone(t *testing.T) {
	var g *torch.Group
	torchtest.Do(t, func() {
		x := torch.FromFloat32([]float32{1, 2}, 2, 1)
		g.Sum(x)
		g.Mean([]*torch.Tensor{x})
		if got := g.Gather(x).Float32s(); !slices.Equal(got, []float32{1, 2}) {
			t.Errorf("alone, sum, mean and gather give %v", got)
		}
		if all := g.Exchange([]byte("a")); len(all) != 1 || string(all[0]) != "a" {
			t.Errorf("alone, exchange gives %q", all)
		}
	})
	if from, to := g.Rows(7); g.Rank() != 0 || g.World() != 1 || from != 0 || to != 7 || g.Leave() != nil {
		t.Error("nil is not rank 0 of 1")
	}
}
