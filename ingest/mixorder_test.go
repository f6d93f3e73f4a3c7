package ingest

import (
	"fmt"
	"math"
	"testing"

	"resslt/schemas"
	"resslt/schemas/racetest"
)

// mixSpec is a spec of a mixture of sets with so many samples, drawn from by weight.
func mixSpec(t testing.TB, order string, samples []int64, weights []float64) *schemas.RunSpec {
	t.Helper()
	s := &schemas.RunSpec{Seed: 11, Order: order}
	for _, n := range samples {
		s.Dataset.Samples += n
		for left := n; left > 0; left -= 90 { // shards of 90 samples, the last one of fewer
			s.Dataset.ShardSamples = append(s.Dataset.ShardSamples, min(left, 90))
		}
	}
	draws, err := quotas(s.Dataset.Samples, weights)
	if err != nil {
		t.Fatal(err)
	}
	for c, n := range samples {
		s.Dataset.Mix = append(s.Dataset.Mix, schemas.MixedSet{Samples: n, Draws: draws[c]})
	}
	if order == "global" {
		s.Dataset.ShardSamples = nil
	}
	return s
}

var mixtures = []struct {
	name    string
	samples []int64
	weights []float64
}{
	{"by size", []int64{700, 300}, []float64{700, 300}},
	{"small set often", []int64{5000, 30}, []float64{0.5, 0.5}},
	{"large set seldom", []int64{3000, 200}, []float64{0.1, 0.9}},
	{"three", []int64{1000, 2500, 40}, []float64{3, 1, 2}},
	{"whole repeats", []int64{150, 50}, []float64{1, 1}},
	{"one draw", []int64{4000, 1}, []float64{3999, 1}},
	{"alike", []int64{512, 512, 512, 512, 512}, []float64{1, 1, 1, 1, 1}},
}

func TestMixOrder(t *testing.T) {
	racetest.SkipNumbers(t)
	for _, m := range mixtures {
		for _, order := range []string{"global", "blocked:shards=2,window=64"} {
			t.Run(m.name+" "+order, func(t *testing.T) {
				spec := mixSpec(t, order, m.samples, m.weights)
				o, err := OpenOrder(spec)
				if err != nil {
					t.Fatal(err)
				}
				n := spec.Dataset.Samples
				visits := make([]int64, n) // of each sample, over all epochs
				for epoch := range int64(7) {
					seen, drawn := map[int64]bool{}, make([]int64, len(m.samples))
					for i := range n {
						id := o.At(epoch, i)
						if !spec.Dataset.HasID(id) || seen[id] {
							t.Fatalf("epoch %d, position %d: id %d twice or out of range", epoch, i, id)
						}
						seen[id] = true
						if at := o.Index(epoch, id); at != i {
							t.Fatalf("epoch %d: Index(At(%d)) = %d", epoch, i, at)
						}
						visits[id%n]++
						c := setOf(m.samples, id%n)
						drawn[c]++
						// Whole windows are exact to a draw for each set; within one, order is random.
						if (i+1)%mixWindow == 0 {
							want := float64(spec.Dataset.Mix[c].Draws) * float64(i+1) / float64(n)
							if d := math.Abs(float64(drawn[c]) - want); d > float64(len(m.samples)) {
								t.Errorf("epoch %d: %d draws from set %d after %d positions, want %.1f", epoch, drawn[c], c, i+1, want)
							}
						}
					}
					for c, set := range spec.Dataset.Mix {
						if drawn[c] != set.Draws {
							t.Errorf("epoch %d: %d draws from set %d, want %d", epoch, drawn[c], c, set.Draws)
						}
					}
					for id := range n * spec.Dataset.Repeats() {
						if at := o.Index(epoch, id); (at >= 0) != seen[id] {
							t.Fatalf("epoch %d: Index(%d) = %d, visited: %v", epoch, id, at, seen[id])
						}
					}
				}
				// Every sample of a set once before any of them again.
				var first int64
				for c, k := range m.samples {
					low, high := int64(math.MaxInt64), int64(0)
					for _, v := range visits[first : first+k] {
						low, high = min(low, v), max(high, v)
					}
					if high-low > 1 {
						t.Errorf("set %d: some samples visited %d times, others %d", c, low, high)
					}
					first += k
				}
			})
		}
	}
}

func setOf(samples []int64, id int64) (c int) {
	for ; id >= samples[c]; c++ {
		id -= samples[c]
	}
	return c
}

func TestMixDrawn(t *testing.T) {
	for _, m := range mixtures {
		spec := mixSpec(t, "global", m.samples, m.weights)
		o, err := OpenOrder(spec)
		if err != nil {
			t.Fatal(err)
		}
		n := spec.Dataset.Samples
		// Steps of one sample count positions; an epoch of fewer steps leaves a tail out.
		for _, spec.StepsPerEpoch = range []int64{n, n - 7} {
			spec.BatchSize = 1
			counted := make([]int64, len(m.samples))
			for step := range 2*spec.StepsPerEpoch + 1100 {
				if step < 1100 || step%97 == 0 || step%spec.StepsPerEpoch < 2 {
					if got := MixDrawn(spec, step); fmt.Sprint(got) != fmt.Sprint(counted) {
						t.Fatalf("%s: %v drawn by %d steps, want %v", m.name, got, step, counted)
					}
				}
				epoch, i := step/spec.StepsPerEpoch, step%spec.StepsPerEpoch
				counted[setOf(m.samples, o.At(epoch, i)%n)]++
			}
		}
	}
	if got := MixDrawn(&schemas.RunSpec{StepsPerEpoch: 3, BatchSize: 2}, 5); got != nil {
		t.Errorf("%v drawn from the sets of no mixture", got)
	}
}

// The order is part of a run's identity: these values may change only together with mixTag.
func TestMixOrderIsFixed(t *testing.T) {
	o, err := OpenOrder(mixSpec(t, "global", []int64{40_000, 9_000, 1_000}, []float64{0.5, 0.2, 0.3}))
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for i := range int64(8) {
		got = append(got, o.At(3, 12_345+i))
	}
	const want = "[100834 120794 136568 121688 191180 196262 199484 118259]"
	if fmt.Sprint(got) != want {
		t.Errorf("positions 12345 to 12352 of epoch 3 are %v, want %s", got, want)
	}
}

// Numbers near the limits of a spec do not overflow.
func TestMixOrderOfLargeSets(t *testing.T) {
	spec := &schemas.RunSpec{Seed: 1, Order: "global", Dataset: schemas.DatasetSpec{
		Samples: schemas.MaxSamples, Mix: []schemas.MixedSet{{Samples: schemas.MaxSamples - 12, Draws: schemas.MaxSamples - 12*30_000}, {Samples: 12, Draws: 12 * 30_000}},
	}}
	o, err := OpenOrder(spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, epoch := range []int64{0, 1, 1 << 20, 1 << 47} {
		for _, i := range []int64{0, 1, 1023, 1024, schemas.MaxSamples / 3, schemas.MaxSamples - 1} {
			id := o.At(epoch, i)
			if !spec.Dataset.HasID(id) || o.Index(epoch, id) != i {
				t.Errorf("epoch %d, position %d: id %d, whose position is %d", epoch, i, id, o.Index(epoch, id))
			}
		}
	}
}

func TestMixOrderRefusesShardsThatDoNotAddUp(t *testing.T) {
	spec := mixSpec(t, "blocked:shards=2,window=64", []int64{200, 100}, []float64{1, 1})
	spec.Dataset.ShardSamples = spec.Dataset.ShardSamples[1:]
	if _, err := OpenOrder(spec); err == nil {
		t.Error("opened")
	}
}
