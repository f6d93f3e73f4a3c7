package ingest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"resslt/schemas/errs"
)

// folderRoot is the folder of the split, and the class names: those of all splits
// together, so that a class that one split lacks does not shift labels.
func folderRoot(dir, split string) (root string, classes []string, err error) {
	subs, err := subFolders(dir)
	if err != nil {
		return "", nil, err
	}
	mine, err := chooseSplitFolder(dir, split, subs)
	if err != nil {
		return "", nil, err
	}
	if mine == "" {
		return dir, subs, nil
	}
	for _, s := range subs {
		if !givesClasses(s, mine) {
			continue
		}
		names, err := subFolders(filepath.Join(dir, s))
		if err != nil {
			return "", nil, err
		}
		classes = append(classes, names...)
	}
	slices.Sort(classes)
	return filepath.Join(dir, mine), slices.Compact(classes), nil
}

// subFolders are the sorted names of the folders in dir that are not hidden.
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

// foundFile is a candidate found in a folder.
type foundFile struct {
	name  string // relative to the shard, '/'-separated
	size  int64
	mtime int64
}

// listFolder walks the split's folder: the index without hashes. Shard "." holds the
// images that are in no class folder.
func listFolder(ctx context.Context, root string, classes []string, opt Options) (*index, error) {
	top, err := os.Stat(root)
	if err != nil {
		return nil, fileError("open folder", root, folderHint, err)
	}
	shards := append([]string{"."}, classes...)
	found := make([][]foundFile, len(shards))
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
			// Bytewise by the whole relative path: the order of ids.
			slices.SortFunc(w.found, func(a, b foundFile) int { return strings.Compare(a.name, b.name) })
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
			return nil, errs.New("open folder", filepath.Join(root, shards[i]), "remove the file, or split the data set into several", err)
		}
	}
	return x, nil
}

// walker gathers the images below a folder.
type walker struct {
	ctx   context.Context
	deep  bool // enter sub-folders
	found []foundFile
}

// walk lists dir, whose path relative to the shard is rel. It follows links, except
// to one of the folders above, which would add nothing new.
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
					continue // a dead link that is no candidate
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
				return fileError(op, path, "was it just removed? open the folder again", err)
			}
		}
		if info.Mode().IsRegular() {
			w.found = append(w.found, foundFile{name: rel + name, size: info.Size(), mtime: info.ModTime().UnixNano()})
		}
	}
	return nil
}
