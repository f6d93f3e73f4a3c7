package parquet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
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
	most  int // bytes of the longest one
}

func (m *inMemory) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	m.reads++
	m.most = max(m.most, len(p))
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

// A chunk is read in parts, however long it is, and values that are longer than a part
// come out whole.
func TestLongChunk(t *testing.T) {
	sc := arrow.NewSchema([]arrow.Field{{Name: "data", Type: arrow.BinaryTypes.Binary}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, sc)
	defer b.Release()
	var want [][]byte
	for i := range 100 {
		size := 200 << 10
		if i == 50 {
			size = readAhead + 1000
		}
		want = append(want, bytes.Repeat([]byte{byte(i)}, size))
		b.Field(0).(*array.BinaryBuilder).Append(want[i])
	}
	rec := b.NewRecord()
	defer rec.Release()
	tab := array.NewTableFromRecords(sc, []arrow.Record{rec})
	defer tab.Release()
	var out bytes.Buffer
	props := arrowparquet.NewWriterProperties(arrowparquet.WithDictionaryDefault(false), arrowparquet.WithDataPageSize(1<<20), arrowparquet.WithBatchSize(1))
	if err := pqarrow.WriteTable(tab, &out, 1000, props, pqarrow.DefaultWriterProps()); err != nil {
		t.Fatal(err)
	}
	ctx, r := context.Background(), &inMemory{b: out.Bytes()}
	f, err := Open(ctx, r, int64(len(r.b)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Column(leaf(t, f, "data"))
	if err != nil {
		t.Fatal(err)
	}
	var got [][]byte // they are kept: pages that follow must not overwrite them
	if err := c.Each(ctx, r, func(_ int64, v []byte) error {
		got = append(got, v)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d values, not those that were written", len(got))
	}
	if r.most > 2*readAhead {
		t.Errorf("%d bytes of %d were read at once", r.most, len(r.b))
	}
}

// Java's writers name an encoding for the levels of a column that has none.
func TestLevelsOfRequiredColumn(t *testing.T) {
	b, err := os.ReadFile("testdata/writers/pyarrow-none-v1.parquet")
	if err != nil {
		t.Fatal(err)
	}
	r, ctx := &inMemory{b: b}, context.Background()
	f, err := Open(ctx, r, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Column(leaf(t, f, "required"))
	if err != nil {
		t.Fatal(err)
	}
	all := func() (n int, err error) {
		err = c.Each(ctx, r, func(_ int64, v []byte) error {
			n += len(v)
			return nil
		})
		return n, err
	}
	want, err := all()
	if err != nil || want == 0 {
		t.Fatal(want, err)
	}
	const rle, bitPacked = "\x15\x06\x15\x06", "\x15\x08\x15\x08" // fields 3 and 4 of the header
	changed := 0
	for _, ch := range c.chunks {
		part := b[ch.start:ch.end]
		changed += bytes.Count(part, []byte(rle))
		copy(part, bytes.ReplaceAll(part, []byte(rle), []byte(bitPacked)))
	}
	if got, err := all(); err != nil || got != want || changed < 2 {
		t.Errorf("%d bytes of %d, %d pages changed, %v", got, want, changed, err)
	}
}

// TestInteger: what the stored bytes of each numeric type stand for.
func TestInteger(t *testing.T) {
	le := func(v uint64, n int) []byte {
		out := make([]byte, n)
		for i := range out {
			out[i] = byte(v >> (8 * i))
		}
		return out
	}
	decimal := func(scale int, typ Type) Leaf { return Leaf{Type: typ, decimal: true, scale: scale} }
	for _, c := range []struct {
		name string
		leaf Leaf
		raw  []byte
		want int64
		fail bool
	}{
		{"true", Leaf{Type: Boolean}, []byte{1}, 1, false},
		{"int32", Leaf{Type: Int32}, le(1<<32-3, 4), -3, false},
		{"int64", Leaf{Type: Int64}, le(1<<40, 8), 1 << 40, false},
		{"decimal in an int32", decimal(2, Int32), le(300, 4), 3, false},
		{"decimal in an int32, a fraction", decimal(2, Int32), le(350, 4), 0, true},
		{"decimal of 1 byte", decimal(0, FixedBytes), []byte{7}, 7, false},
		{"decimal of 3 bytes", decimal(2, FixedBytes), []byte{0, 0x01, 0x2c}, 3, false},
		{"decimal of 3 bytes, negative", decimal(0, FixedBytes), []byte{0xff, 0xff, 0xfe}, -2, false},
		{"decimal of 3 bytes, a fraction", decimal(1, FixedBytes), []byte{0, 0, 11}, 0, true},
		{"decimal of 8 bytes, lowest", decimal(0, FixedBytes), []byte{0x80, 0, 0, 0, 0, 0, 0, 0}, -1 << 63, false},
		{"decimal of 16 bytes", decimal(0, FixedBytes), append(make([]byte, 14), 1, 4), 260, false},
		{"decimal of 16 bytes, negative", decimal(0, FixedBytes), append(bytes.Repeat([]byte{0xff}, 15), 0xfd), -3, false},
		{"decimal of 16 bytes, over 64 bits", decimal(0, FixedBytes), append([]byte{0, 0, 0, 0, 0, 0, 0, 1}, make([]byte, 8)...), 0, true},
		{"decimal of 9 bytes, over 63 bits", decimal(0, FixedBytes), []byte{0, 0x80, 0, 0, 0, 0, 0, 0, 0}, 0, true},
		{"decimal of 9 bytes, below 63 bits", decimal(0, FixedBytes), []byte{0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0}, 0, true},
		{"decimal in bytes", decimal(1, Bytes), []byte{0x14}, 2, false},
		{"decimal of no bytes", decimal(0, Bytes), []byte{}, 0, false},
		{"bytes that are no decimal", Leaf{Type: FixedBytes, length: 16}, make([]byte, 16), 0, true},
	} {
		got, ok, err := c.leaf.Integer(c.raw)
		if (err != nil) != c.fail || err == nil && (!ok || got != c.want) {
			t.Errorf("%s: %d, %v, %v; want %d, fail %v", c.name, got, ok, err, c.want, c.fail)
		}
	}
}
