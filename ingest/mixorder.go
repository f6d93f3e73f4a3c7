package ingest

import (
	"math/bits"
	"sort"
	"sync/atomic"

	"resslt/schemas"
)

// mixOrder visits the sets of a mixture side by side, each in an order of its own.
//
//	epoch:   n positions, of which set c has its draws q_c, spread evenly: after p
//	         positions the first set has had ⌊p·q_0/n⌋, the second the like share of
//	         what is left, and so on
//	window:  W positions in keyed order, so that a row of a batch is not always of one set
//	set:     its visits run on from epoch to epoch: visit t = epoch·q_c + k is position
//	         t mod n_c of its own epoch ⌊t/n_c⌋, so that each sample is visited once
//	         before any is again, whatever the weight
//
// A set that an epoch visits more than once gives its samples under other ids each time
// (schemas.DatasetSpec.Repeats), since views are drawn by epoch and id.
type mixOrder struct {
	seed    uint64
	n       int64
	repeats int64
	sets    []mixedOrder
	cache   atomic.Pointer[epochKeys]
}

// mixedOrder is the order of one set.
type mixedOrder struct {
	Permutation
	first   int64 // id of its first sample
	samples int64 // n_c
	draws   int64 // q_c
}

const (
	mixTag    = "resslt mixed order 1" // name and version: see orderTag
	mixWindow = 1024                   // W: a batch or two, and a short stretch of every set
)

// newMixOrder returns the order of the spec's sets; each is in the order that of makes, by
// its number, its seed, the set and the numbers of samples of its shards.
func newMixOrder(s *schemas.RunSpec, of func(seed uint64, samples int64, shards []int64) Permutation) *mixOrder {
	o := &mixOrder{seed: s.Seed, n: s.Dataset.Samples, repeats: s.Dataset.Repeats()}
	seeds, shards := deriveKeys(mixTag+", sets", s.Seed, 0), s.Dataset.ShardSamples
	var first int64
	for c, set := range s.Dataset.Mix {
		var own []int64
		for left := set.Samples; left > 0 && len(shards) > 0; shards = shards[1:] {
			own = append(own, shards[0])
			left -= shards[0]
		}
		seed := round(uint64(c), seeds[0])
		o.sets = append(o.sets, mixedOrder{of(seed, set.Samples, own), first, set.Samples, set.Draws})
		first += set.Samples
	}
	return o
}

// At is the id at position index of the epoch; see Order.At. Safe for concurrent use.
func (o *mixOrder) At(epoch, index int64) int64 {
	if o.n == 0 || index < 0 {
		return -1
	}
	w, start, at := o.window(epoch, index%o.n)
	c, k := o.drawn(start + int64(w.permute(uint64(at))))
	return o.visit(epoch, c, k)
}

// Index is the position at which the epoch visits the id; -1 if it does not.
func (o *mixOrder) Index(epoch, id int64) int64 {
	if o.n == 0 || id < 0 || id >= o.n*o.repeats {
		return -1
	}
	repeat, id := id/o.n, id%o.n
	c := sort.Search(len(o.sets), func(i int) bool { return o.sets[i].first > id }) - 1
	set := &o.sets[c]
	// The set's own epochs that the mixture's touches are fewer than the repeats or as many.
	first, _ := mulDivMod(epoch, set.draws, set.samples)
	for own := first; own < first+o.repeats; own++ {
		if own%o.repeats != repeat {
			continue
		}
		k := o.since(epoch, set, own, set.Index(own, id-set.first))
		if k < 0 || k >= set.draws {
			return -1
		}
		w, start, at := o.window(epoch, o.position(c, k))
		return start + int64(w.invert(uint64(at)))
	}
	return -1
}

// visit is the id of visit k of the epoch to set c.
func (o *mixOrder) visit(epoch int64, c int, k int64) int64 {
	set := &o.sets[c]
	own, at := mulDivMod(epoch, set.draws, set.samples)
	own, at = own+(at+k)/set.samples, (at+k)%set.samples
	return own%o.repeats*o.n + set.first + set.At(own, at)
}

