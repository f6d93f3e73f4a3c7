package torch

var (
	fnConv3x3   = op{name: "resslt::conv3x3", args: "input,weight"}
	fnFusedTier = op{name: "resslt::fused_tier", args: "tier"}
	fnFusedWide = op{name: "resslt::fused_threads"}
)

// Conv3x3 convolves input (N,C,H,W) with weight (O,C,3,3), stride 1, padding 1, without
// bias: (N,O,H,W). On the CPU, in float32, channels_last and from 32 channels on, by
// Winograd's F(2×2,3×3) (csrc/winograd.h): 16 products for 36, results as close to the
// exact ones as libtorch's, of other last bits, and the same ones for every number of
// threads and every instruction set. Elsewhere it is Conv2d.
func Conv3x3(input, weight *Tensor) *Tensor {
	var b [4]uint64
	return fnConv3x3.one(putTensor(putTensor(b[:0], input), weight))
}

// UseFusedTier has Conv3x3 compute by the instruction set called so ("avx512", "avx2",
// "neon"; "none": by libtorch's ops), if this CPU has it. It holds for the process, and
// is for tests: the environment's RESSLT_TIER chooses for a run.
func UseFusedTier(tier string) bool {
	return fnFusedTier.word(putString(nil, tier)) != 0
}

// FusedThreads is on how many threads the loops of Conv3x3 run: SetNumThreads's, unless
// the shim was built by a compiler without GNU's OpenMP.
func FusedThreads() int { return int(fnFusedWide.word(nil)) }
