package train

import (
	"os"

	"resslt/train/recipe"
	"resslt/train/torch"
)

// cublasWorkspace is the variable that gives cuBLAS a workspace of its own for every
// stream; without it products on two streams may differ from run to run. libtorch reads it
// once, at the process's first product on a GPU, so every run on a GPU sets it: a later
// one may be deterministic. The size is libtorch's own for Hopper.
const cublasWorkspace = "CUBLAS_WORKSPACE_CONFIG"

// SetModes sets libtorch's switches as the recipe asks; they hold for the process, so each
// run sets all of them, before it makes a learner. All are for GPUs: on the CPU the same
// threads give the same bits anyway.
func SetModes(r *recipe.Recipe) error {
	dev, err := torch.ParseDevice(r.Device)
	if err != nil {
		return err
	}
	gpu := dev.Type == torch.DeviceCUDA
	fixed := gpu && r.Deterministic
	if gpu && os.Getenv(cublasWorkspace) == "" {
		if err := os.Setenv(cublasWorkspace, ":4096:8"); err != nil {
			return err
		}
	}
	return torch.Do(func() error {
		torch.SetDeterministic(fixed)
		torch.SetCuDNNBenchmark(gpu && !fixed)
		torch.SetAllowTF32(gpu && r.TF32)
		return nil
	})
}
