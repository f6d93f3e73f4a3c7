package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// localTree is a folderTree on a disk.
type localTree struct {
	root    string
	store   *store.Store
	workers int
	known   *index // what the cached index has of the root to be listed, nil for nothing
	labels  bool   // images right in the root have labels of a list, and are always listed
}

// path is the place of a folder or file of the tree.
func (t *localTree) path(rel string) string { return filepath.Join(t.root, filepath.FromSlash(rel)) }

func (t *localTree) subs(dir string) ([]string, error) { return subFolders(t.path(dir)) }

func (t *localTree) read(ctx context.Context, file string) ([]byte, error) {
	d := dataDir{store: t.store, op: "open folder", hint: folderHint, root: t.root}
	return d.file(ctx, file)
}

func (t *localTree) loose(ctx context.Context, dir string) ([]foundFile, Survey, error) {
	w := &walker{ctx: ctx, count: t.store.CountListed}
	if err := w.walk(t.path(dir), "", nil); err != nil {
		return nil, nil, err
	}
	return w.found, w.passed.survey(), nil
}

// errFound ends a walk at the first image.
var errFound = errors.New("found")

func (t *localTree) firstImage(ctx context.Context, dir string) (string, error) {
	w := &walker{ctx: ctx, count: t.store.CountListed, deep: true, first: true}
	err := w.walk(t.path(dir), dir+"/", nil)
	if errors.Is(err, errFound) {
		return w.found[0].name, nil
	}
	return "", err
}

