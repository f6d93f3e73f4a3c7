package augment

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"testing"

	"resslt/augment/augmenttest"
	"resslt/schemas"
	"resslt/schemas/racetest"
)

// TestGoldenEveryOp renders a policy that draws every kind of step, on pictures
// of odd sizes and on files of every format, and compares digests that were made
// on amd64: of the plans and the pixels of raw pictures and PNG (which package
// turbo gives, too, with every tier), and of the pixels of JPEG and WebP. Where
// they hold on another architecture, its workers can join amd64's.
func TestGoldenEveryOp(t *testing.T) {
	racetest.SkipNumbers(t)
	policy, err := ParsePolicy("every_op.yaml", readFile(t, "testdata/every_op.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	exact := append(augmenttest.Pictures(), augmenttest.Files(t, parityDir+"files/*.png")...)
	lossy := augmenttest.Files(t, parityDir+"files/*.jpg", parityDir+"files/*.webp")
	rig := newRig(t, refEngine{}, policy)
	sums := make([][3]hash.Hash, len(policy.Views)) // plans, exact pixels, lossy pixels
	for v := range sums {
		sums[v] = [3]hash.Hash{sha256.New(), sha256.New(), sha256.New()}
	}
	seen := map[StepKind]int{}
	for class, samples := range [][]*schemas.Sample{exact, lossy} {
		for _, s := range samples {
			for epoch := range int64(augmenttest.Keys) {
				rig.Render(s, epoch)
				for v := range sums {
					if class == 0 {
						sums[v][0].Write(rig.Plans[v])
					}
					sums[v][1+class].Write(rig.Pixels[v])
					plan, err := ParsePlan(rig.Plans[v])
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
