package layout

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"resslt/schemas/errs"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
)

// Layout knows where the buffers of record batches with a fixed schema are. It is
// safe for concurrent use: it holds nothing that changes.
type Layout struct {
	prefix  []byte // the schema message, as the local writer writes it
	columns []column
}

// column is what is needed to know of a field: width of a value in bytes, or zero
// for a column of offsets and data (utf8, binary).
type column struct {
	name  string
	width int
}

// Framing of the messages of an Arrow stream.
const (
	PrefixBytes      = 8        // continuation mark and metadata length, before each message's metadata
	MaxMetadataBytes = 64 << 10 // of a record batch

	continuation = 0xFFFFFFFF
)

var end = []byte{0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}

// New derives the layout from a schema without nested or nullable columns.
func New(schema *arrow.Schema) (*Layout, error) {
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema))
	if err := w.Close(); err != nil {
		return nil, errs.New("encode", "Arrow schema", "report this as a bug", errs.BecauseErr(errs.ErrUnsupported, err))
	}
	prefix, ok := bytes.CutSuffix(out.Bytes(), end)
	if !ok {
		return nil, errs.New("encode", "Arrow schema", "report this as a bug", errs.Because(errs.ErrUnsupported, "no end mark"))
	}
	l := &Layout{prefix: prefix}
	for _, f := range schema.Fields() {
		c := column{name: f.Name}
		switch t := f.Type.(type) {
		case *arrow.StringType, *arrow.BinaryType:
		case arrow.FixedWidthDataType:
			c.width = t.Bytes()
		default:
			return nil, errs.New("encode", "column "+f.Name, "report this as a bug", errs.ErrUnsupported)
		}
		l.columns = append(l.columns, c)
	}
	return l, nil
}

// Prefix is the schema message with its framing, as the local writer writes it.
func (l *Layout) Prefix() []byte { return l.prefix }

func corrupt(format string, a ...any) error {
	return errs.Because(errs.ErrCorrupt, fmt.Sprintf(format, a...))
}

// MetadataLength reads the framing in front of a record batch's metadata, whose
// length must be under limit.
func MetadataLength(prefix []byte, limit int64) (int64, error) {
	if len(prefix) < PrefixBytes || binary.LittleEndian.Uint32(prefix) != continuation {
		return 0, corrupt("no Arrow message where one belongs")
	}
	n := int64(binary.LittleEndian.Uint32(prefix[4:]))
	if n < 8 || n > limit || n%8 != 0 {
		return 0, corrupt("Arrow metadata of %d bytes", n)
	}
	return n, nil
}

// Parse finds the buffers of a whole stream that holds one record batch of `rows`
// rows, uncompressed: values for a fixed-width column; offsets, then data, for the
// others. They are parts of data. Every error matches ErrCorrupt, or ErrMismatch for
// another schema.
func (l *Layout) Parse(data []byte, rows int) (bufs [][]byte, err error) {
	rest, ok := bytes.CutPrefix(data, l.prefix)
	if !ok {
		return nil, errs.Because(errs.ErrMismatch, "its Arrow schema is not this run's")
	}
	n, err := MetadataLength(rest, min(MaxMetadataBytes, int64(max(0, len(rest)-PrefixBytes))))
	if err != nil {
		return nil, err
	}
	rest = rest[PrefixBytes:]
	meta, body := rest[:n], rest[n:]
	body, ok = bytes.CutSuffix(body, end)
	if !ok {
		return nil, corrupt("the end mark is missing")
	}
	b, err := l.Open(meta, rows, rows)
	if err != nil {
		return nil, err
	}
	if b.codec != nil || b.foreign {
		return nil, corrupt("its buffers are compressed, or it has validity bitmaps")
	}
	if b.BodyLen != int64(len(body)) {
		return nil, corrupt("a body of %d bytes, not %d", b.BodyLen, len(body))
	}
	for i := range l.columns {
		values, data, err := b.Column(i, b.slice(i, body), 0)
		if err != nil {
			return nil, err
		}
		bufs = append(bufs, values)
		if l.columns[i].width == 0 {
			bufs = append(bufs, data)
		}
	}
	return bufs, nil
}

// checkOffsets sees that offsets start at 0, never fall, and end at n.
func checkOffsets(offsets []byte, n int) error {
	last := int64(0)
	for i := 0; i < len(offsets); i += 4 {
		o := int64(int32(binary.LittleEndian.Uint32(offsets[i:])))
		if o < last || (i == 0 && o != 0) {
			return fmt.Errorf("offset %d is out of order", i/4)
		}
		last = o
	}
	if last != int64(n) {
		return fmt.Errorf("the last offset is %d, the data %d bytes", last, n)
	}
	return nil
}
