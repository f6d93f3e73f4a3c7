package ingest

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"resslt/schemas/racetest"
)

func TestOrderIsBijection(t *testing.T) {
	for _, n := range []int64{1, 2, 3, 10, 255, 256, 257, 50_000, 60_000, 1_000_000} {
		for _, epoch := range []int64{0, 199} {
			o := NewOrder(7, n)
			seen := make([]bool, n)
			for i := range n {
				s := o.At(epoch, i)
				if s < 0 || s >= n || seen[s] {
					t.Fatalf("n %d epoch %d place %d: sample %d twice or out of range", n, epoch, i, s)
				}
				seen[s] = true
				if n < 100_000 && o.Index(epoch, s) != i {
					t.Fatalf("n %d epoch %d: Index(At(%d)) = %d", n, epoch, i, o.Index(epoch, s))
				}
			}
		}
	}
}

// The order is part of a run's identity: these values may change only together
// with orderTag.
func TestOrderIsFixed(t *testing.T) {
	o := NewOrder(42, 50_000)
	var got []int64
	for i := range int64(8) {
		got = append(got, o.At(3, i))
	}
	const want = "[33893 35503 42832 27309 7029 49027 29202 14712]"
	if fmt.Sprint(got) != want {
		t.Errorf("order of seed 42, epoch 3 is %v, want %s", got, want)
	}
}

func TestOrderOutOfRange(t *testing.T) {
	o := NewOrder(1, 10)
	if o.At(0, 13) != o.At(0, 3) {
		t.Error("an index beyond n does not wrap around")
	}
	for _, got := range []int64{o.At(0, -1), NewOrder(1, 0).At(0, 0), NewOrder(1, -5).At(0, 0), o.Index(0, -1), o.Index(0, 10)} {
		if got != -1 {
			t.Errorf("out of range gives %d, want -1", got)
		}
	}
}

func TestOrderSeedsAndEpochsDiffer(t *testing.T) {
	const n = 1000
	base := NewOrder(1, n)
	for _, c := range []struct {
		name  string
		o     *Order
		epoch int64
	}{{"next epoch", base, 1}, {"negative epoch", base, -1}, {"next seed", NewOrder(2, n), 0}} {
		same := 0
		for i := range int64(n) {
			if base.At(0, i) == c.o.At(c.epoch, i) {
				same++
			}
		}
		// Two random permutations agree in one place on average (Poisson); more
		// than 12 has a chance of 1e-10.
		if same > 12 {
			t.Errorf("%s: %d of %d places agree", c.name, same, n)
		}
	}
}

// chiSquare is the statistic of counts against equal shares, as standard
// deviations from its mean: about normal for many degrees of freedom.
func chiSquare(counts []int) float64 {
	total := 0
	for _, c := range counts {
		total += c
	}
	want := float64(total) / float64(len(counts))
	x := 0.0
	for _, c := range counts {
		x += (float64(c) - want) * (float64(c) - want) / want
	}
	df := float64(len(counts) - 1)
	return (x - df) / math.Sqrt(2*df)
}

// All n! orders of a tiny set must be about equally frequent over the epochs.
func TestOrderOfTinySets(t *testing.T) {
	for _, n := range []int64{2, 3, 4, 5} {
		o := NewOrder(99, n)
		count := map[int64]int{}
		const epochs = 24_000
		for e := range int64(epochs) {
			key := int64(0)
			for i := range n {
				key = 10*key + o.At(e, i)
			}
			count[key]++
		}
		orders := 1
		for i := int64(2); i <= n; i++ {
			orders *= int(i)
		}
		counts := make([]int, 0, orders)
		for _, c := range count {
			counts = append(counts, c)
		}
		for len(counts) < orders {
			counts = append(counts, 0)
		}
		if z := chiSquare(counts); z > 5 {
			t.Errorf("n %d: %d of %d orders seen, χ² %.1f standard deviations over its mean", n, len(count), orders, z)
		}
	}
}

// Over many epochs, each place must visit every sample equally often, and
// neighbours must be independent.
func TestOrderIsUniform(t *testing.T) {
	racetest.SkipNumbers(t)
	for _, n := range []int64{100, 256, 1000} {
		o := NewOrder(5, n)
		epochs := 100 * n
		for _, place := range []int64{0, 1, n / 2, n - 1} {
			counts := make([]int, n)
			for e := range epochs {
				counts[o.At(e, place)]++
			}
			if z := chiSquare(counts); math.Abs(z) > 5 {
				t.Errorf("n %d place %d: χ² is %.1f standard deviations from its mean", n, place, z)
			}
		}
		// The distance (mod n) from one place's sample to the next's: 1 … n−1.
		steps := make([]int, n-1)
		for e := range epochs {
			a, b := o.At(e, 3), o.At(e, 4)
			steps[(b-a+n)%n-1]++
		}
		if z := chiSquare(steps); math.Abs(z) > 5 {
			t.Errorf("n %d: distances between neighbours: χ² %.1f standard deviations from its mean", n, z)
		}
	}
}

// Within an epoch of a real size: place, neighbour and next epoch must be
// uncorrelated. A correlation of n pairs has standard deviation 1/√n.
func TestOrderIsUncorrelated(t *testing.T) {
	racetest.SkipNumbers(t)
	for _, n := range []int64{50_000, 60_000, 65_536, 300_000} {
		o := NewOrder(11, n)
		mid, norm := float64(n-1)/2, float64(n)*(float64(n)*float64(n)-1)/12
		var place, next, epoch, half float64
		for i := range n {
			x := float64(o.At(0, i)) - mid
			place += x * (float64(i) - mid)
			next += x * (float64(o.At(0, (i+1)%n)) - mid)
			epoch += x * (float64(o.At(1, i)) - mid)
			if x < 0 == (i < n/2) {
				half++
			}
		}
		for name, v := range map[string]float64{"place": place / norm, "neighbour": next / norm, "next epoch": epoch / norm, "halves": 2*half/float64(n) - 1} {
			if z := v * math.Sqrt(float64(n)); math.Abs(z) > 5 {
				t.Errorf("n %d: correlation with %s is %.5f, %.1f standard deviations", n, name, v, z)
			}
		}
	}
}

// Two epochs in flight at once, as around an epoch's end.
func TestOrderConcurrent(t *testing.T) {
	const n = 5000
	o := NewOrder(3, n)
	var want [2][n]int64
	for e := range want {
		for i := range want[e] {
			want[e][i] = NewOrder(3, n).At(int64(e), int64(i))
		}
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range n {
				e := (i + w) % 2
				if got := o.At(int64(e), int64(i)); got != want[e][i] {
					t.Errorf("epoch %d place %d: %d, want %d", e, i, got, want[e][i])
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkOrder(b *testing.B) {
	for _, n := range []int64{10, 50_000, 1_281_167, 10_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			o := NewOrder(1, n)
			for i := range int64(b.N) {
				o.At(0, i%n)
			}
		})
	}
}
