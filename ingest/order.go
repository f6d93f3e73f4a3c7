package ingest

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"sync/atomic"
)

// Order is the global order: for each (seed, epoch) a keyed pseudo-random permutation of
// [0, n), computed position by position. It keeps no list, so ten million samples cost
// no more than ten, and any process can look up any position of any epoch directly.
//
// The permutation is a balanced Feistel network over 2·h bits, the smallest even
// number of bits (8 at least) that can hold n values. Each round maps (L, R) to
// (R, L xor F(R, k)): a bijection for any F. Values of n and above go through
// again until they fall below n (cycle walking), which keeps it a bijection of [0, n)
// and takes under four passes on average for n over 64.
//
// It uses only integers, so that the order is the same on every machine. It is part of
// the run's identity: changing rounds, keys or F requires a new orderTag.
type Order struct {
	network
	seed  uint64
	cache atomic.Pointer[epochKeys]
}

const (
	orderTag = "resslt order 1" // domain of the keyed hash: name and version

	// orderRounds is far above the four that suffice with ideal round functions: the
	// halves are narrow (8 bits for 50,000 samples), and a pass of ten takes some
	// 40 ns, decoding the image milliseconds.
	orderRounds = 10

	// orderMinBits keeps the halves from being so narrow that F has only a handful of
	// values, and tiny sets few of their n! orders.
	orderMinBits = 8
)

type epochKeys struct {
	epoch int64
	k     roundKeys
}

// NewOrder returns the global order of n samples under seed.
func NewOrder(seed uint64, n int64) *Order {
	return &Order{network: newNetwork(uint64(max(n, 0))), seed: seed}
}

// At is the sample at position index of the epoch, 0 ≤ index < n. A larger index wraps
// around, so that every position has a successor, index+1. An empty set has no samples,
// nor does a negative index: -1. Safe for concurrent use.
func (o *Order) At(epoch, index int64) int64 {
	if o.n == 0 || index < 0 {
		return -1
	}
	return int64(o.network.permute(&o.keys(epoch).k, uint64(index)%o.n))
}

// Index is the inverse of At: the position at which the epoch visits the sample, -1 for
// a sample that is not in [0, n).
func (o *Order) Index(epoch, sample int64) int64 {
	if sample < 0 || uint64(sample) >= o.n {
		return -1
	}
	return int64(o.network.invert(&o.keys(epoch).k, uint64(sample)))
}

// roundKeys are the keys of a network's rounds.
type roundKeys [orderRounds]uint64

// network is a Feistel network that permutes [0, n).
type network struct {
	n    uint64
	half uint   // h: bits of each half
	mask uint64 // 2^h − 1
}

func newNetwork(n uint64) network {
	width := orderMinBits
	if n > 1 {
		width = max(width, bits.Len64(n-1))
	}
	half := uint(width+1) / 2
	return network{n: n, half: half, mask: 1<<half - 1}
}

// permute maps x, below n, to its position below n. Starting below n, the walk follows a
// cycle of the permutation with a value below n (its start), so it ends.
func (f network) permute(k *roundKeys, x uint64) uint64 {
	for {
		l, r := x>>f.half, x&f.mask
		for i := range k {
			l, r = r, l^(round(r, k[i])&f.mask)
		}
		if x = l<<f.half | r; x < f.n {
			return x
		}
	}
}

// invert undoes permute.
func (f network) invert(k *roundKeys, x uint64) uint64 {
	for {
		l, r := x>>f.half, x&f.mask
		for i := orderRounds - 1; i >= 0; i-- {
			l, r = r^(round(l, k[i])&f.mask), l
		}
		if x = l<<f.half | r; x < f.n {
			return x
		}
	}
}

// round is F: the 64-bit finaliser of MurmurHash3 as tuned by Stafford (variant
// 13, SplitMix64's), of which every output bit depends on every input bit.
func round(x, k uint64) uint64 {
	x ^= k
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (o *Order) keys(epoch int64) *epochKeys { return cachedKeys(&o.cache, orderTag, o.seed, epoch) }

// cachedKeys are the round keys of an epoch. Only those of the last epoch are cached: two
// alternate briefly around an epoch's end, and deriving them takes three hashes.
func cachedKeys(cache *atomic.Pointer[epochKeys], tag string, seed uint64, epoch int64) *epochKeys {
	if k := cache.Load(); k != nil && k.epoch == epoch {
		return k
	}
	k := &epochKeys{epoch: epoch, k: deriveKeys(tag, seed, epoch)}
	cache.Store(k)
	return k
}

// deriveKeys derives the round keys of a purpose, seed and epoch by SHA-256, so that
// those of different ones are unrelated.
func deriveKeys(tag string, seed uint64, epoch int64) (k roundKeys) {
	var msg []byte
	var sum [sha256.Size]byte
	for i := range k {
		if i%4 == 0 {
			msg = append(msg[:0], tag...)
			msg = binary.LittleEndian.AppendUint64(msg, seed)
			msg = binary.LittleEndian.AppendUint64(msg, uint64(epoch))
			msg = binary.LittleEndian.AppendUint64(msg, uint64(i/4))
			sum = sha256.Sum256(msg)
		}
		k[i] = binary.LittleEndian.Uint64(sum[8*(i%4):])
	}
	return k
}
