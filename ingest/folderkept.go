package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// To look at every file of a large folder takes longer than all else that a start does: of a
// million, 5 s of CPU time. A folder itself has a time, which changes when a file is added, removed
// or renamed in it. So the class folders of a large data set in which no folder has changed since
// they were indexed are kept as the index has them. What a folder's time does not show, a file
// whose bytes were changed in place, shows when it is read; and some seconds after the start all is
// looked at after all, by secondLook.

// folderStamp identifies the list of a folder's files, as far as its time shows it.
type folderStamp struct {
	Path   string `json:"path"` // relative to the shard, "" for its own folder
	MTime  int64  `json:"mtime"`
	Change uint64 `json:"change"`
}

const (
	// keptFrom is how many samples a data set has of which folders are kept: fewer are listed in
	// a fifth of a second.
	keptFrom = 50_000
	// lookAfter is when a start is over that secondLook is not to delay.
	lookAfter = 10 * time.Second
)

// kept is a shard of an older index whose folders have not changed.
type kept struct {
	of    *index
	shard int
}

// keep gives the shard of the cached index that the class folder dir is still; nil where it must
// be listed. checked is as list's.
func (t *localTree) keep(dir, name string, checked bool) *kept {
	x := t.known
	if x == nil || !x.Folder || len(x.Folders) != len(x.Shards) || checked && !x.Checked {
		return nil
	}
	i := slices.IndexFunc(x.Shards, func(s Shard) bool { return s.Name == escapeName(name) })
	if i < 0 || len(x.Folders[i]) == 0 || !store.KeepsFolderTimes(dir) {
		return nil
	}
	for _, then := range x.Folders[i] {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(then.Path)))
		if err != nil || !info.IsDir() || folderStampOf(then.Path, info) != then || then.Change == 0 || then.MTime >= x.Built-int64(coarsestClock) {
			return nil
		}
	}
	return &kept{x, i}
}

func folderStampOf(path string, info os.FileInfo) folderStamp {
	return folderStamp{Path: path, MTime: info.ModTime().UnixNano(), Change: store.Change(info)}
}

// addKept appends a shard as an older index has it, under the label that it has now.
func (x *index) addKept(k *kept, label int32) error {
	lo, hi := k.of.First[k.shard], k.of.First[k.shard+1]
	c := &columns{passed: k.of.Passed[k.shard]}
	if err := c.appendRange(&k.of.columns, lo, hi); err != nil {
		return err
	}
	if c.changes == nil {
		c.changes = make([]uint64, hi-lo)
	}
	for i := range c.labels {
		c.labels[i] = label
	}
	s := k.of.Shards[k.shard]
	s.SHA256 = ""
	x.kept = append(x.kept, len(x.Shards))
	x.keptSamples += hi - lo
	return x.addShard(s, c)
}

// unseen is what a folder's source knows of files that Open has not looked at.
type unseen struct {
	root   string
	shards []int // of the index
	cache  *cache
	stamps atomic.Pointer[stamps] // of all samples; nil once all are seen to be what was indexed
	found  atomic.Pointer[error]  // the first that is not

	stop   context.CancelFunc
	looked sync.WaitGroup
}

// stamps are what identifies the files of an index, but for their sizes.
type stamps struct {
	mtimes  []int64
	changes []uint64 // may be empty
}

// of is the stamp of a sample.
func (s *stamps) of(x *index, id int64) stamp {
	out := stamp{Size: int64(x.sizes[id]), MTime: s.mtimes[id]}
	if len(s.changes) > 0 {
		out.Change = s.changes[id]
	}
	return out
}

// is reports whether two stamps are of the same file, as far as both know.
func (s stamp) is(o stamp) bool {
	if s.Change == 0 || o.Change == 0 {
		s.Change, o.Change = 0, 0
	}
	return s == o
}

