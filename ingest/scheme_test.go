package ingest

import (
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// A place without a scheme is answered with the scheme that it probably is of.
func TestSchemeIsSuggested(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.tar", "b.parquet", "c.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for place, says := range map[string]string{
		dir: "did you mean folder:" + dir + "? give one of", filepath.Join(dir, "a.tar"): "did you mean wds:", filepath.Join(dir, "b.parquet"): "did you mean parquet:",
		filepath.Join(dir, "c.txt"): "(hint: give one of", filepath.Join(dir, "none"): "(hint: give one of",
	} {
		_, err := Open(t.Context(), place, Options{})
		errstest.Want(t, err, errs.ErrUsage, "no scheme before a colon", says)
	}
}
