package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"resslt/batcher/internal/layout"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Encoder writes chunks of one run as Arrow IPC streams. Equal rows give equal
// bytes, on every machine. It belongs to one goroutine.
type Encoder struct {
	spec   *schemas.RunSpec
	schema *arrow.Schema
	out    bytes.Buffer

	reasons layout.Var
	plans   []layout.Var // one a view
}

// NewEncoder makes an encoder for the run's chunks.
func NewEncoder(spec *schemas.RunSpec) *Encoder {
	return &Encoder{spec: spec, schema: schemas.ViewBatchSchema(spec.Views), plans: make([]layout.Var, len(spec.Views))}
}

// Encode gives the body of c, valid until the next call. The pixels are copied
// once. It returns ErrTooLarge where a plan or reason is over its cap, ErrUsage
// where the columns do not fit the spec.
func (e *Encoder) Encode(c *Chunk) ([]byte, error) {
	cols, err := e.columns(c)
	if err != nil {
		return nil, err
	}
	e.out.Reset()
	if err := writeStream(&e.out, e.schema, cols); err != nil {
		return nil, err
	}
	return e.out.Bytes(), nil
}

// Digest gives the digest of the body of c, which is not made: no pixel is copied. It returns
// Encode's errors.
func (e *Encoder) Digest(c *Chunk) (string, error) {
	cols, err := e.columns(c)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	if err := writeStream(sum, e.schema, cols); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// columns lays out a chunk.
func (e *Encoder) columns(c *Chunk) (*layout.Columns, error) {
	if err := e.check(c); err != nil {
		return nil, err
	}
	n := c.Rows()
	cols := layout.NewColumns(n)
	cols.Int32(c.Slots)
	cols.Int64(c.Samples)
	cols.Int32(c.Labels)
	cols.Int64(c.Planned)
	e.reasons.Reset()
	for _, r := range c.Reasons {
		e.reasons.Add([]byte(r))
	}
	cols.Variable(arrow.BinaryTypes.String, &e.reasons)
	for v, view := range e.spec.Views {
		cols.Fixed(&arrow.FixedSizeBinaryType{ByteWidth: view.Bytes()}, c.Pixels[v])
		p := &e.plans[v]
		p.Reset()
		for _, plan := range c.Plans[v] {
			p.Add(plan)
		}
		cols.Variable(arrow.BinaryTypes.Binary, p)
	}
	return cols, nil
}

func (e *Encoder) check(c *Chunk) error {
	n := c.Rows()
	bad := func(sentinel error, what string) error {
		return errs.New("encode chunk", fmt.Sprintf("%d of step %d", c.Index, c.Step),
			"report this as a bug of the maker", errs.Because(sentinel, what))
	}
	if len(c.Samples) != n || len(c.Labels) != n || len(c.Planned) != n || len(c.Reasons) != n ||
		len(c.Pixels) != len(e.spec.Views) || len(c.Plans) != len(e.spec.Views) || n == 0 || n > e.spec.ChunkSamples {
		return bad(errs.ErrUsage, "its columns are of unequal length")
	}
	for i, r := range c.Reasons {
		if len(r) > schemas.MaxReasonBytes {
			return bad(errs.ErrTooLarge, fmt.Sprintf("the reason of row %d has %d bytes", i, len(r)))
		}
	}
	for v, view := range e.spec.Views {
		if len(c.Pixels[v]) != n*view.Bytes() || len(c.Plans[v]) != n {
			return bad(errs.ErrUsage, "view "+view.Name+" is not of the spec's size")
		}
		for i, p := range c.Plans[v] {
			if len(p) > schemas.MaxPlanBytes {
				return bad(errs.ErrTooLarge, fmt.Sprintf("the plan of row %d, view %s, has %d bytes, over %d", i, view.Name, len(p), schemas.MaxPlanBytes))
			}
		}
	}
	return nil
}

// writeStream writes one record batch as a whole IPC stream.
func writeStream(out io.Writer, schema *arrow.Schema, cols *layout.Columns) error {
	rec := cols.Record(schema)
	defer rec.Release()
	w := ipc.NewWriter(out, ipc.WithSchema(schema))
	err := w.Write(rec)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return errs.New("encode", "Arrow stream", "report this as a bug", errs.BecauseErr(errs.ErrUsage, err))
	}
	return nil
}
