package serve

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"resslt/schemas/errs"
)

// openShared makes n bytes of memory that another process can map, and maps them here. Nobody
// can change their number afterwards: a file that shrinks under a mapping kills its reader.
func openShared(n int64) (*os.File, []byte, error) {
	fail := func(err error) (*os.File, []byte, error) {
		return nil, nil, errs.New("serve", fmt.Sprintf("ring of %d bytes", n), "give a smaller --max-shm, 0 for none", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	fd, err := unix.MemfdCreate("resslt-ring", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return fail(err)
	}
	file := os.NewFile(uintptr(fd), "resslt-ring")
	err = file.Truncate(n)
	if err == nil {
		_, err = unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	var memory []byte
	if err == nil {
		memory, err = unix.Mmap(fd, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		_ = file.Close() // the error above is why
		return fail(err)
	}
	return file, memory, nil
}

func closeShared(memory []byte) error { return unix.Munmap(memory) }

// sendFile sends bytes with a file's descriptor, which come with the first of them.
func sendFile(c *net.UnixConn, b []byte, file *os.File) error {
	_, _, err := c.WriteMsgUnix(b, unix.UnixRights(int(file.Fd())), nil)
	return err
}
