package pipelinetest

import (
	"testing"

	"resslt/batcher/assemble"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
)

// Calm are the batches of a run, made in this goroutine, without broker and workers.
func Calm(t testing.TB, info *schemas.RunInfo) []*schemas.Batch {
	t.Helper()
	src, err := pipeline.OpenSource(t.Context(), info, nil, ingest.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	maker, err := src.NewMaker()
	if err != nil {
		t.Fatal(err)
	}
	defer maker.Close()
	batches, err := assemble.Batches(t.Context(), &info.Spec, src.Order(), maker, 0, int(info.Spec.Steps()))
	if err != nil {
		t.Fatal(err)
	}
	return batches
}
