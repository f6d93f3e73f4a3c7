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
		b := make([]byte, ch.end-ch.start) // within the file: addChunk has checked
		if _, err := r.ReadAt(ctx, b, ch.start); err != nil {
			return err
		}
		var dict [][]byte
		var seen int64
		for rest := b; seen < ch.rows; {
			at := ch.end - int64(len(rest))
			p, next, err := nextPage(rest, ch)
			if err != nil {
				return err
			}
			rest = next
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
	return false
}

// Integer is a value of a numeric column; ok is false for a null, and for the NaN that
// some writers put there. false counts as 0, true as 1.
func (l *Leaf) Integer(b []byte) (v int64, ok bool, err error) {
	if b == nil {
		return 0, false, nil
	}
	var f float64
	switch l.Type {
	case Boolean:
		return int64(b[0]), true, nil
	case Int32:
		return int64(int32(binary.LittleEndian.Uint32(b))), true, nil
	case Int64:
		return int64(binary.LittleEndian.Uint64(b)), true, nil
	case Float:
		f = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case Double:
		f = math.Float64frombits(binary.LittleEndian.Uint64(b))
	default:
		return 0, false, fmt.Errorf("is of type %v", l.Type)
	}
	if math.IsNaN(f) {
		return 0, false, nil
	}
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false, fmt.Errorf("%v %w", f, ErrFraction)
	}
	return int64(f), true, nil
}
