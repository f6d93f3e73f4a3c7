package serve

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	flatbuffers "github.com/google/flatbuffers/go"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// Slots of Arrow's flatbuffers tables (Message.fbs), and what is written there.
const (
	slotMessageVersion, slotMessageHeaderType, slotMessageHeader, slotMessageBody = 0, 1, 2, 3
	slotBatchLength, slotBatchNodes, slotBatchBuffers                             = 0, 1, 2

	metadataV5        = 4
	headerRecordBatch = 3
)

// align is what Arrow recommends for buffers; a vector register's width.
const align = 64

func aligned(n int) int { return (n + align - 1) &^ (align - 1) }

// sizedColumn is a column of which every row has as many bytes.
type sizedColumn struct{ width, at int } // at: in the body

// textColumn is a column of offsets and data: utf8, binary. The data of all such columns are
// behind everything else, one column's after the other's.
type textColumn struct {
	at   int // of the offsets, in the body
	most int // bytes of a row's data
}

// layout is where the buffers of a batch of n rows are in its message. All but the data of text
// columns have the same place in every batch, so that pixels can be written there before the
// rest is known. Arrow reads buffers by their offsets, in whatever order they are.
//
//	prefix (8) · metadata · step · epoch · slot · sample · planned · label ·
//	offsets of reason and of each view's plan · pixels of each view · reasons · plans of each view
type layout struct {
	rows   int
	fixed  [6]sizedColumn
	pixels []sizedColumn
	texts  []textColumn // reason, then one plan a view
	small  int          // bytes of the body before the pixels
	sized  int          // and before the texts' data
	meta   int          // bytes of prefix and metadata
	most   int          // bytes of the longest message
}

// newLayout lays out batches of n rows.
func newLayout(views []schemas.ViewSpec, n int) *layout {
	l := &layout{rows: n}
	end := 0
	place := func(size int) int {
		at := end
		end = aligned(end + size)
		return at
	}
	for i, width := range [...]int{8, 8, 4, 8, 8, 4} {
		l.fixed[i] = sizedColumn{width, place(n * width)}
	}
	l.texts = append(l.texts, textColumn{place(4 * (n + 1)), schemas.MaxReasonBytes})
	for range views {
		l.texts = append(l.texts, textColumn{place(4 * (n + 1)), schemas.MaxPlanBytes})
	}
	l.small = end
	for _, v := range views {
		l.pixels = append(l.pixels, sizedColumn{v.Bytes(), place(n * v.Bytes())})
	}
	l.sized = end
	l.meta = len(l.metadata(make([]int, len(l.texts))))
	l.most = l.meta + l.sized
	for _, t := range l.texts {
		l.most += aligned(n * t.most)
	}
	return l
}

// encoder writes batches as Arrow's encapsulated messages. It belongs to one goroutine.
type encoder struct {
	*layout
	small []byte // the body before the pixels, where these stay where they are
	text  []byte
	zero  [align]byte
}

// rowsOf gives the texts of a column, row by row.
func (e *encoder) rowsOf(b *schemas.Batch, column int) func(row int) []byte {
	switch {
	case column == 0:
		return func(row int) []byte { return []byte(b.Why[row]) }
	case b.Plans == nil:
		return func(int) []byte { return nil }
	}
	return func(row int) []byte { return b.Plans[column-1][row] }
}

// into writes the message to dst, which has room for the longest, but for the pixels: they are
// copied only where copyPixels says that they are not there yet. It returns its length.
func (e *encoder) into(dst []byte, b *schemas.Batch, slot0 int, copyPixels bool) int {
	body := dst[e.meta:]
	e.columns(body, b, slot0)
	data, sizes := body[e.sized:e.sized], make([]int, len(e.texts))
	for i := range e.texts {
		data, sizes[i] = e.texts[i].write(body, data, e.rows, e.rowsOf(b, i))
	}
	if copyPixels {
		for v, c := range e.pixels {
			copy(body[c.at:], b.Pixels[v])
		}
	}
	copy(dst, e.metadata(sizes))
	return e.meta + e.sized + len(data)
}

// parts gives the message as parts to be written one after another; pixels are the batch's own.
func (e *encoder) parts(b *schemas.Batch, slot0 int) (parts [][]byte, n int) {
	if e.small == nil {
		e.small = make([]byte, e.layout.small)
	}
	e.columns(e.small, b, slot0)
	e.text = e.text[:0]
	sizes := make([]int, len(e.texts))
	for i := range e.texts {
		e.text, sizes[i] = e.texts[i].write(e.small, e.text, e.rows, e.rowsOf(b, i))
	}
	parts = append(parts, e.metadata(sizes), e.small)
	for _, pixels := range b.Pixels {
		parts = append(parts, pixels, e.zero[:aligned(len(pixels))-len(pixels)])
	}
	parts = append(parts, e.text)
	return parts, e.meta + e.sized + len(e.text)
}

// columns writes the columns of numbers.
func (e *encoder) columns(body []byte, b *schemas.Batch, slot0 int) {
	le := binary.LittleEndian
	for i := range e.rows {
		le.PutUint64(body[e.fixed[0].at+8*i:], uint64(b.Step))
		le.PutUint64(body[e.fixed[1].at+8*i:], uint64(b.Epoch))
		le.PutUint32(body[e.fixed[2].at+4*i:], uint32(slot0+i))
		le.PutUint64(body[e.fixed[3].at+8*i:], uint64(b.Samples[i]))
		le.PutUint64(body[e.fixed[4].at+8*i:], uint64(b.Planned[i]))
		le.PutUint32(body[e.fixed[5].at+4*i:], uint32(b.Labels[i]))
	}
}

