package torch

import (
	"encoding/json"

	"resslt/schemas/errs"
)

// BuildInfo describes the shim and libtorch, for `resslt doctor` and a run's summary.
type BuildInfo struct {
	Shim         string `json:"shim"`          // path of the loaded shim
	ABI          int    `json:"abi"`           // ABI number of the shim
	TorchVersion string `json:"torch_version"` // "1.13.1", from the headers of the running libtorch
	Library      string `json:"library"`       // path of the libtorch_cpu in use
	CXX11ABI     bool   `json:"cxx11_abi"`     // libstdc++'s new string ABI
	BLAS         string `json:"blas"`          // "OpenBLAS", "MKL", "reference", "BLIS", "ATLAS" or "unknown"
	BLASPath     string `json:"blas_path"`     // the library that provides sgemm_, "" if unknown
	// BLASThreads is the size of OpenBLAS's own pool, 0 for another BLAS.
	// SetNumThreads sets it, too.
	BLASThreads int    `json:"blas_threads"`
	BLASKernel  string `json:"blas_kernel"` // the CPU that OpenBLAS's kernels are for: "Haswell"; "" for another BLAS
	CPU         string `json:"cpu"`         // libtorch's kernel level: "DEFAULT", "AVX2", "AVX512", ...
	// OneDNNISA is the instruction set of oneDNN's kernels, as ONEDNN_MAX_CPU_ISA
	// spells it: "AVX2"; "" if oneDNN is linked statically into libtorch and hidden.
	OneDNNISA string `json:"onednn_isa"`

	Threads        int          `json:"threads"`         // intra-op, of the device thread
	InteropThreads int          `json:"interop_threads"` // inter-op
	CUDABuild      bool         `json:"cuda_build"`      // the shim is linked with CUDA
	CUDAGraphs     bool         `json:"cuda_graphs"`     // and supports CUDA graphs and memory statistics
	CUDAKernels    bool         `json:"cuda_kernels"`    // and has kernels of its own for GPUs (Kernels)
	CUDA           []CUDADevice `json:"cuda"`            // empty without a usable GPU
	CUDAWhy        string       `json:"cuda_why"`        // why it is empty in a CUDA build
	CuDNN          string       `json:"cudnn"`           // version, "" without
	// CPUBFloat16 is true for a CPU with bf16 instructions (AVX512-BF16, AMX); without
	// them bf16 works, emulated in part.
	CPUBFloat16 bool   `json:"cpu_bfloat16"`
	Fused       string `json:"fused"`  // instruction set of the fused loops: "avx512", "avx2", "neon" or "none"
	Config      string `json:"config"` // at::show_config, on one line
}

// CUDADevice is one GPU.
type CUDADevice struct {
	Name        string `json:"name"`
	MemoryBytes int64  `json:"memory_bytes"`
	Capability  string `json:"capability"` // "9.0"
	BFloat16    bool   `json:"bfloat16"`
}

var (
	fnInfo       = op{name: "resslt::info"}
	fnThreads    = op{name: "resslt::num_threads"}
	fnSetThreads = op{name: "resslt::set_num_threads", args: "n"}
)

// maxThreads bounds SetNumThreads: more is a mistake in a recipe.
const maxThreads = 4096

// Info describes the shim, which it opens as Available does. It runs in Do.
func Info() (BuildInfo, error) {
	var info BuildInfo
	err := Do(func() error {
		var raw []byte
		ScopeDo(func() { raw = fnInfo.one(nil).Bytes() })
		if err := json.Unmarshal(raw, &info); err != nil {
			return errs.New("read libtorch shim's info", "", "run `make shim`", errs.BecauseErr(errs.ErrMismatch, err))
		}
		info.Shim, info.ABI = *opened.Load(), shimABI
		return nil
	})
	return info, err
}

// SetNumThreads sets how many threads an op may use on the CPU. Results depend
// on it in the last bits, so it is part of a run's recipe.
func SetNumThreads(n int) error {
	if n < 1 || n > maxThreads {
		return errs.New("set threads", "", "give a number from 1 to 4096", errs.Because(errs.ErrUsage, "out of range"))
	}
	return Do(func() error {
		var b [2]uint64
		fnSetThreads.none(putInt(b[:0], int64(n)))
		return nil
	})
}

// NumThreads is the number of threads that an op may use on the CPU; 0 without a shim.
func NumThreads() int {
	n := 0
	if err := Do(func() error { n = int(fnThreads.word(nil)); return nil }); err != nil {
		return 0
	}
	return n
}
