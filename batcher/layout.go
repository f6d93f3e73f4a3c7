package batcher

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	flatbuffers "github.com/google/flatbuffers/go"

	"resslt/schemas"
)

// layout knows where the buffers of a one-record Arrow stream with a fixed schema
// lie. Arrow's own reader allocates what the bytes ask for and copies every
// buffer; here the schema message must equal the local one byte for byte, the
// record batch's metadata is read in place, and each buffer is a part of the
// message after its bounds were checked. Nothing is allocated by size.
type layout struct {
	prefix  []byte // the schema message, as the local writer writes it
	columns []column
}

// column is what layout needs to know of a field: width of a value in bytes, or
// zero for a column of offsets and data (utf8, binary).
type column struct {
	name  string
	width int
}

// field numbers of Arrow's flatbuffers tables (Message.fbs), as vtable slots.
const (
	fbMessageVersion    = 4
	fbMessageHeaderType = 6
	fbMessageHeader     = 8
	fbMessageBodyLength = 10
	fbBatchLength       = 4
	fbBatchNodes        = 6
	fbBatchBuffers      = 8
	fbBatchCompression  = 10

	fbVersionV5        = 4
	fbHeaderRecord     = 3
	fbStructSize       = 16 // FieldNode and Buffer are two int64
	ipcContinuation    = 0xFFFFFFFF
	ipcMessagePrefix   = 8 // continuation mark and metadata length
	ipcMaxMetadataSize = 64 << 10
)

var ipcEnd = []byte{0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}

// newLayout derives the layout from a schema without nested or nullable columns.
func newLayout(schema *arrow.Schema) (*layout, error) {
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema))
	if err := w.Close(); err != nil {
		return nil, schemas.E("encode", "Arrow schema", "report this as a bug", schemas.BecauseErr(schemas.ErrUnsupported, err))
	}
	prefix, ok := bytes.CutSuffix(out.Bytes(), ipcEnd)
	if !ok {
		return nil, schemas.E("encode", "Arrow schema", "report this as a bug", schemas.Because(schemas.ErrUnsupported, "no end mark"))
	}
	l := &layout{prefix: prefix}
	for _, f := range schema.Fields() {
		c := column{name: f.Name}
		switch t := f.Type.(type) {
		case *arrow.StringType, *arrow.BinaryType:
		case arrow.FixedWidthDataType:
			c.width = t.Bytes()
		default:
			return nil, schemas.E("encode", "column "+f.Name, "report this as a bug", schemas.ErrUnsupported)
		}
		l.columns = append(l.columns, c)
	}
	return l, nil
}

