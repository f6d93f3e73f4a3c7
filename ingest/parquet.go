package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"sync"

	"resslt/ingest/parquet"
	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// parquetSource serves images from Parquet files in the layout of Hugging Face: a
// structure image {bytes, path} and a label. The index has the page that holds each
// image, so that reading a sample takes one range of about a megabyte (and that of
// the dictionary, if the page needs it). Package parquet reads the files.
type parquetSource struct {
	manifest *Manifest
	max      int64
	*shardFiles

	mu     sync.RWMutex
	tables map[int]*imageTable // by shard; guarded by mu
}

const parquetHint = "name Parquet files with a column image {bytes, path}, as in parquet:DIR/data/train-*.parquet"

// Columns by the names that Hugging Face's image data sets give them.
var (
	parquetImages = []string{"image.bytes", "img.bytes", "image", "img", "jpg", "png"}
	parquetPaths  = []string{"image.path", "img.path"}
	parquetLabels = []string{"label", "fine_label", "labels", "cls"}
)

func openParquet(ctx context.Context, glob string, opt Options) (Source, error) {
	const op = "open parquet"
	if glob == "" {
		return nil, errs.New(op, "", parquetHint, errs.Because(errs.ErrUsage, "no files are named"))
	}
	paths, named, err := findParquet(ctx, opt.files, glob, opt.splitOrTrain())
	if err != nil {
		return nil, err
	}
	split, err := opt.shardSplit(op, glob, named, nil)
	if err != nil {
		return nil, err
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
	src := &parquetSource{
		manifest: m, max: opt.MaxSampleBytes, tables: map[int]*imageTable{},
		shardFiles: newShardFiles(dir, x, opt.files, opt.keep(m.Bytes())),
	}
	first, err := src.table(ctx, 0)
	if err == nil {
		m.Classes = first.classes
		err = x.checkLabels(op, m.Classes, "fetch the files again", "the footer")
	}
	if err != nil {
		return nil, errors.Join(err, src.closeFiles())
	}
	return src, nil
}

// findParquet expands the glob. A folder means the split's files in it or in its
// folder data, where Hugging Face puts them; named reports that their names give the
// split.
func findParquet(ctx context.Context, st *store.Store, glob, split string) (paths []string, named bool, err error) {
	const op = "open parquet"
	isDir := false
	if !store.Remote(glob) || !strings.HasSuffix(glob, ".parquet") && !strings.ContainsAny(glob, "{*?[") {
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

// imageTable is the columns of one file that make up a data set.
type imageTable struct {
	rows    int64
	images  *parquet.Column
	paths   *parquet.Column // names of the images, or nil
	labels  *parquet.Column // or nil
	classes []string        // from Hugging Face's metadata; nil without
}

// openTable reads a file's footer and finds the columns.
func openTable(ctx context.Context, f *file) (*imageTable, error) {
	const op = "read footer"
	p, err := parquet.Open(ctx, shardReader{f, op, f.path}, f.size)
	if err != nil {
		return nil, parquetError(op, f.path, "fetch the file again", err)
	}
	t, err := findColumns(p, f.size)
	if err != nil {
		return nil, parquetError(op, f.path, "fetch the file again", err)
	}
	return t, nil
}

func findColumns(p *parquet.File, size int64) (*imageTable, error) {
	t := &imageTable{}
	var err error
	if t.images, err = p.Column(parquetImages, parquet.Bytes); err != nil {
		return nil, err
	}
	if t.images == nil {
		return nil, errs.Because(errs.ErrUnsupported, fmt.Sprintf("it has columns %.200q, none of %q", p.Columns(), parquetImages))
	}
	if t.paths, err = p.Column(parquetPaths, parquet.Bytes); err != nil {
		return nil, err
	}
	if t.labels, err = p.Column(parquetLabels, parquet.Int32, parquet.Int64); err != nil {
		return nil, err
	}
	if t.rows = t.images.Rows(); t.rows > size { // every image takes more than a byte
		return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("%d rows in %d bytes", t.rows, size))
	}
	if t.labels != nil {
		t.classes = classNames(p.Metadata("huggingface"), t.labels.Path())
	}
	return t, nil
}

// classNames are the class names that Hugging Face's metadata give the label column;
// nil where they give none.
func classNames(raw, label string) []string {
	var meta struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	var feature struct {
		Names []string `json:"names"`
	}
	if json.Unmarshal([]byte(raw), &meta) != nil || json.Unmarshal(meta.Info.Features[label], &feature) != nil {
		return nil // absent, or of another writer who uses the key for something else
	}
	return feature.Names
}

// shardReader reads a file for package parquet; its errors name the operation.
type shardReader struct {
	f         *file
	op, where string
}

func (r shardReader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n, err := r.f.ReadAt(ctx, p, off)
	if err != nil {
		err = fileError(r.op, r.where, changedHint, err)
	}
	return n, err
}

// parquetError adds place and hint to an error of package parquet; one of a
// shardReader has them already.
func parquetError(op, where, hint string, err error) error {
	var known *errs.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	return errs.New(op, where, hint, err)
}

// scanParquet hashes a file and lists its rows: the shard's columns, with the offset
// of the page that holds each image.
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
	t, err := openTable(ctx, f)
	if err != nil {
		return nil, s, seen, err
	}
	if t.rows > math.MaxInt32 {
		return nil, s, seen, errs.New(op, path, "split the file", errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d rows", t.rows)))
	}
	if c, err = t.list(ctx, shardReader{f, "read column", path}); err != nil {
		if ctx.Err() != nil {
			return nil, s, seen, ctx.Err()
		}
		return nil, s, seen, parquetError(op, path, "fetch the file again", err)
	}
	return c, Shard{Bytes: f.size, SHA256: hexSum(sum)}, f.stamp(), nil
}

// list reads all rows: name, size, label and page of each image.
func (t *imageTable) list(ctx context.Context, r shardReader) (*columns, error) {
	c := &columns{offsets: []int64{}}
	var names []string
	if t.paths != nil {
		if err := t.paths.Each(ctx, r, func(_ int64, v []byte) error {
			names = append(names, string(v))
			return nil
		}); err != nil {
			return nil, err
		}
	}
	if t.labels != nil {
		if err := t.labels.Each(ctx, r, func(_ int64, b []byte) error {
			v, ok := parquet.Integer(b)
			if !ok {
				v = int64(schemas.NoLabel)
			}
			if v < int64(schemas.NoLabel) || v > math.MaxInt32 {
				return errs.Because(errs.ErrCorrupt, fmt.Sprintf("row %d has label %d", len(c.labels), v))
			}
			c.labels = append(c.labels, int32(v))
			return nil
		}); err != nil {
			return nil, err
		}
	}
	if err := t.images.Each(ctx, r, func(page int64, v []byte) error {
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
		if t.labels == nil {
			c.labels = append(c.labels, schemas.NoLabel)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if len(c.labels) != len(c.sizes) || t.paths != nil && len(names) != len(c.sizes) || int64(len(c.sizes)) != t.rows {
		return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("%d rows hold %d images, %d labels", t.rows, len(c.sizes), len(c.labels)))
	}
	return c, nil
}

// table is the columns of shard i, found once.
func (s *parquetSource) table(ctx context.Context, i int) (*imageTable, error) {
	s.mu.RLock()
	t := s.tables[i]
	s.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	f, done, err := s.shard(ctx, i)
	if err != nil {
		return nil, err
	}
	defer done()
	if t, err = openTable(ctx, f); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tables[i] = t
	return t, nil
}

func (s *parquetSource) Manifest() *Manifest { return s.manifest }
func (s *parquetSource) Len() int64          { return s.manifest.Samples }

func (s *parquetSource) Read(ctx context.Context, id int64, dst *schemas.Sample) error {
	const op = "read sample"
	if err := checkID(ctx, s.manifest, s.closed.Load(), id); err != nil {
		return err
	}
	size, key := int64(s.x.sizes[id]), s.x.key(id)
	if size > s.max {
		return tooLarge(key, size, s.max)
	}
	i := s.x.shardOf(id)
	t, err := s.table(ctx, i)
	if err != nil {
		return err
	}
	f, done, err := s.shard(ctx, i)
	if err != nil {
		return err
	}
	defer done()
	// The rows of the page are the neighbours of equal offset, and it ends where the
	// next page begins.
	offsets := s.x.offsets[s.x.First[i]:s.x.First[i+1]]
	row, at := int(id-s.x.First[i]), s.x.offsets[id]
	first := sort.Search(len(offsets), func(k int) bool { return offsets[k] >= at })
	next := int64(0)
	if after := sort.Search(len(offsets), func(k int) bool { return offsets[k] > at }); after < len(offsets) {
		next = offsets[after]
	}
	values, err := t.images.Page(ctx, shardReader{f, op, key}, at, next)
	if err != nil {
		return parquetError(op, key, changedHint, err)
	}
	if row-first >= len(values) || int64(len(values[row-first])) != size {
		return errs.New(op, key, changedHint, errs.Because(errs.ErrMismatch, "it has another size"))
	}
	dst.Data = sized(dst.Data, int(size))
	copy(dst.Data, values[row-first])
	*dst = schemas.Sample{ID: id, Key: key, Label: s.x.labels[id], Encoding: schemas.Encoded, Data: dst.Data}
	return nil
}

func (s *parquetSource) units() (n, bytes int64) {
	return int64(len(s.manifest.Shards)), s.manifest.Bytes()
}

func (s *parquetSource) verify(ctx context.Context, i int64, m *meter) (*Damage, error) {
	return s.verifyShard(ctx, int(i), s.manifest.Shards[i].SHA256, m)
}
