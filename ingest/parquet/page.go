package parquet

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	arrow "github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/golang/snappy"

	"resslt/schemas/errs"
)

// Pages are decoded here rather than by Arrow's column readers, which trust what a
// page says: a short run of levels makes them loop forever, a long dictionary makes
// them ask for all memory. Plain and dictionary encodings of columns that do not
// repeat are all that image data sets need.

// maxPageBytes caps a page, which holds a few images.
const maxPageBytes = 512 << 20

// Fields of a page header (parquet.thrift), types of pages and encodings.
const (
	pageType         = 1
	pageUncompressed = 2
	pageCompressed   = 3
	pageHeaderV1     = 5
	pageHeaderDict   = 7
	pageHeaderV2     = 8

	dataPage       = 0
	dictionaryPage = 2
	dataPageV2     = 3

	encodingPlain   = 0
	plainDictionary = 2
	encodingRLE     = 3
	rleDictionary   = 8
)

// page is an undecoded page.
type page struct {
	typ    int64
	values int64  // nulls included; of a dictionary, its size
	dict   bool   // the values are indices into the dictionary
	levels []byte // version 2 only: these precede the body
	body   []byte
	full   int64 // bytes of the body when decompressed
	snappy bool  // the body is compressed
}

// nextPage splits the first page off b, part of a chunk, and checks what its header
// claims against b.
func nextPage(b []byte, c *chunk) (p page, rest []byte, err error) {
	fail := func(format string, a ...any) (page, []byte, error) {
		return page{}, nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf(format, a...))
	}
	h, n, err := walkThrift(b)
	if err != nil {
		return p, nil, err
	}
	size := h.ints[pageCompressed]
	p.typ, p.full, p.snappy = h.ints[pageType], h.ints[pageUncompressed], c.codec == compress.Codecs.Snappy
	if size < 0 || size > int64(len(b)-n) || p.full < 0 || p.full > maxPageBytes {
		return fail("a page claims %d bytes, %d decompressed; %d are left", size, p.full, len(b)-n)
	}
	p.body, rest = b[n:n+int(size)], b[n+int(size):]
	var encoding int64
	most := c.rows
	switch p.typ {
	case dictionaryPage:
		dict := h.at(pageHeaderDict)
		p.values, encoding = dict.ints[1], dict.ints[2]
		if encoding == plainDictionary {
			encoding = encodingPlain // its name before version 2
		}
		most = p.full // a value takes a byte at least
	case dataPage:
		v1 := h.at(pageHeaderV1)
		p.values, encoding = v1.ints[1], v1.ints[2]
		if levels := v1.ints[3]; levels != encodingRLE {
			return p, nil, errs.Because(errs.ErrUnsupported, fmt.Sprintf("levels of encoding %d", levels))
		}
	case dataPageV2:
		v2 := h.at(pageHeaderV2)
		p.values, encoding = v2.ints[1], v2.ints[4]
		defs, reps := v2.ints[5], v2.ints[6]
		if defs < 0 || reps != 0 || defs > size || defs > p.full {
			return fail("a page of %d bytes claims levels of %d and %d", size, defs, reps)
		}
		p.levels, p.body, p.full = p.body[:defs], p.body[defs:], p.full-defs
		if compressed, given := v2.ints[7]; given && compressed == 0 {
			p.snappy = false
		}
	default:
		return p, rest, nil // an index: not needed
	}
	if p.values < 0 || p.values > most {
		return fail("a page claims %d values of %d", p.values, most)
	}
	if p.dict = encoding == plainDictionary || encoding == rleDictionary; !p.dict && encoding != encodingPlain {
		return p, nil, errs.Because(errs.ErrUnsupported, fmt.Sprintf("a page of encoding %d: write the column plain", encoding))
	}
	if !p.snappy && p.full != int64(len(p.body)) {
		return fail("a plain page claims %d bytes and has %d", p.full, len(p.body))
	}
	return p, rest, nil
}

