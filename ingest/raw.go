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

// rawSource serves the binary research sets: files of rows of raw pixels, all of one
// size. It keeps only the labels in memory, a byte for each sample; of IDX files, which
// may be gzipped, everything.
type rawSource struct {
	manifest *Manifest
	parts    []part
	files    []*file // closed by Close
	store    *store.Store
	closed   atomic.Bool
	scratch  sync.Pool // *[]byte: one row as it is in the file

	// resum reads shard i of the manifest again and returns its hex SHA-256.
	resum func(ctx context.Context, i int, m *meter) (string, error)
}

// readerAt fills p with the bytes at off, or fails: a store.File, or bytes in memory.
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
	base   int64  // offset of the pixels of row 0
	stride int64  // from one row's pixels to the next's
	labels []byte // class of each row, or nil
	shape  imageShape
}

// imageShape is the layout of the pixels of one row.
type imageShape struct {
	width, height int
	encoding      schemas.Encoding
	// interleave converts the file's layout to HWC; nil where they are the same.
	interleave func(dst, src []byte, width, height int)
}

func (s imageShape) bytes() int {
	if s.encoding == schemas.RawGray {
		return s.width * s.height
	}
	return 3 * s.width * s.height
}

// planarRows converts RGB planes, each row by row (CIFAR), to HWC.
func planarRows(dst, src []byte, width, height int) {
	n := width * height
	r, g, b := src[:n], src[n:2*n], src[2*n:3*n]
	for i := range n {
		dst[3*i], dst[3*i+1], dst[3*i+2] = r[i], g[i], b[i]
	}
}

// planarColumns converts RGB planes, each column by column (STL-10, which MATLAB
// wrote), to HWC.
func planarColumns(dst, src []byte, width, height int) {
	n := width * height
	for x := range width {
		for y := range height {
			i, o := x*height+y, 3*(y*width+x)
			dst[o], dst[o+1], dst[o+2] = src[i], src[n+i], src[2*n+i]
		}
	}
}

func newRawSource(m *Manifest, parts []part, files []*file) *rawSource {
	for i := range parts {
		parts[i].first = m.Samples
		m.Samples += parts[i].count
	}
	return &rawSource{manifest: m, parts: parts, files: files}
}

func (s *rawSource) Manifest() *Manifest { return s.manifest }
func (s *rawSource) Len() int64          { return s.manifest.Samples }

func (s *rawSource) Close() error {
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

func (s *rawSource) Read(ctx context.Context, id int64, dst *schemas.Sample) error {
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
		return fileError("read sample", fmt.Sprintf("%s#%d", p.path, row), "was the file changed? open it again", err)
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

// labelColumn is a Writer that collects one byte of every row written, so that the
// pass that hashes the file also gathers its labels.
type labelColumn struct {
	stride, at int64 // bytes of a row; the label's offset in it
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

// checkLabels checks that all labels are below classes.
func checkLabels(op, path, hint string, labels []byte, classes int) error {
	for i, l := range labels {
		if int(l) >= classes {
			return errs.New(op, fmt.Sprintf("%s#%d", path, i), hint,
				errs.Because(errs.ErrCorrupt, fmt.Sprintf("label %d of %d classes", l, classes)))
		}
	}
	return nil
}
