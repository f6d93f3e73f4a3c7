package parquet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas/errs"
)

// FuzzFile changes files of today's writers anywhere: every column comes out, or an error
// of a kind, but neither a panic nor memory that a length claims.
func FuzzFile(f *testing.F) {
	for _, name := range []string{
		"duckdb-v2-zstd", "duckdb-v2-brotli", "duckdb-v1-lz4_raw", "fastparquet-lz4", "fastparquet-gzip", "polars-zstd", "pyarrow-lz4-v2", "pyarrow-none-v1",
	} {
		b, err := os.ReadFile(filepath.Join("testdata/writers", name+".parquet"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	ctx := context.Background()
	kind := func(t *testing.T, err error) {
		for _, sentinel := range []error{errs.ErrCorrupt, errs.ErrTooLarge, errs.ErrUnsupported} {
			if errors.Is(err, sentinel) {
				return
			}
		}
		t.Fatalf("an error of no kind: %v", err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &inMemory{b: b}
		file, err := Open(ctx, r, int64(len(b)))
		if err != nil {
			kind(t, err)
			return
		}
		for _, l := range file.Leaves() {
			c, err := file.Column(l)
			if err != nil {
				kind(t, err)
				continue
			}
			var pages []int64
			if err := c.Each(ctx, r, func(page int64, v []byte) error {
				if l.Numeric() {
					_, _, _ = l.Integer(v)
				}
				if n := len(pages); n == 0 || pages[n-1] != page {
					pages = append(pages, page)
				}
				return nil
			}); err != nil {
				kind(t, err)
				continue
			}
			for i, at := range pages {
				next := int64(0)
				if i+1 < len(pages) {
					next = pages[i+1]
				}
				if _, err := c.Page(ctx, r, at, next); err != nil {
					t.Fatalf("column %s, page at %d: read, and then %v", l.Path, at, err)
				}
			}
		}
	})
}
