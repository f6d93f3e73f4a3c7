package parquet

import (
	"encoding/binary"
	"fmt"

	"resslt/schemas/errs"
)

// Encodings of values, numbered as in parquet.thrift.
const (
	encodingPlain     = 0
	plainDictionary   = 2
	encodingRLE       = 3
	encodingBitPacked = 4
	deltaBinaryPacked = 5
	deltaLengthBytes  = 6
	deltaBytes        = 7
	rleDictionary     = 8
	byteStreamSplit   = 9
)

func corrupt(format string, a ...any) error {
	return errs.Because(errs.ErrCorrupt, fmt.Sprintf(format, a...))
}

// width is the number of bytes of a value that is stored plain; 0 where it varies.
func (l *Leaf) width() int {
	switch l.Type {
	case Int32, Float:
		return 4
	case Int64, Double:
		return 8
	case FixedBytes:
		return l.length
	}
	return 0
}

// values decodes n values, none of them null, that are in the encoding. They alias b
// where they can. ok is false for an encoding that the column's type does not have.
func (l *Leaf) values(b []byte, encoding int64, n int) (out [][]byte, ok bool, err error) {
	switch {
	case encoding == encodingPlain && l.Type == Boolean:
		out, err = packedBooleans(b, n)
	case encoding == encodingPlain:
		out, err = l.plain(b, n)
	case encoding == encodingRLE && l.Type == Boolean:
		out, err = runBooleans(b, n)
	case encoding == deltaBinaryPacked && (l.Type == Int32 || l.Type == Int64):
		out, err = l.deltaNumbers(b, n)
	case encoding == deltaLengthBytes && l.Type == Bytes:
		out, err = deltaLengths(b, n)
	case encoding == deltaBytes && (l.Type == Bytes || l.Type == FixedBytes):
		out, err = deltaPrefixes(b, n)
	case encoding == byteStreamSplit && l.width() > 0:
		out, err = l.splitStreams(b, n)
	default:
		return nil, false, nil
	}
	return out, true, err
}

// plain splits n values of plain encoding off b: byte strings, each preceded by its
// length, or values of one width.
func (l *Leaf) plain(b []byte, n int) ([][]byte, error) {
	width := l.width()
	if n > len(b)/max(width, 4) && width != 0 && n > len(b)/width || width == 0 && n > len(b)/4 {
		return nil, corrupt("%d bytes for %d values", len(b), n)
	}
	out := make([][]byte, n)
	for i := range out {
		size := width
		if width == 0 {
			if len(b) < 4 {
				return nil, corrupt("a page ends within a value")
			}
			size = int(binary.LittleEndian.Uint32(b))
			b = b[4:]
		}
		if size > len(b) {
			return nil, corrupt("a value claims %d bytes, %d are left", size, len(b))
		}
		out[i], b = b[:size:size], b[size:]
	}
	return out, nil
}

var truths = [2][]byte{{0}, {1}}

func packedBooleans(b []byte, n int) ([][]byte, error) {
	if (n+7)/8 > len(b) {
		return nil, corrupt("%d bytes for %d truth values", len(b), n)
	}
	out := make([][]byte, n)
	for i := range out {
		out[i] = truths[b[i/8]>>(i%8)&1]
	}
	return out, nil
}

func runBooleans(b []byte, n int) ([][]byte, error) {
	if len(b) < 4 || int64(binary.LittleEndian.Uint32(b)) > int64(len(b)-4) {
		return nil, corrupt("runs of truth values are longer than their page")
	}
	v, err := runs(b[4:4+binary.LittleEndian.Uint32(b)], 1, n)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, n)
	for i := range out {
		out[i] = truths[v[i]]
	}
	return out, nil
}

// deltaNumbers decodes numbers stored as differences.
func (l *Leaf) deltaNumbers(b []byte, n int) ([][]byte, error) {
	v, _, err := deltas(b, n)
	if err != nil {
		return nil, err
	}
	width := l.width()
	flat := make([]byte, 0, n*8)
	out := make([][]byte, n)
	for i, x := range v {
		flat = binary.LittleEndian.AppendUint64(flat, uint64(x))
		out[i] = flat[i*8 : i*8+width : i*8+width]
	}
	return out, nil
}

// deltaLengths decodes byte strings whose lengths precede them all.
func deltaLengths(b []byte, n int) ([][]byte, error) {
	sizes, rest, err := deltas(b, n)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, n)
	for i, size := range sizes {
		if size < 0 || size > int64(len(rest)) {
			return nil, corrupt("a value claims %d bytes, %d are left", size, len(rest))
		}
		out[i], rest = rest[:size:size], rest[size:]
	}
	return out, nil
}

// deltaPrefixes decodes byte strings that begin as the one before.
func deltaPrefixes(b []byte, n int) ([][]byte, error) {
	prefixes, rest, err := deltas(b, n)
	if err != nil {
		return nil, err
	}
	suffixes, err := deltaLengths(rest, n)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, n)
	var last []byte
	total := int64(0)
	for i, p := range prefixes {
		if p < 0 || p > int64(len(last)) {
			return nil, corrupt("a value takes %d bytes of the %d before it", p, len(last))
		}
		if total += p + int64(len(suffixes[i])); total > maxPageBytes {
			return nil, errs.Because(errs.ErrTooLarge, fmt.Sprintf("a page of more than %d bytes", int64(maxPageBytes)))
		}
		if p == 0 {
			out[i] = suffixes[i]
		} else {
			out[i] = append(last[:p:p], suffixes[i]...)
		}
		last = out[i]
	}
	return out, nil
}

