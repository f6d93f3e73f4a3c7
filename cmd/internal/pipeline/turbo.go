//go:build cgo

package pipeline

// Registers the fast engine, which is then the default.
import _ "resslt/augment/turbo"
