package parquet

import (
	"context"
	"encoding/binary"
	"fmt"

	"resslt/schemas/errs"
)

// ReaderAt fills p with the bytes at off, or fails.
type ReaderAt interface {
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
}

// File is what the footer says of a Parquet file. It holds none of its rows.
type File struct {
	footer message
	leaves []Leaf
	size   int64
}

const (
	magic          = "PAR1"
	encryptedMagic = "PARE"
	// footerGuess is how much of the file's end is read first.
	footerGuess = 256 << 10
	// fewRows are no matter of memory, whatever the size of the file: rows that share
	// an image in a dictionary take almost nothing.
	fewRows = 1 << 20
	// maxFooterBytes caps what a footer may hold.
	maxFooterBytes = 64 << 20
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
	if len(tail) >= 4 && string(tail[len(tail)-4:]) == encryptedMagic {
		return nil, 0, errs.Because(errs.ErrUnsupported, "its footer is encrypted: write the file without encryption")
	}
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
	footer, _, err := walkThrift(tail[int64(len(tail))-fixed-n : len(tail)-fixed])
	if err != nil {
		return nil, 0, err
	}
	leaves, err := readSchema(footer)
	if err != nil {
		return nil, 0, err
	}
	return &File{footer: footer, leaves: leaves, size: size}, 0, nil
}

// Leaves are all columns.
func (f *File) Leaves() []Leaf { return f.leaves }

// Rows is the number of rows that the footer claims, which is no more than the file has
// bytes: 0 if it claims more.
func (f *File) Rows() int64 {
	if n := f.footer.int(fileRows); n >= 0 && n <= f.size {
		return n
	}
	return 0
}

// Metadata is the value of a key in the footer; "" if it is missing.
func (f *File) Metadata(key string) string {
	var v string
	f.footer.messages(fileKeyValues, func(_ int, e message) bool {
		if string(e.text(1)) != key {
			return true
		}
		v = string(e.text(2))
		return false
	})
	return v
}

// Column is a column of a file: its chunks, in the order of the rows.
type Column struct {
	Leaf
	chunks []chunk
}

// chunk is a column's part of a row group: pages, one after another.
type chunk struct {
	start, end int64 // bytes of the file
	data       int64 // where the first data page begins, as the footer has it: some writers err
	rows       int64
	codec      codec
}

// Fields of RowGroup, ColumnChunk and ColumnMetaData.
const (
	groupColumns = 1
	groupRows    = 3

	chunkMeta      = 3
	chunkFile      = 1
	chunkEncrypted = 8

	metaType       = 1
	metaCodec      = 4
	metaValues     = 5
	metaCompressed = 7
	metaData       = 9
	metaDictionary = 11
)

// Column is the column of a leaf, which may not be repeated. Errors name the column.
func (f *File) Column(l Leaf) (*Column, error) {
	unsupported := func(why string) (*Column, error) {
		return nil, errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %s %s", l.Path, why))
	}
	switch {
	case l.Repeated:
		return unsupported("is a list, of which a row may have several values")
	case l.Type < Boolean || l.Type > FixedBytes || l.Type == Int96:
		return unsupported(fmt.Sprintf("is of type %v", l.Type))
	case l.Type == FixedBytes && (l.length < 1 || int64(l.length) > f.size):
		return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("column %s has values of %d bytes", l.Path, l.length))
	}
	col := &Column{Leaf: l}
	var err error
	f.footer.messages(fileRowGroups, func(g int, group message) bool {
		err = f.addChunk(col, g, group)
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	if n := f.footer.int(fileRows); n != col.Rows() {
		return nil, corrupt("column %s has %d rows, the footer says %d", l.Path, col.Rows(), n)
	}
	return col, nil
}

// addChunk appends the column's chunk of row group g, with its bounds checked against
// the file's size.
func (f *File) addChunk(col *Column, g int, group message) error {
	var at message
	group.messages(groupColumns, func(i int, e message) bool {
		at = e
		return i < col.index
	})
	corrupt := func(format string, a ...any) error {
		return errs.Because(errs.ErrCorrupt, fmt.Sprintf("row group %d, column %s: ", g, col.Path)+fmt.Sprintf(format, a...))
	}
	if group.count(groupColumns) != len(f.leaves) {
		return corrupt("%d columns, %d by the schema", group.count(groupColumns), len(f.leaves))
	}
	if len(at.text(chunkFile)) > 0 {
		return errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %s is in another file, %.100q", col.Path, at.text(chunkFile)))
	}
	if len(at.at(chunkEncrypted).b) > 0 {
		return errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %s is encrypted: write the file without encryption", col.Path))
	}
	if group.int(groupRows) == 0 {
		return nil // writers let such columns begin anywhere
	}
	m := at.at(chunkMeta)
	if t := Type(m.int(metaType)); t != col.Type {
		return corrupt("of type %v, %v by the schema", t, col.Type)
	}
	c := chunk{data: m.int(metaData), rows: group.int(groupRows), codec: codec(m.int(metaCodec))}
	// Where the chunk begins: writers differ in which of these they leave out, or set
	// to 0, or let point at the dictionary.
	c.start = c.data
	if d := m.int(metaDictionary); d > 0 && d < c.start {
		c.start = d
	}
	n := m.int(metaCompressed)
	if c.start < 4 || n < 0 || c.start > f.size || n > f.size-c.start ||
		c.rows < 0 || c.rows > max(f.size, fewRows)-col.Rows() || // an image takes more than a byte
		m.int(metaValues) != c.rows {
		return corrupt("%d bytes at %d for %d values of %d rows, in a file of %d bytes", n, c.start, m.int(metaValues), c.rows, f.size)
	}
	c.end = c.start + n
	if err := c.codec.supported(); err != nil {
		return errs.BecauseErr(errs.ErrUnsupported, fmt.Errorf("column %s is %w", col.Path, err))
	}
	if k := len(col.chunks); k > 0 && c.start < col.chunks[k-1].end {
		return corrupt("it overlaps the one before it")
	}
	col.chunks = append(col.chunks, c)
	return nil
}
