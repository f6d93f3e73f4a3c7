package reclaim

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// Kind is what an item is, in words.
type Kind string

// Kinds.
const (
	Scratch    Kind = "temporary folder"
	Socket     Kind = "socket"
	Download   Kind = "interrupted download"
	HalfFile   Kind = "half-written file"
	NeverBegun Kind = "run that never began"
	Shard      Kind = "cached shard"
	Index      Kind = "cached index"
	Checkpoint Kind = "checkpoint"
	Earlier    Kind = "earlier run"
	Parts      Kind = "parts"
)

// policies are the flags of `resslt gc` that ask for a kind; leftovers have none.
var policies = map[Kind]string{
	Shard: "--keep-cache SIZE", Index: "--keep-cache SIZE", Checkpoint: "--keep-checkpoints N", Earlier: "--earlier", Parts: "--parts",
}

// Policy says what goes besides leftovers. Zero is nothing.
type Policy struct {
	// Cache is how many bytes the cache may keep; nil: all.
	Cache *int64
	// Checkpoints is how many each run keeps, the newest; nil: all. One that has not ended keeps
	// one at least, to go on from.
	Checkpoints *int
	Earlier     bool          // runs that later ones in the same folder have set aside
	Parts       bool          // features that a stopped embed would go on from
	Older       time.Duration // only what was last used, or written to, so long ago
}

// Places are where to look.
type Places struct {
	Runs    []string // folders in which runs are
	Shards  string   // the cache of remote shards
	Indexes string   // of indexes; it may be the same folder
}

// Item is something that can be removed.
type Item struct {
	Kind  Kind      `json:"kind"`
	Path  string    `json:"path"`
	Bytes int64     `json:"bytes"`
	Used  time.Time `json:"used"` // or written to
	Why   string    `json:"why"`

	remove func(ctx context.Context) error
}

// Left is what stays of a kind that no policy asked for.
type Left struct {
	Kind  Kind   `json:"kind"`
	Items int    `json:"items"`
	Bytes int64  `json:"bytes"`
	Flag  string `json:"flag"` // that would remove it
}

// Found is what there is.
type Found struct {
	Items []Item // to be removed
	Left  []Left
	// Failed says what could not be looked at.
	Failed []error
}

// finder collects what is found.
type finder struct {
	places Places
	policy Policy
	now    time.Time
	found  Found
	stays  []Item
}

// Find looks at the places. It removes nothing. ctx bounds the time that it takes.
func Find(ctx context.Context, places Places, policy Policy) (*Found, error) {
	f := &finder{places: places, policy: policy, now: time.Now()}
	f.scratch()
	f.sockets(ctx)
	f.cache()
	if err := f.runs(ctx); err != nil {
		return nil, err
	}
	f.sum()
	return &f.found, ctx.Err()
}

// leftover adds what a killed process has left.
func (f *finder) leftover(i Item) { f.found.Items = append(f.found.Items, i) }

// by adds an item whose removal a policy asks for, or not.
func (f *finder) by(asked bool, i Item) {
	if asked && f.now.Sub(i.Used) >= f.policy.Older {
		f.found.Items = append(f.found.Items, i)
		return
	}
	f.stays = append(f.stays, i)
}

func (f *finder) failed(err error) {
	if err != nil {
		f.found.Failed = append(f.found.Failed, err)
	}
}

// sum counts what stays, by kind.
func (f *finder) sum() {
	for _, i := range f.stays {
		at := slices.IndexFunc(f.found.Left, func(l Left) bool { return l.Kind == i.Kind })
		if at < 0 {
			at = len(f.found.Left)
			f.found.Left = append(f.found.Left, Left{Kind: i.Kind, Flag: policies[i.Kind]})
		}
		f.found.Left[at].Items++
		f.found.Left[at].Bytes += i.Bytes
	}
	slices.SortStableFunc(f.found.Left, func(a, b Left) int { return cmp.Compare(b.Bytes, a.Bytes) })
}

// Bytes is what the items take together.
func (f *Found) Bytes() (sum int64) {
	for i := range f.Items {
		sum += f.Items[i].Bytes
	}
	return sum
}

// Lost reports how many of the items cannot be made again.
func (f *Found) Lost() (n int) {
	for i := range f.Items {
		if k := f.Items[i].Kind; k == Checkpoint || k == Earlier || k == Parts {
			n++
		}
	}
	return n
}

// Remove removes the items, and goes on where one cannot be. It gives those that are gone, and why
// the others are not.
func (f *Found) Remove(ctx context.Context) (gone []Item, err error) {
	var failed []error
	for _, i := range f.Items {
		if ctx.Err() != nil {
			failed = append(failed, ctx.Err())
			break
		}
		if err := i.remove(ctx); err != nil {
			failed = append(failed, err)
			continue
		}
		gone = append(gone, i)
	}
	return gone, errors.Join(failed...)
}

// blockBytes is the unit in which a file's blocks are counted, on every system.
const blockBytes = 512

// freed is how many bytes the disk gives back for a file: none where it has another name.
func freed(info fs.FileInfo) int64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink > 1 {
		return 0
	}
	return st.Blocks * blockBytes
}

// size is what a file or the files of a folder take, and when the newest of its files was written to. What
// cannot be read counts nothing.
func size(path string) (bytes int64, newest time.Time) {
	_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error { // the function below returns no error
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		if e.IsDir() {
			return nil
		}
		if info, err := e.Info(); err == nil {
			bytes += freed(info)
			if info.ModTime().After(newest) {
				newest = info.ModTime()
			}
		}
		return nil
	})
	return bytes, newest
}

// removal is the error of something that stays.
func removal(path string, err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errs.New("remove", path, "make its folder writable", errs.BecauseErr(errs.ErrUnavailable, err))
}

// halfFile is an item of a temporary file that durable has made and a killed process left.
func (f *finder) halfFile(path string) {
	if !durable.Abandoned(path, f.now) {
		return
	}
	of, _ := durable.Temporary(filepath.Base(path))
	bytes, used := size(path)
	f.leftover(Item{Kind: HalfFile, Path: path, Bytes: bytes, Used: used, Why: "of " + of + ", whose writer is gone", remove: func(context.Context) error {
		if !durable.Abandoned(path, time.Now()) {
			return errs.New("remove", path, "", errs.Because(errs.ErrUnavailable, "it has come into use"))
		}
		return removal(path, os.Remove(path))
	}})
}
