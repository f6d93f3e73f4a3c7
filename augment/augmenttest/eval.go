package augmenttest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas"
)

// EvalCase is a picture and what torchvision's evaluation transform makes of it.
type EvalCase struct {
	Sample *schemas.Sample
	Resize int    // the shorter side
	Size   int    // of the crop
	Filter string // bilinear or bicubic
	SHA256 string // of the pixels, 16 digits
}

// EvalCases are those of eval.json in the parity fixtures' folder. Short tests, which QEMU
// runs too, take every third: eight follow one another for each picture, so that all sizes
// and filters are among them.
func EvalCases(tb testing.TB, dir string) []EvalCase {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "eval.json"))
	if err != nil {
		tb.Fatal(err)
	}
	var rows []struct {
		Picture, Filter, SHA256 string
		Resize, Size            int
	}
	if err := json.Unmarshal(text, &rows); err != nil {
		tb.Fatal(err)
	}
	samples := map[string]*schemas.Sample{}
	var out []EvalCase
	for i, r := range rows {
		if testing.Short() && i%3 != 0 {
			continue
		}
		s := samples[r.Picture]
		if s == nil {
			s = evalPicture(tb, dir, r.Picture)
			samples[r.Picture] = s
		}
		out = append(out, EvalCase{s, r.Resize, r.Size, r.Filter, r.SHA256})
	}
	return out
}

// evalPicture is the file of that name or, for a name such as 31x37, the raw picture that
// supervised.py makes by the same integers.
func evalPicture(tb testing.TB, dir, name string) *schemas.Sample {
	tb.Helper()
	var w, h uint64
	if n, _ := fmt.Sscanf(name, "%dx%d", &w, &h); n != 2 {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			tb.Fatal(err)
		}
		return &schemas.Sample{Key: name, Data: data}
	}
	s := &schemas.Sample{Key: name, Encoding: schemas.RawRGB, Width: int(w), Height: int(h)}
	for y := range h {
		for x := range w {
			for c := range uint64(3) {
				noise := (x*73856093 ^ y*19349663 ^ c*83492791) * 2654435761 & 0xffffffff
				slope := (x*97/w + y*97/h + c*20) & 255
				s.Data = append(s.Data, byte(slope+noise>>25))
			}
		}
	}
	return s
}

// Digest is the start of the SHA-256 of a view's pixels, as the fixtures have it.
func Digest(pixels []byte) string {
	sum := sha256.Sum256(pixels)
	return hex.EncodeToString(sum[:])[:16]
}
