package ingest

import (
	"context"
	"fmt"
	"sort"
	"sync"

	"golang.org/x/sync/errgroup"

	"resslt/schemas/errs"
)

// Damage is a file that is not as the manifest says.
type Damage struct {
	Shard string // name in the manifest
	File  string // the file within a class folder; "" where the shard is the file
	Err   error  // matches ErrMismatch, ErrNotFound, ErrCorrupt or ErrUnavailable

	order int64
}

// Report is what Verify found.
type Report struct {
	Shards  int      // checked
	Bytes   int64    // hashed
	Damaged []Damage // all of it, in the order of the shards
}

// VerifyOptions configure Verify. The zero value is the default.
type VerifyOptions struct {
	Workers  int                     // files hashed at once; default as Options.Workers
	Progress func(done, total int64) // bytes; calls never overlap; default none
}

// verifier is a Source whose bytes can be compared with its manifest.
type verifier interface {
	// units is the number of units to check, and their bytes.
	units() (n, bytes int64)
	// verify checks unit i. An error means that it could not be checked.
	verify(ctx context.Context, i int64, m *meter) (*Damage, error)
}

// Verify reads all bytes of the data set again and compares them with the hashes
// of the index, and of the manifest that Pack wrote where there is one. Unlike
// Open it finds bytes that changed without a change of size or time (bit rot, bad
// disks, bad copies). It reports all damage and not just the first; an error means
// that it could not check. Images are not decoded.
func Verify(ctx context.Context, src Source, opt VerifyOptions) (*Report, error) {
	v, ok := src.(verifier)
	if !ok {
		return nil, errs.New("verify", src.Manifest().Format, "verify the data where it is stored",
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

// compare turns the result of hashing a file into a Damage, nil for none. An error is
// damage of that file; only a cancelled ctx ends the verification.
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

func (s *rawSource) units() (n, bytes int64) {
	return int64(len(s.manifest.Shards)), s.manifest.Bytes()
}

func (s *rawSource) verify(ctx context.Context, i int64, m *meter) (*Damage, error) {
	shard := s.manifest.Shards[i]
	got, err := s.resum(ctx, int(i), m)
	return compare(ctx, shard.Name, "", shard.SHA256, got, err)
}

// A folder's units are its files, so that the damaged one can be named.
func (s *folderSource) units() (n, bytes int64) { return s.manifest.Samples, s.manifest.Bytes() }

func (s *folderSource) verify(ctx context.Context, i int64, m *meter) (*Damage, error) {
	sum, err := s.x.sumSample(ctx, s.store, "verify", s.root, i, false, m)
	return compare(ctx, s.x.Shards[s.x.shardOf(i)].Name, escapeName(s.x.name(i)),
		fmt.Sprintf("%x", s.x.sums[i]), fmt.Sprintf("%x", sum), err)
}

// sortDamage sorts reports by shard.
func sortDamage(d []Damage) {
	sort.SliceStable(d, func(i, j int) bool { return d[i].order < d[j].order })
}
