package torch

import (
	"os"
	"strings"
)

// waitPolicy is OpenMP's variable (OpenMP 5.2, section 21.1.7) for how a thread waits
// for its next piece of work: "active" keeps its core busy, "passive" sleeps. Without
// it, GNU's OpenMP spins for some milliseconds between two ops. On a core that another
// program wants, too, that costs the thread that has the work: on two cores, one of
// them shared, a training step is then ten times slower. Sleeping costs an idle machine
// nothing that could be measured (docs/results.md, "Threads").
const waitPolicy = "OMP_WAIT_POLICY"

// waitAsked are the variables by which a user says how threads wait: OpenMP's own, and
// those of GNU's, LLVM's and Intel's OpenMP.
var waitAsked = []string{waitPolicy, "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"}

// waitPassively is for before libtorch is loaded: OpenMP reads its variables then. With
// cgo, Setenv changes the environment that C sees, and that of child processes.
func waitPassively() error {
	for _, name := range waitAsked {
		if _, set := os.LookupEnv(name); set {
			return nil
		}
	}
	return os.Setenv(waitPolicy, "passive")
}

// Waiting says how libtorch's threads wait, as the environment has it: "passive" by
// default once Open has been called, else "OMP_WAIT_POLICY=active" and the like.
func Waiting() string {
	for _, name := range waitAsked {
		if value, set := os.LookupEnv(name); set {
			if name == waitPolicy && strings.EqualFold(value, "passive") {
				return "passive"
			}
			return name + "=" + value
		}
	}
	return "active"
}
