package ingest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas/errs"
	"resslt/schemas/sniff"
)

// A WebDataset shard is a plain tar in which consecutive members of one key, the path
// up to the first dot of the base name, make up a sample:
//
//	000123.jpg        the image
//	000123.cls        its label: the number of its class, or the name
//	000123.json       a label, too, if one of its keys is named as one and there is no .cls
//	000123.mask.png   passed over and counted, as is all else

// scanTar reads a tar of size bytes from r to its end, lists its samples and hashes
// every byte. A fault of the tar is a *tarError, one of the samples' fields a
// *fieldError.
func scanTar(r io.Reader, size int64, fields wdsFields) (c *columns, sum [sha256.Size]byte, err error) {
	h := sha256.New()
	w := newTarWalker(io.TeeReader(r, h), size)
	g := grouper{tar: w, fields: fields, emptied: map[string]bool{}}
	for {
		m, err := w.nextMember()
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
	if err := w.finish(); err != nil {
		return nil, sum, err
	}
	if c, err = g.columns(); err != nil {
		return nil, sum, err
	}
	return c, [sha256.Size]byte(h.Sum(nil)), nil
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

// scanShard is a scanner of tars.
func (fields wdsFields) scanShard(ctx context.Context, st *store.Store, path string, keep bool, m *meter) (c *columns, s Shard, seen stamp, err error) {
	const op = "index shard"
	f, err := openFile(ctx, st, op, path, wdsHint)
	if err != nil {
		return nil, s, seen, err
	}
	defer f.Close()
	f.Keep = keep
	r := f.Reader(ctx)
	defer r.Close()
	in := bufio.NewReaderSize(tarInput(ctx, r, m), sniff.HeadBytes)
	if start, err := in.Peek(int(min(sniff.HeadBytes, f.size))); err == nil {
		if kind, fix := notTar(start, path); kind != "" {
			return nil, s, seen, errs.New(op, path, fix, errs.Because(errs.ErrUnsupported, kind))
		}
	}
	c, sum, err := scanTar(in, f.size, fields)
	if err != nil {
		return nil, s, seen, tarFault(ctx, op, path, "write or fetch the shard again", wdsHint, err)
	}
	return c, Shard{Bytes: f.size, SHA256: hexSum(sum)}, f.stamp(), nil
}

// tarFault is the error of walking a tar: ctx's, ErrCorrupt with the hint fix for a
// fault of the tar, that of its fields, or that of the file.
func tarFault(ctx context.Context, op, where, fix, hint string, err error) error {
	var te *tarError
	var fe *fieldError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &te):
		return errs.New(op, where, cmp.Or(te.hint, fix), errs.BecauseErr(errs.ErrCorrupt, te))
	case errors.As(err, &fe):
		return errs.New(op, where, fe.hint, fe.err)
	}
	return fileError(op, where, hint, err)
}

// notTar says what a file is by its first bytes, and the command that makes a tar of it;
// "" if it may be one. A compressed tar cannot be read at any place, as an order of all
// samples needs.
func notTar(start []byte, path string) (kind, fix string) {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	unpack := func(tool string) string {
		plain := cmp.Or(plainName(path), strings.TrimSuffix(path, ".tar")+".plain.tar")
		return fmt.Sprintf("unpack it: %s %s > %s", tool, quote(path), quote(plain))
	}
	k := sniff.What(start)
	switch {
	case k.Name == "", isTarHeader(start[:min(len(start), tarBlock)]): // it may begin with any mark: with a member of that name
		return "", ""
	case bytes.Count(start, []byte{0}) == len(start): // a tar without members
		return "", ""
	case k.Unpack != "":
		return k.Codec + "-compressed data has no random access", unpack(k.Unpack)
	}
	return "it is " + k.Name + ", not a tar", cmp.Or(k.Hint, wdsHint)
}

// isTarHeader reports whether a block is a tar's header.
func isTarHeader(block []byte) bool {
	if len(block) < tarBlock {
		return false
	}
	_, err := tar.NewReader(bytes.NewReader(block)).Next()
	return err == nil || string(block[257:262]) == "ustar" // what describes the next header fills more blocks
}

// plainName is the name of a compressed tar without its compression, "" if the name is
// none.
func plainName(name string) string {
	lower := strings.ToLower(name)
	for _, end := range compressedEnds {
		if strings.HasSuffix(lower, ".tar"+end) {
			return name[:len(name)-len(end)]
		}
	}
	for _, end := range compressedTars {
		if strings.HasSuffix(lower, end) {
			return name[:len(name)-len(end)] + ".tar"
		}
	}
	return ""
}

// Ends of the names of compressed tars.
var (
	compressedEnds = []string{".gz", ".zst", ".zstd", ".xz", ".bz2", ".lz4", ".z"}
	compressedTars = []string{".tgz", ".tzst", ".txz", ".tbz2", ".tbz"}
)
