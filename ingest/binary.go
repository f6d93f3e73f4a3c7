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

// binarySet is a data set of files without headers, of rows of one size: CIFAR and
// STL-10. Without a header, only the exact size identifies a file.
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

// binaryFile is the layout of one file.
type binaryFile struct {
	name   string
	images int64 // rows: exactly so many
	head   int64 // bytes before the pixels of each row
	label  int64 // which of them is the label; unused if head is 0

	// A file of labels only, a byte for each image, counted from labelBase.
	labels    string
	labelBase byte
}

func (d binarySet) open(ctx context.Context, dir string, opt Options) (Source, error) {
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
	l := &binaryLoader{set: d, op: op, root: root, opt: opt, m: &Manifest{Format: d.scheme, Split: split}}
	if err := l.load(ctx, files); err != nil {
		_ = closeAll(l.open) // err is the one to report
		return nil, err
	}
	src := newRawSource(l.m, l.parts, l.open)
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

// binaryLoader opens the files of one split: it checks their sizes, hashes them and
// gathers the labels.
type binaryLoader struct {
	set      binarySet
	op, root string
	opt      Options

	m     *Manifest // gets the shards
	parts []part    // one for each file of images
	open  []*file   // the files of images, then those of labels
}

func (l *binaryLoader) load(ctx context.Context, files []binaryFile) error {
	d := l.set
	var total int64
	for _, b := range files {
		stride := b.head + int64(d.shape.bytes())
		f, err := l.file(ctx, b.name, b.images*stride)
		if err != nil {
			return err
		}
		total += f.size
		l.parts = append(l.parts, part{
			name: b.name, path: f.path, count: b.images, r: f,
			base: b.head, stride: stride, shape: d.shape,
		})
	}
	progress := newMeter(l.opt.Progress, total)
	for i, b := range files {
		f, p := l.open[i], &l.parts[i]
		var column *labelColumn
		if b.head > 0 {
			column = &labelColumn{stride: p.stride, at: b.label}
		}
		sum, err := d.sum(ctx, l.op, f, column, progress, l.opt)
		if err != nil {
			return err
		}
		l.m.Shards = append(l.m.Shards, Shard{Name: b.name, Bytes: f.size, SHA256: sum, Samples: b.images})
		if column != nil {
			p.labels = column.labels
		}
		if b.labels != "" {
			if p.labels, err = l.labels(ctx, b); err != nil {
				return err
			}
		}
		if p.labels != nil {
			l.m.Classes = d.classes
			if err := checkLabels(l.op, f.path, "fetch the file again", p.labels, len(d.classes)); err != nil {
				return err
			}
		}
	}
	return nil
}

// file opens a file, whose exact size is known.
func (l *binaryLoader) file(ctx context.Context, name string, size int64) (*file, error) {
	path := store.Join(l.root, name)
	f, err := openFile(ctx, l.opt.files, l.op, path, l.set.hint)
	if err != nil {
		return nil, err
	}
	f.Keep = true // it is hashed, then read in any order
	l.open = append(l.open, f)
	if f.size != size {
		return nil, errs.New(l.op, path, "fetch the file again",
			errs.Because(errs.ErrCorrupt, fmt.Sprintf("has %d bytes, want %d", f.size, size)))
	}
	return f, nil
}

// labels reads the labels of b from the file that has them.
func (l *binaryLoader) labels(ctx context.Context, b binaryFile) ([]byte, error) {
	f, err := l.file(ctx, b.labels, b.images)
	if err != nil {
		return nil, err
	}
	column := &labelColumn{stride: 1}
	sum, err := f.sum(ctx, l.op, l.set.hint, newMeter(nil, 0), column)
	if err != nil {
		return nil, err
	}
	l.m.Shards = append(l.m.Shards, Shard{Name: b.labels, Bytes: f.size, SHA256: hexSum(sum)})
	for i := range column.labels {
		column.labels[i] -= b.labelBase // below the base it wraps to 255, which checkLabels refuses
	}
	return column.labels, nil
}

// root is DIR or the sub-folder of it that has the file.
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

// cachedSumBytes is the size from which on a file's hash is cached. Smaller files are
// hashed in less time than a process takes to start.
const cachedSumBytes = 512 << 20

// sum hashes a file and gathers its labels. Large files without labels (STL-10's 2.7 GB
// of unlabelled images) are hashed once and then recognised by size and time.
func (d binarySet) sum(ctx context.Context, op string, f *file, column *labelColumn, m *meter, opt Options) (string, error) {
	if column != nil {
		sum, err := f.sum(ctx, op, d.hint, m, column)
		return hexSum(sum), err
	}
	if f.size < cachedSumBytes {
		sum, err := f.sum(ctx, op, d.hint, m, nil)
		return hexSum(sum), err
	}
	cache := openCache(opt, "file", f.path, "")
	now := f.stamp()
	if old := cache.load(); old != nil && len(old.Stamps) == 1 && old.trusts(now, old.Stamps[0]) && len(old.Shards) == 1 {
		m.add(f.size)
		cache.renew(old, now)
		return old.Shards[0].SHA256, nil
	}
	x := newIndex()
	sum, err := f.sum(ctx, op, d.hint, m, nil)
	if err != nil {
		return "", err
	}
	// An index without samples, for the hash and stamp of its one shard.
	if err := x.addShard(Shard{Name: store.Base(f.path), Bytes: f.size, SHA256: hexSum(sum)}, &columns{}); err != nil {
		return "", err
	}
	x.Stamps = []stamp{now}
	cache.store(x)
	return hexSum(sum), nil
}
