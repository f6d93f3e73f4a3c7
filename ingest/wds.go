package ingest

import (
	"context"
	"path"
	"strings"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// wdsSource serves images from WebDataset tars, in any order: the index knows where
// each member is.
type wdsSource struct {
	manifest *Manifest
	max      int64
	sidecar  *Manifest // the one that Pack wrote next to the shards, or nil
	*shardFiles
}

const wdsHint = "name tar shards, as in wds:DIR/train-{000..099}.tar or wds:DIR/*.tar"

func openWDS(ctx context.Context, glob string, opt Options) (Source, error) {
	const op = "open wds"
	if glob == "" {
		return nil, errs.New(op, "", wdsHint, errs.Because(errs.ErrUsage, "no shards are named"))
	}
	set, err := findShards(ctx, opt.files, glob, opt.splitOrTrain())
	if err != nil {
		return nil, err
	}
	split, err := opt.shardSplit(op, glob, strings.Contains(glob, splitMark), set.sidecar)
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
	if x.Samples == 0 {
		return nil, errs.New(op, glob, "put members such as 0001.jpg in them",
			errs.Because(errs.ErrNotFound, "the shards hold no images"))
	}
	m := &Manifest{Format: "wds", Split: split, Samples: x.Samples, Shards: x.Shards}
	if set.sidecar != nil {
		m.Classes = set.sidecar.Classes
		if err := x.checkLabels(op, m.Classes, "pack the shards again", "the sidecar"); err != nil {
			return nil, err
		}
	}
	return &wdsSource{
		manifest: m, max: opt.MaxSampleBytes, sidecar: set.sidecar,
		shardFiles: newShardFiles(set.dir, x, opt.files, opt.keep(m.Bytes())),
	}, nil
}

func (s *wdsSource) Manifest() *Manifest { return s.manifest }
func (s *wdsSource) Len() int64          { return s.manifest.Samples }

func (s *wdsSource) Read(ctx context.Context, id int64, dst *schemas.Sample) error {
	if err := checkID(ctx, s.manifest, s.closed.Load(), id); err != nil {
		return err
	}
	if size := int64(s.x.sizes[id]); size > s.max {
		return tooLarge(s.x.key(id), size, s.max)
	}
	i := s.x.shardOf(id)
	f, done, err := s.shard(ctx, i)
	if err != nil {
		return err
	}
	defer done()
	return s.after(i, f, s.x.readMember(ctx, f, id, dst))
}

func (s *wdsSource) units() (n, bytes int64) {
	return int64(len(s.manifest.Shards)), s.manifest.Bytes()
}

func (s *wdsSource) verify(ctx context.Context, i int64, m *meter) (*Damage, error) {
	shard := s.manifest.Shards[i]
	want := shard.SHA256
	if s.sidecar != nil {
		// The packer's hash is the older witness: the index may have been built from
		// a damaged copy.
		for _, p := range s.sidecar.Shards {
			if p.Name == path.Base(shard.Name) {
				want = p.SHA256
			}
		}
	}
	return s.verifyShard(ctx, int(i), want, m)
}
