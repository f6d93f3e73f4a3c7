package faults

import (
	"archive/tar"
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// images is how many pictures a data set has.
const images = 32

// picture is JPEG number i, of its own content.
func picture(t *testing.T, i int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 48, 40))
	for y := range 40 {
		for x := range 48 {
			m.Set(x, y, color.RGBA{uint8(x*5 + i*7), uint8(y*6 + i*13), uint8(i * 29), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// formats write a data set below a folder, and name it there.
var formats = map[string]struct {
	place string // of the URI, below the folder
	write func(t *testing.T) map[string][]byte
}{
	"folder":  {"set", folderFiles},
	"wds":     {"set/train-{000..001}.tar", tarFiles},
	"parquet": {"set/train.parquet", parquetFiles},
}

func folderFiles(t *testing.T) map[string][]byte {
	out := map[string][]byte{}
	for i := range images {
		out[fmt.Sprintf("set/%s/%03d.jpg", []string{"cat", "dog"}[i%2], i)] = picture(t, i)
	}
	return out
}

func tarFiles(t *testing.T) map[string][]byte {
	out := map[string][]byte{}
	for shard := range 2 {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		put := func(name string, data []byte) {
			if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Format: tar.FormatUSTAR}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
		}
		for i := shard * images / 2; i < (shard+1)*images/2; i++ {
			put(fmt.Sprintf("%05d.jpg", i), picture(t, i))
			put(fmt.Sprintf("%05d.cls", i), []byte{'0' + byte(i%2)})
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		out[fmt.Sprintf("set/train-%03d.tar", shard)] = b.Bytes()
	}
	return out
}

func parquetFiles(t *testing.T) map[string][]byte {
	cell := arrow.StructOf(arrow.Field{Name: "bytes", Type: arrow.BinaryTypes.Binary, Nullable: true},
		arrow.Field{Name: "path", Type: arrow.BinaryTypes.String, Nullable: true})
	sc := arrow.NewSchema([]arrow.Field{{Name: "image", Type: cell, Nullable: true}, {Name: "label", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, sc)
	defer b.Release()
	st := b.Field(0).(*array.StructBuilder)
	for i := range images {
		st.Append(true)
		st.FieldBuilder(0).(*array.BinaryBuilder).Append(picture(t, i))
		st.FieldBuilder(1).(*array.StringBuilder).Append(fmt.Sprintf("%03d.jpg", i))
		b.Field(1).(*array.Int64Builder).Append(int64(i % 2))
	}
	rec := b.NewRecord()
	defer rec.Release()
	tab := array.NewTableFromRecords(sc, []arrow.Record{rec})
	defer tab.Release()
	var out bytes.Buffer
	// A page for each few images, so that there are many reads.
	props := parquet.NewWriterProperties(parquet.WithDataPageSize(2000), parquet.WithDictionaryDefault(false), parquet.WithBatchSize(2))
	if err := pqarrow.WriteTable(tab, &out, images/2, props, pqarrow.DefaultWriterProps()); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"set/train.parquet": out.Bytes()}
}

// writeFiles writes the files below a folder, and has them be old.
func writeFiles(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, b := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		age(t, path)
	}
}
