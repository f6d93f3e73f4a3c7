package parquet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	arrowparquet "github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// inMemory is a ReaderAt that counts its reads.
type inMemory struct {
	b     []byte
	reads int
}

func (m *inMemory) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	m.reads++
	if off < 0 || off > int64(len(m.b)) || copy(p, m.b[off:]) < len(p) {
		return 0, io.ErrUnexpectedEOF
	}
	return len(p), nil
}

// table is a file of rows: bytes "row 0", "row 1" …, every seventh null, and the number
// of the row.
func table(t *testing.T, rows int, props ...arrowparquet.WriterProperty) *inMemory {
	t.Helper()
	sc := arrow.NewSchema([]arrow.Field{{Name: "data", Type: arrow.BinaryTypes.Binary, Nullable: true}, {Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, sc)
	defer b.Release()
	for i := range rows {
		if i%7 == 6 {
			b.Field(0).AppendNull()
		} else {
			b.Field(0).(*array.BinaryBuilder).Append([]byte(fmt.Sprint("row ", i)))
		}
		b.Field(1).(*array.Int64Builder).Append(int64(i))
	}
	rec := b.NewRecord()
	defer rec.Release()
	tab := array.NewTableFromRecords(sc, []arrow.Record{rec})
	defer tab.Release()
	var out bytes.Buffer
	if err := pqarrow.WriteTable(tab, &out, 40, arrowparquet.NewWriterProperties(props...), pqarrow.DefaultWriterProps()); err != nil {
		t.Fatal(err)
	}
	return &inMemory{b: out.Bytes()}
}

// Each gives every value, and Page gives the same ones again, by one or two reads.
func TestEachAndPage(t *testing.T) {
	ctx := context.Background()
	for name, props := range map[string][]arrowparquet.WriterProperty{
		"dictionary": {arrowparquet.WithDictionaryDefault(true)},
		"plain":      {arrowparquet.WithDictionaryDefault(false), arrowparquet.WithDataPageSize(100), arrowparquet.WithBatchSize(8)},
		"version 2": {
			arrowparquet.WithDataPageVersion(arrowparquet.DataPageV2), arrowparquet.WithCompression(compress.Codecs.Snappy),
			arrowparquet.WithDataPageSize(100), arrowparquet.WithBatchSize(8),
		},
	} {
		t.Run(name, func(t *testing.T) {
			const rows = 100
			r := table(t, rows, props...)
			f, err := Open(ctx, r, int64(len(r.b)))
			if err != nil {
				t.Fatal(err)
			}
			data, err := f.Column(leaf(t, f, "data"))
			if err != nil || data.Path != "data" || data.Type != Bytes || data.Rows() != rows {
				t.Fatalf("column %+v, %v", data, err)
			}
			var pages []int64
			var values []string
			if err := data.Each(ctx, r, func(page int64, v []byte) error {
				pages, values = append(pages, page), append(values, string(v))
				return nil
			}); err != nil || len(values) != rows {
				t.Fatalf("%d values, %v", len(values), err)
			}
			for i, v := range values {
				want := fmt.Sprint("row ", i)
				if i%7 == 6 {
					want = ""
				}
				if v != want {
					t.Errorf("value %d is %q", i, v)
				}
			}
			for first := 0; first < rows; {
				after := first
				for after < rows && pages[after] == pages[first] {
					after++
				}
				next := int64(0)
				if after < rows {
					next = pages[after]
				}
				before := r.reads
				got, err := data.Page(ctx, r, pages[first], next)
				if err != nil || r.reads > before+2 {
					t.Fatalf("page at %d: %v, after %d reads", pages[first], err, r.reads-before)
				}
				for i, v := range got[:after-first] {
					if string(v) != values[first+i] {
						t.Errorf("value %d of the page is %q, want %q", i, v, values[first+i])
					}
				}
				first = after
			}
			if _, err := data.Page(ctx, r, int64(len(r.b)), 0); !errors.Is(err, errs.ErrMismatch) {
				t.Errorf("page beyond the column: %v", err)
			}
		})
	}
}

// leaf is the column of a name.
func leaf(t *testing.T, f *File, path string) Leaf {
	t.Helper()
	for _, l := range f.Leaves() {
		if l.Path == path {
			return l
		}
	}
	t.Fatalf("no column %s", path)
	return Leaf{}
}

func TestColumnRefuses(t *testing.T) {
	ctx := context.Background()
	r := table(t, 10)
	f, err := Open(ctx, r, int64(len(r.b)))
	if err != nil {
		t.Fatal(err)
	}
	n, err := f.Column(leaf(t, f, "n"))
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	if err := n.Each(ctx, r, func(_ int64, v []byte) error {
		i, ok, err := n.Integer(v)
		if !ok || err != nil {
			t.Errorf("no integer: %v, %v", v, err)
		}
		sum += i
		return nil
	}); err != nil || sum != 45 {
		t.Errorf("the numbers add up to %d, %v", sum, err)
	}
	// Errors of the reader come back as they are.
	if _, err := Open(ctx, r, int64(len(r.b))+10); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that is shorter than said: %v", err)
	}
	encrypted := bytes.Clone(r.b)
	copy(encrypted[len(encrypted)-4:], "PARE")
	_, err = Open(ctx, &inMemory{b: encrypted}, int64(len(encrypted)))
	if why := errstest.Differs(err, errs.ErrUnsupported, "encrypted", "without encryption"); why != "" {
		t.Error(why)
	}
}
