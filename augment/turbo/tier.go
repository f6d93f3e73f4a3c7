//go:build cgo

package turbo

// #include "turbo.h"
import "C"

import (
	"fmt"
	"runtime"
	"strings"

	"resslt/schemas/errs"
)

// tierVariable is the environment variable that chooses the tier, read once when the
// program starts; if it is unset or empty, the best of this CPU runs. It is for tests
// and comparisons: every tier gives the same bytes.
const tierVariable = "RESSLT_TIER"

// tier is a set of kernels: C's enum turbo_tier.
type tier int

const tierScalar tier = C.TURBO_SCALAR

var tierNames = [...]string{C.TURBO_SCALAR: "scalar", C.TURBO_AVX2: "avx2", C.TURBO_AVXVNNI: "avxvnni", C.TURBO_AVX512: "avx512", C.TURBO_NEON: "neon"}

func (t tier) String() string { return tierNames[t] }

// usable reports whether this CPU and build have the tier.
func (t tier) usable() bool { return C.turbo_has_tier(C.int(t)) != 0 }

// tiers are those of this CPU and build, the best last.
func tiers() []tier {
	var out []tier
	for t := range tierNames {
		if tier(t).usable() {
			out = append(out, tier(t))
		}
	}
	return out
}

// chooseTier is the tier of that name, or the best for an empty name. The error wraps
// errs.ErrUsage and lists what this CPU has.
func chooseTier(name string) (tier, error) {
	have := tiers()
	if name == "" {
		return have[len(have)-1], nil
	}
	names := make([]string, len(have))
	for i, t := range have {
		if names[i] = t.String(); names[i] == name {
			return t, nil
		}
	}
	why := "no tier has that name"
	for _, n := range tierNames {
		if n == name {
			why = fmt.Sprintf("this %s CPU lacks that tier", runtime.GOARCH)
		}
	}
	return tierScalar, errs.New(tierVariable, fmt.Sprintf("%q", name), "unset it, or give one of "+strings.Join(names, ", "),
		errs.Because(errs.ErrUsage, why))
}
