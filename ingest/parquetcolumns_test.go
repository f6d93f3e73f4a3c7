package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// Types of columns, for tables.
var (
	blobs       = arrow.BinaryTypes.Binary
	texts       = arrow.BinaryTypes.String
	int64s      = arrow.PrimitiveTypes.Int64
	imageStruct = arrow.StructOf(arrow.Field{Name: "bytes", Type: blobs, Nullable: true}, arrow.Field{Name: "path", Type: texts, Nullable: true})
)

// column is a column of a table, with a value for each row.
type column struct {
	name   string
	typ    arrow.DataType
	values []any // a []byte becomes binary, a map a structure
}

// parquetTable is a file of columns, by Arrow's writer; features are Hugging Face's
// metadata, "" without.
func parquetTable(t testing.TB, features string, columns ...column) []byte {
	t.Helper()
	var fields []arrow.Field
	for _, c := range columns {
		fields = append(fields, arrow.Field{Name: c.name, Type: c.typ, Nullable: true})
	}
	var md *arrow.Metadata
	if features != "" {
		m := arrow.NewMetadata([]string{"huggingface"}, []string{`{"info": {"features": ` + features + `}}`})
		md = &m
	}
	sc := arrow.NewSchema(fields, md)
	rows := make([]map[string]any, len(columns[0].values))
	for i := range rows {
		rows[i] = map[string]any{}
		for _, c := range columns {
			rows[i][c.name] = c.values[i]
		}
	}
	b, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, sc, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	tab := array.NewTableFromRecords(sc, []arrow.Record{rec})
	defer tab.Release()
	var out bytes.Buffer
	props := parquet.NewWriterProperties(parquet.WithDataPageSize(64), parquet.WithBatchSize(2))
	if err := pqarrow.WriteTable(tab, &out, 4, props, pqarrow.DefaultWriterProps()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// jpegs are n different values that begin as a JPEG.
func jpegs(n int) []any {
	var out []any
	for i := range n {
		out = append(out, append([]byte{0xff, 0xd8, 0xff}, fmt.Sprintf("picture %d", i)...))
	}
	return out
}

// structs are pictures {bytes, path}.
func structs(pictures []any, paths ...any) []any {
	var out []any
	for i, b := range pictures {
		row := map[string]any{"bytes": b, "path": nil}
		if i < len(paths) {
			row["path"] = paths[i]
		}
		out = append(out, row)
	}
	return out
}

func classLabels(name string, names ...string) string {
	b, _ := json.Marshal(names) // strings always marshal
	return fmt.Sprintf(`%q: {"_type": "ClassLabel", "names": %s}`, name, b)
}

// opened is what a test wants of a data set.
type opened struct {
	labels  []int32
	classes string // joined by spaces
	reading string
	passed  string // a part of the survey
	err     error  // instead of the above
	says    []string
}

// checkOpened opens a data set and compares: every sample can be read, and is a picture.
func checkOpened(t *testing.T, uri string, opt Options, want opened) {
	t.Helper()
	ctx := context.Background()
	opt.CacheDir = t.TempDir()
	for _, time := range []string{"indexed", "cached"} {
		src, err := Open(ctx, uri, opt)
		if want.err != nil {
			if why := errstest.Differs(err, want.err, want.says...); why != "" {
				t.Errorf("%s: %s", uri, why)
			}
			checkOneLine(t, err)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		var labels []int32
		var s schemas.Sample
		for id := range src.Len() {
			if err := src.Read(ctx, id, &s); err != nil || !bytes.HasPrefix(s.Data, []byte{0xff, 0xd8, 0xff}) {
				t.Errorf("%s: sample %d is %q, %v", uri, id, s.Data, err)
			}
			labels = append(labels, s.Label)
		}
		m, passed := src.Manifest(), SurveyOf(src).String()
		if !slices.Equal(labels, want.labels) || strings.Join(m.Classes, " ") != want.classes || m.Reading != want.reading {
			t.Errorf("%s, %s: labels %v of %q read as %q, want %v of %q as %q", uri, time, labels, m.Classes, m.Reading, want.labels, want.classes, want.reading)
		}
		if !strings.Contains(passed, want.passed) || want.passed == "" && passed != "" {
			t.Errorf("%s, %s: %q, want %q", uri, time, passed, want.passed)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Which columns hold images and labels, and what labels mean, for one file.
func TestParquetColumns(t *testing.T) {
	p := jpegs(4)
	none := []int32{-1, -1, -1, -1}
	image := column{"image", imageStruct, structs(p, "a.jpg")}
	label := func(typ arrow.DataType, values ...any) column { return column{"label", typ, values} }
	named := func(c column, name string) column { c.name = name; return c }
	hf := func(features ...string) string { return "{" + strings.Join(features, ", ") + "}" }
	picture := `"photo": {"_type": "Image"}`
	for name, c := range map[string]struct {
		features string
		columns  []column
		query    string
		want     opened
	}{
		"numbers":          {columns: []column{image, label(int64s, 2, 0, 1, 2)}, want: opened{labels: []int32{2, 0, 1, 2}}},
		"bytes of numbers": {columns: []column{image, label(arrow.PrimitiveTypes.Uint8, 2, 0, 255, 2)}, want: opened{labels: []int32{2, 0, 255, 2}}},
		"small numbers":    {columns: []column{image, label(arrow.PrimitiveTypes.Int8, 2, -1, 1, nil)}, want: opened{labels: []int32{2, -1, 1, -1}}},
		"whole floats":     {columns: []column{image, label(arrow.PrimitiveTypes.Float64, 3.0, 0.0, nil, 1.0)}, want: opened{labels: []int32{3, 0, -1, 1}}},
		"fractions": {columns: []column{image, label(arrow.PrimitiveTypes.Float32, 3.5, 0, 1, 2)}, want: opened{
			err: errs.ErrUnsupported, says: []string{"column label", "row 0", "3.5", "?label="},
		}},
		"truth":  {columns: []column{image, label(arrow.FixedWidthTypes.Boolean, true, false, nil, true)}, want: opened{labels: []int32{1, 0, -1, 1}}},
		"names":  {columns: []column{image, label(texts, "dog", "cat", nil, "dog")}, want: opened{labels: []int32{1, 0, -1, 1}, classes: "cat dog"}},
		"digits": {columns: []column{image, label(texts, "10", "2", "", "0")}, want: opened{labels: []int32{10, 2, -1, 0}}},
		"mixed":  {columns: []column{image, label(texts, "10", "2", "a", "2")}, want: opened{labels: []int32{0, 1, 2, 1}, classes: "10 2 a"}},
		"captions": {columns: []column{image, label(texts, strings.Repeat("a dog on a lawn ", 20), "a", "b", "c")}, want: opened{
			labels: none, passed: "texts that are no class names",
		}},
		"lists":      {columns: []column{image, named(label(arrow.ListOf(int64s), []int{1}, []int{}, []int{1, 2}, nil), "labels")}, want: opened{labels: none, reading: "", passed: "no class label"}},
		"no labels":  {columns: []column{image}, want: opened{labels: none}},
		"huge label": {columns: []column{image, label(int64s, 1<<40, 0, 0, 0)}, want: opened{err: errs.ErrUnsupported, says: []string{"column label", "row 0"}}},
		"class labels": {
			features: hf(classLabels("label", "dog", "cat")), columns: []column{image, label(int64s, 1, 0, 1, -1)},
			want: opened{labels: []int32{1, 0, 1, -1}, classes: "dog cat"},
		},
		"class labels of another name": {
			features: hf(picture, classLabels("breed", "pug", "beagle")), columns: []column{named(image, "photo"), named(label(int64s, 1, 0, 1, 0), "breed")},
			want: opened{labels: []int32{1, 0, 1, 0}, classes: "pug beagle", reading: "image=photo&label=breed"},
		},
		"fine and coarse": {
			features: hf(classLabels("coarse_label", "x"), classLabels("fine_label", "apple", "bear")),
			columns:  []column{named(image, "img"), named(label(int64s, 0, 0, 0, 0), "coarse_label"), named(label(int64s, 1, 0, 1, 0), "fine_label")},
			want:     opened{labels: []int32{1, 0, 1, 0}, classes: "apple bear"},
		},
		"the coarse one": {
			features: hf(classLabels("coarse_label", "x"), classLabels("fine_label", "apple", "bear")), query: "?label=coarse_label",
			columns: []column{named(image, "img"), named(label(int64s, 0, 0, 0, 0), "coarse_label"), named(label(int64s, 1, 0, 1, 0), "fine_label")},
			want:    opened{labels: []int32{0, 0, 0, 0}, classes: "x", reading: "image=img&label=coarse_label"},
		},
		"two class labels of unusual names": {
			features: hf(classLabels("breed", "pug"), classLabels("colour", "red")), columns: []column{image, named(label(int64s, 0, 0, 0, 0), "breed"), named(label(int64s, 0, 0, 0, 0), "colour")},
			want: opened{labels: none, passed: "?label="},
		},
		"another usual label": {
			columns: []column{image, label(int64s, 0, 1, 0, 1), named(label(int64s, 3, 3, 3, 3), "cls")}, query: "?label=cls",
			want: opened{labels: []int32{3, 3, 3, 3}, reading: "image=image&label=cls"},
		},
		"labels left out":    {columns: []column{image, label(int64s, 2, 0, 1, 2)}, query: "?label=none", want: opened{labels: none, reading: "image=image&label=none"}},
		"label out of names": {features: hf(classLabels("label", "dog")), columns: []column{image, label(int64s, 0, 0, 1, 0)}, want: opened{err: errs.ErrCorrupt, says: []string{"label 1 of the 1 classes", "?label="}}},
		"no such label":      {columns: []column{image, label(int64s, 0, 0, 1, 0)}, query: "?label=breed", want: opened{err: errs.ErrNotFound, says: []string{"image.bytes", `"label"`, "breed"}}},
		"null images": {columns: []column{{"image", imageStruct, []any{structs(p)[0], nil, map[string]any{"bytes": []byte{}, "path": "e.jpg"}, structs(p)[3]}}, label(int64s, 4, 3, 2, 1)}, want: opened{
			labels: []int32{4, 1}, passed: "1 row without an image (first \"t-00000-of-00001.parquet/1\")",
		}},
		"paths without bytes": {columns: []column{{"image", imageStruct, structs([]any{nil, nil, nil, nil}, "a.jpg", "b.jpg", "c.jpg", "d.jpg")}}, want: opened{
			err: errs.ErrNotFound, says: []string{"a path without bytes", "embed the files"},
		}},
		"plain bytes":     {columns: []column{{"jpg", blobs, p}, named(label(int64s, 1, 0, 1, 0), "cls")}, want: opened{labels: []int32{1, 0, 1, 0}}},
		"image_bytes":     {columns: []column{{"image_bytes", blobs, p}}, want: opened{labels: none, reading: "image=image_bytes&label=none"}},
		"the only bytes":  {columns: []column{{"caption", texts, []any{"a", "b", "c", "d"}}, {"xray", blobs, p}}, want: opened{labels: none, reading: "image=xray&label=none"}},
		"bytes of others": {columns: []column{{"data", blobs, []any{[]byte("no"), []byte("picture"), []byte("at"), []byte("all")}}}, want: opened{err: errs.ErrNotFound, says: []string{"column data", "?image="}}},
		"address beside bytes": {columns: []column{{"image", texts, []any{"a", "b", "c", "d"}}, {"image_bytes", blobs, p}}, want: opened{
			labels: none, reading: "image=image_bytes&label=none",
		}},
		"addresses only": {columns: []column{{"image", texts, []any{"https://host/a.jpg", "b", "c", "d"}}}, want: opened{err: errs.ErrUnsupported, says: []string{"column image is text", "?image="}}},
		"lists of images": {columns: []column{{"image", arrow.ListOf(blobs), []any{[]any{p[0]}, nil, nil, nil}}}, want: opened{
			err: errs.ErrNotFound, says: []string{"image.list.element", "?image="},
		}},
		"two columns of bytes": {columns: []column{{"left", blobs, p}, {"right", blobs, p}}, want: opened{err: errs.ErrNotFound, says: []string{"left", "right", "?image="}}},
		"the right one":        {columns: []column{{"left", blobs, []any{nil, nil, nil, nil}}, {"right", blobs, p}}, query: "?image=right", want: opened{labels: none, reading: "image=right&label=none"}},
		"img, not image":       {columns: []column{image, {"img", blobs, p}}, query: "?image=img", want: opened{labels: none, reading: "image=img&label=none"}},
		"wrong option":         {columns: []column{image}, query: "?label=x&colour=y", want: opened{err: errs.ErrUsage, says: []string{"?image=COLUMN"}}},
		"columns beside": {columns: []column{
			{"objects", arrow.ListOf(arrow.StructOf(arrow.Field{Name: "box", Type: arrow.ListOf(int64s)})), []any{[]any{map[string]any{"box": []int{1, 2}}}, nil, nil, nil}},
			image,
			{"meta", arrow.StructOf(arrow.Field{Name: "a", Type: arrow.StructOf(arrow.Field{Name: "b", Type: int64s})}), []any{nil, nil, nil, nil}},
			label(int64s, 0, 1, 0, 1),
		}, want: opened{labels: []int32{0, 1, 0, 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeTree(t, dir, map[string][]byte{"t-00000-of-00001.parquet": parquetTable(t, c.features, c.columns...)})
			checkOpened(t, "parquet:"+dir+c.query, Options{}, c.want)
		})
	}
}

// Which files of a folder or glob are those of a split, and what their labels have in
// common.
func TestParquetLayouts(t *testing.T) {
	two := jpegs(2)
	table := func(label any) []byte {
		return parquetTable(t, "", column{"image", imageStruct, structs(two)}, column{"label", int64s, []any{label, label}})
	}
	named := func(labels ...any) []byte {
		return parquetTable(t, "", column{"image", imageStruct, structs(jpegs(len(labels)))}, column{"label", texts, labels})
	}
	listed := func(label int, names ...string) []byte {
		return parquetTable(t, "{"+classLabels("label", names...)+"}", column{"image", imageStruct, structs(two)}, column{"label", int64s, []any{label, label}})
	}
	bare := parquetTable(t, "", column{"image", imageStruct, structs(two)})
	type asked struct {
		place, split string
		want         opened
	}
	ones, twos := []int32{1, 1}, []int32{2, 2}
	for name, c := range map[string]struct {
		files map[string][]byte
		asked []asked
	}{
		"data/SPLIT-N-of-M": {
			map[string][]byte{"data/train-00000-of-00001.parquet": table(1), "data/validation-00000-of-00001.parquet": table(2)},
			[]asked{{"", "", opened{labels: ones}}, {"", Train, opened{labels: ones}}, {"", Val, opened{labels: twos}}, {"", Test, opened{labels: twos}}, {"/data/*.parquet", Train, opened{labels: ones}}, {"/data/*.parquet", Val, opened{labels: twos}}},
		},
		"SPLIT.parquet": {
			map[string][]byte{"train.parquet": table(1), "test.parquet": table(2)},
			[]asked{{"", Train, opened{labels: ones}}, {"", Test, opened{labels: twos}}, {"/{split}.parquet", Test, opened{labels: twos}}},
		},
		"CONFIG/SPLIT/N": {
			map[string][]byte{"default/train/0000.parquet": table(1), "default/train/0001.parquet": table(1), "default/validation/0000.parquet": table(2)},
			[]asked{{"", Train, opened{labels: []int32{1, 1, 1, 1}, passed: "of another shard"}}, {"", Val, opened{labels: twos}}},
		},
		"a part of a split": {
			map[string][]byte{"default/partial-train/0000.parquet": table(1), "default/partial-test/0000.parquet": table(2)},
			[]asked{{"", Train, opened{labels: ones}}, {"", Test, opened{labels: twos}}},
		},
		"two configurations": {
			map[string][]byte{"a/train/0000.parquet": table(1), "b/train/0000.parquet": table(2)},
			[]asked{{"", Train, opened{err: errs.ErrUsage, says: []string{"a/train", "b/train"}}}, {"/b", Train, opened{labels: twos}}},
		},
		"a file missing": {
			map[string][]byte{"train-00000-of-00003.parquet": table(1), "train-00002-of-00003.parquet": table(1)},
			[]asked{{"", Train, opened{err: errs.ErrNotFound, says: []string{"train-00001-of-00003.parquet"}}}, {"/train-*.parquet", "", opened{err: errs.ErrNotFound, says: []string{"train-00001-of-00003.parquet"}}}},
		},
		"no such split": {
			map[string][]byte{"train.parquet": table(1)},
			[]asked{{"", Test, opened{err: errs.ErrNotFound, says: []string{"train"}}}, {"/train.parquet", Test, opened{err: errs.ErrUsage}}},
		},
		"Spark": {
			map[string][]byte{"_SUCCESS": nil, "_metadata": []byte("PAR1"), "part-00000-c0ffee.snappy.parquet": table(1), "part-00001-c0ffee.snappy.parquet": table(2)},
			[]asked{{"", "", opened{labels: []int32{1, 1, 2, 2}, passed: "_"}}},
		},
		"folders of labels": {
			map[string][]byte{"label=0/part-0.parquet": bare, "label=2/part-0.parquet": bare, "label=__HIVE_DEFAULT_PARTITION__/part-0.parquet": bare},
			[]asked{{"", "", opened{labels: []int32{0, 0, 2, 2, -1, -1}, reading: "image=image&label=label/", passed: "2 copies of other shards"}}, {"/label=2/*.parquet", "", opened{labels: []int32{-1, -1}}}, {"/label=2", "", opened{labels: []int32{-1, -1}}}, {"/label=2/*.parquet?label=label", "", opened{labels: twos, reading: "image=image&label=label/label=2"}}},
		},
		"folders of class names": {
			map[string][]byte{"class=train%20set/part-0.parquet": bare, "class=cat/part-0.parquet": bare},
			[]asked{{"", "", opened{labels: []int32{0, 0, 1, 1}, classes: "cat train set", reading: "image=image&label=class/", passed: "of another shard"}}},
		},
		"splits in folders of labels": {
			map[string][]byte{"label=1/train-0.parquet": bare, "label=1/test-0.parquet": bare, "label=2/train-0.parquet": bare},
			[]asked{{"", Train, opened{labels: []int32{1, 1, 2, 2}, reading: "image=image&label=label/", passed: "of another shard"}}, {"", Test, opened{labels: ones, reading: "image=image&label=label/label=1"}}},
		},
		"folders of splits": {
			map[string][]byte{"split=train/label=1/a.parquet": bare, "split=test/label=2/a.parquet": bare},
			[]asked{{"", Train, opened{labels: ones, reading: "image=image&label=label/label=1"}}, {"", Test, opened{labels: twos, reading: "image=image&label=label/label=2"}}},
		},
		"names that one split lacks": {
			map[string][]byte{"train.parquet": named("ant", "cat"), "test.parquet": named("bee", "cat")},
			[]asked{{"", Train, opened{labels: []int32{0, 2}, classes: "ant bee cat"}}, {"", Test, opened{labels: []int32{1, 2}, classes: "ant bee cat"}}, {"/{split}.parquet", Test, opened{labels: []int32{1, 2}, classes: "ant bee cat"}}},
		},
		"names in one file, numbers in another": {
			map[string][]byte{"train-0.parquet": named("ant", "cat"), "train-1.parquet": table(1)},
			[]asked{{"", Train, opened{err: errs.ErrCorrupt, says: []string{"numbers", "names"}}}},
		},
		"one list of classes": {
			map[string][]byte{"train-0.parquet": listed(1, "b", "a"), "train-1.parquet": listed(0, "b", "a"), "test.parquet": listed(0, "b", "a")},
			[]asked{{"", Train, opened{labels: []int32{1, 1, 0, 0}, classes: "b a"}}, {"", Test, opened{labels: []int32{0, 0}, classes: "b a"}}},
		},
		"lists in another order": {
			map[string][]byte{"train-0.parquet": listed(1, "b", "a"), "train-1.parquet": listed(1, "a", "b")},
			[]asked{{"", Train, opened{labels: []int32{0, 0, 1, 1}, classes: "a b"}}},
		},
		"another order in another split": {
			map[string][]byte{"train.parquet": listed(0, "b", "a"), "test.parquet": listed(0, "a", "b", "c")},
			[]asked{{"", Train, opened{labels: []int32{1, 1}, classes: "a b c"}}, {"", Test, opened{labels: []int32{0, 0}, classes: "a b c"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeTree(t, dir, c.files)
			for _, a := range c.asked {
				checkOpened(t, "parquet:"+dir+a.place, Options{Split: a.split}, a.want)
			}
		})
	}
}

// What stands behind the ? is read alike for tars and Parquet files.
func TestCutImageLabel(t *testing.T) {
	for _, c := range []struct{ arg, glob, image, label string }{
		{"d/*.x", "d/*.x", "", ""},
		{"d/?.x", "d/?.x", "", ""},
		{"d/?.x?image=a", "d/?.x", "a", ""},
		{"d?label=b&image=a", "d", "a", "b"},
		{"d?image=a%26b&label=100%25", "d", "a&b", "100%"},
		{"d?image=50%", "d", "50%", ""},
		{"d?LABEL=b", "d?LABEL=b", "", ""},
	} {
		glob, image, label, err := cutImageLabel("open", c.arg, "")
		if err != nil || glob != c.glob || image != c.image || label != c.label {
			t.Errorf("%s: %q, image %q, label %q, %v", c.arg, glob, image, label, err)
		}
	}
	for _, arg := range []string{"d?image=", "d?image=a&image=b", "d?label=a&x=b", "d?label=a&"} {
		for _, scheme := range []string{"wds:", "parquet:"} {
			_, err := Open(context.Background(), scheme+arg, Options{CacheDir: t.TempDir()})
			errstest.Want(t, err, errs.ErrUsage, "names no image or label", "?image=")
		}
	}
}
