package ingest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"sync"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// parquetSource serves images out of Parquet files as Hugging Face writes them: a
// structure image {bytes, path} and a label. The index knows in which page each
// image lies, so that a sample is read by one range of about a megabyte (and the
// dictionary's, where the page needs it). Arrow reads the footer, parquetpage.go the
// pages; of the tar's source only Read is another.
type parquetSource struct {
	*wdsSource

	metaMu sync.RWMutex
	meta   map[int]*parquetFile // by shard; guarded by metaMu
}

const parquetHint = "name Parquet files with a column image {bytes, path}, as in parquet:DIR/data/train-*.parquet"

func openParquet(ctx context.Context, glob string, opt Options) (Source, error) {
	const op = "open parquet"
	if glob == "" {
		return nil, errs.New(op, "", parquetHint, errs.Because(errs.ErrUsage, "no files are named"))
	}
	split := opt.Split
	if split == "" {
		split = Train
	}
	paths, named, err := findParquet(ctx, opt.files, glob, split)
	if err != nil {
		return nil, err
	}
	if !named && split != Train {
		return nil, errs.New(op, glob, "write "+splitMark+" in the glob, or name the folder that holds "+split+"-*.parquet",
			errs.Because(errs.ErrUsage, "a glob says nothing about splits"))
	}
	cache, err := openCache(opt, "parquet", glob, split)
	if err != nil {
		return nil, err
	}
	dir := commonDir(paths)
	x, same, err := indexShards(ctx, dir, paths, cache.load(), scanParquet, opt)
	if err != nil {
		return nil, err
	}
	if !same {
		if err := cache.store(x); err != nil {
			return nil, err
		}
	}
	if x.Samples == 0 {
		return nil, errs.New(op, glob, parquetHint, errs.Because(errs.ErrNotFound, "the files hold no rows"))
	}
	m := &Manifest{Format: "parquet", Split: split, Samples: x.Samples, Shards: x.Shards}
	src := &parquetSource{meta: map[int]*parquetFile{}, wdsSource: &wdsSource{
		manifest: m, dir: dir, x: x, max: opt.MaxSampleBytes,
		store: opt.files, keep: opt.keep(m.Bytes()), open: map[int]*file{},
	}}
	first, err := src.shardMeta(ctx, 0)
	if err != nil {
		return nil, errors.Join(err, closeAll(src.openFiles()))
	}
	m.Classes = first.classes
	for i, l := range x.labels {
		if len(m.Classes) > 0 && int(l) >= len(m.Classes) {
			return nil, errors.Join(errs.New(op, x.key(int64(i)), "fetch the files anew",
				errs.Because(errs.ErrCorrupt, fmt.Sprintf("label %d of the %d classes that the footer names", l, len(m.Classes)))), closeAll(src.openFiles()))
		}
	}
	return src, nil
}

// findParquet expands the glob. A folder stands for the split's files in it or in
// its folder data, where Hugging Face puts them; named says that the split is in
// their names.
func findParquet(ctx context.Context, st *store.Store, glob, split string) (paths []string, named bool, err error) {
	const op = "open parquet"
	isDir := false
	if !strings.HasSuffix(glob, ".parquet") && !strings.ContainsAny(glob, "{*?[") {
		if isDir, err = st.IsDir(ctx, glob); err != nil {
			return nil, false, fileError(op, glob, parquetHint, err)
		}
	}
	if !isDir {
		named = strings.Contains(glob, splitMark)
		paths, err = expandGlob(ctx, st, op, strings.ReplaceAll(glob, splitMark, split), parquetHint)
		return paths, named, err
	}
	for _, sub := range []string{".", "data"} {
		found, err := st.Glob(ctx, store.Join(escapeGlob(glob), sub, split+"-*.parquet"))
		if err != nil {
			return nil, false, fileError(op, glob, parquetHint, err)
		}
		if len(found) > 0 {
			return found, true, nil
		}
	}
	return nil, false, errs.New(op, glob, parquetHint, errs.Because(errs.ErrNotFound, "no "+split+"-*.parquet in it, nor in its folder data"))
}

