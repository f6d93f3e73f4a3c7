package train

import "resslt/train/torch"

// Kernels say which code computed on the CPU. Weights depend on it in their last bits; the
// environment may limit it below what the processor allows.
type Kernels struct {
	CPUKernels string `json:"cpu_kernels"`           // libtorch's own, by instruction set: "AVX2" (ATEN_CPU_CAPABILITY)
	OneDNNISA  string `json:"onednn_isa,omitempty"`  // oneDNN's: "AVX2" (ONEDNN_MAX_CPU_ISA); absent where libtorch does not report it
	OwnKernels string `json:"own_kernels"`           // the shim's: "avx2" (RESSLT_TIER), "none"
	BLAS       string `json:"blas"`                  // "OpenBLAS", "MKL", "reference"
	BLASKernel string `json:"blas_kernel,omitempty"` // the CPU that OpenBLAS's are for: "Haswell" (OPENBLAS_CORETYPE); absent for another BLAS
}

// kernels are those of this process.
func kernels() Kernels {
	info, err := torch.Info()
	if err != nil {
		return Kernels{}
	}
	return Kernels{CPUKernels: info.CPU, OneDNNISA: info.OneDNNISA, OwnKernels: info.Fused, BLAS: info.BLAS, BLASKernel: info.BLASKernel}
}

func torchVersion() string {
	info, err := torch.Info()
	if err != nil {
		return ""
	}
	return info.TorchVersion
}
