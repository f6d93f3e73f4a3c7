package parquet

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"

	"resslt/schemas/errs"
)

// maxPageBytes caps a page, which holds a few images.
const maxPageBytes = 512 << 20

// Fields of a page header (parquet.thrift), and types of pages.
const (
	pageType         = 1
	pageUncompressed = 2
	pageCompressed   = 3
	pageCRC          = 4
	pageHeaderV1     = 5
	pageHeaderDict   = 7
	pageHeaderV2     = 8

	dataPage       = 0
	dictionaryPage = 2
	dataPageV2     = 3
)

// page is an undecoded page.
type page struct {
	typ      int64
	values   int64 // nulls included; of a dictionary, its size
	encoding int64
	levels   []byte // version 2 only: these precede the body
	body     []byte
	full     int64 // bytes of the body when decompressed
	codec    codec // of the body
}

// isIndices reports whether the page's values are indices into the dictionary.
func (p *page) isIndices() bool {
	return p.typ != dictionaryPage && (p.encoding == plainDictionary || p.encoding == rleDictionary)
}

// pageSizes is the length of a page's header, and of what follows it, of the page that
// begins at b; need is positive where b ends within the page, and is then all of it.
func pageSizes(b []byte) (h message, n int, size int64, err error) {
	h, n, err = walkThrift(b)
	if err != nil {
		return h, 0, 0, err
	}
	size = h.int(pageCompressed)
	if full := h.int(pageUncompressed); size < 0 || size > maxPageBytes || full < 0 || full > maxPageBytes {
		return h, 0, 0, corrupt("a page claims %d bytes, %d decompressed", size, full)
	}
	return h, n, size, nil
}

// nextPage splits the first page off b, part of a chunk, and checks what its header
// claims against b.
func nextPage(b []byte, c *chunk) (p page, rest []byte, err error) {
	h, n, size, err := pageSizes(b)
	if err != nil {
		return p, nil, err
	}
	if size > int64(len(b)-n) {
		return p, nil, corrupt("a page claims %d bytes, %d are left", size, len(b)-n)
	}
	p = page{typ: h.int(pageType), full: h.int(pageUncompressed), codec: c.codec, body: b[n : n+int(size)]}
	rest = b[n+int(size):]
	if sum, given := h.number(pageCRC); given && uint32(sum) != crc32.ChecksumIEEE(p.body) {
		return p, nil, corrupt("a page's bytes do not have its check sum")
	}
	most := c.rows
	switch p.typ {
	case dictionaryPage:
		dict := h.at(pageHeaderDict)
		p.values, p.encoding = dict.int(1), dict.int(2)
		if p.encoding == plainDictionary {
			p.encoding = encodingPlain // its name before version 2
		}
		most = p.full // a value takes a byte at least
	case dataPage:
		v1 := h.at(pageHeaderV1)
		p.values, p.encoding = v1.int(1), v1.int(2)
		if levels := v1.int(3); levels != encodingRLE {
			return p, nil, errs.Because(errs.ErrUnsupported, fmt.Sprintf("levels of encoding %d, which writers gave up", levels))
		}
	case dataPageV2:
		v2 := h.at(pageHeaderV2)
		p.values, p.encoding = v2.int(1), v2.int(4)
		defs, reps := v2.int(5), v2.int(6)
		if defs < 0 || reps != 0 || defs > size || defs > p.full {
			return p, nil, corrupt("a page of %d bytes claims levels of %d and %d", size, defs, reps)
		}
		p.levels, p.body, p.full = p.body[:defs], p.body[defs:], p.full-defs
		if compressed, given := v2.number(7); given && compressed == 0 {
			p.codec = uncompressed
		}
	default:
		return p, rest, nil // an index: not needed
	}
	if p.values < 0 || p.values > most {
		return p, nil, corrupt("a page claims %d values of %d", p.values, most)
	}
	return p, rest, nil
}

// decompress is the body of the page.
func (p *page) decompress() ([]byte, error) {
	b, err := p.codec.decompress(p.body, p.full)
	if err != nil {
		return nil, corrupt("a page of %d bytes, %d by %v, can't be decompressed: %v", p.full, len(p.body), p.codec, err)
	}
	return b, nil
}

// dictionary is the values of a dictionary page.
func (c *Column) dictionary(p page) ([][]byte, error) {
	b, err := p.decompress()
	if err != nil {
		return nil, err
	}
	if p.encoding != encodingPlain {
		return nil, c.unknownEncoding(p.encoding)
	}
	return c.plain(b, int(p.values))
}

func (c *Column) unknownEncoding(encoding int64) error {
	return errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %s has a page of encoding %d: write it plain", c.Path, encoding))
}

// decode returns the values of a data page, nil for a null. They alias the memory of
// the page or of the dictionary.
func (c *Column) decode(p page, dict [][]byte) ([][]byte, error) {
	b, err := p.decompress()
	if err != nil {
		return nil, err
	}
	n := int(p.values)
	present := n
	var defs []uint32
	most := uint32(c.most)
	if most > 0 {
		levels := p.levels
		if p.typ == dataPage { // a length, the levels, then the values
			if len(b) < 4 || int64(binary.LittleEndian.Uint32(b)) > int64(len(b)-4) {
				return nil, corrupt("a page's levels are longer than the page")
			}
			end := 4 + int(binary.LittleEndian.Uint32(b))
			levels, b = b[4:end], b[end:]
		}
		if defs, err = runs(levels, bits.Len32(most), n); err != nil {
			return nil, err
		}
		present = 0
		for _, d := range defs {
			if d == most {
				present++
			}
		}
	}
	var values [][]byte
	switch {
	case present == 0: // whatever stands there: writers leave it out
	case p.isIndices():
		values, err = lookUp(b, dict, present)
	default:
		var ok bool
		if values, ok, err = c.values(b, p.encoding, present); !ok {
			err = c.unknownEncoding(p.encoding)
		}
	}
	if err != nil || present == n {
		return values, err
	}
	out := make([][]byte, n)
	for i, d := range defs {
		if d == most {
			out[i], values = values[0], values[1:]
		}
	}
	return out, nil
}
