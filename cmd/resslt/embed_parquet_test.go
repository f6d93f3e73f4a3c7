package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/parquet/file"

	"resslt/train"
	"resslt/train/backbone"
	"resslt/train/nn"
)

// embedParquet embeds three pictures as Parquet and as NPY.
func embedParquet(t *testing.T) (path string, want []float32) {
	t.Helper()
	dir := t.TempDir()
	b, err := backbone.New("resnet18", backbone.Config{Width: 4, SmallStem: true, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer nn.Free(b)
	encoder, images := filepath.Join(dir, "e.safetensors"), filepath.Join(dir, "images")
	if err := train.SaveEncoder(encoder, b, train.EncoderInfo{Backbone: "resnet18", Width: 4, Stem: "small", ImageSize: 32, Std: [3]float64{1, 1, 1}}); err != nil {
		t.Fatal(err)
	}
	writePictures(t, images, 3, 32)
	for _, format := range []string{"npy", "parquet"} {
		o := resslt(t, "embed", "--checkpoint", encoder, "--data", "folder:"+images, "--threads", "1", "--format", format, "--out", filepath.Join(dir, "f."+format))
		if o.code != 0 {
			t.Fatalf("%s: exit %d: %s", format, o.code, o.stderr)
		}
	}
	return filepath.Join(dir, "f.parquet"), readNPY(t, filepath.Join(dir, "f.npy"))
}

// TestEmbedParquet: the file has a row for each picture, with the features of the NPY.
func TestEmbedParquet(t *testing.T) {
	t.Parallel()
	needTorch(t)
	path, want := embedParquet(t)
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.NumRows() != 3 || f.NumRowGroups() != 1 || f.MetaData().Schema.NumColumns() != 3 {
		t.Fatalf("%d rows in %d groups of %d columns", f.NumRows(), f.NumRowGroups(), f.MetaData().Schema.NumColumns())
	}
	column, err := f.RowGroup(0).Column(2)
	if err != nil {
		t.Fatal(err)
	}
	got, defined, repeated := make([]float32, len(want)+1), make([]int16, len(want)+1), make([]int16, len(want)+1)
	_, n, err := column.(*file.Float32ColumnChunkReader).ReadBatch(int64(len(got)), got, defined, repeated)
	if err != nil || !slices.Equal(got[:n], want) || len(want) != 3*32 {
		t.Errorf("%d features, %d in the NPY, or others: %v", n, len(want), err)
	}
}

// TestParquetReaders: pyarrow, polars and DuckDB read it; pyarrow has a list of fixed size.
func TestParquetReaders(t *testing.T) {
	python := os.Getenv("RESSLT_INTEROP_PYTHON")
	if python == "" {
		t.Skip("RESSLT_INTEROP_PYTHON names no Python with pyarrow, polars, datasets and DuckDB: make interop")
	}
	needTorch(t)
	path, want := embedParquet(t)
	c := exec.Command(python, "-c", `import sys, numpy as np, pyarrow as pa, pyarrow.parquet as pq, polars as pl, duckdb, datasets
path, npy = sys.argv[1:]
want = np.load(npy)
t = pq.read_table(path)
vectors = t.schema.field("feature").type
assert pa.types.is_fixed_size_list(vectors) and vectors.list_size == want.shape[1] and vectors.value_type == pa.float32(), t.schema
assert t.schema.field("key").type == pa.string() and t.schema.field("label").type == pa.int32(), t.schema
assert np.array_equal(np.stack(t["feature"].to_pylist()).astype(np.float32), want)
assert np.array_equal(np.stack(pl.read_parquet(path)["feature"].to_list()).astype(np.float32), want)
assert np.array_equal(np.array(duckdb.sql(f"select feature from '{path}'").fetchall(), np.float32)[:, 0], want)
d = datasets.load_dataset("parquet", data_files=path, split="train", cache_dir=path + ".cache")
assert np.array_equal(np.array(d["feature"][:], np.float32), want), d
print("read", t["key"].to_pylist(), t["label"].to_pylist())`, path, strings.TrimSuffix(path, "parquet")+"npy")
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err != nil || !strings.HasPrefix(string(out), "read ['") || len(want) == 0 {
		t.Errorf("%v: %s%s", err, out, said.String())
	}
}
