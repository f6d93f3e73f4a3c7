//go:build !linux

package serve

import (
	"net"
	"os"

	"resslt/schemas/errs"
)

// openShared returns ErrUnsupported: batches go through the socket.
func openShared(int64) (*os.File, []byte, error) {
	return nil, nil, errs.Because(errs.ErrUnsupported, "memory of several processes needs Linux")
}

func closeShared([]byte) error { return nil }

func sendFile(*net.UnixConn, []byte, *os.File) error { return errs.ErrUnsupported }
