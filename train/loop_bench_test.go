package train

import (
	"fmt"
	"os"
	"testing"

	"resslt/train/torch"
)

// BenchmarkLoop is what logged steps and checkpoints cost a run's loop: time a step, without
// start and end. RESSLT_BENCH_DEVICE is the device, the CPU without; there the network is an
// eighth as wide.
func BenchmarkLoop(b *testing.B) {
	device, width := os.Getenv("RESSLT_BENCH_DEVICE"), 64
	if device == "" || device == "cpu" {
		device, width = "cpu", 8
	}
	const warm, never = 20, 1 << 30
	for _, c := range []struct {
		name      string
		log, save int
	}{{"plain", never, never}, {"logged", 1, never}, {"saved", never, 20}, {"both", 1, 20}} {
		b.Run(c.name, func(b *testing.B) {
			steps := int64(warm + b.N)
			r, spec := tiny(b, steps,
				"device="+device, fmt.Sprint("width=", width), fmt.Sprint("projector_hidden=", 64*width), fmt.Sprint("embedding_dim=", 4*width),
				fmt.Sprint("K=", 64*width), "batch_size=64", fmt.Sprint("log_every=", c.log), fmt.Sprint("checkpoint_every=", c.save))
			spec.BatchSize, spec.ChunkSamples, spec.Dataset.Samples = 64, 64, 64*steps
			for i := range spec.Views {
				spec.Views[i].Size = 32
			}
			o := Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: b.TempDir(), Observe: func(p Progress) {
				switch p.Step {
				case warm:
					b.ResetTimer()
				case steps:
					b.StopTimer()
				}
			}}
			res, err := Run(b.Context(), o)
			if err != nil {
				b.Fatal(err)
			}
			res.Learner.Free()
			if info, err := torch.Info(); err == nil {
				b.Logf("libtorch %s, %s", info.TorchVersion, device)
			}
		})
	}
}
