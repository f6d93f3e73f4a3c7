package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// folderSource serves image files from a tree of folders.
//
//	DIR/cat/0001.jpg        one sub-folder a class; deeper folders belong to it
//	DIR/dog/x/0002.PNG
//	DIR/0003.webp           beside or without class folders: a sample without label
//	DIR/train/cat/0001.jpg  where all sub-folders have names of splits, they are splits
//
// Candidates are chosen by extension; whether a file is an image is found out by
// whoever decodes it. Hidden files and folders are passed over. Labels are places
// in the sorted list of class folders, of all splits together.
type folderSource struct {
	manifest *Manifest
	root     string
	x        *index
	max      int64
	store    *store.Store
	keep     bool // remote files are fetched into the cache
	closed   atomic.Bool
}

const folderHint = "name a folder of JPEG, PNG or WebP files"

// splitFolders gives the names that a split's folder can have.
var splitFolders = map[string][]string{
	Train:     {"train", "training"},
	Test:      {"test", "val", "validation", "testing"},
	Val:       {"val", "validation"},
	Unlabeled: {"unlabeled", "unlabelled"},
}

func openFolder(ctx context.Context, dir string, opt Options) (Source, error) {
	const op = "open folder"
	split, err := opt.split("folder", Train, Test, Val, Unlabeled)
	if err != nil {
		return nil, err
	}
	if err := needDir(op, dir, folderHint); err != nil {
		return nil, err
	}
	var root string
	var classes []string
	var x *index
	if store.Remote(dir) {
		root, classes, x, err = listPrefix(ctx, dir, split, opt)
	} else {
		if root, classes, err = folderRoot(dir, split); err == nil {
			x, err = listFolder(ctx, root, classes, opt)
		}
	}
	if err != nil {
		return nil, err
	}
	if x.Samples == 0 {
		return nil, errs.New(op, root, folderHint,
			errs.Because(errs.ErrNotFound, "no file ends in "+strings.Join(imageExtensions, ", ")))
	}
	cache, err := openCache(opt, "folder", root, split)
	if err != nil {
		return nil, err
	}
	old := cache.load()
	stale, same := x.reuseSums(old)
	if !same {
		if err := sumFolder(ctx, root, x, stale, opt); err != nil {
			return nil, err
		}
		if err := cache.store(x); err != nil {
			return nil, err
		}
	}
	m := &Manifest{Format: "folder", Split: split, Samples: x.Samples, Classes: classes, Shards: x.Shards}
	return newFolderSource(m, root, x, opt), nil
}

func newFolderSource(m *Manifest, root string, x *index, opt Options) *folderSource {
	if !store.Remote(root) {
		x.mtimes = nil // of no further use
	}
	return &folderSource{manifest: m, root: root, x: x, max: opt.MaxSampleBytes, store: opt.files, keep: opt.files.Fits(m.Bytes())}
}

// folderRoot is the folder of the split, and the class names: those of all
// splits together, so that a class absent from one does not shift labels.
func folderRoot(dir, split string) (root string, classes []string, err error) {
	subs, err := subFolders(dir)
	if err != nil {
		return "", nil, err
	}
	if len(subs) == 0 || slices.ContainsFunc(subs, func(s string) bool { return !isSplitFolder(s) }) {
		if split != Train {
			return "", nil, errs.New("open folder", dir, fmt.Sprintf("make a sub-folder %s, or leave the split out", strings.Join(splitFolders[split], " or ")),
				errs.Because(errs.ErrNotFound, "has no split "+split))
		}
		return dir, subs, nil
	}
	for _, name := range splitFolders[split] {
		if slices.Contains(subs, name) {
			root = filepath.Join(dir, name)
			break
		}
	}
	if root == "" {
		return "", nil, errs.New("open folder", dir, "give one of its splits: "+strings.Join(subs, ", "),
			errs.Because(errs.ErrNotFound, "has no split "+split))
	}
	for _, s := range subs {
		if slices.Contains(splitFolders[Unlabeled], s) && filepath.Base(root) != s {
			continue // its folders, if any, are no classes
		}
		names, err := subFolders(filepath.Join(dir, s))
		if err != nil {
			return "", nil, err
		}
		classes = append(classes, names...)
	}
	slices.Sort(classes)
	return root, slices.Compact(classes), nil
}

