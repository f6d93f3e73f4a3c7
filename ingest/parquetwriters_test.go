package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"resslt/schemas"
)

// Files by pyarrow, polars, DuckDB, fastparquet and datasets, which bench/writers has
// written (parquet.py --tiny), come with every label and image that their writers read.
// `make writers` has many more.
func TestParquetOfOtherWriters(t *testing.T) {
	data, err := os.ReadFile("testdata/writers/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		File    string
		Rows    [][2]*string // label or nil, hash of the image
		Passed  int64
		Classes []string
	}
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("testdata/writers/*.parquet")
	if len(all) == 0 || len(all) != len(files) {
		t.Fatalf("%d files are expected, %d are there", len(all), len(files))
	}
	for _, w := range all {
		t.Run(w.File, func(t *testing.T) {
			ctx := context.Background()
			src, err := Open(ctx, "parquet:testdata/writers/"+w.File, Options{CacheDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			classes := src.Manifest().Classes
			if len(w.Classes) > 0 && !slices.Equal(classes, w.Classes) {
				t.Errorf("classes %q, want %q", classes, w.Classes)
			}
			if got := SurveyOf(src).Count(); got != w.Passed {
				t.Errorf("passed over %d, want %d", got, w.Passed)
			}
			var got, want []string
			var s schemas.Sample
			for id := range src.Len() {
				if err := src.Read(ctx, id, &s); err != nil {
					t.Fatal(err)
				}
				label := "none"
				switch {
				case s.Label == schemas.NoLabel:
				case len(classes) > 0:
					label = classes[s.Label]
				default:
					label = fmt.Sprint(s.Label)
				}
				got = append(got, fmt.Sprint(label, " ", hexSum(sha256.Sum256(s.Data))))
			}
			for _, row := range w.Rows {
				label := "none"
				if row[0] != nil {
					label = *row[0]
				}
				want = append(want, label+" "+*row[1])
			}
			if !slices.Equal(got, want) { // in the order of the rows
				t.Errorf("samples\n%q, want\n%q", got, want)
			}
		})
	}
}