// splitStreams joins values of which the first bytes are stored together, then the
// second ones, and so on.
func (l *Leaf) splitStreams(b []byte, n int) ([][]byte, error) {
	width := l.width()
	if n > len(b)/width {
		return nil, corrupt("%d bytes for %d values", len(b), n)
	}
	flat := make([]byte, n*width)
	out := make([][]byte, n)
	for i := range out {
		out[i] = flat[i*width : (i+1)*width : (i+1)*width]
		for k := range out[i] {
			out[i][k] = b[k*n+i]
		}
	}
	return out, nil
}

// maxMiniblock bounds the values of a miniblock, of which writers put 32 or 64.
const maxMiniblock = 1 << 16

// deltas decodes n numbers of DELTA_BINARY_PACKED encoding, and returns what follows:
//
//	header      values of a block, miniblocks of a block, values in all, the first one
//	block       the least difference, a width in bits for each miniblock, miniblocks
//	miniblock   differences less the least one, bit-packed
func deltas(b []byte, n int) (out []int64, rest []byte, err error) {
	w := thriftWalker{b} // its numbers are encoded alike
	var head [3]uint64
	for i := range head {
		if head[i], err = w.uvarint(); err != nil {
			return nil, nil, corrupt("a page ends within its differences")
		}
	}
	first, err := w.zigzag()
	if err != nil {
		return nil, nil, corrupt("a page ends within its differences")
	}
	perBlock, blocks, total := head[0], head[1], head[2]
	if blocks == 0 || perBlock%blocks != 0 || perBlock/blocks == 0 || perBlock/blocks > maxMiniblock || blocks > maxMiniblock || perBlock/blocks%8 != 0 {
		return nil, nil, corrupt("blocks of %d differences in %d parts", perBlock, blocks)
	}
	if total != uint64(n) {
		return nil, nil, corrupt("%d differences for %d values", total, n)
	}
	per := int(perBlock / blocks)
	if n == 0 {
		return nil, w.b, nil
	}
	out = append(make([]int64, 0, n), first)
	for last := first; len(out) < n; {
		least, err := w.zigzag()
		if err != nil || uint64(len(w.b)) < blocks {
			return nil, nil, corrupt("a page ends within its differences")
		}
		widths := w.b[:blocks]
		w.b = w.b[blocks:]
		for _, width := range widths {
			if len(out) == n {
				break // the others are empty, whatever widths they have
			}
			size := per / 8 * int(width)
			if width > 64 || size > len(w.b) {
				return nil, nil, corrupt("differences of %d bits, %d bytes are left", width, len(w.b))
			}
			for i := 0; i < per && len(out) < n; i++ {
				last += least + int64(bitsAt(w.b, i*int(width), int(width)))
				out = append(out, last)
			}
			w.b = w.b[size:]
		}
	}
	return out, w.b, nil
}

// bitsAt is the number of width bits, the lowest first, at a bit of b.
func bitsAt(b []byte, at, width int) uint64 {
	var v uint64
	for got := 0; got < width; {
		take := min(8-at%8, width-got)
		v |= uint64(b[at/8]>>(at%8)) & (1<<take - 1) << got
		got, at = got+take, at+take
	}
	return v
}

// lookUp decodes n indices into the dictionary, the width in bits and then runs, and
// returns the values there.
func lookUp(b []byte, dict [][]byte, n int) ([][]byte, error) {
	if n == 0 {
		return nil, nil
	}
	if len(b) == 0 || b[0] > 32 {
		return nil, corrupt("indices into the dictionary have no width")
	}
	at, err := runs(b[1:], int(b[0]), n)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, n)
	for i, k := range at {
		if int64(k) >= int64(len(dict)) {
			return nil, corrupt("index %d into a dictionary of %d", k, len(dict))
		}
		out[i] = dict[k]
	}
	return out, nil
}

// runs decodes n numbers of width bits in Parquet's hybrid encoding: runs of equal
// numbers, and groups of eight that are bit-packed. The last group may be cut off where
// its numbers are not needed.
func runs(b []byte, width, n int) ([]uint32, error) {
	bad := corrupt("a page ends within its runs")
	out := make([]uint32, 0, n) // n is at most the rows of the chunk, which file.go has checked
	whole := (width + 7) / 8
	for len(out) < n {
		head, k := binary.Uvarint(b)
		if k <= 0 {
			return nil, bad
		}
		b = b[k:]
		if head&1 == 0 {
			if len(b) < whole || head>>1 == 0 {
				return nil, bad
			}
			var v uint32
			for i := range whole {
				v |= uint32(b[i]) << (8 * i)
			}
			b = b[whole:]
			for range min(head>>1, uint64(n-len(out))) {
				out = append(out, v)
			}
			continue
		}
		groups := head >> 1
		if groups == 0 || groups > 1<<32 {
			return nil, bad
		}
		count := int(min(groups*8, uint64(n-len(out))))
		if (count*width+7)/8 > len(b) {
			return nil, bad
		}
		for i := range count {
			out = append(out, uint32(bitsAt(b, i*width, width)))
		}
		b = b[min(len(b), int(groups)*width):]
	}
	return out, nil
}
