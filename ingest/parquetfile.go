package ingest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	pqfile "github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"

	"resslt/schemas"
)

// parquetFile is what is known of a Parquet file by its footer.
type parquetFile struct {
	rows    int64
	images  *parquetColumn // bytes
	paths   *parquetColumn // their names, or nil
	labels  *parquetColumn // int32 or int64, or nil
	classes []string       // of Hugging Face's metadata; nil without
}

// parquetColumn is a column of an image, its chunks in the order of the rows.
type parquetColumn struct {
	descr  *schema.Column
	chunks []parquetChunk
}

// parquetChunk is a column's part of a row group: pages, one after the other.
type parquetChunk struct {
	start, end int64 // bytes of the file
	data       int64 // where the first data page begins; a dictionary lies before it
	rows       int64
	codec      compress.Compression
}

const (
	parquetMagic = "PAR1"
	// maxFooterBytes and maxSchemaElements cap what a footer may hold.
	maxFooterBytes    = 64 << 20
	maxSchemaElements = 10_000
	// maxPageBytes caps a page: it holds a few images.
	maxPageBytes = 512 << 20
)

// Columns by the names that Hugging Face's image data sets give them.
var (
	parquetImages = []string{"image.bytes", "img.bytes", "image", "img", "jpg", "png"}
	parquetPaths  = []string{"image.path", "img.path"}
	parquetLabels = []string{"label", "fine_label", "labels", "cls"}
)

// parseFooter reads the end of a file of size bytes: its last len(tail) bytes. If
// more of it is needed, it says how many bytes from the end.
func parseFooter(tail []byte, size int64) (p *parquetFile, need int64, err error) {
	const fixed = 8 // length and magic
	if len(tail) < fixed+4 || string(tail[len(tail)-4:]) != parquetMagic {
		return nil, 0, schemas.Because(schemas.ErrCorrupt, "no Parquet file: it does not end in "+parquetMagic)
	}
	n := int64(binary.LittleEndian.Uint32(tail[len(tail)-fixed:]))
	switch {
	case n > size-fixed-4:
		return nil, 0, schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("its footer claims %d of %d bytes", n, size))
	case n > maxFooterBytes:
		return nil, 0, schemas.Because(schemas.ErrTooLarge, fmt.Sprintf("a footer of %d bytes", n))
	case n+fixed > int64(len(tail)):
		return nil, n + fixed, nil
	}
	footer := tail[int64(len(tail))-fixed-n : len(tail)-fixed]
	top, _, err := walkThrift(footer)
	if err != nil {
		return nil, 0, err
	}
	const schemaField = 2
	if e := top.lists[schemaField]; e > maxSchemaElements {
		return nil, 0, schemas.Because(schemas.ErrTooLarge, fmt.Sprintf("a schema of %d elements", e))
	}
	err = guarded(func() error {
		meta, err := metadata.NewFileMetaData(footer, nil)
		if err != nil {
			return schemas.BecauseErr(schemas.ErrCorrupt, err)
		}
		p, err = columnsOf(meta, size)
		return err
	})
	return p, 0, err
}

// guarded turns a panic of the Parquet library, which trusts its input, into an
// error.
func guarded(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("the Parquet reader gave up: %v", r))
		}
	}()
	return do()
}

