package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"resslt/ingest/parquet"
	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/sniff"
)

// parquetSource serves images from Parquet files in the layout of Hugging Face: a
// structure image {bytes, path} and a label. The index has the page that holds each
// image, so that reading a sample takes one range of about a megabyte (and that of
// the dictionary, if the page needs it). Package parquet reads the files,
// parquetcolumns.go finds the columns.
type parquetSource struct {
	manifest *Manifest
	max      int64
	columns  parquetColumns // as the URI names them
	*shardFiles

	mu     sync.RWMutex
	tables map[int]*imageTable // by shard; guarded by mu
}

const parquetHint = "name Parquet files with a column image {bytes, path}, as in parquet:DIR/data/train-*.parquet"

var parquetShards = &shardKind{
	scheme: "parquet", op: "open parquet", hint: parquetHint, noun: "Parquet files", form: "*/*.parquet",
	is: isParquetName, plain: isParquetName,
	depth: 4, // CONFIG/train/label=3/0000.parquet
}

func isParquetName(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".parquet") || strings.HasSuffix(name, ".parq") || strings.HasSuffix(name, ".pq")
}

func openParquet(ctx context.Context, arg string, opt Options) (Source, error) {
	const op = "open parquet"
	glob, columns, err := cutColumns(arg)
	if err != nil {
		return nil, err
	}
	if glob == "" {
		return nil, errs.New(op, "", parquetHint, errs.Because(errs.ErrUsage, "no files are named"))
	}
	set, err := findShards(ctx, parquetShards, glob, opt)
	if err != nil {
		return nil, err
	}
	split, err := opt.shardSplit(op, glob, set.named, nil)
	if err != nil {
		return nil, err
	}
	columns.base = set.root
	set.scan, set.asNamed = columns.scan, true // none is published
	x, err := set.openIndex(ctx, set.kind.scheme, arg, split, opt)
	if err != nil {
		return nil, err
	}
	x.listing = set.survey(x)
	if x.Samples == 0 {
		err := x.nothing("the files hold no rows with an image")
		hint := parquetHint
		if strings.Contains(err.Error(), pathsWithoutBytes) {
			hint = "embed the files: with datasets, ds.with_format(\"arrow\").map(datasets.table.embed_table_storage, batched=True).to_parquet(…)"
		}
		return nil, errs.New(op, arg, hint, err)
	}
	m := &Manifest{Format: "parquet", Split: split, Samples: x.Samples, Shards: x.Shards}
	if m.Reading, err = x.oneReading(op); err != nil {
		return nil, err
	}
	if key, ok := strings.CutSuffix(m.Reading, folderMark); ok { // a folder that all have in common is in no shard's name
		_, key, _ = strings.Cut(key, "&label=")
		for _, part := range columns.partitions(store.Join(set.dir, "x")) {
			if strings.HasPrefix(part, key+"=") {
				m.Reading += part
			}
		}
	}
	if m.Classes, err = set.parquetClasses(ctx, arg, split, x, columns, opt); err != nil {
		return nil, err
	}
	return &parquetSource{
		manifest: m, max: opt.MaxSampleBytes, columns: columns, tables: map[int]*imageTable{},
		shardFiles: newShardFiles(set.dir, x, opt.files, opt.keep(m.Bytes())),
	}, nil
}

// parquetClasses are the class names. Where all files list the same, labels count in
// that list; what other lists mean is sorted out by name.
func (s *shardSet) parquetClasses(ctx context.Context, arg, split string, x *index, columns parquetColumns, opt Options) ([]string, error) {
	first := -1
	for i, names := range x.Classes {
		if x.First[i] == x.First[i+1] {
			continue
		}
		if x.Listed == nil || !x.Listed[i] || first >= 0 && !slices.Equal(names, x.Classes[first]) {
			return s.classes(ctx, arg, split, x, opt)
		}
		first = i
	}
	if first < 0 {
		return nil, nil
	}
	classes := slices.Clone(x.Classes[first])
	if other, err := s.listedOtherwise(ctx, split, classes, columns, opt); other || err != nil {
		if err != nil {
			return nil, err
		}
		return s.classes(ctx, arg, split, x, opt)
	}
	x.Classes = nil
	return classes, x.checkLabels(s.kind.op, classes, "take other labels by ?label=COLUMN, or none by ?label=none", "the footer")
}

