package ingest

import (
	"sync/atomic"

	"resslt/schemas"
)

// mateOrder visits each sample and, next to it, one of its mates.
//
//	position 2j      the sample a at position j of the data set's own order
//	position 2j + 1  its mate k, drawn from its K by seed, epoch and a; the id k·2N + N + a
//
// So an epoch has 2N positions, a batch of an even size holds whole pairs, and no process
// needs the list of mates but the one that reads their pixels.
type mateOrder struct {
	Permutation
	seed  uint64
	n, k  int64 // N, K
	cache atomic.Pointer[epochKeys]
}

const mateTag = "resslt mate order 1" // name and version: see orderTag

// newMateOrder puts mates into an order of the spec's samples.
func newMateOrder(s *schemas.RunSpec, own Permutation) *mateOrder {
	return &mateOrder{Permutation: own, seed: s.Seed, n: s.Dataset.Images(), k: s.Dataset.Mates}
}

// At is the id at position index of the epoch; see Order.At. Safe for concurrent use.
func (o *mateOrder) At(epoch, index int64) int64 {
	if o.n == 0 || index < 0 {
		return -1
	}
	index %= 2 * o.n
	a := o.Permutation.At(epoch, index/2)
	if index%2 == 0 {
		return a
	}
	return o.mate(epoch, a)
}

// Index is the position at which the epoch visits the id; -1 if it does not.
func (o *mateOrder) Index(epoch, id int64) int64 {
	if id >= 0 && id < o.n {
		return 2 * o.Permutation.Index(epoch, id)
	}
	if o.n == 0 || id < 0 {
		return -1
	}
	if a := id%(2*o.n) - o.n; a >= 0 && o.mate(epoch, a) == id {
		return 2*o.Permutation.Index(epoch, a) + 1
	}
	return -1
}

// mate is the id of the mate of sample a that the epoch visits.
func (o *mateOrder) mate(epoch, a int64) int64 {
	keys := cachedKeys(&o.cache, mateTag, o.seed, epoch)
	k := int64(round(uint64(a), keys.k[0]) % uint64(o.k))
	return k*2*o.n + o.n + a
}
