package pipeline

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"resslt/augment"
	"resslt/ingest"
	"resslt/schemas/errs"
)

// folder is a data set of n images in two classes.
func folder(t *testing.T, n int) ingest.Source {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		m := image.NewRGBA(image.Rect(0, 0, 16, 16))
		for j := range m.Pix {
			m.Pix[j] = uint8(i*31 + j*7)
		}
		m.Set(i%16, i/16, color.White)
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		class := filepath.Join(dir, "train", string(rune('a'+i*2/n)))
		if err := os.MkdirAll(class, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, strconv.Itoa(100+i)+".png"), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	src, err := ingest.Open(t.Context(), "folder:"+dir, ingest.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

// epoch reads an epoch whole.
func epoch(t *testing.T, v *Views, e int) (ids []int64, pixels []byte, sizes []int) {
	t.Helper()
	src, err := v.Epoch(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}()
	for {
		m, err := src.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return ids, pixels, sizes
		}
		if err != nil {
			t.Fatal(err)
		}
		ids, pixels, sizes = append(ids, m.IDs...), append(pixels, m.Pixels...), append(sizes, len(m.Labels))
	}
}

// TestViews: every epoch holds each image once, in an order and under draws that
// follow from seed and epoch alone, whatever the number of workers.
func TestViews(t *testing.T) {
	src := folder(t, 25)
	views := func(o ViewOptions) *Views {
		o.Policy, o.Batch, o.Classes = CropAndFlip(8, 0.2), 8, 2
		v, err := NewViews(src, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { v.Close() })
		return v
	}
	a := views(ViewOptions{Seed: 1, Workers: 1})
	ids, px, sizes := epoch(t, a, 0)
	// 25 images leave one over, which has no variance to normalise by.
	if !slices.Equal(sizes, []int{8, 8, 8}) || a.Batches() != 3 {
		t.Errorf("batches of %v, %d promised", sizes, a.Batches())
	}
	seen := map[int64]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	if len(seen) != 24 {
		t.Errorf("%d images, want 24", len(seen))
	}
	ids2, px2, _ := epoch(t, views(ViewOptions{Seed: 1, Workers: 3}), 0)
	if !slices.Equal(ids, ids2) || !bytes.Equal(px, px2) {
		t.Error("three workers make another epoch than one")
	}
	ids3, px3, _ := epoch(t, a, 1)
	if slices.Equal(ids, ids3) || bytes.Equal(px, px3) {
		t.Error("the second epoch is the first again")
	}
	few, _, sizes := epoch(t, views(ViewOptions{Seed: 1, IDs: []int64{3, 5, 20}}), 0)
	slices.Sort(few)
	if !slices.Equal(few, []int64{3, 5, 20}) || !slices.Equal(sizes, []int{3}) {
		t.Errorf("of three chosen come %v, in batches of %v", few, sizes)
	}
	part, _, _ := epoch(t, views(ViewOptions{Seed: 1, Max: 5}), 0)
	slices.Sort(part)
	for i, id := range part {
		if len(part) != 5 || id/5 != int64(i) {
			t.Errorf("5 of 25, one of each five, are %v", part)
		}
	}
}

// TestSpread: a part of a set that is sorted by class, or dealt by class in turn,
// has about as many of each class; no image comes twice, and all of them are all.
func TestSpread(t *testing.T) {
	const n, classes = 1000, 10
	for _, most := range []int64{100, 333, 999} {
		ids := spread(n, most)
		sorted, dealt := [classes]int{}, [classes]int{}
		for i, id := range ids {
			if i > 0 && id <= ids[i-1] {
				t.Fatalf("%d of %d: %d comes after %d", most, n, id, ids[i-1])
			}
			sorted[id/(n/classes)]++
			dealt[id%classes]++
		}
		for c := range classes {
			want := int(most) / classes
			if sorted[c] < want-1 || sorted[c] > want+1 || dealt[c] < want/4 || dealt[c] > 3*want {
				t.Errorf("%d of %d: class %d comes %d times sorted, %d dealt, want some %d", most, n, c, sorted[c], dealt[c], want)
			}
		}
	}
	if all := spread(n, 0); len(all) != n || all[n-1] != n-1 || len(spread(3, 9)) != 3 {
		t.Error("all are not all")
	}
}

// TestViewsStop: an epoch that is left early is joined, and says so without
// error; a cancelled one gives the context's.
func TestViewsStop(t *testing.T) {
	src := folder(t, 20)
	v, err := NewViews(src, ViewOptions{Policy: CropAndFlip(8, 0.2), Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	e, err := v.Epoch(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("closing early gives %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	e, err = v.Epoch(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for err == nil {
		_, err = e.Next(ctx)
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled epoch gives %v", err)
	}
	e.Close()
}

func TestReadLabels(t *testing.T) {
	src := folder(t, 20)
	l, err := ReadLabels(t.Context(), src, 4)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.ID) != 4 || !slices.Equal(l.Class, []int32{0, 0, 1, 1}) || filepath.Base(l.Key[1]) != strconv.Itoa(100+int(l.ID[1]))+".png" {
		t.Errorf("%+v", l)
	}
	if _, err := NewViews(src, ViewOptions{Policy: twoViews()}); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("a policy of two views gives %v", err)
	}
}

func twoViews() *augment.Policy {
	p := CropAndFlip(8, 0.2)
	second := p.Views[0]
	second.Name = "second"
	p.Views = append(p.Views, second)
	return p
}
