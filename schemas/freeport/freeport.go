package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"

	"resslt/schemas/errs"
)

// Ports are taken from [first, last]: above those that well-known servers use, below
// the ranges of outgoing connections, of Linux (32768 to 60999) as of IANA (49152 up).
const (
	first = 20000
	last  = 32000
)

// Addr returns an address of this machine, "127.0.0.1:PORT", on which nothing listens
// at the moment. It returns ErrUnavailable where no port is free.
func Addr() (string, error) {
	var err error
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first+1))
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errs.New("find a free port", fmt.Sprintf("%d to %d", first, last), "free one",
		errs.BecauseErr(errs.ErrUnavailable, err))
}
