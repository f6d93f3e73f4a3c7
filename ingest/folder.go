package ingest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// folderSource serves image files from a tree of folders.
//
//	DIR/cat/0001.jpg        one sub-folder a class; deeper folders belong to it
//	DIR/dog/x/0002.PNG
//	DIR/0003.webp           in no class folder: a sample without label
//	DIR/train/cat/0001.jpg  if sub-folders are named as splits, they are splits
//
// candidate.go decides which files are samples, splitname.go which names are splits',
// folderlayout.go which folder is the split and which are its classes. Labels are
// indices into the sorted list of class folders, of all splits together.
type folderSource struct {
	manifest *Manifest
	root     string
	x        *index
	max      int64
	store    *store.Store
	keep     bool // remote files are fetched into the cache
	unseen   *unseen
	closed   atomic.Bool
}

const folderHint = "name a folder of image files, such as JPEG, PNG or WebP"

func openFolder(ctx context.Context, place string, opt Options) (Source, error) {
	split, err := opt.split("folder", folderSplits...)
	if err != nil {
		return nil, err
	}
	dir, named, err := parseFolderPlace(walkOp, place)
	if err != nil {
		return nil, err
	}
	if err := needDir(walkOp, dir, folderHint); err != nil {
		return nil, err
	}
	var tree folderTree = &localTree{root: dir, store: opt.files, workers: opt.Workers}
	if store.Remote(dir) {
		if tree, err = listRemote(ctx, dir, opt); err != nil {
			return nil, err
		}
	}
	layout, err := planFolder(ctx, tree, dir, split, named)
	if err != nil {
		return nil, err
	}
	root := store.Join(dir, layout.root)
	cache := openCache(opt, "folder", root, split)
	old := cache.load()
	if local, ok := tree.(*localTree); ok && old != nil && old.Samples >= opt.keptFrom {
		local.known, local.labels = old, layout.labels != nil
	}
	x, err := listLayout(ctx, tree, dir, layout)
	if err != nil {
		return nil, err
	}
	if x.Samples == 0 {
		return nil, errs.New(walkOp, root, folderHint, x.nothing("no file ends in "+strings.Join(imageExtensions, ", ")))
	}
	if err := sumLayout(ctx, root, cache, old, x, layout, opt); err != nil {
		return nil, err
	}
	if *x.Copies > 0 {
		x.listing.Merge("", Survey{{Reason: "copies of other files", Count: *x.Copies, First: x.FirstCopy, Kept: true}})
	}
	m := &Manifest{Format: "folder", Split: split, Samples: x.Samples, Shards: x.Shards}
	for _, class := range layout.classes {
		m.Classes = append(m.Classes, escapeName(class))
	}
	src := newFolderSource(m, root, x, opt)
	src.lookLater(cache, opt)
	return src, nil
}

// sumLayout completes an index by the hashes, those of the cached index where they are
// good still.
func sumLayout(ctx context.Context, root string, cache *cache, old, x *index, layout *folderLayout, opt Options) error {
	stale, same := x.reuseSums(old)
	if !same {
		if err := sumFolder(ctx, root, x, stale, opt); err != nil {
			return err
		}
	}
	if layout.labels != nil && x.Shards[0].Name == "." {
		// Always: the list may have changed while the files have not.
		x.Shards[0].SHA256 = hexSum(x.labelledSum(0, nil))
	}
	if same {
		x.Copies, x.FirstCopy = old.Copies, old.FirstCopy
	}
	counted := x.Copies != nil
	if !counted {
		n, first := x.copies()
		x.Copies, x.FirstCopy = &n, first
	}
	// Also where most of a large folder was listed that need not be the next time.
	if !same || !counted || x.Samples >= opt.keptFrom && 2*x.keptSamples < x.Samples && x.canKeep(root) {
		cache.store(x)
	}
	return nil
}

func newFolderSource(m *Manifest, root string, x *index, opt Options) *folderSource {
	var u *unseen
	if len(x.kept) > 0 {
		u = &unseen{root: root, shards: x.kept}
		u.stamps.Store(&stamps{x.mtimes, x.changes})
	}
	x.changes = nil
	if !store.Remote(root) {
		x.mtimes = nil // not needed any more
	}
	return &folderSource{manifest: m, root: root, x: x, max: opt.MaxSampleBytes, store: opt.files, keep: opt.files.Fits(m.Bytes()), unseen: u}
}

// lookLater has what Open has not looked at looked at later, in a goroutine that Close joins.
func (s *folderSource) lookLater(c *cache, opt Options) {
	u := s.unseen
	if u == nil {
		return
	}
	u.cache = c
	ctx, stop := context.WithCancel(context.Background())
	u.stop = stop
	u.looked.Go(func() { s.secondLook(ctx, opt) })
}

func (s *folderSource) Manifest() *Manifest { return s.manifest }
func (s *folderSource) Len() int64          { return s.manifest.Samples }

// Survey is a Surveyed's.
func (s *folderSource) Survey() Survey { return s.x.survey() }

func (s *folderSource) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	if s.unseen != nil {
		s.unseen.stop()
		s.unseen.looked.Wait()
	}
	return s.store.Close() // files are open only while they are read
}

func (s *folderSource) Read(ctx context.Context, id int64, dst *schemas.Sample) error {
	if err := checkID(ctx, s.manifest, s.closed.Load(), id); err != nil {
		return err
	}
	shard := s.x.Shards[s.x.shardOf(id)].Name
	key := escapeName(s.x.name(id))
	if shard != "." {
		key = shard + "/" + key
	}
	size := int64(s.x.sizes[id])
	if size > s.max {
		return tooLarge(store.Join(s.root, key), size, s.max)
	}
	f, err := s.x.openSample(ctx, s.store, "read sample", s.root, id)
	if err != nil {
		return s.unseen.refused(err)
	}
	defer f.Close()
	f.Keep = s.keep
	dst.Data = sized(dst.Data, int(size))
	if _, err := f.ReadAt(ctx, dst.Data, 0); err != nil {
		return s.unseen.refused(fileError("read sample", f.path, changedHint, err))
	}
	if err := s.unseen.check(s.x, id, f.stamp(), dst.Data); err != nil {
		return err
	}
	*dst = schemas.Sample{ID: id, Key: key, Label: s.x.labels[id], Encoding: schemas.Encoded, Data: dst.Data}
	return nil
}

// tooLarge is the bad sample of a size above the cap. It depends on the index alone, and
// so is the same on every machine: nothing has been read.
func tooLarge(where string, size, most int64) error {
	return schemas.NewBadSample("read sample", where, "raise MaxSampleBytes if you trust it",
		errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes, over the limit of %d", size, most)))
}