func columnsOf(meta *metadata.FileMetaData, size int64) (*parquetFile, error) {
	if meta.Schema == nil {
		return nil, schemas.Because(schemas.ErrCorrupt, "its schema can't be read")
	}
	p := &parquetFile{}
	var have []string
	find := func(names []string, types ...parquet.Type) (*parquetColumn, error) {
		for _, name := range names {
			for i := range meta.Schema.NumColumns() {
				c := meta.Schema.Column(i)
				if c.Path() != name {
					continue
				}
				ok := false
				for _, t := range types {
					ok = ok || c.PhysicalType() == t
				}
				if !ok || c.MaxRepetitionLevel() > 0 {
					return nil, schemas.Because(schemas.ErrUnsupported, fmt.Sprintf("column %s is of type %v", name, c.PhysicalType()))
				}
				return chunksOf(meta, i, c, size)
			}
		}
		return nil, nil
	}
	for i := range meta.Schema.NumColumns() {
		have = append(have, meta.Schema.Column(i).Path())
	}
	var err error
	if p.images, err = find(parquetImages, parquet.Types.ByteArray); err != nil {
		return nil, err
	}
	if p.images == nil {
		return nil, schemas.Because(schemas.ErrUnsupported, fmt.Sprintf("it has columns %.200q, none of %q", have, parquetImages))
	}
	if p.paths, err = find(parquetPaths, parquet.Types.ByteArray); err != nil {
		return nil, err
	}
	if p.labels, err = find(parquetLabels, parquet.Types.Int32, parquet.Types.Int64); err != nil {
		return nil, err
	}
	for _, c := range p.images.chunks {
		p.rows += c.rows
	}
	p.classes = classNames(meta.KeyValueMetadata().FindValue("huggingface"), p.labels)
	return p, nil
}

// chunksOf holds the places of a column's chunks against the file's size.
func chunksOf(meta *metadata.FileMetaData, i int, descr *schema.Column, size int64) (*parquetColumn, error) {
	col := &parquetColumn{descr: descr}
	for g := range meta.GetRowGroups() {
		rg := meta.RowGroup(g)
		m, err := rg.ColumnChunk(i)
		if err != nil {
			return nil, schemas.BecauseErr(schemas.ErrCorrupt, err)
		}
		c := parquetChunk{data: m.DataPageOffset(), rows: rg.NumRows(), codec: m.Compression()}
		c.start = c.data
		if m.HasDictionaryPage() && m.DictionaryPageOffset() > 0 && m.DictionaryPageOffset() < c.data {
			c.start = m.DictionaryPageOffset()
		}
		n := m.TotalCompressedSize()
		if c.start < 4 || n < 0 || c.start > size || n > size-c.start || c.data > c.start+n || c.rows < 0 || m.NumValues() != c.rows {
			return nil, schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("row group %d: %d bytes at %d for %d rows", g, n, c.start, c.rows))
		}
		c.end = c.start + n
		if c.codec != compress.Codecs.Uncompressed && c.codec != compress.Codecs.Snappy {
			return nil, schemas.Because(schemas.ErrUnsupported, fmt.Sprintf("column %s is compressed by %v: write it with snappy or none", descr.Path(), c.codec))
		}
		if k := len(col.chunks); k > 0 && c.start < col.chunks[k-1].end {
			return nil, schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("row group %d lies within the one before", g))
		}
		col.chunks = append(col.chunks, c)
	}
	return col, nil
}

// classNames are the names of the label's classes that Hugging Face's data sets
// keep in the footer; nil where there are none.
func classNames(raw *string, label *parquetColumn) []string {
	if raw == nil || label == nil {
		return nil
	}
	var meta struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	var feature struct {
		Names []string `json:"names"`
	}
	if json.Unmarshal([]byte(*raw), &meta) != nil || json.Unmarshal(meta.Info.Features[label.descr.Path()], &feature) != nil {
		return nil // of another writer, who means something else by the key
	}
	return feature.Names
}

// chunkAt is the chunk that holds the byte; nil if none does.
func (c *parquetColumn) chunkAt(off int64) *parquetChunk {
	i := sort.Search(len(c.chunks), func(i int) bool { return c.chunks[i].end > off })
	if i == len(c.chunks) || c.chunks[i].start > off {
		return nil
	}
	return &c.chunks[i]
}

// Fields of a page header (parquet.thrift) and encodings of values.
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

	plainDictionary = 2
	rleDictionary   = 8
)

// parquetPage is a page as it lies in the file.
type parquetPage struct {
	raw    []byte // header and body
	typ    int64
	values int64
	dict   bool // the values are places in the dictionary
}

