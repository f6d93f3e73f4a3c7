package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/ipc"

	"resslt/schemas"
)

// TestHostileRecord: a record file that says so is not what memory is allocated by. A sound
// Arrow file, written by Arrow's own writer with the digest of its spec, is refused in a line by
// every verb that reads records.
func TestHostileRecord(t *testing.T) {
	info := schemas.RunInfo{DataURI: "folder:/data", Spec: schemas.RunSpec{
		Version: schemas.SpecVersion, Dataset: schemas.DatasetSpec{Digest: "d0", Format: "folder", Split: "train", Samples: 1 << 40},
		Order: "global", Policy: "{}", Engine: "turbo/1", BatchSize: 64, Epochs: 1, StepsPerEpoch: 4, ChunkSamples: 64, OnError: schemas.Replace,
		Views: []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 32}, {Name: "strong", Role: schemas.Student, Size: 32}},
	}}
	for name, tc := range map[string]struct {
		change func(*schemas.RunSpec)
		says   string
	}{
		"chunks of 200 GB": {func(s *schemas.RunSpec) {
			s.BatchSize, s.ChunkSamples = 32768, 32768
			s.Views[0].Size, s.Views[1].Size = 1024, 1024
		}, "chunk_samples"},
		"batch of a terabyte": {func(s *schemas.RunSpec) { s.BatchSize, s.ChunkSamples = 1<<40, 1<<20 }, "batch_size"},
		"steps without end":   {func(s *schemas.RunSpec) { s.Epochs = 1 << 62 }, "epochs"},
		"views without end":   {func(s *schemas.RunSpec) { s.Views[1].Size = 1 << 31 }, "views.strong.size"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := info
			bad.Spec.Views = append([]schemas.ViewSpec(nil), info.Spec.Views...)
			tc.change(&bad.Spec)
			bad.Digest = bad.Spec.Digest()
			schema, err := schemas.RecordSchema(&bad, false)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			f, err := os.Create(filepath.Join(dir, "log-000000.arrow"))
			if err != nil {
				t.Fatal(err)
			}
			w, err := ipc.NewFileWriter(f, ipc.WithSchema(schema))
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{
				{"record", "ls", dir},
				{"record", "verify", dir},
				{"record", "export", dir, "--out", filepath.Join(t.TempDir(), "out")},
				{"train", "--replay", "pixels:" + dir, "--out", t.TempDir()},
				{"train", "--replay", "log:" + dir, "--out", t.TempDir()},
			} {
				o := resslt(t, args...)
				if line := strings.TrimSpace(o.stderr); o.code != 1 || strings.Contains(line, "\n") || !strings.HasPrefix(line, "resslt: ") || !strings.Contains(line, tc.says) {
					t.Errorf("%v: exit %d: %s", args, o.code, o.stderr)
				}
			}
		})
	}
}
