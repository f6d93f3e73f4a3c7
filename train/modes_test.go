package train

import (
	"os"
	"testing"

	"resslt/train/recipe"
)

// On the CPU the GPU's switches change nothing: neither bits nor the environment.
func TestModesAreTheGPUs(t *testing.T) {
	t.Setenv(cublasWorkspace, "")
	const steps = 4
	r, spec := tiny(t, steps)
	want := finish(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir()})
	d, _ := tiny(t, steps, "deterministic=true", "tf32=true")
	got := finish(t, Options{Recipe: d, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir()})
	if got.StudentSHA256 != want.StudentSHA256 || os.Getenv(cublasWorkspace) != "" {
		t.Errorf("student %.12s, want %.12s; %s=%q", got.StudentSHA256, want.StudentSHA256, cublasWorkspace, os.Getenv(cublasWorkspace))
	}
}

// For a GPU cuBLAS is configured before CUDA starts; what the user has set stays.
func TestRunsOnAGPUTellCuBLAS(t *testing.T) {
	r, _ := tiny(t, 1)
	defer func() {
		r.Device = "cpu"
		if err := SetModes(r); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range [][2]string{{"", ":4096:8"}, {":16:8", ":16:8"}} {
		t.Setenv(cublasWorkspace, c[0])
		r.Device = "cuda"
		if err := SetModes(r); err != nil {
			t.Fatal(err)
		}
		if got := os.Getenv(cublasWorkspace); got != c[1] {
			t.Errorf("%q became %q, want %q", c[0], got, c[1])
		}
	}
}

func TestGPUFieldsOfARecipe(t *testing.T) {
	for text, want := range map[string]string{"cuda_graph: true": "true", "cuda_graph: \"false\"": "false", "tf32: false": "auto"} {
		r, err := recipe.Parse("x.yaml", []byte(text+"\n"))
		if err != nil || r.CUDAGraph != want {
			t.Errorf("%s: %q, %v; want %q", text, r.CUDAGraph, err, want)
		}
	}
	r := recipe.Default()
	r.Data, r.CUDAGraph = "none:", "perhaps"
	if err := r.Resolve(recipe.Host{Threads: 1, Engine: "test/1"}); err == nil {
		t.Error("cuda_graph=perhaps is taken")
	}
}
