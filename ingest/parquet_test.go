package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"resslt/schemas"
	"resslt/schemas/bounded/boundedtest"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

const huggingface = `{"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["tench", "goldfish", "shark"], "_type": "ClassLabel"}}}}`

// parquetBytes is a file of the samples as Hugging Face's library would lay it out,
// by Arrow's writer.
func parquetBytes(t testing.TB, samples []schemas.Sample, rowGroup int64, props ...parquet.WriterProperty) []byte {
	t.Helper()
	image := arrow.StructOf(arrow.Field{Name: "bytes", Type: arrow.BinaryTypes.Binary, Nullable: true},
		arrow.Field{Name: "path", Type: arrow.BinaryTypes.String, Nullable: true})
	md := arrow.NewMetadata([]string{"huggingface"}, []string{huggingface})
	sc := arrow.NewSchema([]arrow.Field{{Name: "image", Type: image, Nullable: true}, {Name: "label", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, &md)
	b := array.NewRecordBuilder(memory.DefaultAllocator, sc)
	defer b.Release()
	st := b.Field(0).(*array.StructBuilder)
	for i, s := range samples {
		if s.Data == nil {
			st.AppendNull()
		} else {
			st.Append(true)
			st.FieldBuilder(0).(*array.BinaryBuilder).Append(s.Data)
			st.FieldBuilder(1).(*array.StringBuilder).Append(fmt.Sprintf("n%04d.JPEG", i))
		}
		if s.Label == schemas.NoLabel {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.Int64Builder).Append(int64(s.Label))
		}
	}
	rec := b.NewRecord()
	defer rec.Release()
	tab := array.NewTableFromRecords(sc, []arrow.Record{rec})
	defer tab.Release()
	var out bytes.Buffer
	if err := pqarrow.WriteTable(tab, &out, rowGroup, parquet.NewWriterProperties(props...), pqarrow.DefaultWriterProps()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// parquetSamples are n images of three classes, some repeated so that a dictionary
// is of use.
func parquetSamples(t testing.TB, n int) []schemas.Sample {
	t.Helper()
	var out []schemas.Sample
	for i := range n {
		data := bytes.Repeat([]byte{byte(i % 7), byte(i % 5), 0xff}, 50+i%7)
		out = append(out, schemas.Sample{Label: int32(i % 3), Data: append([]byte{0xff, 0xd8, 0xff}, data...)})
	}
	return out
}

// Every way in which a writer may lay out the same rows reads back.
func TestParquetOfArrow(t *testing.T) {
	ctx := context.Background()
	want := parquetSamples(t, 500)
	want[3].Label = schemas.NoLabel
	for name, props := range map[string][]parquet.WriterProperty{
		"plain":            {parquet.WithDictionaryDefault(false)},
		"dictionary":       {parquet.WithDictionaryDefault(true)},
		"small pages":      {parquet.WithDictionaryDefault(false), parquet.WithDataPageSize(1000), parquet.WithBatchSize(16)},
		"dictionary full":  {parquet.WithDictionaryDefault(true), parquet.WithDictionaryPageSizeLimit(500), parquet.WithDataPageSize(1000), parquet.WithBatchSize(16)},
		"snappy":           {parquet.WithCompression(compress.Codecs.Snappy), parquet.WithDictionaryDefault(false), parquet.WithDataPageSize(2000), parquet.WithBatchSize(16)},
		"version 2":        {parquet.WithDataPageVersion(parquet.DataPageV2), parquet.WithDataPageSize(2000), parquet.WithBatchSize(16)},
		"version 2 snappy": {parquet.WithDataPageVersion(parquet.DataPageV2), parquet.WithCompression(compress.Codecs.Snappy), parquet.WithDictionaryDefault(false)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeTree(t, dir, map[string][]byte{"data/train-00000-of-00001.parquet": parquetBytes(t, want, 120, props...)})
			src, err := Open(ctx, "parquet:"+dir, Options{CacheDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			if src.Len() != int64(len(want)) || strings.Join(src.Manifest().Classes, " ") != "tench goldfish shark" {
				t.Fatalf("%d samples, classes %q", src.Len(), src.Manifest().Classes)
			}
			order := NewOrder(1, src.Len())
			var s schemas.Sample
			for i := range src.Len() {
				id := order.At(0, i)
				if err := src.Read(ctx, id, &s); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(s.Data, want[id].Data) || s.Label != want[id].Label || !strings.HasSuffix(s.Key, fmt.Sprintf("/%d:n%04d.JPEG", id, id)) {
					t.Fatalf("sample %d is %s, %d bytes of class %d", id, s.Key, len(s.Data), s.Label)
				}
			}
		})
	}
}

// Files that another writer than Arrow made (testdata/parquetgo), as Hugging Face
// lays them out: snappy, small pages and row groups, structures and metadata.
func TestParquetOfAnotherWriter(t *testing.T) {
	ctx := context.Background()
	src, err := Open(ctx, "parquet:testdata/parquetgo/train-{00000..00001}-of-00002.parquet", Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if src.Len() != 14 || strings.Join(src.Manifest().Classes, " ") != "tench goldfish" {
		t.Fatalf("%d samples, classes %q", src.Len(), src.Manifest().Classes)
	}
	var s schemas.Sample
	for id := range src.Len() {
		if err := src.Read(ctx, id, &s); err != nil {
			t.Fatal(err)
		}
		i := id % 7
		want := append([]byte{0xff, 0xd8, 0xff, byte(i)}, bytes.Repeat([]byte{byte(id), byte(3 * id)}, int(200+100*i))...)
		if !bytes.Equal(s.Data, want) || s.Label != int32(i%2) {
			t.Errorf("sample %d (%s) is %d bytes of class %d", id, s.Key, len(s.Data), s.Label)
		}
	}
}

func TestParquetRefuses(t *testing.T) {
	ctx := context.Background()
	good := parquetBytes(t, parquetSamples(t, 20), 10, parquet.WithCompression(compress.Codecs.Snappy))
	hole := parquetSamples(t, 5)
	hole[3].Data = nil
	far := parquetSamples(t, 5)
	far[2].Label = 7
	short := bytes.Clone(good[:len(good)-4])
	for name, c := range map[string]struct {
		b    []byte
		want error
		says string
	}{
		"text":        {[]byte("no parquet at all, but long enough"), errs.ErrCorrupt, "PAR1"},
		"empty":       {nil, errs.ErrCorrupt, "PAR1"},
		"truncated":   {short, errs.ErrCorrupt, "PAR1"},
		"no image":    {parquetBytes(t, hole[3:4], 10), errs.ErrNotFound, "passed over 1: 1 row without an image"},
		"far label":   {parquetBytes(t, far, 10), errs.ErrCorrupt, "label 7 of the 3 classes"},
		"encrypted":   {append(bytes.Clone(good[:len(good)-4]), "PARE"...), errs.ErrUnsupported, "encrypted"},
		"long footer": {append(bytes.Clone(good[:len(good)-8]), "\xff\xff\xff\x7fPAR1"...), errs.ErrCorrupt, "claims"},
	} {
		dir := t.TempDir()
		writeTree(t, dir, map[string][]byte{"train-0.parquet": c.b})
		src, err := Open(ctx, "parquet:"+filepath.Join(dir, "train-0.parquet"), Options{CacheDir: t.TempDir()})
		if why := errstest.Differs(err, c.want, c.says, "train-0.parquet"); src != nil || why != "" {
			t.Errorf("%s: opened as %v; %s", name, src, why)
		}
		checkOneLine(t, err)
	}
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{"train-0.parquet": good, "x.parquet": good})
	for uri, split := range map[string]string{"parquet:" + dir: Test, "parquet:" + dir + "/train-*.parquet": Test, "parquet:": Train} {
		if src, err := Open(ctx, uri, Options{Split: split, CacheDir: t.TempDir()}); src != nil || err == nil {
			t.Errorf("%s as %s was opened", uri, split)
		}
	}
}

// FuzzParquet changes files anywhere: errors of a kind, or rows, but neither a
// panic nor memory that a length claims.
func FuzzParquet(f *testing.F) {
	for _, props := range [][]parquet.WriterProperty{
		{parquet.WithCompression(compress.Codecs.Snappy)}, {parquet.WithDictionaryDefault(false), parquet.WithDataPageVersion(parquet.DataPageV2)},
	} {
		f.Add(parquetBytes(f, parquetSamples(f, 12), 5, props...))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		boundedtest.Allocates(t, 64<<20, 2000, len(b), func() {
			path := filepath.Join(dir, fmt.Sprintf("%d.parquet", os.Getpid()))
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			src, err := Open(context.Background(), "parquet:"+path, Options{CacheDir: dir, Workers: 1})
			if err != nil {
				var e *errs.Error
				if !errors.As(err, &e) {
					t.Fatalf("an error of no kind: %v", err)
				}
				return
			}
			defer src.Close()
			var s schemas.Sample
			for id := range min(src.Len(), 50) {
				if err := src.Read(context.Background(), id, &s); err != nil {
					t.Fatalf("listed, and then: %v", err)
				}
			}
		})
	})
}
