package ingest

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
)

// tarBlock is the unit of a tar file.
const tarBlock = 512

// padded is the size that n bytes take in a tar.
func padded(n int64) int64 { return (n + tarBlock - 1) / tarBlock * tarBlock }

// tarError is a fault at an offset of a tar.
type tarError struct {
	offset int64
	why    string
	hint   string // "" for that of a damaged tar
}

func (e *tarError) Error() string { return fmt.Sprintf("%s at offset %d", e.why, e.offset) }

// tarWalker walks the regular files of a tar that nobody vouches for: every tar that
// ingest reads. It checks at once what a header claims against the tar's size, and
// allocates nothing by it. Faults of the tar are *tarErrors.
//
//	w := newTarWalker(r, size)
//	for m, err := w.next(); err != io.EOF; m, err = w.next() {
//		… // w reads the member's bytes
//	}
//	err := w.finish()
type tarWalker struct {
	in   countingReader
	tr   *tar.Reader
	size int64
	at   int64 // where the current member's header is
	end  int64 // where the next one is due
}

// tarMember is a file in a tar, or a link to one.
type tarMember struct {
	name         string
	header       int64  // where its header is
	offset, size int64  // of its bytes
	link         string // the name of the member that it links to; "" for a file
	special      bool   // a device, FIFO or the like: nothing to read
}

// file reports whether it has bytes of its own.
func (m tarMember) file() bool { return m.link == "" && !m.special }

// newTarWalker walks the tar of size bytes that r reads.
func newTarWalker(r io.Reader, size int64) *tarWalker {
	w := &tarWalker{in: countingReader{r: r}, size: size}
	w.tr = tar.NewReader(&w.in)
	return w
}

// fault is an error in the current member.
func (w *tarWalker) fault(format string, a ...any) error {
	return &tarError{offset: w.at, why: fmt.Sprintf(format, a...)}
}

// next goes to the next regular file; io.EOF after the last.
func (w *tarWalker) next() (tarMember, error) {
	for {
		if m, err := w.nextMember(); err != nil || m.file() {
			return m, err
		}
	}
}

// nextMember goes to the next member that is no folder and no header for others; io.EOF
// after the last.
func (w *tarWalker) nextMember() (tarMember, error) {
	for {
		w.at = w.end
		hdr, err := w.tr.Next()
		switch {
		case err == nil:
		case errors.Is(err, io.ErrUnexpectedEOF):
			return tarMember{}, w.fault("truncated")
		case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
			return tarMember{}, w.fault("bad tar header")
		default:
			return tarMember{}, err // of r, or io.EOF
		}
		// archive/tar never reads ahead: the member's bytes begin here.
		data := w.in.n
		w.end = data
		m := tarMember{name: hdr.Name, header: w.at, offset: data, size: hdr.Size}
		if hdr.Typeflag == tar.TypeGNUSparse || hdr.PAXRecords["GNU.sparse.major"] != "" || hdr.PAXRecords["GNU.sparse.map"] != "" {
			return m, w.fault("sparse member %q, whose bytes are not stored as they read", hdr.Name)
		}
		switch hdr.Typeflag {
		case tar.TypeReg, tar.TypeCont:
			return m, w.fits(m)
		case tar.TypeLink: // names are those of the archive
			m.link = path.Clean(hdr.Linkname)
			return m, nil
		case tar.TypeSymlink: // relative to the link
			m.link = path.Clean(hdr.Linkname)
			if !path.IsAbs(hdr.Linkname) {
				m.link = path.Join(path.Dir(hdr.Name), hdr.Linkname)
			}
			return m, nil
		case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
			m.special = true
			return m, nil
		}
	}
}

// fits checks that the tar has the bytes of the member, and notes where they end.
func (w *tarWalker) fits(m tarMember) error {
	if m.size > w.size-m.offset {
		return w.fault("member %q claims %d bytes, %d are left: truncated, or a bad header", m.name, m.size, w.size-m.offset)
	}
	w.end = m.offset + padded(m.size)
	if w.end > w.size {
		return w.fault("truncated in the padding of member %q", m.name)
	}
	return nil
}

// Read reads the current member.
func (w *tarWalker) Read(p []byte) (int, error) { return w.tr.Read(p) }

// finish reads the rest of the tar after the last member, which is padded with zeros.
// Anything else there is a second archive (cat a b), which tar's readers pass over in
// silence.
func (w *tarWalker) finish() error {
	if w.in.n == w.at {
		return w.fault("truncated: no end-of-archive block")
	}
	end := w.in.n
	rest := zeroChecker{ok: true}
	if _, err := io.Copy(&rest, &w.in); err != nil {
		return err
	}
	if !rest.ok {
		return &tarError{offset: end, why: "data after the end of the archive: is it several, one after another?"}
	}
	if w.in.n != w.size {
		return &tarError{offset: w.in.n, why: "truncated"}
	}
	return nil
}

// countingReader counts the bytes that archive/tar reads. It offers no Seek, so that
// skipped members are read too, and hashed.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// zeroChecker is a Writer that finds out whether all bytes are zero.
type zeroChecker struct{ ok bool }

func (z *zeroChecker) Write(p []byte) (int, error) {
	z.ok = z.ok && !slices.ContainsFunc(p, func(b byte) bool { return b != 0 })
	return len(p), nil
}
