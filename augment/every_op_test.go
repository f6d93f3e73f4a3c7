package augment

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas"
)

// everyOpKeys are the keys by which each picture is drawn.
const everyOpKeys = 4

// everyOpPictures are raw pictures: noise, with greys and corners of the colour
// cube, on a gradient. Single pixels and lines, odd sizes, and wide and high ones
// whose scales exceed 20. Package turbo's tests make the same.
func everyOpPictures() []*schemas.Sample {
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

// encodedPictures are the fixtures that match, as samples.
func encodedPictures(t *testing.T, patterns ...string) []*schemas.Sample {
	t.Helper()
	var out []*schemas.Sample
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(names), err)
		}
		for _, name := range names {
			out = append(out, &schemas.Sample{ID: int64(len(out)), Key: filepath.Base(name), Data: readFile(t, name)})
		}
	}
	return out
}

// TestGoldenEveryOp renders a policy that draws every kind of step, on pictures
// of odd sizes and on files of every format, and compares digests that were made
// on amd64: of the plans and the pixels of raw pictures and PNG (which package
// turbo gives, too, with every tier), and of the pixels of JPEG and WebP. Where
// they hold on another architecture, its workers can join amd64's.
func TestGoldenEveryOp(t *testing.T) {
	policy, err := ParsePolicy("every_op.yaml", readFile(t, "testdata/every_op.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	exact := append(everyOpPictures(), encodedPictures(t, parityDir+"files/*.png")...)
	lossy := encodedPictures(t, parityDir+"files/*.jpg", parityDir+"files/*.webp")
	rig := newRig(t, refEngine{}, policy)
	sums := make([][3]hash.Hash, len(policy.Views)) // plans, exact pixels, lossy pixels
	for v := range sums {
		sums[v] = [3]hash.Hash{sha256.New(), sha256.New(), sha256.New()}
	}
	seen := map[StepKind]int{}
	for class, samples := range [][]*schemas.Sample{exact, lossy} {
		for _, s := range samples {
			for epoch := range int64(everyOpKeys) {
				rig.render(s, epoch)
				for v := range sums {
					if class == 0 {
						sums[v][0].Write(rig.plans[v])
					}
					sums[v][1+class].Write(rig.pixels[v])
					plan, err := ParsePlan(rig.plans[v])
					if err != nil {
						t.Fatal(err)
					}
					for _, step := range plan.Steps {
						seen[step.Kind]++
					}
				}
			}
		}
	}
	for kind := range stepArgs {
		if name := stepArgs[kind].name; name != "" && seen[StepKind(kind)] < 100 {
			t.Errorf("%s was drawn %d times", name, seen[StepKind(kind)])
		}
	}
	var got strings.Builder
	for v := range sums {
		fmt.Fprintf(&got, "%-16s", policy.Views[v].Name)
		for _, h := range sums[v] {
			fmt.Fprintf(&got, " %s", hex.EncodeToString(h.Sum(nil))[:16])
		}
		got.WriteByte('\n')
	}
	compareLines(t, got.String(), readFile(t, "testdata/every_op.golden"))
}

// compareLines reports the lines that differ, and then all of got, ready to be a
// new golden file where a change of the pixels is meant.
func compareLines(t *testing.T, got string, golden []byte) {
	t.Helper()
	want := map[string]bool{}
	lines := 0
	for s := bufio.NewScanner(bytes.NewReader(golden)); s.Scan(); {
		if !strings.HasPrefix(s.Text(), "#") {
			want[s.Text()] = true
			lines++
		}
	}
	n := 0
	for _, line := range strings.Split(strings.TrimSuffix(got, "\n"), "\n") {
		n++
		if !want[line] {
			t.Errorf("not the golden digests: %s", line)
		}
	}
	if n != lines {
		t.Errorf("%d views, %d lines of golden digests", n, lines)
	}
	if t.Failed() {
		t.Logf("all:\n%s", got)
	}
}