func (t *localTree) list(ctx context.Context, root string, classes []string, checked bool) ([]*folderShard, error) {
	top, err := os.Stat(t.path(root))
	if err != nil {
		return nil, fileError("open folder", t.path(root), folderHint, err)
	}
	shards := append([]string{"."}, classes...)
	out, failed := make([]*folderShard, len(shards)), make([]error, len(shards))
	// Of several faults the first in the order of names is reported, as a bucket's listing
	// does, and not whichever was met first: folders after it need not be listed.
	var fault atomic.Int64
	fault.Store(int64(len(shards)))
	var g errgroup.Group
	g.SetLimit(t.workers)
	for i, name := range shards {
		g.Go(func() error {
			if int64(i) > fault.Load() {
				return nil
			}
			if out[i], failed[i] = t.shard(ctx, root, name, top, checked); failed[i] == nil {
				return nil
			}
			for was := fault.Load(); int64(i) < was && !fault.CompareAndSwap(was, int64(i)); was = fault.Load() {
			}
			return nil
		})
	}
	_ = g.Wait() // the faults are in failed
	for _, err := range failed {
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// shard lists a class folder of root; nil where there is none.
func (t *localTree) shard(ctx context.Context, root, name string, top os.FileInfo, checked bool) (*folderShard, error) {
	dir := filepath.Join(t.path(root), name)
	if name != "." || !t.labels {
		if k := t.keep(dir, name, checked); k != nil {
			return &folderShard{kept: k}, nil
		}
	}
	w := &walker{ctx: ctx, count: t.store.CountListed, deep: name != ".", checked: checked}
	var above []os.FileInfo
	if w.deep {
		if is, err := isFolder(dir); !is || err != nil {
			return nil, err // a class of another split
		}
		above = []os.FileInfo{top}
	}
	if err := w.walk(dir, "", above); err != nil {
		return nil, err
	}
	s := &folderShard{found: w.found, passed: w.passed.survey(), folders: w.folders}
	s.sort()
	return s, nil
}

// sort sorts bytewise by the whole relative path: the order of ids.
func (s *folderShard) sort() {
	slices.SortFunc(s.found, func(a, b foundFile) int { return strings.Compare(a.name, b.name) })
}

// subFolders are the sorted names of the folders in dir that are entered.
func subFolders(dir string) ([]string, error) {
	var names []string
	err := readFolder(dir, func(e os.DirEntry) error {
		name := e.Name()
		if passFolder(name) != "" {
			return nil
		}
		is := e.IsDir()
		if e.Type()&os.ModeSymlink != 0 {
			var err error
			if is, err = isFolder(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		if is {
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

// readFolder calls do with the entries of a folder, in no order. They are read in
// blocks: a folder may hold millions.
func readFolder(dir string, do func(os.DirEntry) error) error {
	const block = 4096
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:forbidigo // a folder
	if err != nil {
		return fileError("open folder", dir, folderHint, err)
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(block)
		for _, e := range entries {
			if err := do(e); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fileError("open folder", dir, folderHint, err)
		}
	}
}

// isFolder reports whether there is a folder of that name, perhaps behind links.
func isFolder(path string) (bool, error) {
	info, err := os.Stat(path)
	if leadsNowhere(err) {
		return false, nil
	}
	if err != nil {
		return false, fileError("open folder", path, folderHint, err)
	}
	return info.IsDir(), nil
}

// leadsNowhere reports whether an error says that a link has no end.
func leadsNowhere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENOTDIR)
}

// walker gathers the images below a folder.
type walker struct {
	ctx     context.Context
	count   func() // called for every file that is found
	deep    bool   // enter sub-folders
	checked bool   // refuse folders of several splits beside one another
	first   bool   // end at the first image with errFound
	found   []foundFile
	folders []folderStamp // that were entered
	passed  tally
}

const walkOp = "open folder"

// walk lists dir, whose path relative to the shard is rel. It follows links, except
// to one of the folders above, which would add nothing new.
func (w *walker) walk(dir, rel string, above []os.FileInfo) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fileError(walkOp, dir, folderHint, err)
	}
	if slices.ContainsFunc(above, func(a os.FileInfo) bool { return os.SameFile(a, info) }) {
		w.passed.Add("links to a folder above", strings.TrimSuffix(rel, "/"))
		return nil
	}
	above = append(slices.Clip(above), info)
	w.folders = append(w.folders, folderStampOf(strings.TrimSuffix(rel, "/"), info))
	var subs []string
	if err := readFolder(dir, func(e os.DirEntry) error {
		isDir, err := w.entry(dir, rel, e)
		if isDir {
			subs = append(subs, e.Name())
		}
		return err
	}); err != nil {
		return err
	}
	slices.Sort(subs)
	if one, other, ok := severalSplits(subs); ok && w.checked {
		return splitsInside(dir, one, other)
	}
	if !w.deep {
		return nil // they are classes
	}
	for _, name := range subs {
		if err := w.walk(filepath.Join(dir, name), rel+name+"/", above); err != nil {
			return err
		}
	}
	return nil
}

// splitsInside is the error of splits below the folders that are taken for classes.
func splitsInside(dir, one, other string) error {
	return errs.New(walkOp, dir, "open folder:"+dir+" if it is the data set; if these are no splits, say which folder is: --split train=., or ?train=. in the data URI, takes all of the data set's",
		errs.Because(errs.ErrUsage, fmt.Sprintf("folders %s and %s are splits by their names, inside a class", one, other)))
}

// entry looks at one entry of a folder: an image is found, anything else but a folder
// is passed over.
func (w *walker) entry(dir, rel string, e os.DirEntry) (isDir bool, err error) {
	name, where := e.Name(), filepath.Join(dir, e.Name())
	pass := passFile(name)
	var info os.FileInfo
	isDir = e.IsDir()
	if e.Type()&os.ModeSymlink != 0 {
		info, err = os.Stat(where)
		switch {
		case leadsNowhere(err) && pass == "":
			return false, fileError(walkOp, where, "fix or remove the link, which leads nowhere", fs.ErrNotExist)
		case leadsNowhere(err):
			w.passed.Add("links that lead nowhere", rel+name)
			return false, nil
		case err != nil:
			return false, fileError(walkOp, where, folderHint, err)
		}
		isDir = info.IsDir()
	}
	if isDir {
		if reason := passFolder(name); reason != "" {
			w.passed.Add(reason, rel+name)
			return false, nil
		}
		return true, nil
	}
	if info == nil && (pass == "" || !e.Type().IsRegular()) {
		if info, err = e.Info(); err != nil {
			return false, fileError(walkOp, where, "was it just removed? open the folder again", err)
		}
	}
	switch {
	case info != nil && !info.Mode().IsRegular():
		w.passed.Add(passSpecial, rel+name)
	case pass != "":
		w.passed.Add(pass, rel+name)
	case info.Size() == 0:
		w.passed.Add(passEmpty, rel+name)
	default:
		w.count()
		w.found = append(w.found, foundFile{name: rel + name, size: info.Size(), mtime: info.ModTime().UnixNano(), change: store.Change(info)})
		if w.first {
			return false, errFound
		}
	}
	return false, nil
}

const (
	passEmpty   = "empty files (0 bytes)"
	passSpecial = "pipes, sockets and devices"
)

// tally counts what is passed over in one shard, where that may be many things.
type tally map[string]*PassedOver

func (t *tally) Add(reason, name string) {
	reason, name = escapeName(reason), escapeName(name)
	if *t == nil {
		*t = tally{}
	}
	if p := (*t)[reason]; p != nil {
		p.Count++
		p.First = min(p.First, name)
		return
	}
	(*t)[reason] = &PassedOver{Reason: reason, Count: 1, First: name}
}

// survey is the tally in order. Extensions are named one by one up to a bound: names may
// be anything.
func (t tally) survey() Survey {
	const most = 64
	var s Survey
	reasons := make([]string, 0, len(t))
	for r := range t {
		reasons = append(reasons, r)
	}
	slices.Sort(reasons)
	for i, r := range reasons {
		p := *t[r]
		if i >= most {
			p.Reason = passOther
		}
		s.Merge("", Survey{p})
	}
	return s
}

var _ folderTree = (*localTree)(nil)
