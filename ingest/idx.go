package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// IDX is the format of MNIST (yann.lecun.com/exdb/mnist): two zero bytes, the
// element type (8: uint8), the number of dimensions, each dimension as a
// big-endian uint32, then the elements, row-major.

// idxSet is a data set of four IDX files with MNIST's names.
type idxSet struct {
	scheme  string
	dir     string // where a Debian package installs it; "" if none does
	hint    string
	classes []string
}

var fashionMNIST = idxSet{
	scheme: "fashion-mnist",
	dir:    "/usr/share/datasets/fashion-mnist",
	hint:   "install the Debian package dataset-fashion-mnist, or name a folder that holds the four IDX files",
	classes: []string{
		"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
		"Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
	},
}

var mnist = idxSet{
	scheme:  "mnist",
	hint:    "name a folder that holds MNIST's four IDX files, such as train-images-idx3-ubyte.gz",
	classes: []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
}

func (d idxSet) open(ctx context.Context, dir string, opt Options) (Source, error) {
	op := "open " + d.scheme
	split, err := opt.split(d.scheme, Train, Test)
	if err != nil {
		return nil, err
	}
	if dir == "" {
		dir = d.dir
	}
	if err := needDir(op, dir, d.hint); err != nil {
		return nil, err
	}
	prefix := map[string]string{Train: "train", Test: "t10k"}[split]
	images, err := d.load(ctx, opt.files, dir, prefix+"-images-idx3-ubyte", 3)
	if err != nil {
		return nil, err
	}
	labels, err := d.load(ctx, opt.files, dir, prefix+"-labels-idx1-ubyte", 1)
	if err != nil {
		return nil, err
	}
	n, height, width := images.dims[0], images.dims[1], images.dims[2]
	again := "fetch the file again"
	switch {
	case labels.dims[0] != n:
		return nil, errs.New(op, labels.path, again,
			errs.Because(errs.ErrCorrupt, fmt.Sprintf("%d labels for the %d images of %s", labels.dims[0], n, images.name)))
	case n == 0 || height == 0 || width == 0:
		return nil, errs.New(op, images.path, again,
			errs.Because(errs.ErrCorrupt, fmt.Sprintf("holds no pixels: shape %v", images.dims)))
	case int64(height)*int64(width) > opt.MaxSampleBytes:
		return nil, errs.New(op, images.path, "raise MaxSampleBytes if you trust the file",
			errs.Because(errs.ErrTooLarge, fmt.Sprintf("images of %d×%d", width, height)))
	}
	if err := checkLabels(op, labels.path, again, labels.data, len(d.classes)); err != nil {
		return nil, err
	}
	m := &Manifest{
		Format: d.scheme, Split: split, Classes: d.classes,
		Shards: []Shard{images.shard(int64(n)), labels.shard(0)},
	}
	src := newRawSource(m, []part{{
		name: images.name, path: images.path, count: int64(n),
		r: inMemory(images.data), stride: int64(height) * int64(width), labels: labels.data,
		shape: imageShape{width: width, height: height, encoding: schemas.RawGray},
	}}, nil)
	src.store = opt.files
	src.resum = func(ctx context.Context, i int, m *meter) (string, error) {
		f, err := d.load(ctx, opt.files, dir, src.manifest.Shards[i].Name, 3-2*i) // images, then labels
		if err != nil {
			return "", err
		}
		m.add(f.bytes)
		return hexSum(f.sum), nil
	}
	return src, nil
}

// inMemory is a readerAt of bytes.
type inMemory []byte

func (b inMemory) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(b)) || copy(p, b[off:]) < len(p) {
		return 0, io.ErrUnexpectedEOF
	}
	return len(p), nil
}

// idxFile is a loaded IDX file.
type idxFile struct {
	name  string // without .gz: a gzipped and a plain copy are the same data
	path  string
	dims  []int
	data  []byte
	sum   [sha256.Size]byte // of header and elements
	bytes int64
}

func (f *idxFile) shard(samples int64) Shard {
	return Shard{Name: f.name, Bytes: f.bytes, SHA256: hexSum(f.sum), Samples: samples}
}

