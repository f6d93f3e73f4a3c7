package ingest

import (
	"context"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// listPrefix lists a remote folder by one listing of everything below it. It finds what
// folderRoot and listFolder find on a disk.
func listPrefix(ctx context.Context, dir, split string, opt Options) (root string, classes []string, x *index, err error) {
	const op = "open folder"
	found, err := opt.files.List(ctx, dir)
	if err != nil {
		return "", nil, nil, fileError(op, dir, folderHint, err)
	}
	found = slices.DeleteFunc(found, func(f store.Info) bool {
		return !isCandidate(f.Name)
	})
	var subs []string
	for _, f := range found {
		if top, _, below := strings.Cut(f.Name, "/"); below {
			subs = append(subs, top)
		}
	}
	slices.Sort(subs)
	mine, err := chooseSplitFolder(dir, split, slices.Compact(subs))
	if err != nil {
		return "", nil, nil, err
	}
	if root = dir; mine != "" {
		root = store.Join(dir, mine)
	}

	// Class names are those of all splits together, as on a disk.
	shards := map[string][]foundFile{}
	for _, f := range found {
		name := f.Name
		if mine != "" {
			top, below, _ := strings.Cut(name, "/")
			if !givesClasses(top, mine) {
				continue
			}
			name = below
			if class, _, ok := strings.Cut(name, "/"); ok {
				classes = append(classes, class)
			}
			if top != mine {
				continue
			}
		}
		class, file, ok := strings.Cut(name, "/")
		if !ok {
			class, file = ".", name
		} else if mine == "" {
			classes = append(classes, class)
		}
		shards[class] = append(shards[class], foundFile{name: file, size: f.Size, mtime: f.MTime})
	}
	slices.Sort(classes)
	classes = slices.Compact(classes)
	x = newIndex()
	for i, class := range append([]string{"."}, classes...) {
		if len(shards[class]) == 0 {
			continue
		}
		if err := x.addFolder(class, shards[class], int32(i-1)); err != nil {
			return "", nil, nil, errs.New(op, path.Join(root, class), "split it into several", err)
		}
	}
	return root, classes, x, nil
}

// addFolder appends a class folder of files in bytewise order, without their hashes.
func (x *index) addFolder(name string, files []foundFile, label int32) error {
	c, s := &columns{}, Shard{Name: name}
	for _, f := range files {
		if f.size > math.MaxUint32 {
			return errs.Because(errs.ErrTooLarge, fmt.Sprintf("%s has %d bytes", f.name, f.size))
		}
		if err := c.addName([]byte(f.name)); err != nil {
			return err
		}
		c.sizes = append(c.sizes, uint32(f.size))
		c.mtimes = append(c.mtimes, f.mtime)
		c.labels = append(c.labels, label)
		c.sums = append(c.sums, [sumSize]byte{})
		s.Bytes += f.size
	}
	return x.addShard(s, c)
}
