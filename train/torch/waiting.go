package torch

import (
	"os"
	"strings"
)

// waitPolicy is OpenMP's variable (OpenMP 5.2, section 21.1.7) for how a thread waits
// for its next piece of work: "active" spins, "passive" sleeps. Without it, GNU's OpenMP
// spins for some milliseconds between two ops. On a core that another program uses, too,
// that takes time from the thread with the work: on two cores, one of them shared, a
// training step is ten times slower. Sleeping has no measurable cost on an idle machine
// (docs/results.md, "Threads").
const waitPolicy = "OMP_WAIT_POLICY"

// waitVariables are the variables by which a user says how threads wait: OpenMP's own
// and those of GNU's, LLVM's and Intel's OpenMP.
var waitVariables = []string{waitPolicy, "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"}

// waitPassively must run before libtorch is loaded, which is when OpenMP reads its
// variables. With cgo, Setenv changes the environment that C and child processes see.
func waitPassively() error {
	for _, name := range waitVariables {
		if _, set := os.LookupEnv(name); set {
			return nil
		}
	}
	return os.Setenv(waitPolicy, "passive")
}

// Waiting reports how libtorch's threads wait according to the environment: "passive", the
// default once Open has been called, or "OMP_WAIT_POLICY=active" and the like.
func Waiting() string {
	for _, name := range waitVariables {
		if value, set := os.LookupEnv(name); set {
			if name == waitPolicy && strings.EqualFold(value, "passive") {
				return "passive"
			}
			return name + "=" + value
		}
	}
	return "active"
}
