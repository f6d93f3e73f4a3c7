package ingest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"sync"

	"github.com/apache/arrow/go/v15/parquet"
	pqfile "github.com/apache/arrow/go/v15/parquet/file"

	"resslt/ingest/store"
	"resslt/schemas"
)

// parquetSource serves images out of Parquet files as Hugging Face writes them: a
// structure image {bytes, path} and a label. The index knows in which page each
// image lies, so that a sample is read by one range of about a megabyte (and the
// dictionary's, where the writer made one); of the tar's source only Read is
// another.
type parquetSource struct {
	*wdsSource

	metaMu sync.RWMutex
	meta   map[int]*parquetFile // by shard; guarded by metaMu
}

const parquetHint = "name Parquet files with a column image {bytes, path}, as in parquet:DIR/data/train-*.parquet"

func openParquet(ctx context.Context, glob string, opt Options) (Source, error) {
	const op = "open parquet"
	if glob == "" {
		return nil, schemas.E(op, "", parquetHint, schemas.Because(schemas.ErrUsage, "no files are named"))
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
		return nil, schemas.E(op, glob, "write "+splitMark+" in the glob, or name the folder that holds "+split+"-*.parquet",
			schemas.Because(schemas.ErrUsage, "a glob says nothing about splits"))
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
		return nil, schemas.E(op, glob, parquetHint, schemas.Because(schemas.ErrNotFound, "the files hold no rows"))
	}
	m := &Manifest{Format: "parquet", Split: split, Samples: x.Samples, Shards: x.Shards}
	src := &parquetSource{meta: map[int]*parquetFile{}, wdsSource: &wdsSource{manifest: m, dir: dir, x: x, max: opt.MaxSampleBytes,
		store: opt.files, keep: opt.keep(m.Bytes()), open: map[int]*file{}}}
	first, err := src.shardMeta(ctx, 0)
	if err != nil {
		return nil, errors.Join(err, closeAll(src.openFiles()))
	}
	m.Classes = first.classes
	for i, l := range x.labels {
		if len(m.Classes) > 0 && int(l) >= len(m.Classes) {
			return nil, errors.Join(schemas.E(op, x.key(int64(i)), "fetch the files anew",
				schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("label %d of the %d classes that the footer names", l, len(m.Classes)))), closeAll(src.openFiles()))
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
	return nil, false, schemas.E(op, glob, parquetHint, schemas.Because(schemas.ErrNotFound, "no "+split+"-*.parquet in it, nor in its folder data"))
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
			return nil, schemas.E("read footer", f.path, "fetch the file anew", err)
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
		return nil, s, seen, schemas.E(op, path, "split the file", schemas.Because(schemas.ErrTooLarge, fmt.Sprintf("%d rows", p.rows)))
	}
	fail := func(err error) (*columns, Shard, stamp, error) {
		if ctx.Err() != nil {
			return nil, s, seen, ctx.Err()
		}
		var known *schemas.Error
		if errors.As(err, &known) {
			return nil, s, seen, err
		}
		return nil, s, seen, schemas.E(op, path, "fetch the file anew", err)
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
		if err := p.labels.eachInt(ctx, f, func(v int64) error {
			if v < int64(schemas.NoLabel) || v > math.MaxInt32 {
				return schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("row %d has label %d", len(c.labels), v))
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
			return schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("row %d has no image", row))
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
		return fail(schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("%d rows hold %d images, %d labels", p.rows, len(c.sizes), len(c.labels))))
	}
	return c, Shard{Bytes: f.size, SHA256: hexSum(sum)}, f.stamp(), nil
}

// eachPage gives the data pages of the column, with their chunks' dictionaries.
func (c *parquetColumn) eachPage(ctx context.Context, f *file, do func(chunk *parquetChunk, dict []byte, page parquetPage, at int64) error) error {
	for i := range c.chunks {
		chunk := &c.chunks[i]
		b := make([]byte, chunk.end-chunk.start) // within the file: chunksOf has looked
		if _, err := f.ReadAt(ctx, b, chunk.start); err != nil {
			return fileError("read column", f.path, changedHint, err)
		}
		var dict []byte
		var seen int64
		for rest := b; seen < chunk.rows; {
			at := chunk.end - int64(len(rest))
			page, next, err := nextPage(rest, chunk)
			if err != nil {
				return err
			}
			rest = next
			switch page.typ {
			case dictionaryPage:
				dict = page.raw
			case dataPage, dataPageV2:
				if page.dict && dict == nil {
					return schemas.Because(schemas.ErrCorrupt, "a page of a dictionary that is not there")
				}
				if !page.dict {
					if err := do(chunk, nil, page, at); err != nil {
						return err
					}
				} else if err := do(chunk, dict, page, at); err != nil {
					return err
				}
				seen += page.values
			}
		}
	}
	return nil
}