// since is the number of the epoch's visit to the set at a position of its own epoch.
func (o *mixOrder) since(epoch int64, set *mixedOrder, own, at int64) int64 {
	first, began := mulDivMod(epoch, set.draws, set.samples)
	return (own-first)*set.samples + at - began
}

// drawn says which set position p of the epoch draws from, before windows are mixed, and
// how many draws from it come before.
func (o *mixOrder) drawn(p int64) (set int, k int64) {
	n := o.n
	for c := range o.sets[:len(o.sets)-1] {
		q := o.sets[c].draws
		before, _ := mulDivMod(p, q, n)
		after, _ := mulDivMod(p+1, q, n)
		if after > before {
			return c, before
		}
		p, n = p-before, n-q
	}
	return len(o.sets) - 1, p
}

// position is the inverse of drawn.
func (o *mixOrder) position(c int, k int64) int64 {
	left := o.n // positions that the sets from c on share
	for i := range o.sets[:c] {
		left -= o.sets[i].draws
	}
	p := k
	if c < len(o.sets)-1 {
		p = mulDivUp(k+1, left, o.sets[c].draws) - 1
	}
	for i := c - 1; i >= 0; i-- {
		rest := left
		left += o.sets[i].draws
		p, _ = mulDivMod(p, left, rest)
	}
	return p
}

// MixDrawn are the numbers of samples that the first steps of a run draw from each set of a
// mixture; nil for other data. Samples that stand for others count as those.
func MixDrawn(s *schemas.RunSpec, steps int64) []int64 {
	if len(s.Dataset.Mix) == 0 {
		return nil
	}
	// Where an epoch ends early, each has the same part of its own order.
	none := func(uint64, int64, []int64) Permutation { return nil }
	o, epochs := newMixOrder(s, none), steps/s.StepsPerEpoch
	out := make([]int64, len(o.sets))
	for epoch := range epochs {
		for c, n := range o.drawnBy(epoch, s.StepsPerEpoch*int64(s.BatchSize)) {
			out[c] += n
		}
	}
	for c, n := range o.drawnBy(epochs, steps%s.StepsPerEpoch*int64(s.BatchSize)) {
		out[c] += n
	}
	return out
}

// drawnBy are the draws of an epoch's first positions from each set.
func (o *mixOrder) drawnBy(epoch, positions int64) []int64 {
	out := make([]int64, len(o.sets))
	if positions == o.n { // there is no window after the last
		for c := range o.sets {
			out[c] = o.sets[c].draws
		}
		return out
	}
	w, start, at := o.window(epoch, positions)
	p, n := start, o.n
	for c := range o.sets[:len(o.sets)-1] {
		out[c], _ = mulDivMod(p, o.sets[c].draws, n)
		p, n = p-out[c], n-o.sets[c].draws
	}
	out[len(out)-1] = p
	for i := range at {
		c, _ := o.drawn(start + int64(w.permute(uint64(i))))
		out[c]++
	}
	return out
}

// window is the permutation of the window that holds a position, the window's first
// position, and the position's place in it.
func (o *mixOrder) window(epoch, index int64) (m mixer, start, at int64) {
	keys := o.keys(epoch)
	k := index / mixWindow
	start = k * mixWindow
	return mixerOf(uint64(min(mixWindow, o.n-start)), &keys.k, uint64(k)), start, index - start
}

func (o *mixOrder) keys(epoch int64) *epochKeys { return cachedKeys(&o.cache, mixTag, o.seed, epoch) }

// mulDivMod is a·b/n and the remainder, of which a·b may take 128 bits. The quotient is
// taken modulo 2⁶³: it is an epoch's number, far from there in any run that ends.
func mulDivMod(a, b, n int64) (quotient, remainder int64) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	q, r := bits.Div64(hi%uint64(n), lo, uint64(n))
	return int64(q &^ (1 << 63)), int64(r)
}

// mulDivUp is a·b/n, rounded up.
func mulDivUp(a, b, n int64) int64 {
	q, r := mulDivMod(a, b, n)
	if r > 0 {
		q++
	}
	return q
}
