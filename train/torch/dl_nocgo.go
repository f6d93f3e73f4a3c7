//go:build !cgo || windows

package torch

// A build without cgo compiles and refuses to open a shim; since every other
// function below is called only after a successful open, none is reached.

type result struct {
	n int64
	v [inlineResults]uint64
}

const inlineResults = 6

// shimABI is 0, which no shim has.
const shimABI = 0

func dlOpen(string) (where string, out openOutcome) { return "", openOutcome{kind: openNoCgo} }

func dlFind(_, _, _ string) (op uint64, message string) { return 0, noCgoMessage }

func dlInvoke(uint64, []uint64, []byte, *result) (message string) { return noCgoMessage }

const noCgoMessage = "Ubuilt without cgo"

func resultWords(out *result) []uint64 { return out.v[:out.n] }
func dlRelease([]uint64)               {}
func dlLive() int64                    { return 0 }
func dlEnter()                         {}
func dlLeave()                         {}
func dlInside() bool                   { return false }
