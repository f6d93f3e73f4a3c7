package cli

import (
	"errors"
	"io"
	"sync/atomic"
	"syscall"
)

// output is standard output, whose reader may go: `resslt shards ls … | head`. What comes
// after that is lost, and is no error: the command does its work, and its exit code says how
// that went. A run is worth more than the lines about it.
type output struct {
	w    io.Writer
	gone atomic.Bool
}

func (o *output) Write(p []byte) (int, error) {
	if o.gone.Load() {
		return len(p), nil
	}
	n, err := o.w.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		o.gone.Store(true)
		return len(p), nil
	}
	return n, err
}