// check compares a file that is read, and was not looked at, with the index: by its stamp, and
// where that is another by its bytes. A change of what a link or an owner is, is none.
func (u *unseen) check(x *index, id int64, now stamp, data []byte) error {
	if u == nil {
		return nil
	}
	then := u.stamps.Load()
	if then == nil {
		return nil
	}
	if err := u.found.Load(); err != nil {
		return *err
	}
	if now.is(then.of(x, id)) {
		return nil
	}
	if sum := sha256.Sum256(data); [sumSize]byte(sum[:sumSize]) == x.sums[id] {
		return nil
	}
	return u.changed(x, id, "its bytes are not those that were indexed")
}

// refused is an error of a file that is read. Where it is not what was indexed, the next Open looks at
// all files.
func (u *unseen) refused(err error) error {
	if u != nil && (errors.Is(err, errs.ErrMismatch) || errors.Is(err, errs.ErrNotFound)) {
		u.cache.drop()
	}
	return err
}

const unseenHint = "start again: what has changed will be indexed anew"

// changed is the error of a file that is not what was indexed; the next Open looks at all files.
func (u *unseen) changed(x *index, id int64, how string) error {
	return u.refused(errs.New("read sample", x.path(u.root, id), unseenHint, errs.Because(errs.ErrMismatch, how)))
}

// secondLook looks at all files that Open has not looked at, some time after it. One that was
// changed or is gone ends the use of the source, at once rather than when its turn comes. Files
// that came are told of: the source is what was indexed, and the next Open has them.
func (s *folderSource) secondLook(ctx context.Context, opt Options) {
	u, x := s.unseen, s.x
	t := time.NewTimer(opt.lookAfter)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return
	}
	renewed := false // only their stamps differ
	for _, shard := range u.shards {
		name := unescapeName(x.Shards[shard].Name)
		w := &walker{ctx: ctx, count: func() {}, deep: name != "."}
		err := w.walk(store.Join(u.root, name), "", nil)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			u.found.Store(&err)
			u.cache.drop()
			return
		}
		now := &folderShard{found: w.found}
		now.sort()
		more, err := s.compare(ctx, shard, now.found, &renewed)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			u.found.Store(&err)
			return
		}
		if more != "" {
			u.cache.drop()
			opt.warn("the data set is what was indexed", errs.New("look at folder", store.Join(u.root, name), "start again to have it",
				errs.Because(errs.ErrMismatch, more+" has come since")))
			return // the rest is compared as it is read
		}
	}
	if renewed {
		u.cache.drop()
	}
	u.stamps.Store(nil)
}

// compare compares a shard's files with the index, and gives one that has come.
func (s *folderSource) compare(ctx context.Context, shard int, now []foundFile, renewed *bool) (more string, err error) {
	u, x, then, j := s.unseen, s.x, s.unseen.stamps.Load(), 0
	for id := x.First[shard]; id < x.First[shard+1]; id++ {
		for j < len(now) && now[j].name < x.name(id) {
			more = now[j].name
			j++
		}
		if j == len(now) || now[j].name != x.name(id) {
			return "", u.changed(x, id, "is gone since it was indexed")
		}
		f := now[j]
		j++
		if f.size != int64(x.sizes[id]) {
			return "", u.changed(x, id, fmt.Sprintf("has %d bytes, %d when it was indexed", f.size, x.sizes[id]))
		}
		if (stamp{Size: f.size, MTime: f.mtime, Change: f.change}).is(then.of(x, id)) {
			continue
		}
		sum, err := x.sumSample(ctx, s.store, "read sample", u.root, id, false, newMeter(nil, 0))
		if err != nil {
			return "", err
		}
		if !bytes.Equal(sum[:], x.sums[id][:]) {
			return "", u.changed(x, id, "its bytes are not those that were indexed")
		}
		*renewed = true
	}
	if j < len(now) {
		more = now[j].name
	}
	return more, nil
}

// path is the place of a sample.
func (x *index) path(root string, id int64) string {
	return store.Join(root, unescapeName(x.Shards[x.shardOf(id)].Name), x.name(id))
}

// canKeep reports whether the folders of an index just made need not be listed the next time.
func (x *index) canKeep(root string) bool {
	return len(x.Folders) == len(x.Shards) && store.KeepsFolderTimes(root)
}
