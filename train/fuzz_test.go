package train

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas/bounded/boundedtest"
	"resslt/schemas/errs"
)

// FuzzCheckpoint: the JSON of a checkpoint, a summary and metrics, as anybody may write it.
func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte(`{"version":1,"step":3,"recipe":"epochs: 1\n","weights":"step-00000003.safetensors","sha256":"e3b0"}`))
	f.Add([]byte(`{"version":1,"weights":"../x"}`))
	f.Add([]byte(`{"step":1,"loss":2.5}` + "\n" + `{"step":2`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(dir, "x.json")
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		boundedtest.Allocates(t, 1<<20, 500, len(raw), func() {
			_, err1 := OpenCheckpoint(path)
			_, err2 := ReadSummary(path)
			for _, err := range []error{err1, err2} {
				var e *errs.Error
				if err != nil && !errors.As(err, &e) {
					t.Errorf("an error of no kind: %v", err)
				}
			}
			if _, err := ReadMetrics(path); err != nil {
				t.Error(err)
			}
		})
	})
}
