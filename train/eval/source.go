package eval

import (
	"context"
	"fmt"
	"io"

	"resslt/schemas/errs"
)

// Images is one batch of a source.
type Images struct {
	Pixels []byte  // (N,Size,Size,3) uint8, HWC, RGB
	Labels []int32 // (N), class from 0, or schemas.NoLabel
	Size   int     // S, pixels
	IDs    []int64 // (N), sample ids, or nil

	// Targets is (N,C) if an image may show several classes, else nil: +1 for a class
	// that it shows, −1 for one that it does not, 0 for a difficult one (marked so in
	// PASCAL VOC), which is ignored.
	Targets []int8
}

func (m Images) check() error {
	n := len(m.Labels)
	if n == 0 || m.Size < 1 || len(m.Pixels) != n*m.Size*m.Size*3 || len(m.Targets)%max(1, n) != 0 || m.IDs != nil && len(m.IDs) != n {
		return errs.New("take features", "image batch", "give N·S·S·3 bytes for N labels",
			errs.Because(errs.ErrUsage, fmt.Sprintf("%d bytes, %d labels, size %d", len(m.Pixels), n, m.Size)))
	}
	return nil
}

// Source gives every image once, always in the same order.
type Source interface {
	// Next returns the next batch, of any positive length, or io.EOF after the last.
	// The caller may use the batch until the next call.
	Next(ctx context.Context) (Images, error)
}

// SourceCloser is a source with open files.
type SourceCloser interface {
	Source
	io.Closer
}

// Once is a source of one batch in memory.
type Once struct {
	Images
	done bool
}

// Next returns the batch, then io.EOF.
func (o *Once) Next(context.Context) (Images, error) {
	if o.done {
		return Images{}, io.EOF
	}
	o.done = true
	return o.Images, nil
}
