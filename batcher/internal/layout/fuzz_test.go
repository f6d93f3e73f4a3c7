package layout_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"resslt/batcher/internal/layout"
	"resslt/schemas"
)

// foreign are the schema and the first record batch of the files that other Arrows wrote: what
// stands behind "ARROW1" and zeros.
func foreign(f *testing.F) (schemaMessages, batches [][]byte) {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", "record", "testdata", "rewritten", "*", "*.arrow"))
	if err != nil || len(paths) < 15 {
		f.Fatalf("%d files, %v", len(paths), err)
	}
	for _, p := range paths {
		raw, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		for raw = raw[8:]; binary.LittleEndian.Uint64(raw) == 0; { // some pad to 64 bytes
			raw = raw[8:]
		}
		for _, to := range []*[][]byte{&schemaMessages, &batches} {
			n := binary.LittleEndian.Uint32(raw[4:])
			if binary.LittleEndian.Uint32(raw) != 0xFFFFFFFF {
				break // polars writes no schema message
			}
			*to = append(*to, raw[8:8+n])
			raw = raw[8+n:]
		}
	}
	return schemaMessages, batches
}

// recordLayout is that of a record of one view.
func recordLayout(tb testing.TB, pixels bool) *layout.Layout {
	tb.Helper()
	s, err := schemas.RecordSchema(&schemas.RunInfo{Spec: schemas.RunSpec{Views: []schemas.ViewSpec{{Name: "weak", Size: 8}, {Name: "strong", Size: 6}}}}, pixels)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := layout.New(s)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// FuzzSchema: a schema message of whoever wrote it is read within its bytes, and is the same as
// ours whether it comes in a message or is compared twice.
func FuzzSchema(f *testing.F) {
	messages, _ := foreign(f)
	for _, m := range messages {
		f.Add(m)
	}
	l := recordLayout(f, false)
	f.Fuzz(func(t *testing.T, meta []byte) {
		kept := bytes.Clone(meta)
		same, err := l.SameFields(meta)
		if same && err != nil {
			t.Error(err)
		}
		l.SameFooter(meta)
		if kv, err := layout.SchemaMetadata(meta); err == nil {
			for k, v := range kv {
				if len(k)+len(v) > 2*len(meta) {
					t.Errorf("a pair of %d bytes", len(k)+len(v))
				}
			}
		}
		if !bytes.Equal(meta, kept) {
			t.Error("it was changed")
		}
	})
}

// FuzzBatch: a record batch that is taken has its columns within its body, whatever its codec.
func FuzzBatch(f *testing.F) {
	_, batches := foreign(f)
	for _, b := range batches {
		f.Add(b, make([]byte, 256))
	}
	layouts := []*layout.Layout{recordLayout(f, false), recordLayout(f, true)}
	f.Fuzz(func(t *testing.T, meta, body []byte) {
		for _, l := range layouts {
			b, err := l.Open(meta, 1, 64)
			if err != nil || b.BodyLen > int64(len(body)) {
				continue
			}
			for i := range 8 {
				off, n := b.Range(i)
				if off < 0 || n < 0 || off+n > b.BodyLen {
					t.Fatalf("column %d at [%d,%d) of %d", i, off, off+n, b.BodyLen)
				}
				values, data, err := b.Column(i, body[off:off+n:off+n], 256)
				if err == nil && (len(values) > 33*64*8 || len(data) > 256*64) {
					t.Fatalf("column %d has %d and %d bytes", i, len(values), len(data))
				}
			}
		}
	})
}
