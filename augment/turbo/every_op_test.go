//go:build cgo

package turbo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"testing"

	"resslt/augment"
	"resslt/augment/augmenttest"
	"resslt/schemas"
	"resslt/schemas/racetest"
)

// TestGoldenEveryOp renders the policy of augment's test of that name by every
// tier, and compares with golden digests: augment's own for raw pictures and PNG,
// plans and pixels, and for JPEG, which libjpeg-turbo decodes, those of this
// package, made on amd64. They hold on every CPU, so that one farm may mix them.
func TestGoldenEveryOp(t *testing.T) {
	racetest.SkipNumbers(t)
	policy, err := augment.ParsePolicy("every_op.yaml", readFile(t, "../testdata/every_op.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	reference, own := goldenDigests(t, "../testdata/every_op.golden", 3), goldenDigests(t, "testdata/every_op.golden", 1)
	exact := append(augmenttest.Pictures(), augmenttest.Files(t, parityFiles+"*.png")...)
	jpeg := augmenttest.Files(t, parityFiles+"*.jpg", "testdata/jpeg/*.jpg")
	for _, tier := range tiers() {
		t.Run(tier.String(), func(t *testing.T) {
			sums := make([][3]hash.Hash, len(policy.Views)) // plans and pixels of exact, pixels of jpeg
			for v := range sums {
				sums[v] = [3]hash.Hash{sha256.New(), sha256.New(), sha256.New()}
			}
			g := newPolicyRig(t, engine{tier: tier}, policy)
			for class, samples := range [][]*schemas.Sample{exact, jpeg} {
				for _, s := range samples {
					for epoch := range int64(augmenttest.Keys) {
						g.Render(s, epoch)
						for v := range sums {
							if class == 0 {
								sums[v][0].Write(g.Plans[v])
							}
							sums[v][1+class].Write(g.Pixels[v])
						}
					}
				}
			}
			var all strings.Builder
			for v := range sums {
				name := policy.Views[v].Name
				var got [3]string
				for i, h := range sums[v] {
					got[i] = hex.EncodeToString(h.Sum(nil))[:16]
				}
				if len(reference[name]) == 0 || len(own[name]) == 0 {
					t.Errorf("%s: no golden digests", name)
					reference[name], own[name] = make([]string, 3), make([]string, 1)
				}
				for i, what := range []string{"plans", "pixels of raw pictures and PNG"} {
					if want := reference[name][i]; got[i] != want {
						t.Errorf("%s: %s are %s, augment's golden digest is %s", name, what, got[i], want)
					}
				}
				if want := own[name][0]; got[2] != want {
					t.Errorf("%s: pixels of JPEG are %s, the golden digest is %s", name, got[2], want)
				}
				fmt.Fprintf(&all, "%-16s %s\n", name, got[2])
			}
			if t.Failed() {
				t.Logf("all of JPEG:\n%s", &all)
			}
		})
	}
}

// goldenDigests are the digests of a golden file by the view, its lines' first word.
func goldenDigests(t *testing.T, name string, columns int) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, line := range strings.Split(string(readFile(t, name)), "\n") {
		if words := strings.Fields(line); len(words) == 1+columns && words[0] != "#" {
			out[words[0]] = words[1:]
		}
	}
	return out
}
