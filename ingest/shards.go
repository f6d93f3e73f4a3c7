package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Data sets of shards (tars, Parquet files) share what follows: an index that is
// built shard by shard, and files that are opened when they are first read.

// commonDir is the deepest folder that contains all paths.
func commonDir(paths []string) string {
	dir := store.Dir(paths[0])
	for _, p := range paths {
		for dir != store.Dir(dir) && dir != "." && !strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/") {
			dir = store.Dir(dir)
		}
	}
	return dir
}

// stampShards stats all shards, several at once.
func (k *shardKind) stampShards(ctx context.Context, paths []string, opt Options) ([]stamp, error) {
	out := make([]stamp, len(paths))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(opt.Workers)
	for i, p := range paths {
		g.Go(func() error {
			info, err := opt.files.Stat(ctx, p)
			if err != nil {
				return fileError(k.op, p, k.hint, err)
			}
			out[i] = stampOf(info)
			return nil
		})
	}
	return out, g.Wait()
}

// scanner hashes one shard and lists its samples.
type scanner func(ctx context.Context, st *store.Store, path string, keep bool, m *meter) (*columns, Shard, stamp, error)

// indexShards scans the shards, except those that old knows and that are unchanged.
// Faults of several shards are reported together. same: nothing had to be scanned.
func (s *shardSet) indexShards(ctx context.Context, old *index, opt Options) (x *index, same bool, err error) {
	op, hint, dir, paths := s.kind.op, s.kind.hint, s.dir, s.paths
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
	newer := false
	stamps, err := s.kind.stampShards(ctx, paths, opt)
	if err != nil {
		return nil, false, err
	}
	for i, p := range paths {
		name, err := store.Rel(dir, p)
		if err != nil {
			return nil, false, fileError(op, p, hint, err)
		}
		name = escapeName(name)
		res[i].shard.Name = name
		all += stamps[i].Size
		if k, ok := known[name]; ok && old.trusts(stamps[i], old.Stamps[k]) && !old.hasEmpty(k) && !old.missedPacked(k) {
			c := old.ofShard(k)
			if err := c.appendRange(&old.columns, old.First[k], old.First[k+1]); err != nil {
				return nil, false, errs.New(op, p, "", err)
			}
			newer = newer || stamps[i] != old.Stamps[k] // it was of an older version, without Change
			old.Stamps[k] = stamps[i]
			res[i] = scanned{c: c, shard: old.Shards[k], stamp: stamps[i]}
			continue
		}
		stale = append(stale, i)
		total += stamps[i].Size
	}
	if len(stale) == 0 && len(known) == len(paths) {
		return old, !newer, nil
	}
	m := newMeter(opt.Progress, total)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(opt.Workers)
	for _, i := range stale {
		g.Go(func() error {
			r := &res[i]
			name := r.shard.Name
			r.c, r.shard, r.stamp, r.err = s.scan(gctx, opt.files, paths[i], opt.files.Fits(all), m)
			r.shard.Name = name
			return gctx.Err() // a bad shard doesn't keep the others from being scanned
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

// hasEmpty reports whether shard i has samples of no bytes, as scanners of before gave.
func (x *index) hasEmpty(i int) bool {
	return slices.Contains(x.sizes[x.First[i]:x.First[i+1]], 0)
}

// survey is what lies beside the shards, and those that are copies of others, whose
// samples are there twice.
func (s *shardSet) survey(x *index) Survey {
	all := slices.Clone(s.passed)
	original := map[string]string{} // name by hash: the shortest, of train-000.tar and "train-000 (1).tar"
	for _, shard := range x.Shards {
		if name, ok := original[shard.SHA256]; !ok || len(shard.Name) < len(name) {
			original[shard.SHA256] = shard.Name
		}
	}
	for _, shard := range x.Shards {
		if shard.Samples > 0 && original[shard.SHA256] != shard.Name {
			all.Merge("", Survey{{Reason: "copies of other shards", Count: 1, First: shard.Name, Kept: true}})
		}
	}
	return all
}

// together joins several errors into one of a single line; nil for none.
func together(faults []error) error {
	if len(faults) < 2 {
		return errors.Join(faults...)
	}
	return &several{faults}
}

type several struct{ all []error }

// Error reports up to eight faults on one line.
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

// ofShard is what a cached index says of all samples of shard i.
func (x *index) ofShard(i int) *columns {
	c := &columns{passed: x.Passed[i]} // a cache has them
	if x.Classes != nil {
		c.classes = x.Classes[i]
	}
	if x.Reading != nil {
		c.reading = x.Reading[i]
	}
	if x.Listed != nil {
		c.listed = x.Listed[i]
	}
	return c
}

// key is the sample's name as text: shard/member.
func (x *index) key(id int64) string {
	return x.Shards[x.shardOf(id)].Name + "/" + escapeName(x.name(id))
}

// checkLabels checks that all labels have a class name, where there are names: labels
// may go without.
func (x *index) checkLabels(op string, classes []string, hint, namedBy string) error {
	for i, l := range x.labels {
		if len(classes) > 0 && int(l) >= len(classes) {
			return errs.New(op, x.key(int64(i)), hint,
				errs.Because(errs.ErrCorrupt, fmt.Sprintf("label %d of the %d classes that %s names", l, len(classes), namedBy)))
		}
	}
	return nil
}

// readMember reads sample id, a member of the tar f.
func (x *index) readMember(ctx context.Context, f *file, id int64, dst *schemas.Sample) error {
	dst.Data = sized(dst.Data, int(x.sizes[id]))
	if _, err := f.ReadAt(ctx, dst.Data, x.offsets[id]); err != nil {
		return fileError("read sample", x.key(id), changedHint, err)
	}
	*dst = schemas.Sample{ID: id, Key: x.key(id), Label: x.labels[id], Encoding: schemas.Encoded, Data: dst.Data}
	return nil
}

// shardFiles are the files of an indexed data set of shards. It is safe for
// concurrent use.
type shardFiles struct {
	dir    string // the shards' names are relative to it
	x      *index
	store  *store.Store
	keep   bool // remote shards are fetched into the cache
	closed atomic.Bool

	checked shardCheck // of confirm

	mu   sync.RWMutex
	open map[int]*file // by shard; guarded by mu
	lost []*file       // that a read failed on, to be closed at the end: others may be reading; guarded by mu
}

// maxOpenShards is the number of shards that stay open. Others are opened for each
// read: slower by a few microseconds, but within any ulimit.
const maxOpenShards = 256

func newShardFiles(dir string, x *index, st *store.Store, keep bool) *shardFiles {
	return &shardFiles{dir: dir, x: x, store: st, keep: keep, open: map[int]*file{}}
}

// shard is the open file of shard i; the caller calls done when it has read.
func (s *shardFiles) shard(ctx context.Context, i int) (f *file, done func(), err error) {
	s.mu.RLock()
	f = s.open[i]
	s.mu.RUnlock()
	if f != nil {
		return f, func() {}, nil
	}
	f, err = openFile(ctx, s.store, "read sample", store.Join(s.dir, unescapeName(s.x.Shards[i].Name)), changedHint)
	if err != nil {
		return nil, nil, err
	}
	f.Keep, f.SHA256 = s.keep, s.x.Shards[i].SHA256
	if !s.x.Stamps[i].allows(f.stamp()) {
		f.Close()
		return nil, nil, errs.New("read sample", f.path, changedHint,
			errs.Because(errs.ErrMismatch, "the shard is not the one that was indexed"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.open[i]; other != nil {
		f.Close()
		return other, func() {}, nil
	}
	if s.closed.Load() || len(s.open) >= maxOpenShards {
		return f, func() { f.Close() }, nil
	}
	s.open[i] = f
	return f, func() {}, nil
}

// after is err, of a read of shard i from f. A file that fails is opened again for the next
// read: an open one may stay stale for good (NFS), and opening it looks whether it was changed.
func (s *shardFiles) after(i int, f *file, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[i] == f {
		delete(s.open, i)
		s.lost = append(s.lost, f)
	}
	return err
}

// Close closes the shards and the store. A second Close does nothing.
func (s *shardFiles) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Swap(true) {
		return nil
	}
	err := s.closeFiles()
	s.open = nil
	return errors.Join(err, s.store.Close())
}

// closeFiles closes the files that are open. The caller holds mu, or is alone.
func (s *shardFiles) closeFiles() error {
	files := s.lost
	for _, f := range s.open {
		files = append(files, f)
	}
	return closeAll(files)
}

// Survey is a Surveyed's.
func (s *shardFiles) Survey() Survey { return s.x.survey() }

// verifyShard compares the hash of shard i with the one wanted.
func (s *shardFiles) verifyShard(ctx context.Context, i int, want string, m *meter) (*Damage, error) {
	name := s.x.Shards[i].Name
	f, err := openFile(ctx, s.store, "verify", store.Join(s.dir, unescapeName(name)), changedHint)
	if err != nil {
		return compare(ctx, name, "", want, "", err)
	}
	defer f.Close()
	sum, err := f.sum(ctx, "verify", changedHint, m, nil)
	return compare(ctx, name, "", want, hexSum(sum), err)
}