// write appends the column's data to data, its offsets to body, and gives the data's size
// without what aligns the next.
func (t *textColumn) write(body, data []byte, rows int, row func(int) []byte) ([]byte, int) {
	start := len(data)
	binary.LittleEndian.PutUint32(body[t.at:], 0)
	for i := range rows {
		data = append(data, row(i)...)
		binary.LittleEndian.PutUint32(body[t.at+4*(i+1):], uint32(len(data)-start))
	}
	size := len(data) - start
	for len(data)%align != 0 {
		data = append(data, 0)
	}
	return data, size
}

// metadata is the message's prefix and metadata, for texts of these sizes. Its length does not
// depend on them.
func (l *layout) metadata(texts []int) []byte {
	columns := len(l.fixed) + len(l.pixels) + len(l.texts)
	type span struct{ at, n int }
	var buffers []span
	column := func(parts ...span) { buffers = append(append(buffers, span{}), parts...) } // no validity bitmap
	end := l.sized
	text := func(i int) {
		column(span{l.texts[i].at, 4 * (l.rows + 1)}, span{end, texts[i]})
		end = aligned(end + texts[i])
	}
	for _, c := range l.fixed {
		column(span{c.at, l.rows * c.width})
	}
	text(0)
	for v, c := range l.pixels {
		column(span{c.at, l.rows * c.width})
		text(v + 1)
	}
	b := flatbuffers.NewBuilder(64*columns + 256)
	b.StartVector(16, len(buffers), 8)
	for i := range buffers {
		s := buffers[len(buffers)-1-i]
		b.Prep(8, 16)
		b.PrependInt64(int64(s.n))
		b.PrependInt64(int64(s.at))
	}
	bufs := b.EndVector(len(buffers))
	b.StartVector(16, columns, 8)
	for range columns {
		b.Prep(8, 16)
		b.PrependInt64(0) // nulls
		b.PrependInt64(int64(l.rows))
	}
	nodes := b.EndVector(columns)
	b.StartObject(4)
	b.PrependInt64Slot(slotBatchLength, int64(l.rows), 0)
	b.PrependUOffsetTSlot(slotBatchNodes, nodes, 0)
	b.PrependUOffsetTSlot(slotBatchBuffers, bufs, 0)
	batch := b.EndObject()
	b.StartObject(5)
	b.PrependInt16Slot(slotMessageVersion, metadataV5, 0)
	b.PrependByteSlot(slotMessageHeaderType, headerRecordBatch, 0)
	b.PrependUOffsetTSlot(slotMessageHeader, batch, 0)
	b.PrependInt64Slot(slotMessageBody, int64(end), 0)
	b.Finish(b.EndObject())
	meta := b.FinishedBytes()
	out := make([]byte, aligned(8+len(meta)))
	binary.LittleEndian.PutUint32(out, 0xFFFFFFFF)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	copy(out[8:], meta)
	return out
}

// schemaOf is the schema of a plan's batches.
func schemaOf(p *Plan, run, version string) *arrow.Schema {
	fields := []arrow.Field{
		{Name: "step", Type: arrow.PrimitiveTypes.Int64},
		{Name: "epoch", Type: arrow.PrimitiveTypes.Int64},
		{Name: "slot", Type: arrow.PrimitiveTypes.Int32},
		{Name: "sample", Type: arrow.PrimitiveTypes.Int64},
		{Name: "planned", Type: arrow.PrimitiveTypes.Int64},
		{Name: "label", Type: arrow.PrimitiveTypes.Int32},
		{Name: "reason", Type: arrow.BinaryTypes.String},
	}
	for _, v := range p.Spec.Views {
		meta := arrow.NewMetadata([]string{"shape", "role", "layout"}, []string{fmt.Sprintf("%d,%d,3", v.Size, v.Size), string(v.Role), "NHWC"})
		fields = append(fields,
			arrow.Field{Name: v.Name + ".pixels", Type: &arrow.FixedSizeBinaryType{ByteWidth: v.Bytes()}, Metadata: meta},
			arrow.Field{Name: v.Name + ".plan", Type: arrow.BinaryTypes.Binary})
	}
	classes, err := json.Marshal(p.Names)
	if err != nil {
		classes = []byte("[]") // strings, on which Marshal cannot fail
	}
	meta := arrow.NewMetadata(
		[]string{"resslt.protocol", "resslt.run", "resslt.digest", "resslt.version", "resslt.steps", "resslt.steps_per_epoch", "resslt.epochs", "resslt.mean", "resslt.std", "resslt.classes"},
		[]string{strconv.Itoa(Version), run, p.Spec.Digest(), version, fmt.Sprint(p.Spec.Steps()), fmt.Sprint(p.Spec.StepsPerEpoch), fmt.Sprint(p.epochs()), commas(p.Mean), commas(p.Std), string(classes)})
	return arrow.NewSchema(fields, &meta)
}

func commas(x []float64) string {
	s := make([]string, len(x))
	for i, v := range x {
		s[i] = strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strings.Join(s, ",")
}

// schemaMessage is the encapsulated message of a schema.
func schemaMessage(s *arrow.Schema) ([]byte, error) {
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(s))
	if err := w.Close(); err != nil {
		return nil, errs.New("encode", "Arrow schema", "report this as a bug", errs.BecauseErr(errs.ErrUnsupported, err))
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}), nil
}
