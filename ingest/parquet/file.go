package parquet

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"resslt/schemas/errs"

	arrow "github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// Types of columns that can be read.
var (
	Bytes = arrow.Types.ByteArray
	Int32 = arrow.Types.Int32
	Int64 = arrow.Types.Int64
)

// ReaderAt fills p with the bytes at off, or fails.
type ReaderAt interface {
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
}

// File is what the footer says of a Parquet file. It holds none of its rows.
type File struct {
	meta *metadata.FileMetaData
	size int64
}

const (
	magic = "PAR1"
	// footerGuess is how much of the file's end is read first.
	footerGuess = 256 << 10
	// maxFooterBytes and maxSchemaElements cap what a footer may hold.
	maxFooterBytes    = 64 << 20
	maxSchemaElements = 10_000
)

// Open reads the footer of a file of size bytes.
func Open(ctx context.Context, r ReaderAt, size int64) (*File, error) {
	for n := min(footerGuess, size); ; {
		tail := make([]byte, n)
		if _, err := r.ReadAt(ctx, tail, size-n); err != nil {
			return nil, err
		}
		f, need, err := parseFooter(tail, size)
		if err != nil {
			return nil, err
		}
		if need == 0 {
			return f, nil
		}
		n = need
	}
}

// parseFooter parses the end of a file of size bytes: its last len(tail) bytes. If
// more of it is needed, it says how many bytes from the end.
func parseFooter(tail []byte, size int64) (f *File, need int64, err error) {
	const fixed = 8 // length and magic
	if len(tail) < fixed+4 || string(tail[len(tail)-4:]) != magic {
		return nil, 0, errs.Because(errs.ErrCorrupt, "no Parquet file: it does not end in "+magic)
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
		if meta.Schema == nil {
			return errs.Because(errs.ErrCorrupt, "its schema can't be read")
		}
		f = &File{meta: meta, size: size}
		return nil
	})
	return f, 0, err
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

// Columns are the paths of all columns, such as "image.bytes".
func (f *File) Columns() []string {
	var paths []string
	for i := range f.meta.Schema.NumColumns() {
		paths = append(paths, f.meta.Schema.Column(i).Path())
	}
	return paths
}

// Metadata is the value of a key in the footer; "" if it is missing.
func (f *File) Metadata(key string) string {
	var v string
	_ = guarded(func() error { // a panic leaves it missing
		if p := f.meta.KeyValueMetadata().FindValue(key); p != nil {
			v = *p
		}
		return nil
	})
	return v
}

// Column is a column of a file: its chunks, in the order of the rows.
type Column struct {
	descr  *schema.Column
	chunks []chunk
}

// chunk is a column's part of a row group: pages, one after another.
type chunk struct {
	start, end int64 // bytes of the file
	data       int64 // where the first data page begins; a dictionary precedes it
	rows       int64
	codec      compress.Compression
}

// Column is the column of the first of these paths that exists; nil if none does. It
// must be of one of the types.
func (f *File) Column(paths []string, types ...arrow.Type) (c *Column, err error) {
	err = guarded(func() error {
		for _, path := range paths {
			for i := range f.meta.Schema.NumColumns() {
				descr := f.meta.Schema.Column(i)
				if descr.Path() != path {
					continue
				}
				if !slices.Contains(types, descr.PhysicalType()) || descr.MaxRepetitionLevel() > 0 {
					return errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %s is of type %v", path, descr.PhysicalType()))
				}
				c, err = f.column(i, descr)
				return err
			}
		}
		return nil
	})
	return c, err
}

// column finds the chunks of column i, and checks their bounds against the file's size.
func (f *File) column(i int, descr *schema.Column) (*Column, error) {
	col := &Column{descr: descr}
	for g := range f.meta.GetRowGroups() {
		rg := f.meta.RowGroup(g)
		m, err := rg.ColumnChunk(i)
		if err != nil {
			return nil, errs.BecauseErr(errs.ErrCorrupt, err)
		}
		c := chunk{data: m.DataPageOffset(), rows: rg.NumRows(), codec: m.Compression()}
		c.start = c.data
		if m.HasDictionaryPage() && m.DictionaryPageOffset() > 0 && m.DictionaryPageOffset() < c.data {
			c.start = m.DictionaryPageOffset()
		}
		n := m.TotalCompressedSize()
		if c.start < 4 || n < 0 || c.start > f.size || n > f.size-c.start || c.data > c.start+n ||
			c.rows < 0 || c.rows > f.size || m.NumValues() != c.rows {
			return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("row group %d: %d bytes at %d for %d rows", g, n, c.start, c.rows))
		}
		c.end = c.start + n
		if c.codec != compress.Codecs.Uncompressed && c.codec != compress.Codecs.Snappy {
			return nil, errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %s is compressed by %v: write it with snappy or none", descr.Path(), c.codec))
		}
		if k := len(col.chunks); k > 0 && c.start < col.chunks[k-1].end {
			return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("row group %d overlaps the one before it", g))
		}
		col.chunks = append(col.chunks, c)
	}
	return col, nil
}