// decompress is the body of the page.
func (p *page) decompress() ([]byte, error) {
	if !p.snappy {
		return p.body, nil
	}
	// Snappy allocates by its own claim.
	if n, err := snappy.DecodedLen(p.body); err != nil || int64(n) != p.full {
		return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("a page claims %d bytes decompressed, its body %d", p.full, n))
	}
	b, err := snappy.Decode(make([]byte, p.full), p.body)
	if err != nil {
		return nil, errs.BecauseErr(errs.ErrCorrupt, err)
	}
	return b, nil
}

// dictionary is the values of a dictionary page.
func (c *Column) dictionary(p page) ([][]byte, error) {
	b, err := p.decompress()
	if err != nil {
		return nil, err
	}
	return c.plain(b, int(p.values))
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
	most := uint32(c.descr.MaxDefinitionLevel())
	if most > 0 {
		levels := p.levels
		if p.typ == dataPage { // a length, the levels, then the values
			if len(b) < 4 || int64(binary.LittleEndian.Uint32(b)) > int64(len(b)-4) {
				return nil, errs.Because(errs.ErrCorrupt, "a page's levels are longer than the page")
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
	if p.dict {
		values, err = lookUp(b, dict, present)
	} else {
		values, err = c.plain(b, present)
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

// plain splits n values of plain encoding off b: byte strings, each preceded by its
// length, or numbers.
func (c *Column) plain(b []byte, n int) ([][]byte, error) {
	width := map[arrow.Type]int{Int32: 4, Int64: 8}[c.descr.PhysicalType()]
	if n > len(b)/max(width, 4) {
		return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("%d bytes for %d values", len(b), n))
	}
	out := make([][]byte, n)
	for i := range out {
		size := width
		if width == 0 {
			if len(b) < 4 {
				return nil, errs.Because(errs.ErrCorrupt, "a page ends within a value")
			}
			size = int(binary.LittleEndian.Uint32(b))
			b = b[4:]
		}
		if size > len(b) {
			return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("a value claims %d bytes, %d are left", size, len(b)))
		}
		out[i], b = b[:size:size], b[size:]
	}
	return out, nil
}

// lookUp decodes n indices into the dictionary, the width in bits and then runs, and
// returns the values there.
func lookUp(b []byte, dict [][]byte, n int) ([][]byte, error) {
	if n == 0 {
		return nil, nil
	}
	if len(b) == 0 || b[0] > 32 {
		return nil, errs.Because(errs.ErrCorrupt, "indices into the dictionary have no width")
	}
	at, err := runs(b[1:], int(b[0]), n)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, n)
	for i, k := range at {
		if int64(k) >= int64(len(dict)) {
			return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("index %d into a dictionary of %d", k, len(dict)))
		}
		out[i] = dict[k]
	}
	return out, nil
}

// runs decodes n numbers of width bits in Parquet's hybrid encoding: runs of equal
// numbers, and groups of eight that are bit-packed.
func runs(b []byte, width, n int) ([]uint32, error) {
	bad := errs.Because(errs.ErrCorrupt, "a page ends within its runs")
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
		if groups == 0 || groups > uint64(n)/8+1 || int(groups)*width > len(b) {
			return nil, bad
		}
		packed := b[:int(groups)*width]
		b = b[len(packed):]
		for i := 0; i < int(groups)*8 && len(out) < n; i++ {
			var v uint32
			for j := range width {
				at := i*width + j
				v |= uint32(packed[at/8]>>(at%8)&1) << j
			}
			out = append(out, v)
		}
	}
	return out, nil
}

// Integer is a value of an Int32 or Int64 column; ok is false for a null.
func Integer(b []byte) (v int64, ok bool) {
	switch len(b) {
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(b))), true
	case 8:
		return int64(binary.LittleEndian.Uint64(b)), true
	}
	return 0, false
}
