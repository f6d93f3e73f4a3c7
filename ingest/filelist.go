package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// fileListSet is a data set of image files whose splits and labels are given by list
// files, in the form in which it is distributed: the sets of the transfer protocols
// (Table 9) and VOC2007 (Table 11).
//
// Shards are the folders of the images, ids follow the paths bytewise. Unlike a plain
// folder's, a shard's hash includes the labels (labelledSum), so that another split or
// another label gives another digest.
type fileListSet struct {
	scheme  string
	hint    string
	folders []string // sub-folders of DIR in which the official archives unpack
	witness string   // a file or folder that identifies the right one
	splits  []string
	// choices are the parameters of the URI, ?name=value after DIR, with their values;
	// the first is the default. One without values takes a number, 0 by default.
	choices map[string][]string

	// list reads the lists of a split.
	list func(ctx context.Context, l *listReader) (*listing, error)
}

// listing is the contents of the lists of a split.
type listing struct {
	classes []string
	entries []entry
}

// entry is one image of a split.
type entry struct {
	path  string // below the root, '/'-separated
	label int32
	marks []int8 // multi-label sets only; for each class +1, 0 or −1
	from  string // the list that names it, with the line: for messages
}

// MultiLabel is a Source whose images may show several classes. Their Sample.Label is
// NoLabel.
type MultiLabel interface {
	Source

	// Marks says for each class of the manifest whether sample id shows it: +1 for yes,
	// −1 for no, 0 if only in objects marked difficult, which evaluations leave out (as
	// in VOC2007's ImageSets/Main). The slice is shared: do not change it. It is nil
	// for an id out of range.
	Marks(id int64) []int8
}

// fileListSource serves a file-list set: files as a folder's, labels from lists.
type fileListSource struct {
	*folderSource
}

// markedSource is a fileListSource with several labels for each image.
type markedSource struct {
	*fileListSource
	marks   []int8 // n × classes
	classes int
}

func (s *markedSource) Marks(id int64) []int8 {
	if id < 0 || id >= s.Len() {
		return nil
	}
	lo := int(id) * s.classes
	return s.marks[lo : lo+s.classes : lo+s.classes]
}

func (d fileListSet) open(ctx context.Context, place string, opt Options) (Source, error) {
	op := "open " + d.scheme
	split, err := opt.split(d.scheme, d.splits...)
	if err != nil {
		return nil, err
	}
	dir, chosen, err := d.choose(op, place)
	if err != nil {
		return nil, err
	}
	if err := needDir(op, dir, d.hint); err != nil {
		return nil, err
	}
	l := &listReader{dataDir: dataDir{store: opt.files, op: op, hint: d.hint}, split: split, choices: chosen}
	if err := d.root(ctx, l, dir); err != nil {
		return nil, err
	}
	found, err := d.list(ctx, l)
	if err != nil {
		return nil, err
	}
	if len(found.entries) == 0 {
		return nil, errs.New(op, l.root, d.hint, errs.Because(errs.ErrNotFound, "its lists name no image of split "+split))
	}
	slices.SortStableFunc(found.entries, func(a, b entry) int { return comparePaths(a.path, b.path) })
	x, err := indexListing(ctx, &l.dataDir, found)
	if err != nil {
		return nil, err
	}
	cache := openCache(opt, d.scheme, l.root, split+"?"+place[len(dir):])
	stale, same := x.reuseSums(cache.load())
	if !same {
		if err := sumFolder(ctx, l.root, x, stale, opt); err != nil {
			return nil, err
		}
	}
	marks := make([]int8, 0, len(found.entries)*len(found.entries[0].marks))
	for _, e := range found.entries {
		marks = append(marks, e.marks...)
	}
	// Always: the lists may have changed while the files have not.
	for i := range x.Shards {
		x.Shards[i].SHA256 = hexSum(x.labelledSum(i, marks))
	}
	if !same {
		cache.store(x)
	}
	m := &Manifest{Format: d.scheme, Split: split, Samples: x.Samples, Classes: found.classes, Shards: x.Shards}
	src := &fileListSource{newFolderSource(m, l.root, x, opt)}
	if len(marks) > 0 {
		return &markedSource{fileListSource: src, marks: marks, classes: len(found.classes)}, nil
	}
	return src, nil
}

