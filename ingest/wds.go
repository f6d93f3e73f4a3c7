package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// wdsSource serves images out of WebDataset tars, at random, by ReadAt: the index
// knows where each member lies.
type wdsSource struct {
	manifest *Manifest
	dir      string // the shards' names are relative to it
	x        *index
	max      int64
	sidecar  *Manifest // what Pack wrote beside the shards, or nil
	store    *store.Store
	keep     bool // remote shards are fetched into the cache
	closed   atomic.Bool

	mu   sync.RWMutex
	open map[int]*file // by shard; guarded by mu
}

// maxOpenShards is the number of shards that stay open. Beyond it, a shard is
// opened for each read: slower by a few microseconds, but within any ulimit.
const maxOpenShards = 256

const wdsHint = "name tar shards, as in wds:DIR/train-{000..099}.tar or wds:DIR/*.tar"

func openWDS(ctx context.Context, glob string, opt Options) (Source, error) {
	const op = "open wds"
	if glob == "" {
		return nil, errs.New(op, "", wdsHint, errs.Because(errs.ErrUsage, "no shards are named"))
	}
	set, err := findShards(ctx, opt.files, glob, opt.Split)
	if err != nil {
		return nil, err
	}
	split, err := wdsSplit(glob, opt.Split, set.sidecar)
	if err != nil {
		return nil, err
	}
	x, err := set.publishedIndex(ctx, opt.files)
	if err != nil {
		return nil, err
	}
	if x == nil {
		cache, err := openCache(opt, "wds", glob, split)
		if err != nil {
			return nil, err
		}
		var same bool
		if x, same, err = indexShards(ctx, set.dir, set.paths, cache.load(), scanShard, opt); err != nil {
			return nil, err
		}
		if !same {
			if err := cache.store(x); err != nil {
				return nil, err
			}
		}
	}
	sidecar := set.sidecar
	if x.Samples == 0 {
		return nil, errs.New(op, glob, "put members such as 0001.jpg in them",
			errs.Because(errs.ErrNotFound, "the shards hold no images"))
	}
	m := &Manifest{Format: "wds", Split: split, Samples: x.Samples, Shards: x.Shards}
	if sidecar != nil {
		m.Classes = sidecar.Classes
		for i, l := range x.labels {
			// Labels may go without names; but what names there are must reach.
			if len(m.Classes) > 0 && int(l) >= len(m.Classes) {
				return nil, errs.New(op, x.key(int64(i)), "pack the shards anew",
					errs.Because(errs.ErrCorrupt, fmt.Sprintf("label %d of the %d classes that the sidecar names", l, len(m.Classes))))
			}
		}
	}
	return &wdsSource{
		manifest: m, dir: set.dir, x: x, max: opt.MaxSampleBytes, sidecar: sidecar,
		store: opt.files, keep: opt.keep(m.Bytes()), open: map[int]*file{},
	}, nil
}

// wdsSplit is the split that the shards are opened as. A glob says nothing about
// splits, so test must not quietly mean the training shards: unless the glob has
// a {split} in it, the sidecar must agree, and without one there is only train.
func wdsSplit(glob, asked string, sidecar *Manifest) (string, error) {
	has := Train
	switch {
	case sidecar != nil:
		has = sidecar.Split
	case asked != "" && strings.Contains(glob, splitMark):
		has = asked
	}
	if asked != "" && asked != has {
		return "", errs.New("open wds", glob, "write "+splitMark+" in the glob, or name the shards of the split and leave the split out",
			errs.Because(errs.ErrUsage, fmt.Sprintf("these are the shards of %s, not of %s", has, asked)))
	}
	return has, nil
}

// commonDir is the deepest folder that holds all paths.
func commonDir(paths []string) string {
	dir := store.Dir(paths[0])
	for _, p := range paths {
		for dir != store.Dir(dir) && dir != "." && !strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/") {
			dir = store.Dir(dir)
		}
	}
	return dir
}

// stampShards looks at all the shards, several at once.
func stampShards(ctx context.Context, paths []string, opt Options) ([]stamp, error) {
	out := make([]stamp, len(paths))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(opt.Workers)
	for i, p := range paths {
		g.Go(func() error {
			info, err := opt.files.Stat(ctx, p)
			if err != nil {
				return fileError("index shard", p, wdsHint, err)
			}
			out[i] = stampOf(info)
			return nil
		})
	}
	return out, g.Wait()
}

// scanner hashes one shard and lists its samples.
type scanner func(ctx context.Context, st *store.Store, path string, keep bool, m *meter) (*columns, Shard, stamp, error)