// listedOtherwise reports whether a file of another split lists other classes, or the
// same in another order, or has names for labels: then labels of all splits count in one
// list, whichever of them is opened. A file that can't be read is an error: what it
// says would change the numbers of the labels.
func (s *shardSet) listedOtherwise(ctx context.Context, split string, classes []string, columns parquetColumns, opt Options) (bool, error) {
	if err := s.findOthers(ctx, opt.files, split); err != nil {
		return false, err
	}
	var other atomic.Bool
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(opt.Workers)
	for _, p := range s.others {
		g.Go(func() error {
			f, err := openFile(gctx, opt.files, s.kind.op, p, parquetHint)
			if err != nil {
				return err
			}
			defer f.Close()
			t, err := columns.openTable(gctx, f, p)
			if err != nil {
				return err
			}
			named := t.part != "" || t.labels != nil && !t.labels.Numeric()
			if named || len(t.classes) > 0 && !slices.Equal(t.classes, classes) {
				other.Store(true)
			}
			return nil
		})
	}
	err := g.Wait()
	return other.Load(), err
}

// imageTable is the columns of one file that make up a data set.
type imageTable struct {
	rows    int64
	images  *parquet.Column
	paths   *parquet.Column // names of the images, or nil
	labels  *parquet.Column // or nil
	part    string          // the label that a folder's name gives, as in label=3; "" without
	classes []string        // from Hugging Face's metadata; nil without
	reading string          // which columns these are, where they are not the usual ones
	guessed bool            // the image column has no telling name: its first value must be an image
	passed  Survey          // columns that were not taken
}

// openTable reads a file's footer and finds the columns.
func (c parquetColumns) openTable(ctx context.Context, f *file, name string) (*imageTable, error) {
	const op = "read footer"
	p, err := parquet.Open(ctx, shardReader{f, op, f.path}, f.size)
	if err != nil {
		return nil, notParquet(ctx, f, parquetError(op, f.path, contentHint(err), err))
	}
	t, err := c.find(p, name)
	if err != nil {
		return nil, parquetError(op, f.path, contentHint(err), err)
	}
	return t, nil
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

// contentHint is what mends a file that can't be read.
func contentHint(err error) string {
	switch {
	case errors.Is(err, errs.ErrUnsupported):
		return "write the file otherwise, or " + columnsHint
	case errors.Is(err, errs.ErrNotFound):
		return columnsHint
	}
	return "fetch the file again"
}

// notParquet says what a file is that does not end as Parquet files do; err where that
// cannot be seen.
func notParquet(ctx context.Context, f *file, err error) error {
	if !errors.Is(err, errs.ErrCorrupt) || f.size == 0 {
		return err
	}
	head := make([]byte, min(f.size, sniff.HeadBytes))
	if _, rerr := f.ReadAt(ctx, head, 0); rerr != nil || strings.HasPrefix(string(head), "PAR1") {
		return err
	}
	k := sniff.What(head)
	if k.Name == "" {
		return err
	}
	return errs.New("read footer", f.path, cmp.Or(k.Hint, "name Parquet files"), errs.Because(errs.ErrUnsupported, "it is "+k.Name+", no Parquet file"))
}

// scan is a scanner: it hashes a file and lists its rows, with the offset of the page
// that holds each image.
func (c parquetColumns) scan(ctx context.Context, st *store.Store, path string, keep bool, m *meter) (cs *columns, s Shard, seen stamp, err error) {
	const op = "index parquet"
	f, err := openFile(ctx, st, op, path, parquetHint)
	if err != nil {
		return nil, s, seen, err
	}
	defer f.Close()
	f.Keep = keep
	t, err := c.openTable(ctx, f, path) // first: what is no Parquet file need not be hashed
	if err != nil {
		return nil, s, seen, err
	}
	sum, err := f.sum(ctx, op, parquetHint, m, nil)
	if err != nil {
		return nil, s, seen, err
	}
	if t.rows > math.MaxInt32 {
		return nil, s, seen, errs.New(op, path, "split the file", errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d rows", t.rows)))
	}
	if cs, err = t.list(ctx, shardReader{f, "read column", path}); err != nil {
		if ctx.Err() != nil {
			return nil, s, seen, ctx.Err()
		}
		return nil, s, seen, parquetError(op, path, contentHint(err), err)
	}
	return cs, Shard{Bytes: f.size, SHA256: hexSum(sum)}, f.stamp(), nil
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
	if t, err = s.columns.openTable(ctx, f, f.path); err != nil {
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
		return s.after(i, f, parquetError(op, key, changedHint, err))
	}
	values = slices.DeleteFunc(values, func(v []byte) bool { return len(v) == 0 }) // which are no samples
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
