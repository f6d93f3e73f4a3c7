package layout

import (
	flatbuffers "github.com/google/flatbuffers/go"
)

// field numbers of Arrow's flatbuffers tables (Message.fbs, Schema.fbs), as vtable
// slots.
const (
	fbMessageVersion    = 4
	fbMessageHeaderType = 6
	fbMessageHeader     = 8
	fbMessageBodyLength = 10
	fbBatchLength       = 4
	fbBatchNodes        = 6
	fbBatchBuffers      = 8
	fbBatchCompression  = 10
	fbCompressionCodec  = 4
	fbCompressionMethod = 6
	fbSchemaMetadata    = 8
	fbKey               = 4
	fbValue             = 6

	fbVersionV5    = 4
	fbHeaderSchema = 1
	fbHeaderRecord = 3
	fbStructSize   = 16 // FieldNode and Buffer are two int64
)

// Batch is a record batch whose metadata was checked. Its buffers are in order
// within a body of BodyLen bytes, and none overlaps another.
type Batch struct {
	Rows    int
	BodyLen int64

	layout *Layout
	codec  codec
	// foreign: it has validity bitmaps, which say that nothing is null. Our writer makes none.
	foreign bool
	spans   []span // three of a column, the validity bitmap's empty; the third of a fixed-width column is empty
}

type span struct{ off, n int64 }

// Open reads a record batch's metadata; the batch must have minRows to maxRows rows.
func (l *Layout) Open(meta []byte, minRows, maxRows int) (b *Batch, err error) {
	defer func() {
		if p := recover(); p != nil {
			b, err = nil, corrupt("record batch metadata points outside itself")
		}
	}()
	msg, err := message(meta, fbHeaderRecord)
	if err != nil {
		return nil, err
	}
	batch := msg.header
	rows := batch.int64At(fbBatchLength)
	if rows < int64(minRows) || rows > int64(maxRows) {
		return nil, corrupt("%d rows instead of %d to %d", rows, minRows, maxRows)
	}
	b = &Batch{Rows: int(rows), BodyLen: msg.bodyLen, layout: l}
	if o := flatbuffers.UOffsetT(batch.Offset(fbBatchCompression)); o != 0 {
		c := table{flatbuffers.Table{Bytes: meta, Pos: batch.Indirect(o + batch.Pos)}}
		if c.GetInt8Slot(fbCompressionMethod, 0) != 0 {
			return nil, corrupt("its buffers are compressed as something else than buffers")
		}
		if b.codec = codecs[c.GetInt8Slot(fbCompressionCodec, 0)]; b.codec == nil {
			return nil, corrupt("its buffers are compressed by something else than LZ4 and zstd")
		}
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
		return nil, corrupt("%d columns and %d buffers instead of %d and %d", nn, nb, len(l.columns), want)
	}
	k, last := 0, int64(0)
	next := func() (span, error) {
		at := buffers + flatbuffers.UOffsetT(k*fbStructSize)
		k++
		off, n := batch.GetInt64(at), batch.GetInt64(at+8)
		// Buffers in order, none overlapping: the only layout our writer makes.
		if off < last || n < 0 || off > b.BodyLen || n > b.BodyLen-off {
			return span{}, corrupt("a buffer is outside the message")
		}
		last = off + n
		return span{off, n}, nil
	}
	for i, c := range l.columns {
		at := nodes + flatbuffers.UOffsetT(i*fbStructSize)
		if batch.GetInt64(at) != rows {
			return nil, corrupt("column %s has another length", c.name)
		}
		if batch.GetInt64(at+8) != 0 {
			return nil, corrupt("column %s has nulls", c.name)
		}
		var s [3]span
		for j := range s {
			if j == 2 && c.width != 0 {
				break
			}
			if s[j], err = next(); err != nil {
				return nil, err
			}
		}
		b.foreign = b.foreign || s[0].n != 0 // with no nulls a bitmap says nothing
		b.spans = append(b.spans, s[:]...)
	}
	return b, nil
}

// Range is the part of the body, [off, off+n), that Column needs of column i.
func (b *Batch) Range(i int) (off, n int64) {
	first, last := b.spans[3*i+1], b.spans[3*i+2]
	if b.layout.columns[i].width != 0 {
		return first.off, first.n
	}
	return first.off, last.off + last.n - first.off
}

func (b *Batch) slice(i int, body []byte) []byte {
	off, n := b.Range(i)
	return body[off : off+n : off+n]
}

