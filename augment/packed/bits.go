package packed

import (
	"encoding/binary"
	"slices"
)

// bitWriter writes entropy-coded bytes, with a zero after each 0xFF.
type bitWriter struct {
	out  []byte // len is what is written
	acc  uint64 // the last n bits of it are to be written
	n    uint   // < 32 between calls
	most int    // bytes that may be written
	pads pads
}

// blockRoom is more than a block can take, with the bits of the blocks before that wait:
// 64 codes and values of 31 bits and 1000 correction bits, every byte stuffed.
const blockRoom = 1024

// room makes room for a block. It reports whether more may be written.
func (w *bitWriter) room() bool {
	if cap(w.out)-len(w.out) < blockRoom {
		w.out = slices.Grow(w.out, max(len(w.out)/2, blockRoom))
	}
	return len(w.out) <= w.most
}

// put writes the n ≤ 32 low bits of v; its others are 0. There is room.
func (w *bitWriter) put(v uint32, n uint) {
	w.acc = w.acc<<n | uint64(v)
	if w.n += n; w.n >= 32 {
		w.n -= 32
		w.out = append32(w.out, uint32(w.acc>>w.n))
	}
}

// append32 appends four bytes, stuffed.
func append32(out []byte, v uint32) []byte {
	// A byte of v is 0xFF where a byte of its complement is 0.
	if (^v-0x01010101)&v&0x80808080 == 0 {
		n := len(out)
		out = out[:n+4]
		binary.BigEndian.PutUint32(out[n:], v)
		return out
	}
	return stuff32(out, v)
}

func stuff32(out []byte, v uint32) []byte {
	for shift := 24; shift >= 0; shift -= 8 {
		out = stuff(out, byte(v>>shift))
	}
	return out
}

func stuff(out []byte, b byte) []byte {
	if out = append(out, b); b == 0xff {
		out = append(out, 0)
	}
	return out
}

// end writes what is left, and pads the last byte.
func (w *bitWriter) end() {
	for w.n >= 8 {
		w.n -= 8
		w.out = stuff(w.out, byte(w.acc>>w.n))
	}
	if w.n > 0 {
		free := 8 - w.n
		w.out = stuff(w.out, byte(w.acc<<free)|w.pads.next()&(1<<free-1))
	}
	w.n, w.acc = 0, 0
}

// pads are the bits that fill the last byte of each stretch of entropy-coded bytes: ones,
// unless the skeleton holds those bytes.
type pads struct{ bytes []byte }

func (p *pads) next() byte {
	if len(p.bytes) == 0 {
		return 0xff
	}
	b := p.bytes[0]
	if len(p.bytes) > 1 {
		p.bytes = p.bytes[1:]
	}
	return b
}