// comparePaths orders folders bytewise, then the names within each.
func comparePaths(a, b string) int {
	if c := strings.Compare(path.Dir(a), path.Dir(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// choose splits DIR?name=value&… into the folder and the choices.
func (d fileListSet) choose(op, place string) (dir string, chosen map[string]string, err error) {
	chosen = map[string]string{}
	for name, values := range d.choices {
		chosen[name] = "0"
		if len(values) > 0 {
			chosen[name] = values[0]
		}
	}
	dir, query, ok := strings.Cut(place, "?")
	if !ok {
		return dir, chosen, nil
	}
	for _, part := range strings.Split(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		values, known := d.choices[name]
		switch {
		case !known:
			return "", nil, errs.New(op, place, d.hint, errs.Because(errs.ErrUsage, fmt.Sprintf("it has no parameter %q", name)))
		case len(values) > 0 && !slices.Contains(values, value):
			return "", nil, errs.New(op, place, "give one of "+strings.Join(values, ", "), errs.Because(errs.ErrUsage, fmt.Sprintf("%s is %q", name, value)))
		case len(values) == 0 && !isDecimal(value):
			return "", nil, errs.New(op, place, "give a number of 0 or more", errs.Because(errs.ErrUsage, fmt.Sprintf("%s is %q", name, value)))
		}
		chosen[name] = value
	}
	return dir, chosen, nil
}

func isDecimal(s string) bool {
	const digits = 9
	return s != "" && len(s) <= digits && strings.Trim(s, "0123456789") == ""
}

// root sets the root of l: DIR or the sub-folder of it that has the witness.
func (d fileListSet) root(ctx context.Context, l *listReader, dir string) error {
	for _, sub := range append([]string{"."}, d.folders...) {
		l.root = store.Join(dir, sub)
		if ok, err := l.has(ctx, d.witness); ok || err != nil {
			return err
		}
	}
	return errs.New(l.op, store.Join(dir, d.witness), d.hint, errs.ErrNotFound)
}

// indexListing finds the listed files: the index without hashes. A listed file that
// is not there is an error that names it and the list.
func indexListing(ctx context.Context, l *dataDir, found *listing) (*index, error) {
	x := newIndex()
	for lo := 0; lo < len(found.entries); {
		dir, hi := path.Dir(found.entries[lo].path), lo
		for hi < len(found.entries) && path.Dir(found.entries[hi].path) == dir {
			hi++
		}
		files, err := l.files(ctx, dir)
		if err != nil {
			// The whole folder is missing: name a list that needs it.
			return nil, l.absent(found.entries[lo], err)
		}
		c, s := &columns{}, Shard{Name: escapeName(dir)}
		for i, e := range found.entries[lo:hi] {
			name := path.Base(e.path)
			f, ok := files[name]
			switch {
			case !ok:
				return nil, l.absent(e, errs.ErrNotFound)
			case i > 0 && found.entries[lo+i-1].path == e.path:
				return nil, errs.New(l.op, store.Join(l.root, e.path), "fetch the lists again",
					errs.Because(errs.ErrCorrupt, fmt.Sprintf("is listed by %s and by %s", found.entries[lo+i-1].from, e.from)))
			case int(e.label) >= len(found.classes):
				return nil, errs.New(l.op, store.Join(l.root, e.path), "fetch the lists again",
					errs.Because(errs.ErrCorrupt, fmt.Sprintf("has label %d of %d classes by %s", e.label, len(found.classes), e.from)))
			case f.size > math.MaxUint32:
				return nil, errs.New(l.op, store.Join(l.root, e.path), "remove it from the lists",
					errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes, over the limit of %d", f.size, uint32(math.MaxUint32))))
			}
			if err := c.addName([]byte(name)); err != nil {
				return nil, errs.New(l.op, l.root, "split it into several", err)
			}
			c.sizes = append(c.sizes, uint32(f.size))
			c.mtimes = append(c.mtimes, f.mtime)
			c.changes = append(c.changes, f.change)
			c.labels = append(c.labels, e.label)
			c.sums = append(c.sums, [sumSize]byte{})
			s.Bytes += f.size
		}
		if err := x.addShard(s, c); err != nil {
			return nil, errs.New(l.op, l.root, "split it into several", err)
		}
		lo = hi
	}
	return x, nil
}

// labelledSum is the SHA-256 of a shard's list with its labels: folderSum's lines, each
// followed by the label (int32) and the marks (a byte for each class).
func (x *index) labelledSum(shard int, marks []int8) [sha256.Size]byte {
	h := sha256.New()
	per := 0
	if x.Samples > 0 {
		per = len(marks) / int(x.Samples)
	}
	var line []byte
	for id := x.First[shard]; id < x.First[shard+1]; id++ {
		line = x.appendSumLine(line[:0], id)
		line = binary.LittleEndian.AppendUint32(line, uint32(x.labels[id]))
		for _, m := range marks[int(id)*per : int(id+1)*per] {
			line = append(line, byte(m))
		}
		h.Write(line)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
