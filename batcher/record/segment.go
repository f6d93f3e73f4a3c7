package record

import (
	"bufio"
	"errors"
	"io"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// openSuffix marks a segment that is being written; without it the file is sealed: it
// has its footer, and is never changed again.
const openSuffix = ".open"

// segment is one Arrow IPC file that is being written.
type segment struct {
	path   string // when sealed
	spec   *schemas.RunSpec
	schema *arrow.Schema
	f      *os.File
	out    counted
	w      *ipc.FileWriter
}

// counted is a buffered file that knows its position, which is all that Arrow's
// writer seeks for.
type counted struct {
	*bufio.Writer
	at int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.at += int64(n)
	return n, err
}

func (c *counted) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, errors.New("a segment is written from its beginning to its end")
	}
	return c.at, nil
}

const segmentBuffer = 256 << 10 // bytes

// createSegment begins a file; pixels says of which kind.
func createSegment(path string, run *schemas.RunInfo, pixels bool) (*segment, error) {
	schema, err := schemas.RecordSchema(run, pixels)
	if err != nil {
		return nil, err
	}
	f, err := bounded.OpenFile(path+openSuffix, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, diskError(path, err)
	}
	s := &segment{path: path, spec: &run.Spec, schema: schema, f: f, out: counted{Writer: bufio.NewWriterSize(f, segmentBuffer)}}
	opts := []ipc.Option{ipc.WithSchema(schema)}
	if !pixels { // crops do not compress, and what a log holds does
		opts = append(opts, ipc.WithZstd())
	}
	if s.w, err = ipc.NewFileWriter(&s.out, opts...); err != nil {
		f.Close()
		return nil, diskError(path, err)
	}
	return s, nil
}

// write appends a record batch.
func (s *segment) write(r *rows) error {
	rec := r.columns(s.spec).Record(s.schema)
	defer rec.Release()
	if err := s.w.Write(rec); err != nil {
		return diskError(s.path, err)
	}
	return nil
}

// size is the number of bytes written.
func (s *segment) size() int64 { return s.out.at }

// sync has the disk hold what was written.
func (s *segment) sync() error {
	if err := s.out.Flush(); err != nil {
		return diskError(s.path, err)
	}
	if err := s.f.Sync(); err != nil {
		return diskError(s.path, err)
	}
	return nil
}

// seal writes the footer and gives the file its name.
func (s *segment) seal() error {
	err := s.w.Close()
	if err == nil {
		err = s.sync()
	}
	if cerr := s.f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = durable.Rename(s.path+openSuffix, s.path)
	}
	if err != nil {
		return diskError(s.path, err)
	}
	return nil
}

// abandon closes the file as it is, for the next session to recover.
func (s *segment) abandon() {
	_ = s.out.Flush() // what does not reach the disk is cut off by the recovery
	s.f.Close()
}

// diskError names the file and the hint, unless the error does so already.
func diskError(path string, err error) error {
	var e *errs.Error
	if errors.As(err, &e) {
		return err
	}
	return errs.New("write record", path, "make the folder writable and free some space, then continue with --resume",
		errs.BecauseErr(errs.ErrUnavailable, err))
}
