package ingest

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// recordSource serves the binary research sets: files of equal-sized records of
// raw pixels. Nothing but labels (a byte a sample) is held in memory, save for
// IDX files, which come gzipped and must be.
type recordSource struct {
	manifest *Manifest
	parts    []part
	files    []*file // closed by Close
	store    *store.Store
	closed   atomic.Bool
	scratch  sync.Pool // *[]byte: one record as it lies in the file

	// resum reads shard i of the manifest again and gives its hex SHA-256.
	resum func(ctx context.Context, i int, m *meter) (string, error)
}

// readerAt fills p with the bytes at off, or says why not: a store.File, or bytes
// in memory.
type readerAt interface {
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
}

// part is one file's run of samples.
type part struct {
	name   string // relative, for keys and messages
	path   string
	first  int64 // id of its first sample
	count  int64
	r      readerAt
	base   int64  // where the pixels of record 0 begin
	stride int64  // from one record's pixels to the next's
	labels []byte // class of each record, or nil
	shape  imageShape
}

// imageShape says what the pixels of one record are.
type imageShape struct {
	width, height int
	encoding      schemas.Encoding
	// interleave turns the file's layout into HWC; nil where they are the same.
	interleave func(dst, src []byte, width, height int)
}

func (s imageShape) bytes() int {
	if s.encoding == schemas.RawGray {
		return s.width * s.height
	}
	return 3 * s.width * s.height
}

// planarRows turns RGB planes, each row by row (CIFAR), into HWC.
func planarRows(dst, src []byte, width, height int) {
	n := width * height
	r, g, b := src[:n], src[n:2*n], src[2*n:3*n]
	for i := range n {
		dst[3*i], dst[3*i+1], dst[3*i+2] = r[i], g[i], b[i]
	}
}

// planarColumns turns RGB planes, each column by column (STL-10, which was
// written by MATLAB), into HWC.
func planarColumns(dst, src []byte, width, height int) {
	n := width * height
	for x := range width {
		for y := range height {
			i, o := x*height+y, 3*(y*width+x)
			dst[o], dst[o+1], dst[o+2] = src[i], src[n+i], src[2*n+i]
		}
	}
}

func newRecordSource(m *Manifest, parts []part, files []*file) *recordSource {
	for i := range parts {
		parts[i].first = m.Samples
		m.Samples += parts[i].count
	}
	return &recordSource{manifest: m, parts: parts, files: files}
}

func (s *recordSource) Manifest() *Manifest { return s.manifest }
func (s *recordSource) Len() int64          { return s.manifest.Samples }

func (s *recordSource) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return errors.Join(closeAll(s.files), s.store.Close())
}

func closeAll(files []*file) error {
	var first error
	for _, f := range files {
		if err := f.Close(); err != nil && first == nil {
			first = fileError("close", f.path, "", err)
		}
	}
	return first
}

func (s *recordSource) Read(ctx context.Context, id int64, dst *schemas.Sample) error {
	if err := checkID(ctx, s.manifest, s.closed.Load(), id); err != nil {
		return err
	}
	p := &s.parts[sort.Search(len(s.parts), func(i int) bool { return s.parts[i].first > id })-1]
	row := id - p.first
	size := p.shape.bytes()
	dst.Data = sized(dst.Data, size)
	raw := dst.Data
	if p.shape.interleave != nil {
		buf, _ := s.scratch.Get().(*[]byte)
		if buf == nil {
			buf = new([]byte)
		}
		defer s.scratch.Put(buf)
		*buf = sized(*buf, size)
		raw = *buf
	}
	if _, err := p.r.ReadAt(ctx, raw, p.base+row*p.stride); err != nil {
		return fileError("read sample", fmt.Sprintf("%s#%d", p.path, row), "was the file changed? open it anew", err)
	}
	if p.shape.interleave != nil {
		p.shape.interleave(dst.Data, raw, p.shape.width, p.shape.height)
	}
	dst.ID = id
	dst.Key = p.name + "#" + strconv.FormatInt(row, 10)
	dst.Label = schemas.NoLabel
	if p.labels != nil {
		dst.Label = int32(p.labels[row])
	}
	dst.Encoding, dst.Width, dst.Height = p.shape.encoding, p.shape.width, p.shape.height
	return nil
}

// labelColumn is a Writer that picks one byte of every record that passes by, so
// that labels are gathered on the same pass that hashes the file.
type labelColumn struct {
	stride, at int64 // record size; where in it the label stands
	pos        int64
	labels     []byte
}

func (c *labelColumn) Write(p []byte) (int, error) {
	next := c.pos - c.pos%c.stride + c.at
	if next < c.pos {
		next += c.stride
	}
	end := c.pos + int64(len(p))
	for ; next < end; next += c.stride {
		c.labels = append(c.labels, p[next-c.pos])
	}
	c.pos = end
	return len(p), nil
}

// checkLabels says whether all labels are below classes.
func checkLabels(op, path, hint string, labels []byte, classes int) error {
	for i, l := range labels {
		if int(l) >= classes {
			return errs.New(op, fmt.Sprintf("%s#%d", path, i), hint,
				errs.Because(errs.ErrCorrupt, fmt.Sprintf("label %d of %d classes", l, classes)))
		}
	}
	return nil
}
