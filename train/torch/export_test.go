package torch

// LoseDevice runs fn after a failure like that of a lost GPU, reported as by an op, and
// returns Do's error for that failure.
func LoseDevice(inCapture bool, fn func()) error {
	capturing = inCapture
	err := Do(func() error { fail("aten::add", "DCUDA error: unspecified launch failure"); return nil })
	capturing = false
	fn()
	deviceLost.Store(false)
	return err
}

// WaitVariables are the variables that keep waitPassively from acting.
var WaitVariables = waitVariables

// Freed reports whether t is nil or freed.
func (t *Tensor) Freed() bool { return t == nil || t.h <= handleFreed }

var (
	fnFusedTier    = op{name: "resslt::fused_tier", args: "tier"}
	fnFusedThreads = op{name: "resslt::fused_threads"}
)

// UseFusedTier makes Conv3x3 compute with the named instruction set ("avx512", "avx2",
// "neon"; "none": by libtorch's ops) and reports whether this CPU has it. It holds for
// the process. A run chooses by the environment's RESSLT_TIER.
func UseFusedTier(tier string) bool {
	return fnFusedTier.word(putString(nil, tier)) != 0
}

// FusedThreads is the number of threads that the loops of Conv3x3 run on: SetNumThreads's,
// unless the shim was built by a compiler without GNU's OpenMP.
func FusedThreads() int { return int(fnFusedThreads.word(nil)) }

// KernelFault is what KernelsOff says of a device's kernels, with all bounds times a number.
var KernelFault = kernelFault
