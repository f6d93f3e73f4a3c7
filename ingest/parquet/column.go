package parquet

import (
	"context"
	"fmt"
	"sort"

	"resslt/schemas/errs"
)

// Path is the column's path in the schema, such as "image.bytes".
func (c *Column) Path() string { return c.descr.Path() }

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
		b := make([]byte, ch.end-ch.start) // within the file: Column has checked
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
				if at != ch.start || ch.end-int64(len(rest)) > ch.data {
					return errs.Because(errs.ErrCorrupt, fmt.Sprintf("row group %d has its dictionary in the wrong place", i))
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
			return errs.Because(errs.ErrCorrupt, fmt.Sprintf("row group %d has %d rows, its pages %d", i, ch.rows, seen))
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
	if p.dict {
		b := make([]byte, ch.data-ch.start)
		if _, err := r.ReadAt(ctx, b, ch.start); err != nil {
			return nil, err
		}
		d, _, err := nextPage(b, ch)
		if err != nil || d.typ != dictionaryPage {
			return nil, errs.Because(errs.ErrMismatch, "its dictionary is not where it was")
		}
		if dict, err = c.dictionary(d); err != nil {
			return nil, err
		}
	}
	return c.decode(p, dict)
}

// chunkAt is the chunk that holds the byte; nil if none does.
func (c *Column) chunkAt(off int64) *chunk {
	i := sort.Search(len(c.chunks), func(i int) bool { return c.chunks[i].end > off })
	if i == len(c.chunks) || c.chunks[i].start > off {
		return nil
	}
	return &c.chunks[i]
}