// load finds name, plain or gzipped, and reads it whole.
func (d idxSet) load(ctx context.Context, st *store.Store, dir, name string, dims int) (*idxFile, error) {
	op, again := "open "+d.scheme, "fetch the file again"
	path := ""
	dotted := strings.Replace(name, "-idx", ".idx", 1) // as some archives spell it
	for _, c := range []string{name + ".gz", name, dotted + ".gz", dotted} {
		_, err := st.Stat(ctx, store.Join(dir, c))
		if err == nil {
			path = store.Join(dir, c)
			break
		}
		if err = fileError(op, store.Join(dir, c), d.hint, err); !errors.Is(err, errs.ErrNotFound) {
			return nil, err
		}
	}
	if path == "" {
		return nil, errs.New(op, store.Join(dir, name), d.hint, errs.Because(errs.ErrNotFound, "no such file, nor with .gz"))
	}
	f, err := openFile(ctx, st, op, path, d.hint)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	f.Keep = true
	whole := f.Reader(ctx)
	defer whole.Close()

	// The header's claims are checked against the most that the file can hold.
	var r io.Reader = whole
	ratio := int64(1)
	if strings.HasSuffix(path, ".gz") {
		gz, err := gzip.NewReader(whole)
		if err != nil {
			return nil, errs.New(op, path, again, errs.BecauseErr(errs.ErrCorrupt, err))
		}
		r, ratio = gz, gzipMaxRatio
	}
	h := sha256.New()
	got, data, err := readIDX(io.TeeReader(ctxReader{ctx, r}, h), f.size, ratio, dims)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, errs.New(op, path, again, err)
	}
	return &idxFile{
		name: name, path: path, dims: got, data: data,
		sum: [sha256.Size]byte(h.Sum(nil)), bytes: int64(4 + 4*dims + len(data)),
	}, nil
}

// gzipMaxRatio is the most that deflate can expand: 258 bytes from two bits.
const gzipMaxRatio = 1032

// gzipLikelyRatio is more than such images are ever compressed by.
const gzipLikelyRatio = 16

// readIDX reads an IDX file of uint8 with dims dimensions from r, the contents of a file
// of size bytes that expands to at most ratio times as many. It refuses a header that
// claims more, and allocates beyond what is likely only as bytes arrive. It returns the
// dimensions and the elements; an error wraps ErrCorrupt.
func readIDX(r io.Reader, size, ratio int64, dims int) ([]int, []byte, error) {
	most := size * ratio
	corrupt := func(format string, a ...any) ([]int, []byte, error) {
		return nil, nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf(format, a...))
	}
	header := make([]byte, 4+4*dims)
	if _, err := io.ReadFull(r, header); err != nil {
		return corrupt("shorter than an IDX header of %d bytes", len(header))
	}
	if header[0] != 0 || header[1] != 0 || header[2] != 8 || int(header[3]) != dims {
		return corrupt("magic number is %#08x, want %#08x", header[:4], 8<<8|dims)
	}
	shape := make([]int, dims)
	total := int64(1)
	for i := range shape {
		d := binary.BigEndian.Uint32(header[4+4*i:])
		shape[i] = int(d)
		if d != 0 && total > most/int64(d) {
			return corrupt("header claims %v elements, more than %d bytes can hold", shape[:i+1], most)
		}
		total *= int64(d)
	}
	buf := bytes.NewBuffer(make([]byte, 0, min(total, size*gzipLikelyRatio)))
	if n, err := io.CopyN(buf, r, total); err != nil {
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return corrupt("%v", err)
		}
		return corrupt("ends after %d of the %d elements that its header claims", n, total)
	}
	var one [1]byte
	switch n, err := io.ReadFull(r, one[:]); {
	case n != 0:
		return corrupt("continues after the %d elements that its header claims", total)
	case err != io.EOF: // a gzip stream's check sum differs
		return corrupt("%v", err)
	}
	return shape, buf.Bytes(), nil
}

// ctxReader stops a long read when ctx is cancelled.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p[:min(len(p), copyBytes)])
}
