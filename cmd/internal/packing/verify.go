package packing

import (
	"context"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"resslt/augment/packed"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Verify restores every packed picture of a data set. It returns how many there are, and
// those that can't be restored to the files that were packed.
func Verify(ctx context.Context, src ingest.Source, workers int, progress func(done, total int64)) (n int64, damaged []ingest.Damage, err error) {
	var mu sync.Mutex // guards n, damaged and done
	done := int64(0)
	ids := make(chan int64)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(ids)
		for id := range src.Len() {
			select {
			case ids <- id:
			case <-gctx.Done():
				return gctx.Err()
			}
		}
		return nil
	})
	for range max(workers, 1) {
		g.Go(func() error {
			var r packed.Restorer
			var s schemas.Sample
			for id := range ids {
				err := src.Read(gctx, id, &s)
				isPacked := err == nil && packed.Is(s.Data)
				if isPacked {
					_, err = r.Restore(s.Data, limits())
				}
				if err != nil && (gctx.Err() != nil || !isPacked) {
					return err
				}
				mu.Lock()
				if done++; progress != nil {
					progress(done, src.Len())
				}
				if isPacked {
					n++
				}
				if err != nil {
					damaged = append(damaged, ingest.Damage{File: s.Key, Err: errs.BecauseErr(errs.ErrCorrupt, err)})
				}
				mu.Unlock()
			}
			return nil
		})
	}
	err = g.Wait()
	slices.SortFunc(damaged, func(a, b ingest.Damage) int { return strings.Compare(a.File, b.File) })
	return n, damaged, err
}
