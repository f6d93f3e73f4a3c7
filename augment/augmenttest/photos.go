package augmenttest

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas"
)

// Photos are the first n pictures of a sample of ImageNet, which is not in the
// repository. It is looked for in $RESSLT_DATA, else in shared/data beside the
// repository's root; without it, the test is skipped.
func Photos(tb testing.TB, root string, n int) []*schemas.Sample {
	tb.Helper()
	dir := os.Getenv("RESSLT_DATA")
	if dir == "" {
		dir = filepath.Join(root, "..", "shared", "data")
	}
	f, err := os.Open(filepath.Join(dir, "imagenet-sample-700.tar"))
	if err != nil {
		tb.Skipf("no sample of ImageNet (set RESSLT_DATA): %v", err)
	}
	defer f.Close()
	var out []*schemas.Sample
	for tr := tar.NewReader(f); len(out) < n; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			tb.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg && h.Size > 0 {
			b, err := io.ReadAll(tr)
			if err != nil {
				tb.Fatal(err)
			}
			out = append(out, &schemas.Sample{ID: int64(len(out)), Key: h.Name, Data: b})
		}
	}
	return out
}