// subFolders are the names of the folders in dir that are not hidden, sorted.
func subFolders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fileError("open folder", dir, folderHint, err)
	}
	var names []string
	for _, e := range entries {
		if hidden(e.Name()) {
			continue
		}
		if e.IsDir() || e.Type()&os.ModeSymlink != 0 && hasDir(filepath.Join(dir, e.Name())) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

var imageExtensions = []string{".jpg", ".jpeg", ".png", ".webp"}

func isImageName(name string) bool {
	return slices.Contains(imageExtensions, strings.ToLower(filepath.Ext(name)))
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// listed is a file found by walking.
type listed struct {
	name  string // relative to the shard, '/'-separated
	size  int64
	mtime int64
}

// listFolder walks the split's folder: the index without sums. Shard "." holds
// the images beside the class folders.
func listFolder(ctx context.Context, root string, classes []string, opt Options) (*index, error) {
	top, err := os.Stat(root)
	if err != nil {
		return nil, fileError("open folder", root, folderHint, err)
	}
	shards := append([]string{"."}, classes...)
	found := make([][]listed, len(shards))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(opt.Workers)
	for i, name := range shards {
		g.Go(func() error {
			dir := filepath.Join(root, name)
			if name != "." && !hasDir(dir) {
				return nil // a class of another split
			}
			w := &walker{ctx: gctx, deep: name != "."}
			var above []os.FileInfo
			if w.deep {
				above = []os.FileInfo{top}
			}
			if err := w.walk(dir, "", above); err != nil {
				return err
			}
			// Bytewise by the whole relative path: the order that ids follow.
			slices.SortFunc(w.found, func(a, b listed) int { return strings.Compare(a.name, b.name) })
			found[i] = w.found
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	x := newIndex()
	for i, files := range found {
		if len(files) == 0 {
			continue
		}
		// Shard "." comes first: its label is -1, NoLabel.
		if err := x.addFolder(shards[i], files, int32(i-1)); err != nil {
			return nil, errs.New("open folder", filepath.Join(root, shards[i]), "remove the file, or split the set in several", err)
		}
	}
	return x, nil
}

// walker gathers the images below a folder.
type walker struct {
	ctx   context.Context
	deep  bool // go into sub-folders
	found []listed
}

// walk lists dir, whose name relative to the shard is rel. Links are followed. A
// link back to one of the folders above adds nothing new and is passed over.
func (w *walker) walk(dir, rel string, above []os.FileInfo) error {
	const op = "open folder"
	if err := w.ctx.Err(); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fileError(op, dir, folderHint, err)
	}
	if slices.ContainsFunc(above, func(a os.FileInfo) bool { return os.SameFile(a, info) }) {
		return nil
	}
	above = append(slices.Clip(above), info)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fileError(op, dir, folderHint, err)
	}
	for _, e := range entries {
		name := e.Name()
		if hidden(name) {
			continue
		}
		path := filepath.Join(dir, name)
		isDir, link := e.IsDir(), e.Type()&os.ModeSymlink != 0
		if !isDir && !link && !isImageName(name) {
			continue
		}
		var info os.FileInfo
		if link {
			if info, err = os.Stat(path); err != nil {
				if !isImageName(name) {
					continue // a dead link that was no candidate
				}
				return fileError(op, path, "fix or remove the dead link", err)
			}
			isDir = info.IsDir()
		}
		if isDir {
			if w.deep {
				if err := w.walk(path, rel+name+"/", above); err != nil {
					return err
				}
			}
			continue
		}
		if !isImageName(name) {
			continue
		}
		if info == nil {
			if info, err = e.Info(); err != nil {
				return fileError(op, path, "was it removed meanwhile? open the folder anew", err)
			}
		}
		if info.Mode().IsRegular() {
			w.found = append(w.found, listed{name: rel + name, size: info.Size(), mtime: info.ModTime().UnixNano()})
		}
	}
	return nil
}

// reuseSums takes over from an older index the sums of files that are unchanged,
// and lists the samples whose sums are still to be found. same: the older index
// lists just these files, so its shards' sums hold too and are taken over.
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
			name := x.name(id)
			for j < end && old.name(j) < name {
				j++
			}
			if j < end && old.name(j) == name && old.trusts(
				stamp{Size: int64(x.sizes[id]), MTime: x.mtimes[id]}, stamp{Size: int64(old.sizes[j]), MTime: old.mtimes[j]}) {
				x.sums[id] = old.sums[j]
			} else {
				stale = append(stale, id)
			}
		}
	}
	if len(stale) > 0 || old == nil || old.Samples != x.Samples || !slices.Equal(old.First, x.First) {
		return stale, false
	}
	for i := range x.Shards {
		x.Shards[i].SHA256 = old.Shards[i].SHA256
	}
	return nil, true
}

