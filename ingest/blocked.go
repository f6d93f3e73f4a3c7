package ingest

import (
	"fmt"
	"slices"
	"sort"
	"sync/atomic"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// Permutation is an order of samples: for every epoch a permutation of [0, n), a pure
// function of its seed, the epoch and the position. A mixture's is none, nor is one with mates:
// in an epoch they visit some samples more than once, under other ids, or not at all.
type Permutation interface {
	// At is the sample at a position; positions wrap around, and -1 means none.
	At(epoch, index int64) int64
	// Index is the position of a sample, -1 for one that the epoch does not visit.
	Index(epoch, sample int64) int64
}

// OpenOrder returns the order that a run spec names. It needs no data: the spec has the
// sizes of the shards, and of a mixture's sets. Errors wrap ErrUsage.
func OpenOrder(s *schemas.RunSpec) (Permutation, error) {
	o, err := schemas.ParseOrder(s.Order)
	if err != nil {
		return nil, err
	}
	var visited int64
	of := func(seed uint64, samples int64, shards []int64) Permutation {
		if !o.Blocked {
			visited += samples
			return NewOrder(seed, samples)
		}
		b := newBlockedOrder(seed, shards, o.Shards, o.Window)
		visited += b.n
		return b
	}
	var out Permutation
	if len(s.Dataset.Mix) > 0 {
		out = newMixOrder(s, of)
	} else {
		out = of(s.Seed, s.Dataset.Images(), s.Dataset.ShardSamples)
	}
	if visited != s.Dataset.Images() {
		return nil, errs.New("order", s.Order, "index the data set again",
			errs.Because(errs.ErrUsage, fmt.Sprintf("the spec's shards hold %d samples, its data set %d", visited, s.Dataset.Images())))
	}
	if s.Dataset.Mates > 0 {
		out = newMateOrder(s, out)
	}
	return out, nil
}

// blockedOrder visits shards in long runs: a few shards side by side, each from a keyed
// start, and the samples of the runs of a window in keyed order.
//
//	epoch:   the shards in keyed order, cut into groups of about G
//	group:   A samples in K = ⌈A/W⌉ windows; window k takes from a shard of a samples
//	         its run [⌊k·a/K⌋, ⌊(k+1)·a/K⌋), counted from the shard's keyed start
//	window:  its G runs, about W samples together, in keyed order
//
// So a process that follows the order has G shards open and reads W/G neighbouring
// samples of each, window by window; whatever the sizes, every sample is visited once
// an epoch. Looking up a position costs O(G + log shards) and takes no list of samples,
// so that any process can look up any position directly.
type blockedOrder struct {
	seed   uint64
	n      int64
	most   int     // G
	window int64   // W
	first  []int64 // first sample of each shard that has some, and n
	cache  atomic.Pointer[blockedEpoch]
}

const blockedTag = "resslt blocked order 1" // name and version: see orderTag

// blockedEpoch is an epoch's order of the shards: 24 bytes a shard.
type blockedEpoch struct {
	epoch    int64
	shards   []int32 // in the order of the epoch
	position []int32 // position of each shard in it
	groups   []group
	keys     roundKeys
}

// group is shards [lo, hi) of the epoch's order and the positions of their samples.
type group struct {
	lo, hi  int
	start   int64 // first position
	samples int64 // A
	windows int64 // K
}

// newBlockedOrder returns the order of shards with those numbers of samples, read so
// many side by side and mixed in windows of so many samples. Numbers below 1 mean the
// defaults of schemas.
func newBlockedOrder(seed uint64, samples []int64, sideBySide, window int) *blockedOrder {
	if sideBySide < 1 {
		sideBySide = schemas.DefaultOrderShards
	}
	if window < 1 {
		window = schemas.DefaultOrderWindow
	}
	o := &blockedOrder{seed: seed, most: sideBySide, window: int64(window), first: []int64{0}}
	for _, n := range samples {
		if n > 0 { // a file of labels holds no samples
			o.n += n
			o.first = append(o.first, o.n)
		}
	}
	return o
}

// At is the sample at position index of the epoch; see Order.At. Safe for concurrent
// use.
func (o *blockedOrder) At(epoch, index int64) int64 {
	if o.n == 0 || index < 0 {
		return -1
	}
	e := o.epoch(epoch)
	index %= o.n
	g := &e.groups[sort.Search(len(e.groups), func(i int) bool { return e.groups[i].start > index })-1]
	at := index - g.start
	// The window of the position: near its share, then exactly.
	k := at * g.windows / g.samples
	for o.before(e, g, k) > at {
		k--
	}
	for o.before(e, g, k+1) <= at {
		k++
	}
	lo := o.before(e, g, k)
	q := o.mix(e, g, k, o.before(e, g, k+1)-lo).permute(uint64(at - lo))
	left := int64(q)
	for _, s := range e.shards[g.lo:g.hi] {
		a := o.size(s)
		from, to := run(a, k, g.windows)
		if left < to-from {
			return o.first[s] + (from+left+o.turn(e, s))%a
		}
		left -= to - from
	}
	return -1 // not reached: q is below the runs' sum
}

// Index is the inverse of At.
func (o *blockedOrder) Index(epoch, sample int64) int64 {
	if sample < 0 || sample >= o.n {
		return -1
	}
	e := o.epoch(epoch)
	shard := int32(sort.Search(len(o.first), func(i int) bool { return o.first[i] > sample }) - 1)
	a := o.size(shard)
	i := (sample - o.first[shard] - o.turn(e, shard) + a) % a
	at := int(e.position[shard])
	g := &e.groups[sort.Search(len(e.groups), func(i int) bool { return e.groups[i].lo > at })-1]
	k := i * g.windows / a
	for from, _ := run(a, k, g.windows); from > i; from, _ = run(a, k, g.windows) {
		k--
	}
	for _, to := run(a, k, g.windows); to <= i; _, to = run(a, k, g.windows) {
		k++
	}
	lo := o.before(e, g, k)
	var q int64
	for _, s := range e.shards[g.lo:at] {
		from, to := run(o.size(s), k, g.windows)
		q += to - from
	}
	from, _ := run(a, k, g.windows)
	q += i - from
	return g.start + lo + int64(o.mix(e, g, k, o.before(e, g, k+1)-lo).invert(uint64(q)))
}

// size is a: the samples of a shard.
func (o *blockedOrder) size(shard int32) int64 { return o.first[shard+1] - o.first[shard] }

// run is the part of a shard of a samples that window k of K takes.
func run(a, k, windows int64) (from, to int64) { return k * a / windows, (k + 1) * a / windows }

// before is the number of samples of the group in windows before k.
func (o *blockedOrder) before(e *blockedEpoch, g *group, k int64) int64 {
	var n int64
	for _, s := range e.shards[g.lo:g.hi] {
		n += k * o.size(s) / g.windows
	}
	return n
}

// turn is where the epoch starts in the shard, so that other samples share windows in
// every epoch.
func (o *blockedOrder) turn(e *blockedEpoch, shard int32) int64 {
	return int64(round(uint64(shard), e.keys[0]) % uint64(o.size(shard)))
}

// mixer is the permutation within a window.
type mixer struct {
	network
	keys roundKeys
}

func (m *mixer) permute(x uint64) uint64 { return m.network.permute(&m.keys, x) }
func (m *mixer) invert(x uint64) uint64  { return m.network.invert(&m.keys, x) }

// mixerOf is the permutation of n places whose keys are derived from an epoch's and an id.
func mixerOf(n uint64, keys *roundKeys, id uint64) mixer {
	m := mixer{network: newNetwork(n)}
	for i := range m.keys {
		m.keys[i] = round(id, keys[i])
	}
	return m
}

// mix is the permutation of window k of the group, which has n samples.
func (o *blockedOrder) mix(e *blockedEpoch, g *group, k, n int64) *mixer {
	m := mixerOf(uint64(n), &e.keys, round(uint64(g.start), e.keys[1])+uint64(k))
	return &m
}

// epoch is the order of the shards in an epoch. Only the last one is cached: two
// alternate briefly around an epoch's end.
func (o *blockedOrder) epoch(epoch int64) *blockedEpoch {
	if e := o.cache.Load(); e != nil && e.epoch == epoch {
		return e
	}
	count := len(o.first) - 1
	e := &blockedEpoch{
		epoch: epoch, keys: deriveKeys(blockedTag, o.seed, epoch),
		shards: make([]int32, count), position: make([]int32, count),
	}
	shuffled := NewOrder(o.seed, int64(count))
	for i := range e.shards {
		e.shards[i] = int32(shuffled.At(epoch, int64(i)))
		e.position[e.shards[i]] = int32(i)
	}
	// As few groups as possible, of sizes that differ by one at most: a small last one
	// would be mixed worse.
	groups := (count + o.most - 1) / o.most
	var start int64
	for i := range groups {
		g := group{lo: i * count / groups, hi: (i + 1) * count / groups, start: start}
		for _, s := range e.shards[g.lo:g.hi] {
			g.samples += o.size(s)
		}
		g.windows = (g.samples + o.window - 1) / o.window
		start += g.samples
		e.groups = append(e.groups, g)
	}
	e.groups = slices.Clip(e.groups)
	o.cache.Store(e)
	return e
}
