package parquet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"

	"resslt/schemas/errs"
)

// Rows is the number of rows.
func (c *Column) Rows() int64 {
	var n int64
	for i := range c.chunks {
		n += c.chunks[i].rows
	}
	return n
}

// Each calls do with every value of the column, nil for a null, and the offset of the
// page that holds it, for Page. Values alias the page's memory: copy what is kept.
func (c *Column) Each(ctx context.Context, r ReaderAt, do func(page int64, v []byte) error) error {
	for i := range c.chunks {
		ch := &c.chunks[i]
		w := &window{r: r, at: ch.start, end: ch.end}
		var dict [][]byte
		var seen int64
		for seen < ch.rows {
			at := w.at
			p, err := w.next(ctx, ch)
			if err != nil {
				return err
			}
			switch p.typ {
			case dictionaryPage: // where Page looks for it
				if at != ch.start {
					return corrupt("row group %d has its dictionary in the wrong place", i)
				}
				if dict, err = c.dictionary(p); err != nil {
					return err
				}
			case dataPage, dataPageV2:
				values, err := c.decode(p, dict)
				if err != nil {
					return err
				}
				for _, v := range values {
					if err := do(at, v); err != nil {
						return err
					}
				}
				seen += p.values
			}
		}
		if seen != ch.rows {
			return corrupt("row group %d has %d rows, its pages %d", i, ch.rows, seen)
		}
	}
	return nil
}

// readAhead is how much of a chunk is read at once: a chunk may have gigabytes.
const readAhead = 4 << 20

// window is the part of a chunk that has been read; pages are split off its front.
type window struct {
	r       ReaderAt
	b       []byte // the bytes at at
	at, end int64
}

// fill reads on until n bytes are there. Earlier pages keep their memory.
func (w *window) fill(ctx context.Context, n int64) error {
	left := w.end - w.at
	if int64(len(w.b)) >= min(n, left) {
		return nil
	}
	b := make([]byte, min(max(n, readAhead), left)) // within the file: addChunk has checked
	have := copy(b, w.b)
	if _, err := w.r.ReadAt(ctx, b[have:], w.at+int64(have)); err != nil {
		return err
	}
	w.b = b
	return nil
}

// next splits off the next page.
func (w *window) next(ctx context.Context, ch *chunk) (p page, err error) {
	for need := int64(1); ; {
		if err := w.fill(ctx, need); err != nil {
			return p, err
		}
		have := int64(len(w.b))
		_, n, size, err := pageSizes(w.b)
		if need = int64(n) + size; err != nil {
			need = 2 * have // the header alone may be longer: it has the least and the greatest value
		}
		if need <= have || have == w.end-w.at {
			break
		}
	}
	before := int64(len(w.b))
	p, w.b, err = nextPage(w.b, ch)
	w.at += before - int64(len(w.b))
	return p, err
}

// Page returns the values of the page at an offset that Each gave; next is the offset
// of a later page of the column, 0 if there is none. It reads that page, and its
// dictionary if it needs one.
func (c *Column) Page(ctx context.Context, r ReaderAt, at, next int64) ([][]byte, error) {
	ch := c.chunkAt(at)
	if ch == nil {
		return nil, errs.Because(errs.ErrMismatch, "its page is not in the file")
	}
	end := ch.end
	if next > at {
		end = min(end, next)
	}
	raw := make([]byte, end-at)
	if _, err := r.ReadAt(ctx, raw, at); err != nil {
		return nil, err
	}
	p, _, err := nextPage(raw, ch)
	if err != nil {
		return nil, err
	}
	var dict [][]byte
	if p.isIndices() {
		if dict, err = c.dictionaryOf(ctx, r, ch, at); err != nil {
			return nil, err
		}
	}
	return c.decode(p, dict)
}

// dictionaryGuess is how much is read of a dictionary of unknown length.
const dictionaryGuess = 64 << 10

