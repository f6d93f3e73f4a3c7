package ingest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// binarySet is a data set of headerless files of equal-sized records: CIFAR and
// STL-10. Without a header, the exact size is the only check of what a file is.
type binarySet struct {
	scheme  string
	folders []string // sub-folders of DIR in which the official archives unpack
	hint    string
	classes []string
	shape   imageShape
	splits  []binarySplit
}

// binarySplit lists the files of a split in order.
type binarySplit struct {
	name  string
	files []binaryFile
}

// binaryFile says how one file is laid out.
type binaryFile struct {
	name    string
	records int64 // exactly
	head    int64 // bytes before the pixels of each record
	label   int64 // which of them is the label; unused if head is 0

	// A file of labels alone, one byte a record, counted from labelBase.
	labels    string
	labelBase byte
}

func (d binarySet) open(ctx context.Context, dir string, opt Options) (_ Source, err error) {
	op := "open " + d.scheme
	var names []string
	for _, s := range d.splits {
		names = append(names, s.name)
	}
	split, err := opt.split(d.scheme, names...)
	if err != nil {
		return nil, err
	}
	if err := needDir(op, dir, d.hint); err != nil {
		return nil, err
	}
	files := d.splits[slices.Index(names, split)].files
	root, err := d.root(ctx, opt.files, op, dir, files[0].name)
	if err != nil {
		return nil, err
	}

	var open []*file
	defer func() {
		if err != nil {
			closeAll(open) // err is the one to tell
		}
	}()
	load := func(name string, want int64) (*file, error) {
		path := store.Join(root, name)
		f, err := openFile(ctx, opt.files, op, path, d.hint)
		if err != nil {
			return nil, err
		}
		f.Keep = true // it is hashed, then read at random
		open = append(open, f)
		if f.size != want {
			return nil, errs.New(op, path, "fetch the file anew",
				errs.Because(errs.ErrCorrupt, fmt.Sprintf("has %d bytes, want %d", f.size, want)))
		}
		return f, nil
	}
	m := &Manifest{Format: d.scheme, Split: split}
	var parts []part
	var total int64
	stride := func(b binaryFile) int64 { return b.head + int64(d.shape.bytes()) }
	for _, b := range files {
		f, err := load(b.name, b.records*stride(b))
		if err != nil {
			return nil, err
		}
		total += f.size
		parts = append(parts, part{
			name: b.name, path: f.path, count: b.records, r: f,
			base: b.head, stride: stride(b), shape: d.shape,
		})
	}
	progress := newMeter(opt.Progress, total)
	for i, b := range files {
		f := open[i] // load appends in this order
		var column *labelColumn
		if b.head > 0 {
			column = &labelColumn{stride: stride(b), at: b.label}
		}
		sum, err := d.sum(ctx, op, f, column, progress, opt)
		if err != nil {
			return nil, err
		}
		m.Shards = append(m.Shards, Shard{Name: b.name, Bytes: f.size, SHA256: sum, Samples: b.records})
		if column != nil {
			parts[i].labels = column.labels
		}
		if b.labels != "" {
			lf, err := load(b.labels, b.records)
			if err != nil {
				return nil, err
			}
			column := &labelColumn{stride: 1}
			sum, err := lf.sum(ctx, op, d.hint, newMeter(nil, 0), column)
			if err != nil {
				return nil, err
			}
			m.Shards = append(m.Shards, Shard{Name: b.labels, Bytes: lf.size, SHA256: hexSum(sum)})
			for j := range column.labels {
				column.labels[j] -= b.labelBase // below the base wraps to 255, which checkLabels refuses
			}
			parts[i].labels = column.labels
		}
		if parts[i].labels != nil {
			m.Classes = d.classes
			if err := checkLabels(op, f.path, "fetch the file anew", parts[i].labels, len(d.classes)); err != nil {
				return nil, err
			}
		}
	}
	src := newRecordSource(m, parts, open)
	src.store = opt.files
	src.resum = func(ctx context.Context, i int, m *meter) (string, error) {
		f, err := openFile(ctx, opt.files, "verify "+d.scheme, store.Join(root, src.manifest.Shards[i].Name), d.hint)
		if err != nil {
			return "", err
		}
		defer f.Close()
		sum, err := f.sum(ctx, "verify "+d.scheme, d.hint, m, nil)
		return hexSum(sum), err
	}
	return src, nil
}

// root is DIR or the sub-folder of it that holds the file.
func (d binarySet) root(ctx context.Context, st *store.Store, op, dir, name string) (string, error) {
	for _, sub := range append([]string{"."}, d.folders...) {
		root := store.Join(dir, sub)
		_, err := st.Stat(ctx, store.Join(root, name))
		if err == nil {
			return root, nil
		}
		if err = fileError(op, store.Join(root, name), d.hint, err); !errors.Is(err, errs.ErrNotFound) {
			return "", err
		}
	}
	hint := d.hint
	for _, sub := range d.folders {
		if py := strings.Replace(sub, "-binary", "-python", 1); py != sub && hasDir(filepath.Join(dir, py)) {
			hint = "that is the Python version; " + hint
		}
		if strings.HasSuffix(sub, "-batches-bin") && hasDir(filepath.Join(dir, strings.TrimSuffix(sub, "bin")+"py")) {
			hint = "that is the Python version; " + hint
		}
	}
	return "", errs.New(op, store.Join(dir, name), hint, errs.ErrNotFound)
}

// cachedSumBytes is the size from which a file's hash is kept between opens.
// Below it, hashing takes less than the start of a process.
const cachedSumBytes = 512 << 20

// sum hashes a file and gathers its labels. Large files without labels (STL-10's
// 2.7 GB of unlabelled images) are hashed once and then known by size and time.
func (d binarySet) sum(ctx context.Context, op string, f *file, column *labelColumn, m *meter, opt Options) (string, error) {
	if column != nil {
		sum, err := f.sum(ctx, op, d.hint, m, column)
		return hexSum(sum), err
	}
	if f.size < cachedSumBytes {
		sum, err := f.sum(ctx, op, d.hint, m, nil)
		return hexSum(sum), err
	}
	cache, err := openCache(opt, "file", f.path, "")
	if err != nil {
		return "", err
	}
	now := f.stamp()
	if old := cache.load(); old != nil && len(old.Stamps) == 1 && old.trusts(now, old.Stamps[0]) && len(old.Shards) == 1 {
		m.add(f.size)
		return old.Shards[0].SHA256, nil
	}
	x := newIndex()
	sum, err := f.sum(ctx, op, d.hint, m, nil)
	if err != nil {
		return "", err
	}
	// An index of a file whose samples need none: a shard, its hash and its time.
	if err := x.addShard(Shard{Name: store.Base(f.path), Bytes: f.size, SHA256: hexSum(sum)}, &columns{}); err != nil {
		return "", err
	}
	x.Stamps = []stamp{now}
	return hexSum(sum), cache.store(x)
}
