package record

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// TestRewritten: a record whose files another Arrow writer has written again is the same
// record: its schema message has other bytes, and says the same.
func TestRewritten(t *testing.T) {
	m := newMaker()
	ours := os.Getenv("RECORD_OUT") // for testdata/rewrite.py
	if ours == "" {
		ours = t.TempDir()
	}
	r := newRecorder(t, m.options(ours, 0, Window{0, 2}))
	m.give(t, r, Window{0, 2})
	closed(t, r)

	want := m.report(t, ours, false)
	for _, by := range []string{"pyarrow", "pyarrow-nullable", "pyarrow-bare", "pyarrow-zstd", "pyarrow-lz4", "arro3"} {
		t.Run(by, func(t *testing.T) {
			theirs := filepath.Join("testdata", "rewritten", by)
			for _, name := range []string{"log-000000.arrow", "pixels-000000.arrow"} {
				if bytes.Equal(read(t, filepath.Join(ours, name)), read(t, filepath.Join(theirs, name))) {
					t.Errorf("%s was not written again", name)
				}
			}
			got := m.report(t, theirs, false)
			if got.Found != 0 || got.StepsWhole != 2 || got.Visits != want.Visits || got.PixelChunks != want.PixelChunks || want.PixelChunks != 6 {
				t.Errorf("%+v, want %+v", got, want)
			}
			f := openFolder(t, theirs)
			for step := range int64(2) {
				for index := range m.run.Spec.Chunks() {
					c, err := f.Chunk(t.Context(), step, index)
					if err != nil || !bytes.Equal(c.Pixels[1], m.chunk(t, step, index).Pixels[1]) {
						t.Errorf("chunk %d of step %d: %v", index, step, err)
					}
				}
			}
		})
	}
	for by, says := range map[string]string{
		"large-utf8": `column "reason" is of type large_utf8`, "utf8-view": `column "reason" is of type utf8_view`,
		"dictionary": `column "reason" is encoded by a dictionary`, "int32": "Arrow schema is not that of its run",
		"nulls": "column label has nulls", "v4": "Arrow metadata version 3",
		"polars": "polars or DuckDB", "duckdb": "polars or DuckDB",
	} {
		t.Run("refused "+by, func(t *testing.T) {
			_, err := OpenFolder(filepath.Join("testdata", "rewritten", "refused-"+by, "log-000000.arrow"))
			if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %q", err, says)
			}
		})
	}

	theirs := filepath.Join("testdata", "rewritten", "pyarrow")
	// A column of another name or type is another schema, whoever wrote it.
	raw := read(t, filepath.Join(theirs, "log-000000.arrow"))
	for old, now := range map[string]string{"planned\x00": "plannex\x00", "reason\x00": "reasox\x00"} {
		bad := filepath.Join(t.TempDir(), "log-000000.arrow")
		if !bytes.Contains(raw, []byte(old)) {
			t.Fatalf("no %q", old)
		}
		write(t, bad, bytes.ReplaceAll(raw, []byte(old), []byte(now)))
		_, err := OpenFolder(bad)
		errstest.Want(t, err, errs.ErrMismatch, "Arrow schema")
		write(t, bad, bytes.Replace(raw, []byte(old), []byte(now), 1)) // the footer has the old one
		_, err = OpenFolder(bad)
		errstest.Want(t, err, errs.ErrCorrupt, "Arrow schema")
	}
}
