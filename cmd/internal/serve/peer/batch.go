package peer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"resslt/schemas"
)

// Batch has Arrow's own reader read an event's message, and gives a copy of what it says.
func (p *Peer) Batch(e Event) (*schemas.Batch, error) {
	whole := append(append(bytes.Clone(p.Schema), e.Message...), 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0)
	r, err := ipc.NewReader(bytes.NewReader(whole))
	if err != nil {
		return nil, err
	}
	defer r.Release()
	if !r.Next() {
		return nil, fmt.Errorf("no batch in a message of %d bytes: %w", len(e.Message), r.Err())
	}
	return batchOf(r.Record(), p.Views)
}

// batchOf copies a record.
func batchOf(rec arrow.Record, views []schemas.ViewSpec) (*schemas.Batch, error) {
	n := int(rec.NumRows())
	step, epoch := rec.Column(0).(*array.Int64), rec.Column(1).(*array.Int64)
	b := &schemas.Batch{
		Size: n, Views: views, Step: step.Value(0), Epoch: epoch.Value(0), Plans: make([][][]byte, len(views)),
		Labels: copyOf(rec.Column(5).(*array.Int32).Int32Values()), Samples: copyOf(rec.Column(3).(*array.Int64).Int64Values()),
		Planned: copyOf(rec.Column(4).(*array.Int64).Int64Values()),
	}
	for i := range n {
		if step.Value(i) != b.Step || epoch.Value(i) != b.Epoch {
			return nil, fmt.Errorf("row %d is of step %d, the first of %d", i, step.Value(i), b.Step)
		}
		b.Why = append(b.Why, rec.Column(6).(*array.String).Value(i))
	}
	for v := range views {
		var pixels []byte
		for i := range n {
			pixels = append(pixels, rec.Column(7+2*v).(*array.FixedSizeBinary).Value(i)...)
			b.Plans[v] = append(b.Plans[v], bytes.Clone(rec.Column(8+2*v).(*array.Binary).Value(i)))
		}
		b.Pixels = append(b.Pixels, pixels)
	}
	return b, nil
}

// copyOf copies a column of numbers.
func copyOf[T any](column []T) []T { return append([]T(nil), column...) }

// Digest is of all that a batch has, in rows lo to hi of it.
func Digest(b *schemas.Batch, lo, hi int) string {
	h := sha256.New()
	fmt.Fprintln(h, b.Step, b.Epoch, b.Samples[lo:hi], b.Labels[lo:hi], b.Planned[lo:hi], b.Why[lo:hi])
	for v, view := range b.Views {
		h.Write(b.Pixels[v][lo*view.Bytes() : hi*view.Bytes()])
		if b.Plans != nil {
			fmt.Fprintln(h, b.Plans[v][lo:hi])
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
