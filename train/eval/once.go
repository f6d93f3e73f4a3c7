package eval

import (
	"context"
	"io"
)

// Once is a source of one batch that is at hand.
type Once struct {
	Images
	done bool
}

// Next gives the batch, then io.EOF.
func (o *Once) Next(context.Context) (Images, error) {
	if o.done {
		return Images{}, io.EOF
	}
	o.done = true
	return o.Images, nil
}
