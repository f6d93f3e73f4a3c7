package ingest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

func TestReadIDXRefuses(t *testing.T) {
	good := idxBytes([]uint32{2, 2, 2}, []byte{1, 2, 3, 4, 5, 6, 7, 8})
	for _, c := range []struct {
		name string
		b    []byte
		says string
	}{
		{"empty", nil, "shorter than an IDX header"},
		{"half a header", good[:10], "shorter than an IDX header"},
		{"wrong magic", append([]byte{1}, good[1:]...), "magic number"},
		{"float elements", append([]byte{0, 0, 13}, good[3:]...), "magic number"},
		{"labels for images", idxBytes([]uint32{2}, make([]byte, 20)), "magic number"},
		{"one element short", good[:len(good)-1], "ends after 7 of the 8"},
		{"one element more", append(bytes.Clone(good), 9), "continues after the 8"},
		{"4 Gi images", idxBytes([]uint32{1<<32 - 1, 28, 28}, nil), "more than"},
		{"a product that overflows", idxBytes([]uint32{1 << 31, 1 << 31, 4}, nil), "more than"},
	} {
		_, _, err := readIDX(bytes.NewReader(c.b), int64(len(c.b)), 1, 3)
		if why := errstest.Differs(err, errs.ErrCorrupt, c.says); why != "" {
			t.Errorf("%s: %s", c.name, why)
		}
	}
	dims, data, err := readIDX(bytes.NewReader(good), int64(len(good)), 1, 3)
	if err != nil || len(dims) != 3 || dims[0]*dims[1]*dims[2] != len(data) {
		t.Errorf("a good file: %v %v %v", dims, data, err)
	}
}

func TestIDXSetRefuses(t *testing.T) {
	images := idxBytes([]uint32{2, 1, 1}, []byte{1, 2})
	labels := func(l ...byte) []byte { return idxBytes([]uint32{uint32(len(l))}, l) }
	for _, c := range []struct {
		name           string
		images, labels []byte
		says           string
	}{
		{"a label too many", images, labels(1, 2, 3), "3 labels for the 2 images"},
		{"a label of no class", images, labels(1, 10), "label 10 of 10 classes"},
		{"no images", idxBytes([]uint32{0, 28, 28}, nil), labels(), "holds no pixels"},
		{"no rows", idxBytes([]uint32{2, 0, 28}, nil), labels(1, 1), "holds no pixels"},
		{"no labels file", images, nil, "not found"},
	} {
		dir := t.TempDir()
		files := map[string][]byte{"train-images-idx3-ubyte": c.images}
		if c.labels != nil {
			files["train-labels-idx1-ubyte"] = c.labels
		}
		writeTree(t, dir, files)
		_, err := Open(context.Background(), "mnist:"+dir, Options{})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
		checkOneLine(t, err)
	}
}

// A gzipped and a plain copy are the same data.
func TestIDXGzipIsTheSameData(t *testing.T) {
	images, labels := idxBytes([]uint32{2, 1, 2}, []byte{1, 2, 3, 4}), idxBytes([]uint32{2}, []byte{3, 4})
	a, b := t.TempDir(), t.TempDir()
	writeTree(t, a, map[string][]byte{"t10k-images-idx3-ubyte": images, "t10k-labels-idx1-ubyte": labels})
	writeTree(t, b, map[string][]byte{"t10k-images.idx3-ubyte.gz": gzipBytes(t, images), "t10k-labels-idx1-ubyte.gz": gzipBytes(t, labels)})
	var digests []string
	for _, dir := range []string{a, b} {
		src, err := Open(context.Background(), "mnist:"+dir, Options{Split: Test})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		digests = append(digests, src.Manifest().Digest())
	}
	if digests[0] != digests[1] {
		t.Errorf("digests %v", digests)
	}
}

// The whole of a real data set: Debian's package dataset-fashion-mnist.
func TestFashionMNIST(t *testing.T) {
	for split, each := range map[string]int{Train: 6000, Test: 1000} {
		src, err := Open(context.Background(), "fashion-mnist:", Options{Split: split})
		if errors.Is(err, errs.ErrNotFound) && !hasDir(fashionMNIST.dir) {
			t.Skip("Fashion-MNIST is not there: install the Debian package dataset-fashion-mnist")
		}
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		counts := make([]int, 10)
		var s schemas.Sample
		for id := range src.Len() {
			if err := src.Read(context.Background(), id, &s); err != nil {
				t.Fatal(err)
			}
			if s.Width != 28 || s.Height != 28 || len(s.Data) != 784 || s.Encoding != schemas.RawGray {
				t.Fatalf("sample %d is %d×%d, %d bytes", id, s.Width, s.Height, len(s.Data))
			}
			counts[s.Label]++
		}
		for class, n := range counts {
			if n != each {
				t.Errorf("%s: %d of class %s, want %d", split, n, src.Manifest().Classes[class], each)
			}
		}
	}
}

