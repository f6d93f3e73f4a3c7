package layout

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Columns are the columns of a record batch to be written, in the schema's order. The
// values are not copied, and must stay as they are until the batch is written.
type Columns struct {
	rows int
	data []arrow.ArrayData
}

// NewColumns begins a batch of so many rows.
func NewColumns(rows int) *Columns { return &Columns{rows: rows} }

// Fixed adds a column of values of fixed width.
func (c *Columns) Fixed(t arrow.DataType, values []byte) {
	c.data = append(c.data, array.NewData(t, c.rows, []*memory.Buffer{nil, memory.NewBufferBytes(values)}, nil, 0, 0))
}

// Variable adds a column of values of variable length.
func (c *Columns) Variable(t arrow.DataType, v *Var) {
	c.data = append(c.data, array.NewData(t, c.rows, []*memory.Buffer{
		nil,
		memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(v.offsets)), memory.NewBufferBytes(v.data),
	}, nil, 0, 0))
}

// Int32 adds a column of integers.
func (c *Columns) Int32(values []int32) {
	c.Fixed(arrow.PrimitiveTypes.Int32, arrow.Int32Traits.CastToBytes(values))
}

// Int64 adds a column of integers.
func (c *Columns) Int64(values []int64) {
	c.Fixed(arrow.PrimitiveTypes.Int64, arrow.Int64Traits.CastToBytes(values))
}

// Record is the batch; the caller releases it.
func (c *Columns) Record(schema *arrow.Schema) arrow.Record {
	arrs := make([]arrow.Array, len(c.data))
	for i, d := range c.data {
		arrs[i] = array.MakeFromData(d)
		d.Release()
	}
	rec := array.NewRecord(schema, arrs, int64(c.rows))
	for _, a := range arrs {
		a.Release()
	}
	return rec
}

// Var collects the values of a column of variable length.
type Var struct {
	offsets []int32 // one more than values
	data    []byte
}

// Reset empties the column, and must be called before the first Add.
func (v *Var) Reset() { v.offsets, v.data = append(v.offsets[:0], 0), v.data[:0] }

// Add appends a value.
func (v *Var) Add(p []byte) {
	v.data = append(v.data, p...)
	v.offsets = append(v.offsets, int32(len(v.data)))
}
