package ingest

import (
	"context"
	"fmt"
	"math"
	"path"
	"slices"
	"sort"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// remoteTree is a folderTree in a bucket: one listing of everything below the folder. It
// is what the same files are on a disk, but for folders without files, which a bucket
// cannot hold.
type remoteTree struct {
	root  string
	store *store.Store
	files []store.Info // sorted by name
}

func listRemote(ctx context.Context, dir string, opt Options) (*remoteTree, error) {
	found, err := opt.files.List(ctx, dir)
	if err != nil {
		return nil, fileError(walkOp, dir, folderHint, err)
	}
	return &remoteTree{root: dir, store: opt.files, files: found}, nil
}

// below calls do with the names of the files below a folder, relative to it, in order,
// until it returns false.
func (t *remoteTree) below(dir string, do func(name string, f store.Info) bool) {
	prefix := ""
	if dir != "." {
		prefix = dir + "/"
	}
	i := sort.Search(len(t.files), func(i int) bool { return t.files[i].Name >= prefix })
	for ; i < len(t.files) && strings.HasPrefix(t.files[i].Name, prefix); i++ {
		if !do(t.files[i].Name[len(prefix):], t.files[i]) {
			return
		}
	}
}

func (t *remoteTree) subs(dir string) ([]string, error) {
	var names []string
	there := false
	t.below(dir, func(name string, _ store.Info) bool {
		there = true
		top, _, below := strings.Cut(name, "/")
		if below && passFolder(top) == "" && (len(names) == 0 || names[len(names)-1] != top) {
			names = append(names, top)
		}
		return true
	})
	if !there && dir != "." {
		return nil, errs.New(walkOp, store.Join(t.root, dir), folderHint, errs.ErrNotFound)
	}
	slices.Sort(names) // "a/" and "a-b/" come the other way round
	return slices.Compact(names), nil
}

func (t *remoteTree) firstImage(_ context.Context, dir string) (string, error) {
	image := ""
	t.below(dir, func(name string, f store.Info) bool {
		if isCandidate(name) && f.Size > 0 {
			image = dir + "/" + name
		}
		return image == ""
	})
	return image, nil
}

func (t *remoteTree) read(ctx context.Context, file string) ([]byte, error) {
	i := sort.Search(len(t.files), func(i int) bool { return t.files[i].Name >= file })
	if i == len(t.files) || t.files[i].Name != file {
		return nil, errs.New(walkOp, store.Join(t.root, file), folderHint, errs.ErrNotFound)
	}
	return dataDir{store: t.store, op: walkOp, hint: folderHint, root: t.root}.file(ctx, file)
}

func (t *remoteTree) loose(_ context.Context, dir string) ([]foundFile, Survey, error) {
	s, err := t.shard(dir, false, false)
	if err != nil || s == nil {
		return nil, nil, err
	}
	return s.found, s.passed, nil
}

func (t *remoteTree) list(ctx context.Context, root string, classes []string, checked bool) ([]*folderShard, error) {
	out := make([]*folderShard, 1+len(classes))
	for i, class := range append([]string{"."}, classes...) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, err := t.shard(path.Join(root, class), i > 0, checked)
		if err != nil {
			return nil, err
		}
		out[i] = s
	}
	return out, nil
}

// shard lists a folder as the walker does on a disk; nil where there is none.
func (t *remoteTree) shard(dir string, deep, checked bool) (*folderShard, error) {
	s, passed := &folderShard{}, tally{}
	subs := map[string][]string{} // of each folder below
	left := ""                    // a folder that is not entered
	there := false
	t.below(dir, func(name string, f store.Info) bool {
		there = true
		if left != "" && strings.HasPrefix(name, left) {
			return true
		}
		in, base := path.Split(name)
		for at, rest := 0, in; rest != ""; {
			sub, tail, _ := strings.Cut(rest, "/")
			up := name[:at]
			at, rest = at+len(sub)+1, tail
			if reason := passFolder(sub); reason != "" {
				passed.Add(reason, up+sub)
				left = name[:at]
				return true
			}
			if of := subs[up]; len(of) == 0 || of[len(of)-1] != sub {
				subs[up] = append(of, sub)
			}
			if !deep {
				return true // a class
			}
		}
		pass := passFile(base)
		switch {
		case base == "": // some tools mark a folder by an empty file named as it
		case pass != "":
			passed.Add(pass, name)
		case f.Size == 0:
			passed.Add(passEmpty, name)
		default:
			s.found = append(s.found, foundFile{name: name, size: f.Size, mtime: f.MTime})
		}
		return true
	})
	if !there {
		return nil, nil
	}
	for _, up := range sortedKeys(subs) {
		of := subs[up]
		slices.Sort(of)
		if one, other, ok := severalSplits(slices.Compact(of)); ok && checked {
			return nil, splitsInside(store.Join(t.root, dir, up), one, other)
		}
	}
	s.passed = passed.survey()
	return s, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// addFolder appends a class folder of files in bytewise order, without their hashes.
// labels are those of single files; the others have the folder's.
func (x *index) addFolder(name string, of *folderShard, label int32, labels map[string]int32) error {
	c, s := &columns{passed: of.passed}, Shard{Name: escapeName(name)}
	for _, f := range of.found {
		if f.size > math.MaxUint32 {
			return errs.Because(errs.ErrTooLarge, fmt.Sprintf("%s has %d bytes", f.name, f.size))
		}
		if err := c.addName([]byte(f.name)); err != nil {
			return err
		}
		own := label
		if l, ok := labels[f.name]; ok && name == "." {
			own = l
		}
		c.sizes = append(c.sizes, uint32(f.size))
		c.mtimes = append(c.mtimes, f.mtime)
		c.changes = append(c.changes, f.change)
		c.labels = append(c.labels, own)
		c.sums = append(c.sums, [sumSize]byte{})
		s.Bytes += f.size
	}
	return x.addShard(s, c)
}
