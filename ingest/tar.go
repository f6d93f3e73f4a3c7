package ingest

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// A WebDataset shard is a plain tar in which consecutive members with the same
// key, the path up to the first dot of the base name, make up a sample:
//
//	000123.jpg   the image
//	000123.cls   its label, a decimal
//	000123.json  passed over

// tarBlock is the unit of a tar file.
const tarBlock = 512

// padded is the size that n bytes take in a tar.
func padded(n int64) int64 { return (n + tarBlock - 1) / tarBlock * tarBlock }

// maxLabelBytes is the most that a .cls member may hold.
const maxLabelBytes = 32

// tarCounter counts what archive/tar takes. It offers no Seek, so that skipped
// members pass through the hash as well.
type tarCounter struct {
	r io.Reader
	n int64
}

func (c *tarCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// tarError is a fault at a place of a shard.
type tarError struct {
	offset int64
	why    string
}

func (e *tarError) Error() string { return fmt.Sprintf("%s at offset %d", e.why, e.offset) }

// scanTar reads a tar of size bytes from r to its end, lists its samples and
// hashes every byte. A fault of the tar is a *tarError. What a header claims is
// held against size at once, and nothing is allocated by it.
func scanTar(r io.Reader, size int64) (c *columns, sum [sha256.Size]byte, err error) {
	h := sha256.New()
	in := &tarCounter{r: io.TeeReader(r, h)}
	tr := tar.NewReader(in)
	c = &columns{offsets: []int64{}}
	var open struct { // the sample that is being put together
		key   string
		image bool
		label int32
	}
	open.label = schemas.NoLabel
	finish := func() {
		if open.image {
			c.labels = append(c.labels, open.label)
		}
	}
	var at int64 // where the next header is due
	for {
		fault := func(format string, a ...any) (*columns, [sha256.Size]byte, error) {
			return nil, sum, &tarError{offset: at, why: fmt.Sprintf(format, a...)}
		}
		hdr, err := tr.Next()
		if err == io.EOF {
			if in.n == at {
				return fault("truncated: no end-of-archive block")
			}
			break
		}
		if err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return fault("truncated")
			}
			if errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) {
				return fault("bad tar header")
			}
			return nil, sum, err
		}
		// archive/tar never reads ahead: here begin the member's bytes.
		data := in.n
		if hdr.Typeflag == tar.TypeGNUSparse || hdr.PAXRecords["GNU.sparse.major"] != "" || hdr.PAXRecords["GNU.sparse.map"] != "" {
			return fault("sparse member %q, whose bytes don't lie as they read", hdr.Name)
		}
		if hdr.Typeflag != tar.TypeReg {
			at = data // links, folders and global headers have no bytes here
			continue
		}
		if hdr.Size > size-data {
			return fault("member %q claims %d bytes, %d are left: truncated, or a bad header", hdr.Name, hdr.Size, size-data)
		}
		key, ext := splitKey(hdr.Name)
		if key != open.key {
			finish()
			open.key, open.image, open.label = key, false, schemas.NoLabel
		}
		switch {
		case key == "":
		case ext == "cls":
			if open.label, err = readLabel(tr, hdr.Size); err != nil {
				return fault("label of %q: %v", hdr.Name, err)
			}
		case slices.Contains(imageExtensions, "."+ext): // all of ext: "v2.jpg" is another field
			if open.image {
				return fault("second image %q under one key", hdr.Name)
			}
			if hdr.Size > 1<<32-1 {
				return fault("member %q has %d bytes", hdr.Name, hdr.Size)
			}
			open.image = true
			if err := c.addName([]byte(hdr.Name)); err != nil {
				return nil, sum, err
			}
			c.sizes = append(c.sizes, uint32(hdr.Size))
			c.offsets = append(c.offsets, data)
		}
		end := data + padded(hdr.Size)
		if end > size {
			return fault("truncated in the padding of member %q", hdr.Name)
		}
		at = end
	}
	finish()
	// Tar pads its end with zeros. Anything else is a second archive (cat a b),
	// which readers pass over without a word.
	rest := zeroChecker{ok: true}
	end := in.n
	if _, err := io.Copy(&rest, in); err != nil {
		return nil, sum, err
	}
	if !rest.ok {
		return nil, sum, &tarError{offset: end, why: "data after the end of the archive: is it several, one after the other?"}
	}
	if in.n != size {
		return nil, sum, &tarError{offset: in.n, why: "truncated"}
	}
	return c, [sha256.Size]byte(h.Sum(nil)), nil
}

// splitKey splits a member's path at the first dot of its base name. Hidden
// files and names without a dot have no key: they belong to no sample.
func splitKey(name string) (key, ext string) {
	dir, base := path.Split(name)
	stem, ext, ok := strings.Cut(base, ".")
	if !ok || stem == "" {
		return "", ""
	}
	return dir + stem, strings.ToLower(ext)
}

func readLabel(r io.Reader, size int64) (int32, error) {
	if size > maxLabelBytes {
		return 0, fmt.Errorf("%d bytes are no decimal", size)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxLabelBytes))
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 32)
	if err != nil || v < int64(schemas.NoLabel) {
		return 0, fmt.Errorf("%q is no class", b)
	}
	return int32(v), nil
}

type zeroChecker struct{ ok bool }

func (z *zeroChecker) Write(p []byte) (int, error) {
	z.ok = z.ok && !slices.ContainsFunc(p, func(b byte) bool { return b != 0 })
	return len(p), nil
}

// meteredReader reads in large blocks and reports them.
type meteredReader struct {
	r *bufio.Reader
	m *meter
}

func (r meteredReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.m.add(int64(n))
	return n, err
}

// scanShard opens and scans the tar at path.
func scanShard(ctx context.Context, st *store.Store, path string, keep bool, m *meter) (c *columns, s Shard, seen stamp, err error) {
	const op = "index shard"
	f, err := openFile(ctx, st, op, path, wdsHint)
	if err != nil {
		return nil, s, seen, err
	}
	defer f.Close()
	f.Keep = keep
	r := f.Reader(ctx)
	defer r.Close()
	in := ctxReader{ctx, r}
	c, sum, err := scanTar(meteredReader{bufio.NewReaderSize(in, copyBytes), m}, f.size)
	if ctx.Err() != nil {
		return nil, s, seen, ctx.Err()
	}
	var te *tarError
	switch {
	case errors.As(err, &te):
		return nil, s, seen, errs.New(op, path, "write or fetch the shard anew", errs.BecauseErr(errs.ErrCorrupt, te))
	case err != nil:
		return nil, s, seen, fileError(op, path, wdsHint, err)
	}
	return c, Shard{Bytes: f.size, SHA256: hexSum(sum)}, f.stamp(), nil
}