// sumFolder hashes the files in stale, then every shard's list.
func sumFolder(ctx context.Context, root string, x *index, stale []int64, opt Options) error {
	var total int64
	for _, id := range stale {
		total += int64(x.sizes[id])
	}
	m := newMeter(opt.Progress, total)
	g, gctx := errgroup.WithContext(ctx)
	// A block of files a goroutine: small files are hashed faster than started.
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

// sumSample hashes one file, which must have the size it was listed with.
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

const changedHint = "the data was changed after it was opened: open it anew, as other data"

func (x *index) openSample(ctx context.Context, st *store.Store, op, root string, id int64) (*file, error) {
	path := store.Join(root, x.Shards[x.shardOf(id)].Name, x.name(id))
	if store.Remote(path) { // listed just before: no need to ask once more
		f, err := st.OpenAs(ctx, store.Info{Name: path, Size: int64(x.sizes[id]), MTime: x.mtimes[id]})
		if err != nil {
			return nil, fileError(op, path, changedHint, err)
		}
		return &file{File: f, path: path, size: f.Size}, nil
	}
	f, err := openFile(ctx, st, op, path, changedHint)
	if err != nil {
		return nil, err
	}
	if f.size != int64(x.sizes[id]) {
		f.Close()
		return nil, errs.New(op, path, changedHint,
			errs.Because(errs.ErrMismatch, fmt.Sprintf("has %d bytes, was listed with %d", f.size, x.sizes[id])))
	}
	return f, nil
}

func (s *folderSource) Manifest() *Manifest { return s.manifest }
func (s *folderSource) Len() int64          { return s.manifest.Samples }

func (s *folderSource) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.store.Close() // files are open only while they are read
}

func (s *folderSource) Read(ctx context.Context, id int64, dst *schemas.Sample) error {
	if err := checkID(ctx, s.manifest, s.closed.Load(), id); err != nil {
		return err
	}
	shard := s.x.Shards[s.x.shardOf(id)].Name
	key := s.x.name(id)
	if shard != "." {
		key = shard + "/" + key
	}
	size := int64(s.x.sizes[id])
	if size > s.max {
		return tooLarge(store.Join(s.root, key), size, s.max)
	}
	f, err := s.x.openSample(ctx, s.store, "read sample", s.root, id)
	if err != nil {
		return err
	}
	defer f.Close()
	f.Keep = s.keep
	dst.Data = sized(dst.Data, int(size))
	if _, err := f.ReadAt(ctx, dst.Data, 0); err != nil {
		return fileError("read sample", f.path, changedHint, err)
	}
	*dst = schemas.Sample{ID: id, Key: key, Label: s.x.labels[id], Encoding: schemas.Encoded, Data: dst.Data}
	return nil
}

func tooLarge(where string, size, most int64) error {
	return errs.New("read sample", where, "raise MaxSampleBytes if it is to be trusted",
		errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes, over the cap of %d", size, most)))
}

// sortDamage puts reports in the order of the shards.
func sortDamage(d []Damage) {
	sort.SliceStable(d, func(i, j int) bool { return d[i].order < d[j].order })
}
