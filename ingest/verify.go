package ingest

import (
	"context"
	"fmt"
	"path"
	"sync"

	"golang.org/x/sync/errgroup"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// Damage is one thing that is no longer as the manifest says.
type Damage struct {
	Shard string // name in the manifest
	File  string // the file within a class folder; "" where the shard is the file
	Err   error  // matches ErrMismatch, ErrNotFound, ErrCorrupt or ErrUnavailable

	order int64
}

// Report is what Verify found.
type Report struct {
	Shards  int      // looked at
	Bytes   int64    // hashed
	Damaged []Damage // all of it, in the order of the shards
}

// VerifyOptions say how Verify goes about it. The zero value is the default.
type VerifyOptions struct {
	Workers  int                     // files hashed at once; default as Options.Workers
	Progress func(done, total int64) // bytes; calls never overlap; default none
}

// verifier is a Source whose bytes can be compared with its manifest.
type verifier interface {
	// units is the number of things to be checked, and their bytes.
	units() (n, bytes int64)
	// verify checks unit i. A Damage is the finding, an error means "could not look".
	verify(ctx context.Context, i int64, m *meter) (*Damage, error)
}

// Verify reads all bytes of the data set again and compares them with the hashes
// of the index, and of the manifest that Pack wrote where there is one. Unlike
// Open it finds bytes that changed without a change of size or time (bit rot, bad
// disks, bad copies). It reports every damage and not just the first; the error
// is for what kept it from looking. Images are not decoded.
func Verify(ctx context.Context, src Source, opt VerifyOptions) (*Report, error) {
	v, ok := src.(verifier)
	if !ok {
		return nil, errs.New("verify", src.Manifest().Format, "verify the data where it lies",
			errs.Because(errs.ErrUnsupported, "this source can't be read again"))
	}
	workers := Options{Workers: opt.Workers}.applyDefaults().Workers
	n, total := v.units()
	m := newMeter(opt.Progress, total)
	rep := &Report{Shards: len(src.Manifest().Shards), Bytes: total}
	var mu sync.Mutex // guards rep.Damaged
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	const block = 16
	for lo := int64(0); lo < n; lo += block {
		g.Go(func() error {
			for i := lo; i < min(lo+block, n); i++ {
				d, err := v.verify(gctx, i, m)
				if err != nil {
					return err
				}
				if d != nil {
					d.order = i
					mu.Lock()
					rep.Damaged = append(rep.Damaged, *d)
					mu.Unlock()
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	sortDamage(rep.Damaged)
	return rep, nil
}

// compare makes a Damage of what hashing gave. Trouble with one file is a
// finding about it; only a cancelled ctx ends the whole.
func compare(ctx context.Context, shard, file, want, got string, err error) (*Damage, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil && got != want {
		err = errs.Because(errs.ErrMismatch, fmt.Sprintf("SHA-256 is %.12s…, want %.12s…", got, want))
	}
	if err == nil {
		return nil, nil
	}
	return &Damage{Shard: shard, File: file, Err: err}, nil
}

func (s *recordSource) units() (n, bytes int64) {
	return int64(len(s.manifest.Shards)), s.manifest.Bytes()
}

func (s *recordSource) verify(ctx context.Context, i int64, m *meter) (*Damage, error) {
	shard := s.manifest.Shards[i]
	got, err := s.resum(ctx, int(i), m)
	return compare(ctx, shard.Name, "", shard.SHA256, got, err)
}

// A folder's units are its files, so that the damaged one can be named.
func (s *folderSource) units() (n, bytes int64) { return s.manifest.Samples, s.manifest.Bytes() }

func (s *folderSource) verify(ctx context.Context, i int64, m *meter) (*Damage, error) {
	sum, err := s.x.sumSample(ctx, s.store, "verify", s.root, i, false, m)
	return compare(ctx, s.x.Shards[s.x.shardOf(i)].Name, s.x.name(i),
		fmt.Sprintf("%x", s.x.sums[i]), fmt.Sprintf("%x", sum), err)
}

func (s *wdsSource) units() (n, bytes int64) {
	return int64(len(s.manifest.Shards)), s.manifest.Bytes()
}

func (s *wdsSource) verify(ctx context.Context, i int64, m *meter) (*Damage, error) {
	shard := s.manifest.Shards[i]
	want := shard.SHA256
	if s.sidecar != nil {
		// The packer's hash is the older witness: the index may have been built
		// from a damaged copy.
		for _, p := range s.sidecar.Shards {
			if p.Name == path.Base(shard.Name) {
				want = p.SHA256
			}
		}
	}
	f, err := openFile(ctx, s.store, "verify", store.Join(s.dir, shard.Name), changedHint)
	if err != nil {
		return compare(ctx, shard.Name, "", want, "", err)
	}
	defer f.Close()
	sum, err := f.sum(ctx, "verify", changedHint, m, nil)
	return compare(ctx, shard.Name, "", want, hexSum(sum), err)
}
