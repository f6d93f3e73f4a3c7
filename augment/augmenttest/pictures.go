package augmenttest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas"
)

// Keys is the number of keys by which each picture is drawn.
const Keys = 4

// Pictures are raw pictures: noise, with greys and corners of the colour cube, on a
// gradient. Single pixels and lines, odd sizes, and wide and high ones whose scales
// exceed 20.
func Pictures() []*schemas.Sample {
	rng := rand.New(rand.NewPCG(20, 26))
	var out []*schemas.Sample
	for i, size := range [][2]int{{1, 1}, {1, 40}, {53, 1}, {2, 3}, {17, 33}, {64, 64}, {181, 97}, {300, 224}, {1999, 7}, {5, 1201}} {
		w, h := size[0], size[1]
		s := &schemas.Sample{ID: int64(i), Key: fmt.Sprintf("%d×%d", w, h), Encoding: schemas.RawRGB, Width: w, Height: h, Data: make([]byte, 3*w*h)}
		for p := 0; p < len(s.Data); p += 3 {
			v := rng.Uint32()
			px := s.Data[p : p+3]
			switch v >> 29 {
			case 0:
				px[0], px[1], px[2] = byte(v), byte(v), byte(v)
			case 1:
				px[0], px[1], px[2] = byte(v&1*255), byte(v>>1&1*255), byte(v>>2&1*255)
			case 2, 3:
				px[0], px[1], px[2] = byte(p/3%w*255/w), byte(p/3/w*255/h), byte(v)
			default:
				px[0], px[1], px[2] = byte(v), byte(v>>8), byte(v>>16)
			}
		}
		out = append(out, s)
	}
	return out
}

// Files are the files that match the patterns, as samples.
func Files(t *testing.T, patterns ...string) []*schemas.Sample {
	t.Helper()
	var out []*schemas.Sample
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(names), err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, &schemas.Sample{ID: int64(len(out)), Key: filepath.Base(name), Data: data})
		}
	}
	return out
}