func FuzzReadIDX(f *testing.F) {
	f.Add(idxBytes([]uint32{2, 2, 2}, make([]byte, 8)), 3)
	f.Add(idxBytes([]uint32{3}, make([]byte, 3)), 1)
	f.Add(idxBytes([]uint32{1 << 31, 1 << 31, 4}, nil), 3)
	f.Add([]byte{0, 0, 8}, 1)
	f.Fuzz(func(t *testing.T, b []byte, dims int) {
		if dims != 1 && dims != 3 {
			return
		}
		shape, data, err := readIDX(bytes.NewReader(b), int64(len(b)), 1, dims)
		if err != nil {
			if !errors.Is(err, errs.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		n := 1
		for _, d := range shape {
			n *= d
		}
		if n != len(data) || len(data) != len(b)-4-4*dims {
			t.Fatalf("shape %v, %d elements, file of %d bytes", shape, len(data), len(b))
		}
	})
}

// Sizes are checked to the byte, and what lies beside the data is told apart.
func TestBinarySetsRefuse(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{"test_batch.bin": make([]byte, 2*3073), "cifar-10-batches-py/x": nil})
	open := func(split string) error {
		_, err := cifar10Set(1).open(context.Background(), dir, Options{Split: split}.applyDefaults())
		checkOneLine(t, err)
		return err
	}
	if err := open(Test); !errors.Is(err, errs.ErrCorrupt) || !strings.Contains(err.Error(), "has 6146 bytes, want 3073") {
		t.Errorf("a record too many: %v", err)
	}
	if err := open(Train); !errors.Is(err, errs.ErrNotFound) || !strings.Contains(err.Error(), "Python version") {
		t.Errorf("only the Python version is there: %v", err)
	}
	bad := make([]byte, 3073)
	bad[0] = 10
	writeTree(t, dir, map[string][]byte{"test_batch.bin": bad})
	if err := open(Test); !errors.Is(err, errs.ErrCorrupt) || !strings.Contains(err.Error(), "label 10 of 10 classes") {
		t.Errorf("a label of no class: %v", err)
	}
	// STL-10 counts labels from 1: a 0 is no class.
	stl := t.TempDir()
	writeTree(t, stl, map[string][]byte{"test_X.bin": make([]byte, 27648), "test_y.bin": {0}})
	_, err := stl10Set(1, 1, 1).open(context.Background(), stl, Options{Split: Test}.applyDefaults())
	if !errors.Is(err, errs.ErrCorrupt) {
		t.Errorf("STL-10 label 0: %v", err)
	}
	if _, err := Open(context.Background(), "cifar10:"+filepath.Join(dir, "test_batch.bin"), Options{}); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("a file for a folder: %v", err)
	}
}

// A large file without labels is hashed once, and then known by size and time.
func TestLargeFileIsHashedOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("hashes a gigabyte")
	}
	dir, cache := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "unlabeled_X.bin")
	set := stl10Set(1, 1, cachedSumBytes/27648+1)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate((cachedSumBytes/27648+1)*27648), f.Close()); err != nil { // sparse: no disk is used
		t.Fatal(err)
	}
	age(t, path)
	digest := func(cache string) string {
		t.Helper()
		src, err := set.open(context.Background(), dir, Options{Split: Unlabeled, CacheDir: cache}.applyDefaults())
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		return src.Manifest().Digest()
	}
	first := digest(cache)
	if f, err = os.OpenFile(path, os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{1}, 12345)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if digest(cache) == first {
		t.Error("a file with another time was not hashed again")
	}
	start := time.Now()
	age(t, path)
	again := digest(cache) // hashed: the time is another one
	hashing := time.Since(start)
	start = time.Now()
	if digest(cache) != again {
		t.Error("digest differs on reopening")
	}
	if d := time.Since(start); d > hashing/2 {
		t.Errorf("reopening took %v, hashing %v", d, hashing)
	}
}
