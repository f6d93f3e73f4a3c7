package record

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"testing"

	"resslt/batcher/produce"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// testRun has 3 epochs of 4 steps of 10 samples, in chunks of 4, 4 and 2; two views.
func testRun() schemas.RunInfo {
	s := schemas.RunSpec{
		Version: schemas.SpecVersion,
		Dataset: schemas.DatasetSpec{Digest: "d0", Format: "folder", Split: "train", Samples: 47},
		Order:   "global", Policy: "{}", Engine: "hash/1", Seed: 1,
		BatchSize: 10, Epochs: 3, StepsPerEpoch: 4, ChunkSamples: 4, OnError: schemas.Replace,
		Views: []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 8}, {Name: "strong", Role: schemas.Student, Size: 6}},
	}
	return schemas.RunInfo{Spec: s, Digest: s.Digest(), DataURI: "folder:here"}
}

// strideOrder is a permutation that differs from epoch to epoch.
type strideOrder struct{ n int64 }

func (o strideOrder) At(epoch, index int64) int64 { return (index*5 + epoch*11 + 3) % o.n }

// maker derives pixels and plans from what a row asks for; sample broken cannot be
// decoded. It is also the batcher.Source of itself.
type maker struct {
	run    schemas.RunInfo
	broken int64
	salt   byte
}

func (m *maker) Make(_ context.Context, row wire.TaskRow, dst, plans [][]byte) (produce.Made, error) {
	if row.Sample == m.broken {
		return produce.Made{}, schemas.NewBadSample("decode", "a path", "", errs.Because(errs.ErrCorrupt, "no picture"))
	}
	for v := range dst {
		for i := range dst[v] {
			dst[v][i] = byte(row.Epoch*31+row.Sample*7+int64(v)*13) + byte(i) + m.salt
		}
		plans[v] = fmt.Appendf(plans[v][:0], "plan %d/%d/%d", row.Epoch, row.Sample, v)
	}
	return produce.Made{Label: int32(row.Sample % 10)}, nil
}

func (m *maker) Close() error                     { return nil }
func (m *maker) Order() wire.Order                { return strideOrder{m.run.Spec.Dataset.Samples} }
func (m *maker) NewMaker() (produce.Maker, error) { return m, nil }

func newMaker() *maker { return &maker{run: testRun(), broken: -1} }

// chunk makes one chunk, as a worker would.
func (m *maker) chunk(t testing.TB, step int64, index int) *wire.Chunk {
	t.Helper()
	spec := &m.run.Spec
	c := wire.NewChunk(spec)
	if err := produce.Chunk(t.Context(), spec, m.Order(), m, wire.NewEncoder(spec), step, index, c); err != nil {
		t.Fatal(err)
	}
	return c
}

// Spec and Chunk make it a Source.
func (m *maker) Spec() *schemas.RunSpec { return &m.run.Spec }

func (m *maker) Chunk(_ context.Context, step int64, index int) (*wire.Chunk, error) {
	spec := &m.run.Spec
	c := wire.NewChunk(spec)
	return c, produce.Chunk(context.Background(), spec, m.Order(), m, wire.NewEncoder(spec), step, index, c)
}

func (m *maker) options(dir string, from int64, pixels Window) Options {
	return Options{Dir: dir, Run: m.run, Order: m.Order(), From: from, Pixels: pixels}
}

func newRecorder(t testing.TB, o Options) *Recorder {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// give hands the recorder the steps of a window, chunks last to first, as they may come.
func (m *maker) give(t testing.TB, r *Recorder, w Window) {
	t.Helper()
	for step := w.From; step < w.To; step++ {
		for index := m.run.Spec.Chunks() - 1; index >= 0; index-- {
			for range 2 { // it may be given again
				if err := r.Chunk(t.Context(), m.chunk(t, step, index)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := r.Step(step); err != nil {
			t.Fatal(err)
		}
	}
}

func closed(t testing.TB, r *Recorder) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func openFolder(t testing.TB, dir string) *Folder {
	t.Helper()
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// report is the folder's ledger.
func (m *maker) report(t testing.TB, dir string, complete bool) *Report {
	t.Helper()
	l := NewLedger(&m.run.Spec, m.Order(), Window{To: m.run.Spec.Steps()})
	if err := l.AddFolder(t.Context(), openFolder(t, dir)); err != nil {
		t.Fatal(err)
	}
	return l.Report(complete)
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range paths {
		paths[i] = filepath.Base(paths[i])
	}
	return paths
}

// setDigest computes the digest of a chunk's rows again.
func setDigest(c *wire.Chunk, enc *wire.Encoder) error {
	body, err := enc.Encode(c)
	sum := sha256.Sum256(body)
	c.Digest = hex.EncodeToString(sum[:])
	return err
}
