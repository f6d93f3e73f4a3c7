package torch_test

import (
	"strings"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// TestKernelFault: the twins are as near as is asked, in every order, and what computes something
// else is named. Without kernels libtorch's operators compute both.
func TestKernelFault(t *testing.T) {
	racetest.SkipNumbers(t)
	torchtest.Require(t)
	torchtest.Do(t, func() {
		if why := torch.KernelFault(torch.CPU, 1); why != "" {
			t.Errorf("libtorch's operators: %s", why)
		}
		torchtest.Twins(func(order int) {
			if why := torch.KernelFault(torch.CPU, 1); why != "" {
				t.Errorf("order %d: %s", order, why)
			}
			if order > 0 {
				return
			}
			why := torch.KernelFault(torch.CPU, 1e-9)
			for _, name := range []string{"resslt::attend", "resslt::batch_norm_relu", "resslt::normalize_pixels", "resslt::optim_step"} {
				if !strings.Contains(why, name) {
					t.Errorf("float32's rounding of %s is not seen by a bound far below it: %s", name, why)
				}
			}
		})
		onDevice(t, func() {
			if why := torch.KernelsOff(place); why != "" {
				t.Error(why)
			}
		})
	})
}
