package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"resslt/schemas/errs"
)

// Ports are taken from [first, last]: above those that well-known servers use, below
// the ranges of outgoing connections, of Linux (32768 to 60999) as of IANA (49152 up).
const (
	first = 20000
	last  = 32000
)

// taken are the ports that this process was given, as locked files: they are its own
// until it ends. Tests of several packages run at once, and a port that was found free
// is not yet listened on.
var taken struct {
	sync.Mutex
	ports map[int]*os.File
}

// Addr returns an address of this machine, "127.0.0.1:PORT", on which nothing listens
// at the moment, and which no other call gets, in this process or another one of this
// user, until the process ends. It returns ErrUnavailable where no port is free.
func Addr() (string, error) {
	var err error
	for range 1000 {
		port := first + rand.IntN(last-first+1)
		if err = take(port); err != nil {
			continue
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errs.New("find a free port", fmt.Sprintf("%d to %d", first, last), "free one",
		errs.BecauseErr(errs.ErrUnavailable, err))
}

// take locks a port's file.
func take(port int) error {
	taken.Lock()
	defer taken.Unlock()
	if taken.ports[port] != nil {
		return fmt.Errorf("port %d is given away", port)
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("resslt-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	//nolint:forbidigo // a lock, which holds nothing to read
	f, err := os.OpenFile(filepath.Join(dir, fmt.Sprint(port)), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return err
	}
	if taken.ports == nil {
		taken.ports = map[int]*os.File{}
	}
	taken.ports[port] = f // open, and so locked
	return nil
}