// indexShards scans the shards, but for those that old knows and that are unchanged.
// Faults of several shards are told together. same: nothing had to be scanned.
func indexShards(ctx context.Context, dir string, paths []string, old *index, scan scanner, opt Options) (x *index, same bool, err error) {
	const op = "index shard"
	x = newIndex()
	known := map[string]int{}
	if old != nil && !old.Folder {
		for i, s := range old.Shards {
			known[s.Name] = i
		}
	}
	type scanned struct {
		c     *columns
		shard Shard
		stamp stamp
		err   error
	}
	res := make([]scanned, len(paths))
	var stale []int
	var total, all int64
	stamps, err := stampShards(ctx, paths, opt)
	if err != nil {
		return nil, false, err
	}
	for i, p := range paths {
		name, err := store.Rel(dir, p)
		if err != nil {
			return nil, false, fileError(op, p, wdsHint, err)
		}
		res[i].shard.Name = name
		all += stamps[i].Size
		if k, ok := known[name]; ok && old.trusts(stamps[i], old.Stamps[k]) {
			c := &columns{}
			if err := c.appendRange(&old.columns, old.First[k], old.First[k+1]); err != nil {
				return nil, false, errs.New(op, p, "", err)
			}
			res[i] = scanned{c: c, shard: old.Shards[k], stamp: old.Stamps[k]}
			continue
		}
		stale = append(stale, i)
		total += stamps[i].Size
	}
	if same = len(stale) == 0 && len(known) == len(paths); same {
		return old, true, nil
	}
	m := newMeter(opt.Progress, total)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(opt.Workers)
	for _, i := range stale {
		g.Go(func() error {
			r := &res[i]
			name := r.shard.Name
			r.c, r.shard, r.stamp, r.err = scan(gctx, opt.files, paths[i], opt.files.Fits(all), m)
			r.shard.Name = name
			return gctx.Err() // a bad shard doesn't keep the others from being looked at
		})
	}
	if err := g.Wait(); err != nil {
		return nil, false, err
	}
	var faults []error
	for i := range res {
		if res[i].err != nil {
			faults = append(faults, res[i].err)
			continue
		}
		if err := x.addShard(res[i].shard, res[i].c); err != nil {
			return nil, false, errs.New(op, paths[i], "split the shards in several sets", err)
		}
		x.Stamps = append(x.Stamps, res[i].stamp)
	}
	return x, false, together(faults)
}

// together is one error for several, nil for none.
func together(faults []error) error {
	if len(faults) < 2 {
		return errors.Join(faults...)
	}
	return &several{faults}
}

type several struct{ all []error }

// Error tells of up to eight faults on one line.
func (s *several) Error() string {
	const most = 8
	var b strings.Builder
	for i, e := range s.all[:min(len(s.all), most)] {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(e.Error())
	}
	if more := len(s.all) - most; more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}

func (s *several) Unwrap() []error { return s.all }

// key is the sample's name for messages: shard/member.
func (x *index) key(id int64) string { return x.Shards[x.shardOf(id)].Name + "/" + x.name(id) }

func (s *wdsSource) Manifest() *Manifest { return s.manifest }
func (s *wdsSource) Len() int64          { return s.manifest.Samples }

func (s *wdsSource) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Swap(true) {
		return nil
	}
	files := s.openFiles()
	s.open = nil
	return errors.Join(closeAll(files), s.store.Close())
}

func (s *wdsSource) openFiles() (files []*file) {
	for _, f := range s.open {
		files = append(files, f)
	}
	return files
}

func (s *wdsSource) Read(ctx context.Context, id int64, dst *schemas.Sample) error {
	if err := checkID(ctx, s.manifest, s.closed.Load(), id); err != nil {
		return err
	}
	size := int64(s.x.sizes[id])
	if size > s.max {
		return tooLarge(s.x.key(id), size, s.max)
	}
	f, kept, err := s.shard(ctx, s.x.shardOf(id))
	if err != nil {
		return err
	}
	if !kept {
		defer f.Close()
	}
	dst.Data = sized(dst.Data, int(size))
	if _, err := f.ReadAt(ctx, dst.Data, s.x.offsets[id]); err != nil {
		return fileError("read sample", s.x.key(id), changedHint, err)
	}
	*dst = schemas.Sample{ID: id, Key: s.x.key(id), Label: s.x.labels[id], Encoding: schemas.Encoded, Data: dst.Data}
	return nil
}

// shard gives the open shard i. kept says that it stays open until Close.
func (s *wdsSource) shard(ctx context.Context, i int) (f *file, kept bool, err error) {
	s.mu.RLock()
	f = s.open[i]
	s.mu.RUnlock()
	if f != nil {
		return f, true, nil
	}
	f, err = openFile(ctx, s.store, "read sample", store.Join(s.dir, s.x.Shards[i].Name), changedHint)
	if err != nil {
		return nil, false, err
	}
	f.Keep, f.SHA256 = s.keep, s.x.Shards[i].SHA256
	if !s.x.Stamps[i].allows(f.stamp()) {
		f.Close()
		return nil, false, errs.New("read sample", f.path, changedHint,
			errs.Because(errs.ErrMismatch, "the shard is not the one that was indexed"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.open[i]; other != nil {
		f.Close()
		return other, true, nil
	}
	if s.closed.Load() || len(s.open) >= maxOpenShards {
		return f, false, nil
	}
	s.open[i] = f
	return f, true, nil
}