// nextPage splits the first page off b, of a chunk; what its header claims is held
// against b.
func nextPage(b []byte, c *parquetChunk) (p parquetPage, rest []byte, err error) {
	h, n, err := walkThrift(b)
	if err != nil {
		return p, nil, err
	}
	size, full := h.ints[pageCompressed], h.ints[pageUncompressed]
	if size < 0 || size > int64(len(b)-n) || full < 0 || full > maxPageBytes {
		return p, nil, schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("a page claims %d bytes, %d inflated; %d are left", size, full, len(b)-n))
	}
	p = parquetPage{raw: b[:n+int(size)], typ: h.ints[pageType]}
	body := b[n : n+int(size)]
	encoding := int64(0)
	switch p.typ {
	case dictionaryPage:
		// Every value takes four bytes at least, and memory for all is asked for at once.
		if v := h.at(pageHeaderDict).ints[1]; v < 0 || v > full/4 {
			return p, nil, schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("a dictionary of %d bytes claims %d values", full, v))
		}
	case dataPage:
		v1 := h.at(pageHeaderV1)
		p.values, encoding = v1.ints[1], v1.ints[2]
	case dataPageV2:
		v2 := h.at(pageHeaderV2)
		p.values, encoding = v2.ints[1], v2.ints[4]
		levels := v2.ints[5] + v2.ints[6]
		if v2.ints[5] < 0 || v2.ints[6] < 0 || levels > size || levels > full {
			return p, nil, schemas.Because(schemas.ErrCorrupt, "a page's levels are longer than the page")
		}
		body, full = body[levels:], full-levels
		if compressed, said := v2.ints[7]; said && compressed == 0 {
			full = int64(len(body))
			if h.ints[pageUncompressed] != size {
				return p, nil, schemas.Because(schemas.ErrCorrupt, "a plain page of two sizes")
			}
			c = &parquetChunk{rows: c.rows} // not compressed, whatever the chunk is
		}
	}
	if p.values < 0 || p.values > c.rows {
		return p, nil, schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("a page claims %d values, its row group has %d rows", p.values, c.rows))
	}
	switch c.codec {
	case compress.Codecs.Uncompressed:
		if full != int64(len(body)) {
			return p, nil, schemas.Because(schemas.ErrCorrupt, "a plain page of two sizes")
		}
	case compress.Codecs.Snappy: // whose own claim decides what is allocated
		if got, k := binary.Uvarint(body); k <= 0 || got != uint64(full) {
			return p, nil, schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("a page claims %d bytes inflated, its body %d", full, got))
		}
	}
	if p.dict = encoding == plainDictionary || encoding == rleDictionary; !p.dict && encoding != 0 {
		return p, nil, schemas.Because(schemas.ErrUnsupported, fmt.Sprintf("a page of encoding %d: write the column plain", encoding))
	}
	return p, b[len(p.raw):], nil
}

// pageBytes is a parquet.BufferedReader of pages.
type pageBytes struct{ bytes.Reader }

func newPageBytes(b []byte) *pageBytes {
	p := &pageBytes{}
	p.Reset(b)
	return p
}

func (p *pageBytes) Peek(n int) ([]byte, error) {
	b := make([]byte, min(n, p.Len()))
	at := p.Size() - int64(p.Len())
	if _, err := p.ReadAt(b, at); err != nil && err != io.EOF {
		return nil, err
	}
	if len(b) < n {
		return b, io.EOF
	}
	return b, nil
}

func (p *pageBytes) Discard(n int) (int, error) {
	_, err := p.Seek(int64(n), io.SeekCurrent)
	return n, err
}

var pageBuffers = sync.Pool{New: func() any {
	buf := memory.NewResizableBuffer(memory.DefaultAllocator)
	return buf
}}

// values opens one data page for reading; dict is the chunk's dictionary page, if
// the page needs it.
func (c *parquetColumn) values(chunk *parquetChunk, dict, page []byte) (pqfile.ColumnChunkReader, error) {
	raw := page
	if len(dict) > 0 {
		raw = append(bytes.Clone(dict), page...)
	}
	pages, err := pqfile.NewPageReader(newPageBytes(raw), chunk.rows, chunk.codec, memory.DefaultAllocator, nil)
	if err != nil {
		return nil, schemas.BecauseErr(schemas.ErrCorrupt, err)
	}
	return pqfile.NewColumnReader(c.descr, pages, memory.DefaultAllocator, &pageBuffers), nil
}