// dictionaryOf reads the dictionary of the page at an offset of the chunk, which it
// precedes. It trusts its header for its length: in footers it is often wrong.
func (c *Column) dictionaryOf(ctx context.Context, r ReaderAt, ch *chunk, at int64) ([][]byte, error) {
	guess := ch.data - ch.start
	if guess <= 0 || guess > at-ch.start {
		guess = dictionaryGuess
	}
	b := make([]byte, min(guess, at-ch.start))
	if _, err := r.ReadAt(ctx, b, ch.start); err != nil {
		return nil, err
	}
	_, n, size, err := pageSizes(b)
	if need := int64(n) + size; err == nil && need > int64(len(b)) && need <= at-ch.start || err != nil && int64(len(b)) < at-ch.start {
		if err != nil {
			need = at - ch.start // the header alone is longer than the guess
		}
		b = make([]byte, need)
		if _, err := r.ReadAt(ctx, b, ch.start); err != nil {
			return nil, err
		}
	}
	d, _, err := nextPage(b, ch)
	if err != nil || d.typ != dictionaryPage {
		return nil, errs.Because(errs.ErrMismatch, "its dictionary is not where it was")
	}
	return c.dictionary(d)
}

// chunkAt is the chunk that holds the byte; nil if none does.
func (c *Column) chunkAt(off int64) *chunk {
	i := sort.Search(len(c.chunks), func(i int) bool { return c.chunks[i].end > off })
	if i == len(c.chunks) || c.chunks[i].start > off {
		return nil
	}
	return &c.chunks[i]
}

// ErrFraction is the error of Integer for a number that is not whole.
var ErrFraction = errors.New("is no whole number")

// Numeric reports whether Integer reads the column's values.
func (l *Leaf) Numeric() bool {
	switch l.Type {
	case Boolean, Int32, Int64, Float, Double:
		return true
	}
	return l.half || l.decimal
}

// Integer is a value of a numeric column; ok is false for a null, and for the NaN that
// some writers put there. false counts as 0, true as 1. The error is ErrFraction for a
// number that is not whole.
func (l *Leaf) Integer(b []byte) (v int64, ok bool, err error) {
	if b == nil {
		return 0, false, nil
	}
	switch {
	case l.Type == Boolean:
		return int64(b[0]), true, nil
	case l.Type == Int32:
		return l.descale(int64(int32(binary.LittleEndian.Uint32(b))))
	case l.Type == Int64:
		return l.descale(int64(binary.LittleEndian.Uint64(b)))
	case l.Type == Float:
		return whole(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
	case l.Type == Double:
		return whole(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	case l.half:
		return whole(half(binary.LittleEndian.Uint16(b)))
	case l.decimal:
		v, err := bigEndian(b)
		if err != nil {
			return 0, false, err
		}
		return l.descale(v)
	}
	return 0, false, fmt.Errorf("is of type %v", l.Type)
}

// bigEndian is a decimal that is stored as bytes: in two's complement, its first byte the
// highest. None at all are 0.
func bigEndian(b []byte) (int64, error) {
	negative := len(b) > 0 && b[0] >= 0x80
	var v int64
	if negative {
		v = -1
	}
	for i, c := range b {
		// Only the sign may stand before the last 8 bytes.
		if high := len(b) - i; high > 8 && c != byte(v) || high == 8 && (c >= 0x80) != negative {
			return 0, errors.New("is a decimal of more than 64 bits")
		}
		v = v<<8 | int64(c)
	}
	return v, nil
}

// descale is the number that a decimal's stored one stands for.
func (l *Leaf) descale(v int64) (int64, bool, error) {
	for range l.scale {
		if v%10 != 0 {
			return 0, false, fmt.Errorf("a decimal %w", ErrFraction)
		}
		v /= 10
	}
	return v, true, nil
}

// whole is a float that is a whole number.
func whole(f float64) (v int64, ok bool, err error) {
	if math.IsNaN(f) {
		return 0, false, nil
	}
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false, fmt.Errorf("%v %w", f, ErrFraction)
	}
	return int64(f), true, nil
}

// half is the value of a float of 16 bits (IEEE 754 binary16).
func half(b uint16) float64 {
	sign, exponent, fraction := 1.0, int(b>>10&31), float64(b&1023)
	if b>>15 == 1 {
		sign = -1
	}
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction == 0 {
			return math.Inf(int(sign))
		}
		return math.NaN()
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}