// each gives all values of a column of bytes, nil for none, with the offset of the
// page that holds each.
func (c *parquetColumn) each(ctx context.Context, f *file, do func(page int64, v []byte) error) error {
	return c.eachPage(ctx, f, func(chunk *parquetChunk, dict []byte, page parquetPage, at int64) error {
		values, defs, err := c.bytesOf(chunk, dict, page, 0, page.values)
		if err != nil {
			return err
		}
		next := 0
		for _, d := range defs {
			var v []byte
			if d {
				v = values[next]
				next++
			}
			if err := do(at, v); err != nil {
				return err
			}
		}
		return nil
	})
}

// bytesOf reads n values of a page from the one at skip on: those that are there,
// and of all whether they are. The ones before are read as well, without a copy:
// Arrow's Skip keeps pointers in memory that the collector takes for bytes.
func (c *parquetColumn) bytesOf(chunk *parquetChunk, dict []byte, page parquetPage, skip, n int64) (values []parquet.ByteArray, there []bool, err error) {
	err = guarded(func() error {
		r, err := c.values(chunk, dict, page.raw)
		if err != nil {
			return err
		}
		col, ok := r.(*pqfile.ByteArrayColumnChunkReader)
		if !ok {
			return schemas.Because(schemas.ErrCorrupt, "a page of another type")
		}
		buf, defs := make([]parquet.ByteArray, skip+n), make([]int16, skip+n)
		got, have, err := col.ReadBatch(skip+n, buf, defs, nil)
		if err != nil || got != skip+n {
			return pageFault(err, got, skip+n)
		}
		most := c.descr.MaxDefinitionLevel()
		count := 0
		for i, d := range defs {
			wanted, present := int64(i) >= skip, most == 0 || d == most
			if wanted {
				there = append(there, present)
			}
			if !present {
				continue
			}
			if wanted && count < have { // the page's memory goes with its reader
				values = append(values, append(parquet.ByteArray{}, buf[count]...))
			}
			count++
		}
		if count != have {
			return schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("a page of %d values holds %d", count, have))
		}
		return nil
	})
	return values, there, err
}

func pageFault(err error, got, want int64) error {
	if err != nil {
		return schemas.BecauseErr(schemas.ErrCorrupt, err)
	}
	return schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("a page holds %d values, want %d", got, want))
}

// eachInt gives all values of a column of integers; NoLabel for none.
func (c *parquetColumn) eachInt(ctx context.Context, f *file, do func(v int64) error) error {
	return c.eachPage(ctx, f, func(chunk *parquetChunk, dict []byte, page parquetPage, _ int64) error {
		n := page.values
		wide, defs := make([]int64, n), make([]int16, n)
		have := 0
		if err := guarded(func() error {
			r, err := c.values(chunk, dict, page.raw)
			if err != nil {
				return err
			}
			var got int64
			switch col := r.(type) {
			case *pqfile.Int64ColumnChunkReader:
				got, have, err = col.ReadBatch(n, wide, defs, nil)
			case *pqfile.Int32ColumnChunkReader:
				narrow := make([]int32, n)
				got, have, err = col.ReadBatch(n, narrow, defs, nil)
				for i, v := range narrow {
					wide[i] = int64(v)
				}
			}
			if err != nil || got != n {
				return pageFault(err, got, n)
			}
			return nil
		}); err != nil {
			return err
		}
		next := 0
		for _, d := range defs {
			v := int64(schemas.NoLabel)
			if most := c.descr.MaxDefinitionLevel(); (most == 0 || d == most) && next < have {
				v = wide[next]
				next++
			}
			if err := do(v); err != nil {
				return err
			}
		}
		return nil
	})
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
		return schemas.E("read sample", s.x.key(id), changedHint, schemas.Because(schemas.ErrMismatch, why))
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
		return schemas.E("read sample", s.x.key(id), changedHint, err)
	}
	var dict []byte
	if page.dict {
		dict = make([]byte, chunk.data-chunk.start)
		if _, err := f.ReadAt(ctx, dict, chunk.start); err != nil {
			return fileError("read sample", s.x.key(id), changedHint, err)
		}
		d, _, err := nextPage(dict, chunk)
		if err != nil || d.typ != dictionaryPage {
			return changed("its dictionary is not where it was")
		}
		dict = d.raw
	}
	values, _, err := p.images.bytesOf(chunk, dict, page, id-first, 1)
	if err != nil {
		return schemas.E("read sample", s.x.key(id), changedHint, err)
	}
	if len(values) != 1 || int64(len(values[0])) != size {
		return changed("it has another size")
	}
	dst.Data = sized(dst.Data, int(size))
	copy(dst.Data, values[0])
	*dst = schemas.Sample{ID: id, Key: s.x.key(id), Label: s.x.labels[id], Encoding: schemas.Encoded, Data: dst.Data}
	return nil
}
