package parquet

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Files of today's writers (testdata/writers.py) hold what these read back themselves, in
// every codec, version of pages and encoding that they have.
func TestWriters(t *testing.T) {
	const dir = "testdata/writers"
	var expected struct {
		Files  map[string]int
		Tables []map[string][]any
	}
	b, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&expected); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil || len(found) != len(expected.Files) || len(found) < 30 {
		t.Fatalf("%d files, %d expected; %v", len(found), len(expected.Files), err)
	}
	for name, table := range expected.Files {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			checkColumns(t, &inMemory{b: b}, expected.Tables[table])
		})
	}
}

// checkColumns compares the columns of a file with the values that are wanted of them.
func checkColumns(t *testing.T, r *inMemory, want map[string][]any) {
	ctx := context.Background()
	f, err := Open(ctx, r, int64(len(r.b)))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, l := range f.Leaves() {
		values, ok := want[l.Path]
		if !ok {
			continue
		}
		seen++
		c, err := f.Column(l)
		if err != nil {
			t.Error(err)
			continue
		}
		var got []any
		var pages []int64
		if err := c.Each(ctx, r, func(page int64, v []byte) error {
			pages = append(pages, page)
			got = append(got, shown(&l, v))
			return nil
		}); err != nil {
			t.Errorf("%s: %v", l.Path, err)
			continue
		}
		if int64(len(got)) != f.Rows() || !slices.Equal(text(got), text(values)) {
			t.Errorf("%s holds %v, want %v", l.Path, got, values)
		}
		checkPages(t, r, c, pages, got)
	}
	if seen != len(want) {
		t.Errorf("%d columns of the %d that the writer has", seen, len(want))
	}
}

// checkPages reads every page by itself: it holds the values that Each gave with it.
func checkPages(t *testing.T, r *inMemory, c *Column, pages []int64, values []any) {
	for first := 0; first < len(pages); {
		after := first
		for after < len(pages) && pages[after] == pages[first] {
			after++
		}
		next := int64(0)
		if after < len(pages) {
			next = pages[after]
		}
		part, err := c.Page(context.Background(), r, pages[first], next)
		if err != nil {
			t.Fatalf("%s, page at %d: %v", c.Path, pages[first], err)
		}
		var got []any
		for _, v := range part {
			got = append(got, shown(&c.Leaf, v))
		}
		if !slices.Equal(text(got), text(values[first:after])) {
			t.Errorf("%s, page at %d holds %v, want %v", c.Path, pages[first], got, values[first:after])
		}
		first = after
	}
}

// shown is a value as expected.json has it.
func shown(l *Leaf, v []byte) any {
	switch {
	case v == nil:
		return nil
	case !l.Numeric():
		return hex.EncodeToString(v)
	case l.Type == Boolean:
		return v[0] == 1
	}
	n, ok, err := l.Integer(v)
	if errors.Is(err, ErrFraction) {
		return fmt.Sprint(math.Float64frombits(binary.LittleEndian.Uint64(v))) // of all writers' columns, only doubles have fractions
	}
	if !ok || err != nil {
		return fmt.Sprint("no number: ", err)
	}
	return n
}

func text(values []any) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprint(v)
	}
	return out
}
