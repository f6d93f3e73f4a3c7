package ingest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// someMates are k of each of n samples: the next ones, from two on.
func someMates(n, k int) (mates []int64) {
	for i := range n {
		for j := range k {
			mates = append(mates, int64((i+2+j)%n))
		}
	}
	return mates
}

// npy is an array (N,K) as NumPy writes it.
func npy(t testing.TB, descr string, values []int64, k int) []byte {
	t.Helper()
	head := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%d, %d), }", descr, len(values)/k, k)
	head += strings.Repeat(" ", 64-(10+len(head)+1)%64) + "\n"
	var out bytes.Buffer
	out.WriteString("\x93NUMPY\x01\x00")
	out.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(head))))
	out.WriteString(head)
	for _, v := range values {
		if descr == "<i4" {
			out.Write(binary.LittleEndian.AppendUint32(nil, uint32(v)))
		} else {
			out.Write(binary.LittleEndian.AppendUint64(nil, uint64(v)))
		}
	}
	return out.Bytes()
}

// matesOver writes a folder of images next to a file of mates, and gives their URI.
func matesOver(t *testing.T, file []byte) (uri string, images []schemas.Sample) {
	t.Helper()
	dir := t.TempDir()
	folder := fixtures(t)[0]
	folder.write(t, filepath.Join(dir, "photos"))
	writeTree(t, dir, map[string][]byte{"near.npy": file})
	return "mates:" + filepath.Join(dir, "near.npy") + "+folder:" + filepath.Join(dir, "photos"), folder.want
}

// TestMates: what each id reads, of both types of numbers; that the digest is of the mates, too; and
// that a split to test with has none.
func TestMates(t *testing.T) {
	ctx := context.Background()
	n := len(fixtures(t)[0].want)
	digests := map[string]bool{}
	for _, c := range []struct {
		descr string
		k     int
		next  int64 // what every mate is moved by
	}{{"<i4", 2, 0}, {"<i8", 2, 0}, {"<i4", 1, 0}, {"<i4", 2, 1}} {
		mates := someMates(n, c.k)
		for i := range mates {
			mates[i] = (mates[i] + c.next) % int64(n)
		}
		uri, images := matesOver(t, npy(t, c.descr, mates, c.k))
		opt := Options{CacheDir: t.TempDir()}
		src, err := Open(ctx, uri, opt)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		spec := src.Manifest().Spec()
		if src.Len() != int64(n) || spec.Samples != int64(2*n) || spec.Images() != int64(n) || spec.Repeats() != int64(c.k) {
			t.Fatalf("%d images give %d samples, %d of them images, %d mates each", src.Len(), spec.Samples, spec.Images(), spec.Repeats())
		}
		digests[spec.Digest] = true
		var s schemas.Sample
		for id := range spec.Samples * spec.Repeats() {
			k, at := id/spec.Samples, id%spec.Samples
			if at < int64(n) && k > 0 { // an image has one id
				if err := src.Read(ctx, id, &s); !errors.Is(err, errs.ErrNotFound) {
					t.Errorf("id %d of an image's second visit: %v", id, err)
				}
				continue
			}
			want := at
			if at >= int64(n) {
				want = mates[(at-int64(n))*int64(c.k)+k]
			}
			if err := src.Read(ctx, id, &s); err != nil || s.ID != id || s.Label != images[want].Label || !bytes.Equal(s.Data, images[want].Data) {
				t.Errorf("id %d: id %d, label %d, %d bytes, %v; want image %d", id, s.ID, s.Label, len(s.Data), err, want)
			}
			if err := Confirm(ctx, src, &s); err != nil {
				t.Errorf("id %d: %v", id, err)
			}
		}
	}
	if len(digests) != 4 {
		t.Errorf("%d digests of four files of mates", len(digests))
	}
}