// footerOf reads a file's footer, by its last bytes.
func footerOf(ctx context.Context, f *file) (*parquetFile, error) {
	const guess = 256 << 10
	for n := min(guess, f.size); ; {
		tail := make([]byte, n)
		if _, err := f.ReadAt(ctx, tail, f.size-n); err != nil {
			return nil, fileError("read footer", f.path, changedHint, err)
		}
		p, need, err := parseFooter(tail, f.size)
		if err != nil {
			return nil, errs.New("read footer", f.path, "fetch the file anew", err)
		}
		if need == 0 {
			return p, nil
		}
		n = need
	}
}

// scanParquet hashes a file and lists its rows: the shard's columns, with the
// offset of the page that holds each image.
func scanParquet(ctx context.Context, st *store.Store, path string, keep bool, m *meter) (c *columns, s Shard, seen stamp, err error) {
	const op = "index parquet"
	f, err := openFile(ctx, st, op, path, parquetHint)
	if err != nil {
		return nil, s, seen, err
	}
	defer f.Close()
	f.Keep = keep
	sum, err := f.sum(ctx, op, parquetHint, m, nil)
	if err != nil {
		return nil, s, seen, err
	}
	p, err := footerOf(ctx, f)
	if err != nil {
		return nil, s, seen, err
	}
	c = &columns{offsets: []int64{}}
	if p.rows > math.MaxInt32 {
		return nil, s, seen, errs.New(op, path, "split the file", errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d rows", p.rows)))
	}
	fail := func(err error) (*columns, Shard, stamp, error) {
		if ctx.Err() != nil {
			return nil, s, seen, ctx.Err()
		}
		var known *errs.Error
		if errors.As(err, &known) {
			return nil, s, seen, err
		}
		return nil, s, seen, errs.New(op, path, "fetch the file anew", err)
	}
	var names []string
	if p.paths != nil {
		err := p.paths.each(ctx, f, func(_ int64, v []byte) error {
			names = append(names, string(v))
			return nil
		})
		if err != nil {
			return fail(err)
		}
	}
	if p.labels != nil {
		if err := p.labels.each(ctx, f, func(_ int64, b []byte) error {
			v := integer(b)
			if v < int64(schemas.NoLabel) || v > math.MaxInt32 {
				return errs.Because(errs.ErrCorrupt, fmt.Sprintf("row %d has label %d", len(c.labels), v))
			}
			c.labels = append(c.labels, int32(v))
			return nil
		}); err != nil {
			return fail(err)
		}
	}
	err = p.images.each(ctx, f, func(page int64, v []byte) error {
		row := len(c.sizes)
		if v == nil {
			return errs.Because(errs.ErrCorrupt, fmt.Sprintf("row %d has no image", row))
		}
		name := fmt.Sprint(row)
		if row < len(names) && names[row] != "" {
			name += ":" + names[row]
		}
		if err := c.addName([]byte(name)); err != nil {
			return err
		}
		c.sizes = append(c.sizes, uint32(len(v)))
		c.offsets = append(c.offsets, page)
		if p.labels == nil {
			c.labels = append(c.labels, schemas.NoLabel)
		}
		return nil
	})
	if err != nil {
		return fail(err)
	}
	if len(c.labels) != len(c.sizes) || p.paths != nil && len(names) != len(c.sizes) || int64(len(c.sizes)) != p.rows {
		return fail(errs.Because(errs.ErrCorrupt, fmt.Sprintf("%d rows hold %d images, %d labels", p.rows, len(c.sizes), len(c.labels))))
	}
	return c, Shard{Bytes: f.size, SHA256: hexSum(sum)}, f.stamp(), nil
}

// each gives all values of the column, nil for none, with the offset of the page
// that holds each. They alias the page.
func (c *parquetColumn) each(ctx context.Context, f *file, do func(page int64, v []byte) error) error {
	for i := range c.chunks {
		chunk := &c.chunks[i]
		b := make([]byte, chunk.end-chunk.start) // within the file: chunksOf has looked
		if _, err := f.ReadAt(ctx, b, chunk.start); err != nil {
			return fileError("read column", f.path, changedHint, err)
		}
		var dict [][]byte
		var seen int64
		for rest := b; seen < chunk.rows; {
			at := chunk.end - int64(len(rest))
			page, next, err := nextPage(rest, chunk)
			if err != nil {
				return err
			}
			rest = next
			switch page.typ {
			case dictionaryPage: // where Read looks for it
				if at != chunk.start || chunk.end-int64(len(rest)) > chunk.data {
					return errs.Because(errs.ErrCorrupt, fmt.Sprintf("row group %d has a dictionary out of place", i))
				}
				if dict, err = c.dictionary(page); err != nil {
					return err
				}
			case dataPage, dataPageV2:
				values, err := c.decode(page, dict)
				if err != nil {
					return err
				}
				for _, v := range values {
					if err := do(at, v); err != nil {
						return err
					}
				}
				seen += page.values
			}
		}
		if seen != chunk.rows {
			return errs.Because(errs.ErrCorrupt, fmt.Sprintf("row group %d has %d rows, its pages %d", i, chunk.rows, seen))
		}
	}
	return nil
}

// shardMeta is the footer of shard i, read once.
func (s *parquetSource) shardMeta(ctx context.Context, i int) (*parquetFile, error) {
	s.metaMu.RLock()
	p := s.meta[i]
	s.metaMu.RUnlock()
	if p != nil {
		return p, nil
	}
	f, kept, err := s.shard(ctx, i)
	if err != nil {
		return nil, err
	}
	if !kept {
		defer f.Close()
	}
	if p, err = footerOf(ctx, f); err != nil {
		return nil, err
	}
	s.metaMu.Lock()
	defer s.metaMu.Unlock()
	s.meta[i] = p
	return p, nil
}

func (s *parquetSource) Read(ctx context.Context, id int64, dst *schemas.Sample) error {
	if err := checkID(ctx, s.manifest, s.closed.Load(), id); err != nil {
		return err
	}
	size := int64(s.x.sizes[id])
	if size > s.max {
		return tooLarge(s.x.key(id), size, s.max)
	}
	i := s.x.shardOf(id)
	p, err := s.shardMeta(ctx, i)
	if err != nil {
		return err
	}
	f, kept, err := s.shard(ctx, i)
	if err != nil {
		return err
	}
	if !kept {
		defer f.Close()
	}
	changed := func(why string) error {
		return errs.New("read sample", s.x.key(id), changedHint, errs.Because(errs.ErrMismatch, why))
	}
	at := s.x.offsets[id]
	chunk := p.images.chunkAt(at)
	if chunk == nil {
		return changed("its page is not in the file")
	}
	// The page's rows are the neighbours of equal offset, and it ends where the next
	// one begins.
	lo, hi := s.x.First[i], s.x.First[i+1]
	first := lo + int64(sort.Search(int(hi-lo), func(k int) bool { return s.x.offsets[lo+int64(k)] >= at }))
	after := lo + int64(sort.Search(int(hi-lo), func(k int) bool { return s.x.offsets[lo+int64(k)] > at }))
	end := chunk.end
	if after < hi && s.x.offsets[after] < end {
		end = s.x.offsets[after]
	}
	raw := make([]byte, end-at)
	if _, err := f.ReadAt(ctx, raw, at); err != nil {
		return fileError("read sample", s.x.key(id), changedHint, err)
	}
	page, _, err := nextPage(raw, chunk)
	if err != nil {
		return errs.New("read sample", s.x.key(id), changedHint, err)
	}
	var dict [][]byte
	if page.dict {
		b := make([]byte, chunk.data-chunk.start)
		if _, err := f.ReadAt(ctx, b, chunk.start); err != nil {
			return fileError("read sample", s.x.key(id), changedHint, err)
		}
		d, _, err := nextPage(b, chunk)
		if err != nil || d.typ != dictionaryPage {
			return changed("its dictionary is not where it was")
		}
		if dict, err = p.images.dictionary(d); err != nil {
			return errs.New("read sample", s.x.key(id), changedHint, err)
		}
	}
	values, err := p.images.decode(page, dict)
	if err != nil {
		return errs.New("read sample", s.x.key(id), changedHint, err)
	}
	if id-first >= int64(len(values)) || int64(len(values[id-first])) != size {
		return changed("it has another size")
	}
	dst.Data = sized(dst.Data, int(size))
	copy(dst.Data, values[id-first])
	*dst = schemas.Sample{ID: id, Key: s.x.key(id), Label: s.x.labels[id], Encoding: schemas.Encoded, Data: dst.Data}
	return nil
}
