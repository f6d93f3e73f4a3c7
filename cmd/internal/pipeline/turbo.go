//go:build cgo

package pipeline

// The import registers the fast engine, which is then the default.
import "resslt/augment/turbo"

// EngineTier is the instruction set of the fast engine's kernels, "avx2"; "" for an
// engine that has one form alone. Every tier gives the same bytes.
func EngineTier(engine string) string {
	if engine == turbo.Name {
		return turbo.Tier()
	}
	return ""
}
