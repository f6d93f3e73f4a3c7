package packed

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"resslt/schemas/racetest"
)

var wide = Limits{MaxPixels: 100e6, MaxBytes: 64 << 20, MaxSide: 65535}

// seal packs a JPEG by the tests' own decoder and writer.
func seal(r *Restorer, jpeg []byte) ([]byte, error) {
	c, err := decodeCoefficients(jpeg)
	if err != nil {
		return nil, err
	}
	if n := len(c.Planes); n != 1 && n != 3 {
		return nil, fmt.Errorf("%d components", n)
	}
	pack, why, err := r.Seal(writePack(c, len(jpeg)), jpeg)
	if why != "" {
		err = errors.New(why)
	}
	return pack, err
}

// roundTrip seals and restores a JPEG, and returns the pack.
func roundTrip(t *testing.T, r *Restorer, name string, jpeg []byte) []byte {
	t.Helper()
	pack, err := seal(r, jpeg)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return nil
	}
	again, err := r.Restore(pack, wide)
	if err != nil || !bytes.Equal(again, jpeg) {
		t.Errorf("%s: %d bytes of %d, %v", name, len(again), len(jpeg), err)
	}
	return pack
}

// members are the files of a tar of testdata.
func members(t testing.TB, name string) map[string][]byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string][]byte{}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if out[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}

// Files by Pillow, cjpeg and jpegtran: testdata/generate.py.
func TestRestoreFixtures(t *testing.T) {
	var r Restorer
	files := members(t, "jpegs.tar")
	if len(files) < 100 {
		t.Fatalf("%d files", len(files))
	}
	for name, b := range files {
		if name != "flat_progressive.jpg" {
			roundTrip(t, &r, name, b)
			continue
		}
		if _, err := seal(&r, b); err == nil || err.Error() != whyLarge {
			t.Errorf("%s: %v", name, err)
		}
		c, err := decodeCoefficients(b)
		if err != nil {
			t.Fatal(err)
		}
		r.coefficients = *c
		if _, why := r.bind(nil, b); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
}

// Files by libjpeg-turbo: samplings, progressive, restart intervals, odd sizes.
func TestRestoreTurboFixtures(t *testing.T) {
	files, err := filepath.Glob("../turbo/testdata/jpeg/*.jpg")
	if err != nil || len(files) == 0 {
		t.Fatal(len(files), err)
	}
	var r Restorer
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, &r, f, b)
	}
}

// What can't be restored is refused, and nothing is restored wrongly.
func TestOddFilesStayJPEG(t *testing.T) {
	restored := map[string]bool{"no_end.jpg": true, "scan_twice.jpg": true}
	var r Restorer
	for name, b := range members(t, "odd.tar") {
		pack, err := seal(&r, b)
		if (err == nil) != restored[name] {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		if again, err := r.Restore(pack, wide); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(again), len(b), err)
		}
	}
}

// imageNet gives each JPEG of the sample of ImageNet, or skips the test.
func imageNet(t testing.TB, each func(name string, jpeg []byte)) {
	dir := os.Getenv("RESSLT_DATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	f, err := os.Open(filepath.Join(dir, "imagenet-sample-700.tar"))
	if err != nil {
		t.Skip("no sample of ImageNet: ", err)
	}
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		each(h.Name, b)
	}
}

func TestRestoreImageNet(t *testing.T) {
	racetest.SkipNumbers(t)
	var r Restorer
	n, before, after, skeletons := 0, 0, 0, 0
	imageNet(t, func(name string, jpeg []byte) {
		if testing.Short() && n >= 50 {
			return
		}
		pack := roundTrip(t, &r, name, jpeg)
		parts, err := PartsOf(pack)
		if err != nil {
			t.Error(err)
		}
		n, before, after, skeletons = n+1, before+len(jpeg), after+len(pack), skeletons+parts.Skeleton
	})
	t.Logf("%d files, %d bytes, %d packed, of which %d skeletons", n, before, after, skeletons)
}

// cpu reports the CPU time of the n operations since begun, which a busy machine leaves alone.
func cpu(b *testing.B, begun time.Duration) {
	b.ReportMetric(float64((cpuTime(b)-begun).Microseconds())/float64(b.N), "cpu-µs/op")
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkRestore(b *testing.B) {
	var r Restorer
	var packs, jpegs [][]byte
	size := 0
	imageNet(b, func(_ string, jpeg []byte) {
		if len(packs) == 100 {
			return
		}
		p, err := seal(&r, jpeg)
		if err != nil {
			b.Fatal(err)
		}
		packs, jpegs, size = append(packs, p), append(jpegs, jpeg), size+len(jpeg)
	})
	b.Run("read", func(b *testing.B) {
		defer cpu(b, cpuTime(b))
		var l layout
		for i := range b.N {
			if err := l.parse(packs[i%100]); err != nil {
				b.Fatal(err)
			}
			if err := r.coefficients.read(&l); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("restore", func(b *testing.B) {
		b.SetBytes(int64(size / 100))
		defer cpu(b, cpuTime(b))
		for i := range b.N {
			if _, err := r.Restore(packs[i%100], wide); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("seal", func(b *testing.B) {
		defer cpu(b, cpuTime(b))
		for i := range b.N {
			if _, why, err := r.Seal(packs[i%100], jpegs[i%100]); err != nil || why != "" {
				b.Fatal(err)
			}
		}
	})
}
