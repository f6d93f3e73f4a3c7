package ingest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// A WebDataset shard is a plain tar in which consecutive members of one key, the path
// up to the first dot of the base name, make up a sample:
//
//	000123.jpg   the image
//	000123.cls   its label, a decimal number
//	000123.json  passed over

// maxLabelBytes is the most that a .cls member may hold.
const maxLabelBytes = 32

// scanTar reads a tar of size bytes from r to its end, lists its samples and hashes
// every byte. A fault of the tar is a *tarError.
func scanTar(r io.Reader, size int64) (c *columns, sum [sha256.Size]byte, err error) {
	h := sha256.New()
	w := newTarWalker(io.TeeReader(r, h), size)
	g := sampleGrouper{tar: w, c: &columns{offsets: []int64{}}, label: schemas.NoLabel}
	for {
		m, err := w.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = g.add(m)
		}
		if err != nil {
			return nil, sum, err
		}
	}
	g.finish()
	if err := w.finish(); err != nil {
		return nil, sum, err
	}
	return g.c, [sha256.Size]byte(h.Sum(nil)), nil
}

// sampleGrouper groups the members of a tar into samples.
type sampleGrouper struct {
	tar *tarWalker
	c   *columns

	// The open sample.
	key   string
	image bool // its image is in c
	label int32
}

// add adds the tar's current member.
func (g *sampleGrouper) add(m tarMember) error {
	key, ext := splitKey(m.name)
	if key != g.key {
		g.finish()
		g.key, g.image, g.label = key, false, schemas.NoLabel
	}
	switch {
	case key == "":
	case ext == "cls":
		label, err := readLabel(g.tar, m.size)
		if err != nil {
			return g.tar.fault("label of %q: %v", m.name, err)
		}
		g.label = label
	case isImageExt(ext):
		if g.image {
			return g.tar.fault("second image %q under one key", m.name)
		}
		if m.size > 1<<32-1 {
			return g.tar.fault("member %q has %d bytes", m.name, m.size)
		}
		g.image = true
		if err := g.c.addName([]byte(m.name)); err != nil {
			return err
		}
		g.c.sizes = append(g.c.sizes, uint32(m.size))
		g.c.offsets = append(g.c.offsets, m.offset)
	}
	return nil
}

// finish closes the open sample, whose label is known only now.
func (g *sampleGrouper) finish() {
	if g.image {
		g.c.labels = append(g.c.labels, g.label)
	}
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

// tarInput reads an open tar in order, in large blocks, reporting them to m.
func tarInput(ctx context.Context, r io.Reader, m *meter) io.Reader {
	return meteredReader{bufio.NewReaderSize(ctxReader{ctx, r}, copyBytes), m}
}

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
	c, sum, err := scanTar(tarInput(ctx, r, m), f.size)
	if err != nil {
		return nil, s, seen, tarFault(ctx, op, path, "write or fetch the shard again", wdsHint, err)
	}
	return c, Shard{Bytes: f.size, SHA256: hexSum(sum)}, f.stamp(), nil
}

// tarFault is the error of walking a tar: ctx's, ErrCorrupt with the hint fix for a
// fault of the tar, or that of the file.
func tarFault(ctx context.Context, op, where, fix, hint string, err error) error {
	var te *tarError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &te):
		return errs.New(op, where, fix, errs.BecauseErr(errs.ErrCorrupt, te))
	}
	return fileError(op, where, hint, err)
}
