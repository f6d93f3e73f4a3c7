package packing

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"resslt/augment/augmenttest"
	"resslt/schemas/errs"
)

func TestNewCodec(t *testing.T) {
	for _, tc := range []struct {
		name  string
		every int
	}{{"lz4", 0}, {"", 0}, {"dct", -1}} {
		if _, err := NewCodec(tc.name, Options{CheckEvery: tc.every}); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("%q, %d: %v", tc.name, tc.every, err)
		}
	}
}

// otherPixels is a packer whose packs have other pixels.
type otherPixels struct{ packer }

func (otherPixels) Same(_, _ []byte) (bool, error) { return false, nil }

// A pack with other pixels than the JPEG's ends it all.
func TestPixelsAreCompared(t *testing.T) {
	c, err := NewCodec("dct", Options{CheckEvery: 2})
	if errors.Is(err, errs.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("../../../augment/turbo/testdata/jpeg/progressive_420.jpg")
	if err != nil {
		t.Fatal(err)
	}
	one, err := c.Recoder()
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	for range 3 {
		if _, err := one.Recode("a", file); err != nil {
			t.Fatal(err)
		}
	}
	if r := c.Report(); r.Packed != 3 || r.Checked != 2 || r.BytesBefore != int64(3*len(file)) || len(r.Left) != 0 {
		t.Errorf("%+v", r)
	}
	r := one.(*recoder)
	r.packer = otherPixels{r.packer}
	if _, err := one.Recode("a", file); err != nil {
		t.Errorf("a picture whose pixels are not compared: %v", err)
	}
	if _, err := one.Recode("a", file); !errors.Is(err, errs.ErrMismatch) {
		t.Errorf("other pixels: %v", err)
	}
}

// BenchmarkRecode is what packing a picture costs, in CPU time: go test -bench Recode
// -benchtime 700x.
func BenchmarkRecode(b *testing.B) {
	var files [][]byte
	for _, photo := range augmenttest.Photos(b, "../../..", 200) {
		files = append(files, photo.Data)
	}
	c, err := NewCodec("dct", Options{})
	if err != nil {
		b.Skip(err)
	}
	r, err := c.Recoder()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	begun := cpuTime(b)
	b.ResetTimer()
	for i := range b.N {
		if _, err := r.Recode("", files[i%len(files)]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/(cpuTime(b)-begun).Seconds(), "pictures/cpu-s")
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
