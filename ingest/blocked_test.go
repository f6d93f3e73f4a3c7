package ingest

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/racetest"
)

func TestBlockedOrderIsBijection(t *testing.T) {
	for _, c := range []struct {
		shards         []int64
		g, w           int
		epochs, groups int
	}{
		{[]int64{1}, 8, 16384, 3, 1},
		{[]int64{5, 0, 7, 1, 3}, 2, 3, 40, 2},
		{[]int64{10, 10, 10}, 1, 4, 20, 3},
		{[]int64{1000, 1, 1, 1}, 4, 10, 20, 1},
		{[]int64{1250, 1301, 999, 1250, 1250, 1, 777, 64, 1250}, 4, 512, 5, 3},
		{equalShards(50, 101), 8, 300, 5, 7},
		{[]int64{100_000}, 8, 1000, 2, 1},
	} {
		o := newBlockedOrder(7, c.shards, c.g, c.w)
		var n int64
		for _, s := range c.shards {
			n += s
		}
		for epoch := range int64(c.epochs) {
			if got := len(o.epoch(epoch).groups); got != c.groups {
				t.Fatalf("%v by %d: %d groups, want %d", c.shards, c.g, got, c.groups)
			}
			seen := make([]bool, n)
			for i := range n {
				s := o.At(epoch, i)
				if s < 0 || s >= n || seen[s] {
					t.Fatalf("%v by %d, %d: epoch %d place %d: sample %d twice or out of range", c.shards, c.g, c.w, epoch, i, s)
				}
				seen[s] = true
				if at := o.Index(epoch, s); at != i {
					t.Fatalf("%v by %d, %d: Index(At(%d)) = %d", c.shards, c.g, c.w, i, at)
				}
			}
		}
		for _, got := range []int64{o.At(0, -1), o.Index(0, -1), o.Index(0, n), newBlockedOrder(1, nil, 8, 8).At(0, 0)} {
			if got != -1 {
				t.Errorf("out of range gives %d, want -1", got)
			}
		}
		if o.At(1, n+n/2) != o.At(1, n/2) {
			t.Error("an index beyond n does not wrap around")
		}
	}
}

func equalShards(count int, n int64) []int64 { return slices.Repeat([]int64{n}, count) }

// The order is part of a run's identity: these values may change only together
// with blockedTag.
func TestBlockedOrderIsFixed(t *testing.T) {
	o := newBlockedOrder(42, []int64{1000, 1200, 800, 1000, 3}, 2, 256)
	var got []int64
	for i := range int64(8) {
		got = append(got, o.At(3, 500*i))
	}
	const want = "[3259 3551 882 1327 1545 555 2015 2261]"
	if fmt.Sprint(got) != want {
		t.Errorf("order of seed 42, epoch 3 is %v, want %s", got, want)
	}
}

// What the order is for: a window's samples lie in few runs, of which every byte
// is wanted.
func TestBlockedOrderReadsRuns(t *testing.T) {
	const g, w, shards, per = 8, 2048, 64, 1000
	o := newBlockedOrder(3, equalShards(shards, per), g, w)
	for _, gr := range o.epoch(5).groups {
		for k := range gr.windows {
			lo, hi := gr.start+o.before(o.epoch(5), &gr, k), gr.start+o.before(o.epoch(5), &gr, k+1)
			var ids []int64
			for i := lo; i < hi; i++ {
				ids = append(ids, o.At(5, i))
			}
			slices.Sort(ids)
			runs := 1
			for i := 1; i < len(ids); i++ {
				if ids[i] != ids[i-1]+1 {
					runs++
				}
			}
			// A shard's run is in two where it passes the shard's end.
			if runs > 2*g || len(ids) > w+g {
				t.Fatalf("places %d to %d: %d samples in %d runs", lo, hi, len(ids), runs)
			}
		}
	}
}

// Epochs and seeds differ in the order of shards, in what shares a window and in
// the order within.
func TestBlockedOrderDiffers(t *testing.T) {
	racetest.SkipNumbers(t)
	shards := equalShards(40, 500)
	base := newBlockedOrder(1, shards, 4, 256)
	for name, other := range map[string]func(i int64) int64{
		"next epoch": func(i int64) int64 { return base.At(1, i) },
		"next seed":  func(i int64) int64 { return newBlockedOrder(2, shards, 4, 256).At(0, i) },
	} {
		same := 0
		for i := range int64(20_000) {
			if i%10 == 0 && base.At(0, i) == other(i) {
				same++
			}
		}
		// 2,000 places of a random order agree in 0.1 on average.
		if same > 8 {
			t.Errorf("%s: %d of 2,000 places agree", name, same)
		}
	}
	// Which samples share a window: the pairs that neighbours of one epoch make
	// must be spread in the next.
	var d float64
	const n = 20_000
	for i := range int64(n - 1) {
		d += math.Abs(float64(base.Index(1, base.At(0, i)) - base.Index(1, base.At(0, i+1))))
	}
	if d /= n * n; d < 0.1 {
		t.Errorf("neighbours of one epoch are %.3f n apart in the next", d)
	}
}

// Within a window every place is as likely as another.
func TestBlockedOrderIsUniformInWindow(t *testing.T) {
	const per, window = 64, 128
	o := newBlockedOrder(9, equalShards(2, per), 2, window)
	counts := make([]int, 2*per)
	for e := range int64(20_000) {
		counts[o.At(e, 17)]++
	}
	if z := chiSquare(counts); math.Abs(z) > 5 {
		t.Errorf("place 17: χ² is %.1f standard deviations from its mean", z)
	}
}

func TestOpenOrder(t *testing.T) {
	spec := schemas.RunSpec{Order: "blocked:shards=2,window=8", Seed: 4, Dataset: schemas.DatasetSpec{Samples: 30, ShardSamples: []int64{10, 20}}}
	o, err := OpenOrder(&spec)
	if err != nil || o.At(2, 7) != newBlockedOrder(4, []int64{10, 20}, 2, 8).At(2, 7) {
		t.Errorf("%v, %v", o, err)
	}
	spec.Dataset.ShardSamples = nil
	if _, err := OpenOrder(&spec); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("without shards: %v", err)
	}
	spec.Order = "global"
	if o, err := OpenOrder(&spec); err != nil || o.At(2, 7) != NewOrder(4, 30).At(2, 7) {
		t.Errorf("%v, %v", o, err)
	}
	spec.Order = "sorted"
	if _, err := OpenOrder(&spec); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("sorted: %v", err)
	}
}

// BenchmarkPlanEpoch visits every place of an epoch of 1,000,000 samples in 1,000
// shards, as the planner does, and finds each place again.
func BenchmarkPlanEpoch(b *testing.B) {
	const n, shards = 1_000_000, 1000
	for _, c := range []struct {
		name string
		make func() Permutation
	}{
		{"global", func() Permutation { return NewOrder(1, n) }},
		{"blocked", func() Permutation { return newBlockedOrder(1, equalShards(shards, n/shards), 0, 0) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			before := heap()
			o := c.make()
			epoch := int64(0)
			for b.Loop() {
				for i := range int64(n) {
					if o.Index(epoch, o.At(epoch, i)) != i {
						b.Fatal("Index is not At's inverse")
					}
				}
				epoch++
			}
			after := heap()
			runtime.KeepAlive(o)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/sample")
			b.ReportMetric(float64(after)-float64(before), "heap-B")
		})
	}
}

// heap is the live heap in bytes.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
