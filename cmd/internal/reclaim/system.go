package reclaim

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"

	"resslt/cmd/internal/scratch"
	"resslt/cmd/internal/serve"
	"resslt/ingest"
	"resslt/ingest/store"
)

// scratch finds the temporary folders of killed processes, which the next start of any program
// removes as well.
func (f *finder) scratch() {
	for _, path := range scratch.Left() {
		bytes, used := size(path)
		f.leftover(Item{Kind: Scratch, Path: path, Bytes: bytes, Used: used, Why: "its process is gone", remove: func(context.Context) error {
			return scratch.Remove(path)
		}})
	}
}

// sockets finds those of servers that were killed.
func (f *finder) sockets(ctx context.Context) {
	for _, dir := range serve.SocketFolders() {
		for _, path := range serve.LeftSockets(ctx, dir) {
			bytes, used := size(path)
			f.leftover(Item{Kind: Socket, Path: path, Bytes: bytes, Used: used, Why: "nobody listens there", remove: func(ctx context.Context) error {
				return serve.RemoveSocket(ctx, path)
			}})
		}
	}
}

// cache finds what the cache holds: remote shards, and the indexes of data sets.
func (f *finder) cache() {
	shards, indexes := f.cachedShards(), f.cachedIndexes()
	if f.policy.Cache == nil {
		f.stays = append(f.stays, slices.Concat(shards, indexes)...)
		return
	}
	// Shards go first: an index is small, and costs a reading of all the data.
	kept := int64(0)
	for _, i := range slices.Concat(shards, indexes) {
		kept += i.Bytes
	}
	for _, items := range [][]Item{shards, indexes} {
		slices.SortStableFunc(items, func(a, b Item) int { return cmp.Or(a.Used.Compare(b.Used), cmp.Compare(a.Path, b.Path)) })
		for _, i := range items {
			before := len(f.found.Items)
			f.by(kept > *f.policy.Cache, i)
			if len(f.found.Items) > before {
				kept -= i.Bytes
			}
		}
	}
}

// cachedShards are the files of remote shards that nobody uses; what was being fetched by
// a process that is gone is left over.
func (f *finder) cachedShards() (items []Item) {
	dir := f.places.Shards
	files, err := store.ListCached(dir, f.now)
	f.failed(err)
	for _, c := range files {
		bytes, _ := size(c.Path)
		i := Item{Kind: Shard, Path: c.Path, Bytes: bytes, Used: c.Used, Why: "it is fetched again when it is needed", remove: func(ctx context.Context) error {
			return store.RemoveCached(ctx, dir, c)
		}}
		if c.Part {
			i.Kind, i.Why = Download, "nobody fetches it any more"
			f.leftover(i)
			continue
		}
		items = append(items, i)
	}
	return items
}

// cachedIndexes are the indexes. A process that has one open has read it into memory.
func (f *finder) cachedIndexes() (items []Item) {
	dir := f.places.Indexes
	found, err := ingest.CachedIndexes(dir)
	f.failed(err)
	for _, x := range found {
		bytes, _ := size(x.Path)
		items = append(items, Item{Kind: Index, Path: x.Path, Bytes: bytes, Used: x.Used, Why: "the data are indexed again when they are needed", remove: func(context.Context) error {
			return removal(x.Path, os.Remove(x.Path))
		}})
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return items // a folder that is not there holds none; others are reported above
	}
	for _, e := range entries {
		f.halfFile(filepath.Join(dir, e.Name()))
	}
	return items
}
