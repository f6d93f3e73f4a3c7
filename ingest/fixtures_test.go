package ingest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/parquet"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// fixture is a small data set of one format, written by the test as the format's
// own tools would write it.
type fixture struct {
	name  string
	write func(t *testing.T, dir string) // the same files each time
	open  func(ctx context.Context, dir string, opt Options) (Source, error)
	want  []schemas.Sample // ID, Label, Encoding, Width, Height, Data
	names int              // classes
	file  string           // a file below dir that holds image bytes at offset flip
	flip  int64
	short error // what Open says when file lacks its last byte; nil: a folder cannot know
}

func byURI(scheme, rest string) func(context.Context, string, Options) (Source, error) {
	return func(ctx context.Context, dir string, opt Options) (Source, error) {
		return Open(ctx, scheme+":"+store.Join(dir, rest), opt)
	}
}

func bySet(set binarySet) func(context.Context, string, Options) (Source, error) {
	return func(ctx context.Context, dir string, opt Options) (Source, error) {
		return set.open(ctx, dir, opt.applyDefaults())
	}
}

func fixtures(t *testing.T) []fixture {
	t.Helper()
	jpg, pngs, webp := jpegBytes(t, 9, 7), pngBytes(t, 4, 5), readFile(t, "testdata/tiny.webp")
	files := []schemas.Sample{ // in the order of ids
		{Label: 0, Data: jpg}, {Label: 0, Data: pngs}, {Label: 0, Data: []byte("no image at all\n")}, {Label: 1, Data: webp},
	}
	folder := fixture{
		name: "folder", file: "cat/0001.jpg", flip: 40, names: 2, want: files, open: byURI("folder", ""),
		write: func(t *testing.T, dir string) {
			writeTree(t, dir, map[string][]byte{
				"cat/0001.jpg": jpg, "cat/deep/0002.PNG": pngs, "cat/text.JPEG": files[2].Data, "dog/0003.webp": webp,
				"cat/.hidden.jpg": jpg, "cat/notes.txt": jpg, ".git/x.jpg": jpg,
			})
		},
	}
	gray := []byte{0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255, 9, 9, 9, 9, 9, 9}
	grays := []schemas.Sample{
		{Label: 9, Encoding: schemas.RawGray, Width: 3, Height: 2, Data: gray[:6]},
		{Label: 0, Encoding: schemas.RawGray, Width: 3, Height: 2, Data: gray[6:12]},
		{Label: 4, Encoding: schemas.RawGray, Width: 3, Height: 2, Data: gray[12:]},
	}
	images, labels := idxBytes([]uint32{3, 2, 3}, gray), idxBytes([]uint32{3}, []byte{9, 0, 4})
	plain := fixture{
		name: "mnist plain", file: "train-images-idx3-ubyte", flip: 20, names: 10, short: errs.ErrCorrupt, want: grays, open: byURI("mnist", ""),
		write: func(t *testing.T, dir string) {
			writeTree(t, dir, map[string][]byte{"train-images-idx3-ubyte": images, "train-labels.idx1-ubyte": labels})
		},
	}
	zipped := plain
	zipped.name, zipped.file = "fashion-mnist gzip", "train-images-idx3-ubyte.gz"
	zipped.open = byURI("fashion-mnist", "")
	zipped.write = func(t *testing.T, dir string) {
		writeTree(t, dir, map[string][]byte{"train-images-idx3-ubyte.gz": gzipBytes(t, images), "train-labels-idx1-ubyte.gz": gzipBytes(t, labels)})
	}

	// CIFAR: plane, row, column. HWC is worked out here by another way than in
	// the package: pixel (y, x, c) has the value f(y, x, c).
	cifarPixel := func(i, y, x, c int) byte { return byte(7*i + 3*y + 5*x + 101*c) }
	hwc := func(i, side int) []byte {
		var b []byte
		for y := range side {
			for x := range side {
				for c := range 3 {
					b = append(b, cifarPixel(i, y, x, c))
				}
			}
		}
		return b
	}
	planar := func(i int) []byte {
		var b []byte
		for c := range 3 {
			for y := range 32 {
				for x := range 32 {
					b = append(b, cifarPixel(i, y, x, c))
				}
			}
		}
		return b
	}
	rgb := func(i, side int, label int32) schemas.Sample {
		return schemas.Sample{Label: label, Encoding: schemas.RawRGB, Width: side, Height: side, Data: hwc(i, side)}
	}
	c10 := fixture{name: "cifar10", file: "cifar-10-batches-bin/data_batch_2.bin", flip: 3000, names: 10, short: errs.ErrCorrupt, open: bySet(cifar10Set(2))}
	for i := range 10 {
		c10.want = append(c10.want, rgb(i, 32, int32(9-i)))
	}
	c10.write = func(t *testing.T, dir string) {
		for f := range 5 {
			var b []byte
			for _, i := range []int{2 * f, 2*f + 1} {
				b = append(append(b, byte(9-i)), planar(i)...)
			}
			writeTree(t, dir, map[string][]byte{"cifar-10-batches-bin/data_batch_" + string(rune('1'+f)) + ".bin": b})
		}
	}
	c100 := fixture{
		name: "cifar100", file: "train.bin", flip: 50, names: 100, short: errs.ErrCorrupt, open: bySet(cifar100Set(2, 1)),
		want: []schemas.Sample{rgb(0, 32, 99), rgb(1, 32, 0)},
	}
	c100.write = func(t *testing.T, dir string) {
		b := append([]byte{19, 99}, planar(0)...)
		writeTree(t, dir, map[string][]byte{"train.bin": append(append(b, 3, 0), planar(1)...)})
	}
	stl := fixture{
		name: "stl10", file: "stl10_binary/unlabeled_X.bin", flip: 5, names: 10, short: errs.ErrCorrupt,
		want: []schemas.Sample{rgb(0, 96, 9), rgb(1, 96, 0), rgb(2, 96, schemas.NoLabel)},
	}
	stl.open = func(ctx context.Context, dir string, opt Options) (Source, error) {
		opt.Split = TrainUnlabeled
		return bySet(stl10Set(2, 1, 1))(ctx, dir, opt)
	}
	stl.write = func(t *testing.T, dir string) {
		columns := func(i int) []byte { // plane, column, row
			var b []byte
			for c := range 3 {
				for x := range 96 {
					for y := range 96 {
						b = append(b, cifarPixel(i, y, x, c))
					}
				}
			}
			return b
		}
		writeTree(t, dir, map[string][]byte{
			"stl10_binary/train_X.bin": append(columns(0), columns(1)...), "stl10_binary/train_y.bin": {10, 1},
			"stl10_binary/unlabeled_X.bin": columns(2),
		})
	}

	wds := fixture{name: "wds", file: "b.tar", flip: tarBlock + 40, short: errs.ErrCorrupt, open: byURI("wds", "*.tar")}
	wds.want = []schemas.Sample{{Label: 3, Data: jpg}, {Label: schemas.NoLabel, Data: webp}, {Label: 12, Data: pngs}}
	wds.write = func(t *testing.T, dir string) {
		writeTree(t, dir, map[string][]byte{
			"a.tar": tarBytes(t, tarFile{"x/0001.jpg", jpg}, tarFile{"x/0001.cls", []byte("3\n")}, tarFile{"x/0001.json", []byte("{}")},
				tarFile{"0002.WebP", webp}, tarFile{"0003.json", []byte("{}")}),
			"b.tar": tarBytes(t, tarFile{"0001.png", pngs}, tarFile{"0001.cls", []byte("12")}),
		})
	}
	packed := fixture{name: "wds packed", file: "train-000000.tar", flip: tarBlock + 40, names: 2, short: errs.ErrCorrupt, want: files, open: byURI("wds", "")}
	packed.write = func(t *testing.T, dir string) {
		from := t.TempDir()
		folder.write(t, from)
		src, err := folder.open(t.Context(), from, Options{CacheDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		if _, err := Pack(context.Background(), src, PackOptions{Dir: dir, ShardBytes: 4096}); err != nil {
			t.Fatal(err)
		}
	}
	pets := fixture{
		name: "pets", file: "images/Abyssinian_7.jpg", flip: 40, names: 1, open: byURI("pets", ""),
		want: []schemas.Sample{{Label: 0, Data: jpg}, {Label: 0, Data: webp}},
	}
	pets.write = func(t *testing.T, dir string) {
		writeTree(t, dir, map[string][]byte{
			"images/Abyssinian_7.jpg": webp, "images/Abyssinian_100.jpg": jpg, "images/Abyssinian_8.jpg": jpg, "annotations/test.txt": nil,
			"annotations/trainval.txt": []byte("Abyssinian_7 1 1 1\nAbyssinian_100 1 1 1\n"),
		})
	}
	table := fixture{name: "parquet", file: "data/train-00001-of-00002.parquet", flip: 60, names: 3, short: errs.ErrCorrupt, open: byURI("parquet", "")}
	table.want = []schemas.Sample{{Label: 2, Data: jpg}, {Label: schemas.NoLabel, Data: webp}, {Label: 0, Data: pngs}}
	table.write = func(t *testing.T, dir string) {
		plain := parquet.WithDictionaryDefault(false)
		writeTree(t, dir, map[string][]byte{
			"data/train-00000-of-00002.parquet": parquetBytes(t, table.want[:2], 10, plain),
			"data/train-00001-of-00002.parquet": parquetBytes(t, table.want[2:], 10, plain),
		})
	}
	nested := fixture{
		name: "imagenet-tar", file: ilsvrcTrain, flip: 2*tarBlock + 40, names: 2, short: errs.ErrCorrupt, open: byURI("imagenet-tar", ""),
		want: []schemas.Sample{{Label: 0, Data: pngs}, {Label: 0, Data: webp}, {Label: 1, Data: jpg}},
	}
	nested.write = func(t *testing.T, dir string) { writeTree(t, dir, ilsvrcFiles(t, nested.want)) }
	mixed := fixture{name: "mix", file: "photos/cat/0001.jpg", flip: 40, names: 12, want: append([]schemas.Sample{}, files...), open: byURI("mix", "sets.yaml")}
	for _, s := range grays {
		s.Label += 2 // after cat and dog
		mixed.want = append(mixed.want, s)
	}
	mixed.write = func(t *testing.T, dir string) {
		folder.write(t, filepath.Join(dir, "photos"))
		plain.write(t, filepath.Join(dir, "digits"))
		writeTree(t, dir, map[string][]byte{"sets.yaml": []byte("sets:\n- {data: 'folder:photos', name: photos}\n- {data: 'mnist:digits', name: digits}\n")})
	}
	pairs := folder
	pairs.name, pairs.file = "mates", "photos/"+folder.file
	pairs.open = func(ctx context.Context, dir string, opt Options) (Source, error) {
		return Open(ctx, "mates:"+store.Join(dir, "near.npy")+"+folder:"+store.Join(dir, "photos"), opt)
	}
	pairs.write = func(t *testing.T, dir string) {
		folder.write(t, filepath.Join(dir, "photos"))
		writeTree(t, dir, map[string][]byte{"near.npy": npy(t, "<i4", someMates(len(folder.want), 2), 2)})
	}
	return []fixture{folder, plain, zipped, c10, c100, stl, wds, packed, pets, table, nested, mixed, pairs}
}

// writeTree writes files and sets their times an hour back: an index trusts no
// file that was written in the moments of indexing.
func writeTree(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, b := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, b, 0o644); err != nil {
			t.Fatal(err)
		}
		age(t, p)
	}
}

func age(t testing.TB, path string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func picture(w, h int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, color.RGBA{byte(31 * x), byte(17 * y), byte(x * y), 255})
		}
	}
	return m
}

func jpegBytes(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture(w, h), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngBytes(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture(w, h)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipBytes(t testing.TB, p []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func idxBytes(dims []uint32, data []byte) []byte {
	b := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, d)
	}
	return append(b, data...)
}

type tarFile struct {
	name string
	data []byte
}

func tarBytes(t testing.TB, members ...tarFile) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		if err := w.WriteHeader(&tar.Header{Name: m.name, Size: int64(len(m.data)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