// Column gives the values of column i, or offsets and data; raw are the bytes of its
// Range. maxValue bounds one value of a column of variable length that is compressed,
// bytes. Uncompressed values are parts of raw.
func (b *Batch) Column(i int, raw []byte, maxValue int) (values, data []byte, err error) {
	c := b.layout.columns[i]
	first, last := b.spans[3*i+1], b.spans[3*i+2]
	take := func(s span, limit int64) ([]byte, error) {
		lo := s.off - first.off
		part := raw[lo : lo+s.n : lo+s.n]
		if b.codec == nil || len(part) == 0 {
			return part, nil
		}
		return inflate(b.codec, part, limit)
	}
	width := int64(c.width)
	if c.width == 0 {
		width = 4
	}
	n := width * int64(b.Rows)
	if c.width == 0 {
		n += 4
	}
	if values, err = take(first, n); err != nil {
		return nil, nil, corrupt("column %s: %v", c.name, err)
	}
	if int64(len(values)) != n {
		return nil, nil, corrupt("column %s is not %d bytes", c.name, n)
	}
	if c.width != 0 {
		return values, nil, nil
	}
	if data, err = take(last, int64(b.Rows)*int64(maxValue)); err != nil {
		return nil, nil, corrupt("column %s: %v", c.name, err)
	}
	if err := checkOffsets(values, len(data)); err != nil {
		return nil, nil, corrupt("column %s: %v", c.name, err)
	}
	return values, data, nil
}

// SchemaMetadata reads the key-value pairs of a schema message's metadata, which is
// not compared with anything yet. The values are parts of meta.
func SchemaMetadata(meta []byte) (kv map[string]string, err error) {
	defer func() {
		if p := recover(); p != nil {
			kv, err = nil, corrupt("schema metadata points outside itself")
		}
	}()
	msg, err := message(meta, fbHeaderSchema)
	if err != nil {
		return nil, err
	}
	pairs, n := msg.header.vector(fbSchemaMetadata)
	if n > len(meta)/4 {
		return nil, corrupt("%d keys in the schema's metadata", n)
	}
	kv = map[string]string{}
	for i := range n {
		at := pairs + flatbuffers.UOffsetT(4*i)
		p := table{flatbuffers.Table{Bytes: meta, Pos: msg.header.Indirect(at)}}
		kv[string(p.bytesAt(fbKey))] = string(p.bytesAt(fbValue))
	}
	return kv, nil
}

// table is a flatbuffers table with the accessors that are needed here.
type table struct{ flatbuffers.Table }

func (t table) int64At(slot flatbuffers.VOffsetT) int64 { return t.GetInt64Slot(slot, 0) }

func (t table) bytesAt(slot flatbuffers.VOffsetT) []byte {
	o := flatbuffers.UOffsetT(t.Offset(slot))
	if o == 0 {
		return nil
	}
	return t.ByteVector(o + t.Pos)
}

// vector gives position and number of entries of a vector, zero where absent.
func (t table) vector(slot flatbuffers.VOffsetT) (flatbuffers.UOffsetT, int) {
	o := flatbuffers.UOffsetT(t.Offset(slot))
	if o == 0 {
		return 0, 0
	}
	return t.Vector(o), t.VectorLen(o)
}

// header is what a message's metadata says of it.
type header struct {
	header  table
	bodyLen int64
}

// message reads the Message in meta, whose header must be of the given type.
func message(meta []byte, kind byte) (header, error) {
	msg := table{flatbuffers.Table{Bytes: meta, Pos: flatbuffers.GetUOffsetT(meta)}}
	if v := msg.GetInt16Slot(fbMessageVersion, 0); v != fbVersionV5 {
		return header{}, corrupt("Arrow metadata version %d", v)
	}
	if h := msg.GetByteSlot(fbMessageHeaderType, 0); h != kind {
		return header{}, corrupt("Arrow message type %d instead of %d", h, kind)
	}
	n := msg.int64At(fbMessageBodyLength)
	if n < 0 {
		return header{}, corrupt("a body of %d bytes", n)
	}
	o := flatbuffers.UOffsetT(msg.Offset(fbMessageHeader))
	if o == 0 {
		return header{}, corrupt("an empty message")
	}
	h := header{bodyLen: n}
	msg.Union(&h.header.Table, o)
	return h, nil
}
