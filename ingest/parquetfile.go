package ingest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sort"

	"resslt/schemas/errs"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"
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
		return nil, 0, errs.Because(errs.ErrCorrupt, "no Parquet file: it does not end in "+parquetMagic)
	}
	n := int64(binary.LittleEndian.Uint32(tail[len(tail)-fixed:]))
	switch {
	case n > size-fixed-4:
		return nil, 0, errs.Because(errs.ErrCorrupt, fmt.Sprintf("its footer claims %d of %d bytes", n, size))
	case n > maxFooterBytes:
		return nil, 0, errs.Because(errs.ErrTooLarge, fmt.Sprintf("a footer of %d bytes", n))
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
		return nil, 0, errs.Because(errs.ErrTooLarge, fmt.Sprintf("a schema of %d elements", e))
	}
	err = guarded(func() error {
		meta, err := metadata.NewFileMetaData(footer, nil)
		if err != nil {
			return errs.BecauseErr(errs.ErrCorrupt, err)
		}
		p, err = columnsOf(meta, size)
		return err
	})
	return p, 0, err
}

// guarded turns a panic of Arrow's reader of footers, which trusts its input, into
// an error.
func guarded(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errs.Because(errs.ErrCorrupt, fmt.Sprintf("the Parquet reader gave up: %v", r))
		}
	}()
	return do()
}

func columnsOf(meta *metadata.FileMetaData, size int64) (*parquetFile, error) {
	if meta.Schema == nil {
		return nil, errs.Because(errs.ErrCorrupt, "its schema can't be read")
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
					return nil, errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %s is of type %v", name, c.PhysicalType()))
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
		return nil, errs.Because(errs.ErrUnsupported, fmt.Sprintf("it has columns %.200q, none of %q", have, parquetImages))
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
	if p.rows > size { // every image takes more than a byte
		return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("%d rows in %d bytes", p.rows, size))
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
			return nil, errs.BecauseErr(errs.ErrCorrupt, err)
		}
		c := parquetChunk{data: m.DataPageOffset(), rows: rg.NumRows(), codec: m.Compression()}
		c.start = c.data
		if m.HasDictionaryPage() && m.DictionaryPageOffset() > 0 && m.DictionaryPageOffset() < c.data {
			c.start = m.DictionaryPageOffset()
		}
		n := m.TotalCompressedSize()
		if c.start < 4 || n < 0 || c.start > size || n > size-c.start || c.data > c.start+n ||
			c.rows < 0 || c.rows > size || m.NumValues() != c.rows {
			return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("row group %d: %d bytes at %d for %d rows", g, n, c.start, c.rows))
		}
		c.end = c.start + n
		if c.codec != compress.Codecs.Uncompressed && c.codec != compress.Codecs.Snappy {
			return nil, errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %s is compressed by %v: write it with snappy or none", descr.Path(), c.codec))
		}
		if k := len(col.chunks); k > 0 && c.start < col.chunks[k-1].end {
			return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("row group %d lies within the one before", g))
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
