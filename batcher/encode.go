package batcher

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"resslt/schemas"
)

// Encoder writes chunks of one run as Arrow IPC streams. Equal rows give equal
// bytes, on every machine. It belongs to one goroutine.
type Encoder struct {
	spec   *schemas.RunSpec
	schema *arrow.Schema
	out    bytes.Buffer

	reasons varBinary
	plans   []varBinary // one a view
}

// NewEncoder makes an encoder for the run's chunks.
func NewEncoder(spec *schemas.RunSpec) *Encoder {
	return &Encoder{spec: spec, schema: schemas.ViewBatchSchema(spec.Views), plans: make([]varBinary, len(spec.Views))}
}

// Encode gives the body of c, valid until the next call. The pixels are copied
// once. It returns ErrTooLarge where a plan or reason is over its cap, ErrUsage
// where the columns do not fit the spec.
func (e *Encoder) Encode(c *Chunk) ([]byte, error) {
	if err := e.check(c); err != nil {
		return nil, err
	}
	n := c.Rows()
	cols := make([]arrow.ArrayData, 0, e.schema.NumFields())
	fixed := func(t arrow.DataType, raw []byte) {
		cols = append(cols, array.NewData(t, n, []*memory.Buffer{nil, memory.NewBufferBytes(raw)}, nil, 0, 0))
	}
	variable := func(t arrow.DataType, b *varBinary) {
		cols = append(cols, array.NewData(t, n, []*memory.Buffer{nil,
			memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(b.offsets)), memory.NewBufferBytes(b.data)}, nil, 0, 0))
	}
	fixed(arrow.PrimitiveTypes.Int32, arrow.Int32Traits.CastToBytes(c.Slots))
	fixed(arrow.PrimitiveTypes.Int64, arrow.Int64Traits.CastToBytes(c.Samples))
	fixed(arrow.PrimitiveTypes.Int32, arrow.Int32Traits.CastToBytes(c.Labels))
	fixed(arrow.PrimitiveTypes.Int64, arrow.Int64Traits.CastToBytes(c.Planned))
	e.reasons.reset()
	for _, r := range c.Reasons {
		e.reasons.add([]byte(r))
	}
	variable(arrow.BinaryTypes.String, &e.reasons)
	for v, view := range e.spec.Views {
		fixed(&arrow.FixedSizeBinaryType{ByteWidth: view.Bytes()}, c.Pixels[v])
		p := &e.plans[v]
		p.reset()
		for _, plan := range c.Plans[v] {
			p.add(plan)
		}
		variable(arrow.BinaryTypes.Binary, p)
	}
	return writeStream(&e.out, e.schema, cols, int64(n))
}

func (e *Encoder) check(c *Chunk) error {
	n := c.Rows()
	bad := func(sentinel error, what string) error {
		return schemas.E("encode chunk", fmt.Sprintf("%d of step %d", c.Index, c.Step),
			"report this as a bug of the maker", schemas.Because(sentinel, what))
	}
	if len(c.Samples) != n || len(c.Labels) != n || len(c.Planned) != n || len(c.Reasons) != n ||
		len(c.Pixels) != len(e.spec.Views) || len(c.Plans) != len(e.spec.Views) || n == 0 || n > e.spec.ChunkSamples {
		return bad(schemas.ErrUsage, "its columns are of unequal length")
	}
	for i, r := range c.Reasons {
		if len(r) > MaxReasonBytes {
			return bad(schemas.ErrTooLarge, fmt.Sprintf("the reason of row %d has %d bytes", i, len(r)))
		}
	}
	for v, view := range e.spec.Views {
		if len(c.Pixels[v]) != n*view.Bytes() || len(c.Plans[v]) != n {
			return bad(schemas.ErrUsage, "view "+view.Name+" is not of the spec's size")
		}
		for i, p := range c.Plans[v] {
			if len(p) > MaxPlanBytes {
				return bad(schemas.ErrTooLarge, fmt.Sprintf("the plan of row %d, view %s, has %d bytes, over %d", i, view.Name, len(p), MaxPlanBytes))
			}
		}
	}
	return nil
}

// varBinary is a column of variable length: offsets has one entry more than rows.
type varBinary struct {
	offsets []int32
	data    []byte
}

func (b *varBinary) reset() { b.offsets, b.data = append(b.offsets[:0], 0), b.data[:0] }

func (b *varBinary) add(p []byte) {
	b.data = append(b.data, p...)
	b.offsets = append(b.offsets, int32(len(b.data)))
}

// writeStream writes one record batch as a whole IPC stream into out, and gives
// out's bytes.
func writeStream(out *bytes.Buffer, schema *arrow.Schema, cols []arrow.ArrayData, rows int64) ([]byte, error) {
	arrs := make([]arrow.Array, len(cols))
	for i, d := range cols {
		arrs[i] = array.MakeFromData(d)
		d.Release()
	}
	rec := array.NewRecord(schema, arrs, rows)
	for _, a := range arrs {
		a.Release()
	}
	defer rec.Release()
	out.Reset()
	w := ipc.NewWriter(out, ipc.WithSchema(schema))
	err := w.Write(rec)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, schemas.E("encode", "Arrow stream", "report this as a bug", schemas.BecauseErr(schemas.ErrUsage, err))
	}
	return out.Bytes(), nil
}
