//go:build cgo

package turbo

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"resslt/augment"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// TestTierOfThisProcess: RESSLT_TIER, or else the best tier there is, makes the
// painters. The variable is read here, too, because Go's test cache does not see
// what is read before tests start.
func TestTierOfThisProcess(t *testing.T) {
	if err := augment.CheckEngines(); err != nil {
		t.Fatal(err)
	}
	have := tiers()
	want := os.Getenv(tierVariable)
	if want == "" {
		want = have[len(have)-1].String()
	}
	if got := chosen.tier.String(); got != want || augment.Kernels(augment.DefaultEngine()) != want {
		t.Errorf("tier %s, want %s", got, want)
	}
	if have[0] != tierScalar {
		t.Errorf("tiers %v: scalar is of any CPU", have)
	}
	t.Logf("%s of %v", want, have)
}

// TestTierByName: every tier by its name; one of another CPU and one that there
// is not are errors that name the variable and what there is, wherever they
// would be used.
func TestTierByName(t *testing.T) {
	for _, have := range tiers() {
		if got, err := chooseTier(have.String()); got != have || err != nil {
			t.Errorf("%s: tier %s, %v", have, got, err)
		}
	}
	absent := "neon"
	if slices.ContainsFunc(tiers(), func(t tier) bool { return t.String() == "neon" }) {
		absent = "avx2"
	}
	for _, name := range []string{absent, "Scalar", "sse2"} {
		e := newEngine(name)
		err := augment.CheckEngine(e)
		if !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), tierVariable) || !strings.Contains(err.Error(), "scalar") {
			t.Errorf("%s: %v, want ErrUsage that names the variable and the tiers there are", name, err)
		}
		policy, perr := augment.Preset("small")
		if perr != nil {
			t.Fatal(perr)
		}
		if _, got := augment.NewRenderer(e, policy); got != err {
			t.Errorf("%s: a renderer was made: %v", name, got)
		}
		p := e.NewPainter(augment.DefaultLimits)
		if _, _, got := p.Open(&schemas.Sample{Key: "jpeg", Data: readFile(t, parityFiles+"jpeg420.jpg")}); got != err {
			t.Errorf("%s: a painter opened a sample: %v", name, got)
		}
		p.Close()
	}
}