// TestUnfitMates: files that are no mates of the data set, and places that name none.
func TestUnfitMates(t *testing.T) {
	ctx := context.Background()
	n := len(fixtures(t)[0].want)
	sound := npy(t, "<i4", someMates(n, 2), 2)
	for name, c := range map[string]struct {
		file []byte
		kind error
	}{
		"no array":        {[]byte("a text of some length"), errs.ErrCorrupt},
		"empty":           {nil, errs.ErrCorrupt},
		"cut":             {sound[:len(sound)-1], errs.ErrCorrupt},
		"longer":          {append(bytes.Clone(sound), 0), errs.ErrCorrupt},
		"head of nothing": {append([]byte("\x93NUMPY\x01\x00"), 0xff, 0xff), errs.ErrCorrupt},
		"floats":          {bytes.Replace(sound, []byte("<i4"), []byte("<f4"), 1), errs.ErrMismatch},
		"Fortran":         {bytes.Replace(sound, []byte("False"), []byte("True "), 1), errs.ErrMismatch},
		"too few rows":    {npy(t, "<i4", someMates(n-1, 2), 2), errs.ErrMismatch},
		"too large":       {npy(t, "<i8", append(someMates(n, 1)[1:], int64(n)), 1), errs.ErrMismatch},
		"negative":        {npy(t, "<i4", append(someMates(n, 1)[1:], -1), 1), errs.ErrMismatch},
		"a large number":  {npy(t, "<i8", append(someMates(n, 1)[1:], 1<<32), 1), errs.ErrMismatch},
		"too many":        {npy(t, "<i4", make([]int64, n*(schemas.MaxMates+1)), schemas.MaxMates+1), errs.ErrMismatch},
	} {
		uri, _ := matesOver(t, c.file)
		if src, err := Open(ctx, uri, Options{CacheDir: t.TempDir()}); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
			if err == nil {
				src.Close()
			}
		}
	}
	for _, place := range []string{"", "near.npy", "+folder:x", "near.npy+mix:1*folder:a+1*folder:b", "near.npy+mates:a+folder:b"} {
		if _, err := Open(ctx, "mates:"+place, Options{CacheDir: t.TempDir()}); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("mates:%s: %v", place, err)
		}
	}
}

// mateSpec is a spec of n images with k mates each.
func mateSpec(n, k int64, order string) *schemas.RunSpec {
	s := &schemas.RunSpec{Seed: 4, Order: order, Dataset: schemas.DatasetSpec{Samples: 2 * n, Mates: k}}
	if order != "global" {
		s.Dataset.ShardSamples = []int64{n / 3, n - n/3}
	}
	return s
}

// TestMateOrder: an epoch visits each image once, in the data set's own order, and next to it one of
// its mates, each of them in about as many epochs.
func TestMateOrder(t *testing.T) {
	const epochs = 400
	for _, order := range []string{"global", "blocked:shards=2,window=8"} {
		for _, c := range []struct{ n, k int64 }{{1, 1}, {3, 1}, {10, 5}, {257, 3}} {
			if c.n < 3 && order != "global" {
				continue
			}
			spec := mateSpec(c.n, c.k, order)
			o, err := OpenOrder(spec)
			if err != nil {
				t.Fatal(err)
			}
			own, err := OpenOrder(&schemas.RunSpec{Seed: 4, Order: order, Dataset: schemas.DatasetSpec{Samples: c.n, ShardSamples: spec.Dataset.ShardSamples}})
			if err != nil {
				t.Fatal(err)
			}
			drawn := make([]int, c.k) // mates of sample 0
			for epoch := range int64(epochs) {
				for j := range c.n {
					a, mate := o.At(epoch, 2*j), o.At(epoch, 2*j+1)
					k := mate / (2 * c.n)
					if a != own.At(epoch, j) || mate%(2*c.n) != c.n+a || !spec.Dataset.HasID(mate) {
						t.Fatalf("%s, n %d, epoch %d, pair %d: sample %d and mate %d", order, c.n, epoch, j, a, mate)
					}
					if o.Index(epoch, a) != 2*j || o.Index(epoch, mate) != 2*j+1 || c.k > 1 && o.Index(epoch, mate-k*2*c.n+(k+1)%c.k*2*c.n) != -1 {
						t.Fatalf("%s, n %d, epoch %d, pair %d: Index is not At's inverse", order, c.n, epoch, j)
					}
					if a == 0 {
						drawn[k]++
					}
				}
				if o.At(epoch, 2*c.n+3) != o.At(epoch, 3%(2*c.n)) {
					t.Fatalf("n %d: an index beyond 2n does not wrap around", c.n)
				}
			}
			if c.k > 1 {
				// Standard deviations from its mean of a sum of squares that is near normal: one in
				// 3 million is over 5.
				if z := chiSquare(drawn); z > 5 {
					t.Errorf("%s, n %d: of %d epochs its mates are in %v", order, c.n, epochs, drawn)
				}
			}
			for _, id := range []int64{-1, 2 * c.n * c.k, 1 << 62} {
				if got := o.Index(1, id); got != -1 {
					t.Errorf("n %d: id %d is at %d", c.n, id, got)
				}
			}
			if o.At(0, -1) != -1 {
				t.Error("a negative index has a sample")
			}
		}
	}
}

// The order is part of a run's identity: these values may change only together with mateTag.
func TestMateOrderIsFixed(t *testing.T) {
	o, err := OpenOrder(mateSpec(1000, 5, "global"))
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for i := range int64(8) {
		got = append(got, o.At(3, i))
	}
	if want := "[53 7053 347 9347 696 5696 218 9218]"; fmt.Sprint(got) != want {
		t.Errorf("order of seed 4, epoch 3 is %v, want %s", got, want)
	}
}
