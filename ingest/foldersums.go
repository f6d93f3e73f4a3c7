package ingest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// reuseSums copies the hashes of unchanged files from an older index, and lists the
// samples that are still to be hashed. same: the older index lists exactly these
// files, so that the hashes of its shards are valid and copied too.
func (x *index) reuseSums(old *index) (stale []int64, same bool) {
	shard := map[string]int{}
	if old != nil && old.Folder {
		for i, s := range old.Shards {
			shard[s.Name] = i
		}
	}
	for i, s := range x.Shards {
		var j, end int64
		if k, ok := shard[s.Name]; ok {
			j, end = old.First[k], old.First[k+1]
		}
		for id := x.First[i]; id < x.First[i+1]; id++ {
			// Both lists are in bytewise order of names.
			name := x.nameBytes(id)
			for j < end && bytes.Compare(old.nameBytes(j), name) < 0 {
				j++
			}
			if j < end && bytes.Equal(old.nameBytes(j), name) && old.trusts(x.fileStamp(id), old.fileStamp(j)) {
				x.sums[id] = old.sums[j]
			} else {
				stale = append(stale, id)
			}
		}
	}
	if len(stale) > 0 || old == nil || old.Changes != x.knowsChanges() || old.Samples != x.Samples || !slices.Equal(old.First, x.First) {
		return stale, false
	}
	for i := range x.Shards {
		x.Shards[i].SHA256 = old.Shards[i].SHA256
	}
	return nil, true
}

// fileStamp is the stamp of a folder's file.
func (c *columns) fileStamp(id int64) stamp {
	s := stamp{Size: int64(c.sizes[id]), MTime: c.mtimes[id]}
	if c.changes != nil {
		s.Change = c.changes[id]
	}
	return s
}

// knowsChanges reports whether the last change of some file is known.
func (c *columns) knowsChanges() bool {
	return slices.ContainsFunc(c.changes, func(c uint64) bool { return c != 0 })
}

// sumFolder hashes the stale files, then every shard's list.
func sumFolder(ctx context.Context, root string, x *index, stale []int64, opt Options) error {
	var total int64
	for _, id := range stale {
		total += int64(x.sizes[id])
	}
	m := newMeter(opt.Progress, total)
	g, gctx := errgroup.WithContext(ctx)
	// A goroutine hashes a block of files: one for each small file would cost more
	// than hashing it.
	const block = 64
	g.SetLimit(opt.Workers)
	for lo := 0; lo < len(stale); lo += block {
		part := stale[lo:min(lo+block, len(stale))]
		g.Go(func() error {
			for _, id := range part {
				sum, err := x.sumSample(gctx, opt.files, "index", root, id, opt.files.Fits(total), m)
				if err != nil {
					return err
				}
				x.sums[id] = sum
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i := range x.Shards {
		x.Shards[i].SHA256 = hexSum(x.folderSum(i))
	}
	return nil
}

// copies counts the samples whose bytes are those of another one before them.
func (x *index) copies() (n int64, first string) {
	ids := make([]uint32, x.Samples)
	for i := range ids {
		ids[i] = uint32(i)
	}
	slices.SortFunc(ids, func(a, b uint32) int {
		return cmp.Or(bytes.Compare(x.sums[a][:], x.sums[b][:]), cmp.Compare(a, b))
	})
	for i := 1; i < len(ids); i++ {
		if id := int64(ids[i]); x.sums[id] == x.sums[ids[i-1]] {
			name := escapeName(x.name(id))
			if shard := x.Shards[x.shardOf(id)].Name; shard != "." {
				name = shard + "/" + name
			}
			if n++; n == 1 || name < first {
				first = name
			}
		}
	}
	return n, first
}

// folderSum is the SHA-256 of a class folder's list: of each file the length of
// its name (uint32), the name, its size (uint64) and 16 bytes of its SHA-256.
func (x *index) folderSum(shard int) [sha256.Size]byte {
	h := sha256.New()
	var line []byte
	for id := x.First[shard]; id < x.First[shard+1]; id++ {
		line = x.appendSumLine(line[:0], id)
		h.Write(line)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func (x *index) appendSumLine(line []byte, id int64) []byte {
	name := x.nameBytes(id)
	line = binary.LittleEndian.AppendUint32(line, uint32(len(name)))
	line = append(line, name...)
	line = binary.LittleEndian.AppendUint64(line, uint64(x.sizes[id]))
	return append(line, x.sums[id][:]...)
}

// sumSample hashes one file, whose size must be the one indexed.
func (x *index) sumSample(ctx context.Context, st *store.Store, op, root string, id int64, keep bool, m *meter) (out [sumSize]byte, err error) {
	f, err := x.openSample(ctx, st, op, root, id)
	if err != nil {
		return out, err
	}
	defer f.Close()
	f.Keep = keep
	sum, err := f.sum(ctx, op, changedHint, m, nil)
	return [sumSize]byte(sum[:sumSize]), err
}

const changedHint = "restore the data, which was changed after it was opened"

func (x *index) openSample(ctx context.Context, st *store.Store, op, root string, id int64) (*file, error) {
	path := x.path(root, id)
	if store.Remote(path) { // just listed: no request is needed
		f, err := st.OpenAs(ctx, store.Info{Name: path, Size: int64(x.sizes[id]), MTime: x.mtimes[id]})
		if err != nil {
			return nil, fileError(op, path, changedHint, err)
		}
		return &file{File: f, path: path, size: f.Size}, nil
	}
	f, err := openFile(ctx, st, op, path, changedHint)
	if errors.Is(err, errs.ErrUnsupported) || !errors.Is(err, errs.ErrNotFound) && leadsNowhere(err) {
		return nil, errs.New(op, path, changedHint, errs.Because(errs.ErrMismatch, "is no file any more"))
	}
	if err != nil {
		return nil, err
	}
	if f.size != int64(x.sizes[id]) {
		f.Close()
		return nil, errs.New(op, path, changedHint,
			errs.Because(errs.ErrMismatch, fmt.Sprintf("has %d bytes, %d when it was indexed", f.size, x.sizes[id])))
	}
	return f, nil
}