// parse finds the buffers of data's record batch, which must have `rows` rows:
// values for a fixed-width column; offsets, then data, for the others. They are
// parts of data. Every error matches ErrCorrupt, or ErrMismatch for another schema.
func (l *layout) parse(data []byte, rows int) (bufs [][]byte, err error) {
	rest, ok := bytes.CutPrefix(data, l.prefix)
	if !ok {
		return nil, schemas.Because(schemas.ErrMismatch, "its Arrow schema is not this run's")
	}
	corrupt := func(format string, a ...any) ([][]byte, error) {
		return nil, schemas.Because(schemas.ErrCorrupt, fmt.Sprintf(format, a...))
	}
	if len(rest) < ipcMessagePrefix || binary.LittleEndian.Uint32(rest) != ipcContinuation {
		return corrupt("no record batch follows the schema")
	}
	metaLen := int64(binary.LittleEndian.Uint32(rest[4:]))
	rest = rest[ipcMessagePrefix:]
	if metaLen < 8 || metaLen > ipcMaxMetadataSize || metaLen%8 != 0 || metaLen > int64(len(rest)) {
		return corrupt("record batch metadata of %d bytes", metaLen)
	}
	meta, body := rest[:metaLen], rest[metaLen:]
	body, ok = bytes.CutSuffix(body, ipcEnd)
	if !ok {
		return corrupt("the end mark is missing")
	}
	// Flatbuffers' accessors index the metadata without checks of their own, so
	// that a wild offset panics: bounded by len(meta), it can do nothing worse.
	defer func() {
		if p := recover(); p != nil {
			bufs, err = corrupt("record batch metadata points outside itself")
		}
	}()
	batch, err := batchTable(meta, len(body))
	if err != nil {
		return nil, err
	}
	if got := batch.int64At(fbBatchLength); got != int64(rows) {
		return corrupt("%d rows instead of %d", got, rows)
	}
	if batch.Offset(fbBatchCompression) != 0 {
		return corrupt("its buffers are compressed")
	}
	nodes, nn := batch.vector(fbBatchNodes)
	buffers, nb := batch.vector(fbBatchBuffers)
	want := 0
	for _, c := range l.columns {
		want += 2
		if c.width == 0 {
			want++
		}
	}
	if nn != len(l.columns) || nb != want {
		return corrupt("%d columns and %d buffers instead of %d and %d", nn, nb, len(l.columns), want)
	}
	k := 0
	end := int64(0)
	next := func() ([]byte, bool) {
		at := buffers + flatbuffers.UOffsetT(k*fbStructSize)
		k++
		off, n := batch.GetInt64(at), batch.GetInt64(at+8)
		// Buffers in order, none overlapping: the only layout our writer makes.
		if off < end || n < 0 || off > int64(len(body)) || n > int64(len(body))-off {
			return nil, false
		}
		end = off + n
		return body[off : off+n : off+n], true
	}
	for i, c := range l.columns {
		at := nodes + flatbuffers.UOffsetT(i*fbStructSize)
		if batch.GetInt64(at) != int64(rows) || batch.GetInt64(at+8) != 0 {
			return corrupt("column %s has another length, or nulls", c.name)
		}
		validity, ok := next()
		if !ok || len(validity) != 0 {
			return corrupt("column %s has a validity bitmap", c.name)
		}
		if c.width != 0 {
			b, ok := next()
			if !ok || len(b) != rows*c.width {
				return corrupt("column %s is not %d bytes", c.name, rows*c.width)
			}
			bufs = append(bufs, b)
			continue
		}
		offsets, ok1 := next()
		b, ok2 := next()
		if !ok1 || !ok2 || len(offsets) != 4*(rows+1) {
			return corrupt("column %s lies outside the message", c.name)
		}
		if err := checkOffsets(offsets, len(b)); err != nil {
			return corrupt("column %s: %v", c.name, err)
		}
		bufs = append(bufs, offsets, b)
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

// table is a flatbuffers table with the accessors that are needed here.
type table struct{ flatbuffers.Table }

func (t table) int64At(slot flatbuffers.VOffsetT) int64 { return t.GetInt64Slot(slot, 0) }

// vector gives position and number of entries of a vector, zero where absent.
func (t table) vector(slot flatbuffers.VOffsetT) (flatbuffers.UOffsetT, int) {
	o := flatbuffers.UOffsetT(t.Offset(slot))
	if o == 0 {
		return 0, 0
	}
	return t.Vector(o), t.VectorLen(o)
}

// batchTable reads the Message in meta and gives its RecordBatch.
func batchTable(meta []byte, bodyLen int) (table, error) {
	msg := table{flatbuffers.Table{Bytes: meta, Pos: flatbuffers.GetUOffsetT(meta)}}
	if v := msg.GetInt16Slot(fbMessageVersion, 0); v != fbVersionV5 {
		return table{}, schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("Arrow metadata version %d", v))
	}
	if h := msg.GetByteSlot(fbMessageHeaderType, 0); h != fbHeaderRecord {
		return table{}, schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("message type %d where a record batch belongs", h))
	}
	if n := msg.int64At(fbMessageBodyLength); n != int64(bodyLen) {
		return table{}, schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("a body of %d bytes, not %d", bodyLen, n))
	}
	o := flatbuffers.UOffsetT(msg.Offset(fbMessageHeader))
	if o == 0 {
		return table{}, schemas.Because(schemas.ErrCorrupt, "an empty message")
	}
	var batch table
	msg.Union(&batch.Table, o)
	return batch, nil
}
