package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"resslt/augment"
	batchbroker "resslt/batcher/broker"
	"resslt/cmd/internal/broker"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/ingest"
	"resslt/schemas/errs"
	"resslt/train/torch"
)

// finding is one line of the doctor's report.
type finding struct {
	Name  string `json:"name"`
	State string `json:"state"` // "ok", "slow", "low", "absent" (not needed) or "missing" (needed)
	Says  string `json:"says"`
	Mend  string `json:"mend,omitempty"`
}

func newDoctorCommand() *cobra.Command {
	var at broker.Flags
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "say what this machine has and what to fix: libtorch, BLAS, devices, engine, broker, disk",
		RunE: func(c *cobra.Command, _ []string) error {
			var fs []finding
			fs = append(fs, finding{Name: "resslt", State: "ok", Says: cli.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH + ", " + cores.Here().String()})
			fs = append(fs, examineTorch()...)
			fs = append(fs, examineEngines(), examineBroker(c.Context(), &at))
			fs = append(fs, examineData(c.Context()), examineDisk("."))
			return printFindings(c.OutOrStdout(), fs, asJSON)
		},
	}
	f := c.Flags()
	at.Register(f, "")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// printFindings prints the findings; it fails where something needed is missing.
func printFindings(w io.Writer, fs []finding, asJSON bool) error {
	var missing []string
	var first finding
	for _, f := range fs {
		if f.State == "missing" {
			if missing == nil {
				first = f
			}
			missing = append(missing, f.Name)
		}
	}
	if asJSON {
		if err := json.NewEncoder(w).Encode(map[string]any{"findings": fs, "healthy": len(missing) == 0}); err != nil {
			return err
		}
	} else {
		for _, f := range fs {
			fmt.Fprintf(w, "%-8s %-10s %s\n", f.State, f.Name, f.Says)
			if f.Mend != "" {
				fmt.Fprintf(w, "%-8s %-10s hint: %s\n", "", "", f.Mend)
			}
		}
	}
	switch len(missing) {
	case 0:
	case 1:
		return errs.New("doctor", first.Name, first.Mend, errs.Because(errs.ErrUnavailable, first.Says))
	default:
		return errs.New("doctor", "", "do what the report says", errs.Because(errs.ErrUnavailable, strings.Join(missing, ", ")))
	}
	return nil
}

// broken turns an error into a finding, its hint into the hint.
func broken(name string, err error) finding {
	f := finding{Name: name, State: "missing", Says: cli.Line(err)}
	if before, after, ok := strings.Cut(f.Says, " (hint: "); ok {
		f.Says, f.Mend = before, strings.TrimSuffix(after, ")")
	}
	return f
}

func examineTorch() []finding {
	info, err := torch.Info()
	if err != nil {
		return []finding{broken("libtorch", err)}
	}
	kernels := info.CPU
	if info.OneDNNISA != "" {
		kernels += ", of oneDNN " + info.OneDNNISA
	}
	threads := cores.DefaultThreads()
	out := []finding{
		{Name: "libtorch", State: "ok", Says: fmt.Sprintf("%s, shim %s (ABI %d), kernels %s, own %s, bf16 on the CPU: %v",
			info.TorchVersion, info.Shim, info.ABI, kernels, info.Fused, info.CPUBFloat16)},
		{Name: "threads", State: "ok", Says: fmt.Sprintf("%d by default (%s), waiting: %s", threads.Count, threads.Source, torch.Waiting())},
	}
	blas := finding{Name: "BLAS", State: "ok", Says: strings.TrimSpace(info.BLAS + " " + info.BLASPath)}
	if info.BLASKernel != "" {
		blas.Says += ", kernels for " + info.BLASKernel
	}
	if info.BLAS == "reference" {
		blas.State, blas.Mend = "slow", "apt-get install libopenblas0-pthread: matrix products go some 15 times faster"
	}
	out = append(out, blas)
	return append(append(out, examineDevices(info)...), examineGroups(info))
}

// examineGroups says what several processes could train one model by. Of NCCL's and
// CUDA's headers build.sh alone knows which are missing, and says so.
func examineGroups(info torch.BuildInfo) finding {
	have, err := torch.Backends()
	if err != nil {
		return broken("processes", err)
	}
	return groupsBy(have, info)
}

func groupsBy(have []string, info torch.BuildInfo) finding {
	f := finding{Name: "processes", State: "ok", Says: "several can train one model, by " + strings.Join(have, " and ")}
	gloo, nccl := slices.Contains(have, "gloo"), slices.Contains(have, "nccl")
	switch {
	case len(info.CUDA) > 0 && !nccl:
		f.State, f.Says = "absent", "one trains a model by itself: the shim has no NCCL"
		f.Mend = "for several GPUs run `make shim` again: it names the package with the headers that are missing"
	case len(info.CUDA) > 0 || gloo:
	case nccl:
		f.Says = "several can train one model on GPUs, by nccl; on CPUs one trains by itself"
	default:
		f.State, f.Says = "absent", "one trains a model by itself: the shim has no gloo"
	}
	if len(info.CUDA) == 0 && !gloo {
		f.Mend = "for several on CPUs " + hintGloo(info.Library)
	}
	return f
}

// hintGloo goes by whose libtorch it is: gloo's headers must be those that it was built with.
func hintGloo(library string) string {
	switch _, err := os.Stat(filepath.Join(filepath.Dir(library), "..", "include", "gloo")); {
	case strings.HasPrefix(library, "/usr/lib"):
		return "install gloo's headers (libgloo-dev) and run `make shim` again"
	case err == nil:
		return "run `make shim` again: this libtorch has gloo's headers"
	}
	return "build the shim with Debian's libtorch (libtorch-dev, libgloo-dev): this one brings no headers of gloo, as PyTorch's wheels do not"
}

// examineDevices tries every GPU: that one is listed does not mean that it computes.
func examineDevices(info torch.BuildInfo) (out []finding) {
	for i, d := range info.CUDA {
		f := finding{
			Name: fmt.Sprintf("cuda:%d", i), State: "ok",
			Says: fmt.Sprintf("%s, %.1f GiB, capability %s, bf16 %v, cuDNN %s, CUDA graphs %v", d.Name, float64(d.MemoryBytes)/(1<<30), d.Capability, d.BFloat16, info.CuDNN, info.CUDAGraphs),
		}
		if err := tryDevice(torch.CUDA(i)); err != nil {
			was := f.Says
			f = broken(f.Name, err)
			f.Says = was + ": " + f.Says
		} else if !info.CUDAGraphs {
			f.State, f.Mend = "slow", "run `make shim` again: it names the package with the headers of CUDA that are missing; without graphs small networks wait for launches"
		}
		out = append(out, f)
	}
	switch {
	case len(out) > 0:
	case info.CUDABuild:
		out = append(out, finding{Name: "cuda", State: "missing", Says: "the shim is built for CUDA, but no GPU can be used: " + info.CUDAWhy, Mend: hintCUDA(info.CUDAWhy)})
	default:
		out = append(out, finding{Name: "devices", State: "ok", Says: "cpu (the shim is built without CUDA)"})
	}
	return out
}

// hintCUDA goes by what the shim says of the driver.
func hintCUDA(why string) string {
	switch {
	case strings.Contains(why, "no NVIDIA driver"):
		return "install NVIDIA's driver until nvidia-smi works (a container: start it with --gpus all), or run `make shim WITHOUT=cuda` for CPUs"
	case strings.Contains(why, "insufficient"):
		return "update NVIDIA's driver, or run `make shim` with a libtorch for the driver's CUDA"
	}
	return "see that nvidia-smi works and CUDA_VISIBLE_DEVICES names a GPU, or run `make shim WITHOUT=cuda` for CPUs"
}

// tryDevice has the device compute: a product, which cuBLAS makes, and a convolution,
// which cuDNN does, of ones.
func tryDevice(dev torch.Device) error {
	return torch.Do(func() error {
		x := torch.Full([]int64{4, 4, 4, 4}, 1, torch.Float32, dev)
		m := torch.Reshape(x, []int64{16, 16})
		product := torch.SumDim(torch.Mm(m, m), []int64{0, 1}, false, torch.Unset).Item()
		conv := torch.SumDim(torch.Conv2d(x, x, nil, []int64{1, 1}, []int64{0, 0}, []int64{1, 1}, 1), []int64{0, 1, 2, 3}, false, torch.Unset).Item()
		if product != 16*16*16 || conv != 4*4*64 {
			return errs.New("try device", dev.String(), "look at the kernel's log for the GPU's errors",
				errs.Because(errs.ErrUnavailable, fmt.Sprintf("it computes %g and %g where 4096 and 1024 are right", product, conv)))
		}
		return nil
	})
}

func examineEngines() finding {
	if err := augment.CheckEngines(); err != nil {
		return broken("engines", err)
	}
	says := strings.Join(augment.EngineNames(), ", ") + " (the first is the default"
	if k := augment.Kernels(augment.DefaultEngine()); k != "" {
		says += ", its kernels " + k
	}
	return finding{Name: "engines", State: "ok", Says: says + ")"}
}

func examineBroker(ctx context.Context, at *broker.Flags) finding {
	o, err := at.Options("resslt doctor", batchbroker.RoleObserver)
	if err != nil {
		return broken("broker", err)
	}
	says := "reachable at " + o.URL + ", JetStream on"
	if o.URL == "" {
		store, err := os.MkdirTemp("", "resslt-doctor-")
		if err != nil {
			return broken("broker", err)
		}
		defer os.RemoveAll(store)
		b, err := batchbroker.Start(batchbroker.Options{StoreDir: store})
		if err != nil {
			return broken("broker", err)
		}
		defer b.Close()
		o, says = batchbroker.ConnectOptions{Broker: b, Name: o.Name}, "the embedded one starts, JetStream on"
	}
	nc, js, err := batchbroker.Connect(ctx, o)
	if err != nil {
		return broken("broker", err)
	}
	defer nc.Close()
	if _, err := js.AccountInfo(ctx); err != nil {
		return broken("broker", err)
	}
	f := finding{Name: "broker", State: "ok", Says: says + ", version " + nc.ConnectedServerVersion()}
	if have := nc.MaxPayload(); have < batchbroker.MaxPayload {
		f.State = "low"
		f.Says += fmt.Sprintf(", max_payload %d bytes", have)
		f.Mend = fmt.Sprintf("set `max_payload: %dMB` in its configuration: chunks are up to that size", batchbroker.MaxPayload>>20)
	}
	return f
}

// examineData looks for the quickstart's data; other sets are no fault.
func examineData(ctx context.Context) finding {
	const uri = "fashion-mnist:"
	src, err := ingest.Open(ctx, uri, ingest.Options{})
	if err != nil {
		f := broken("data", err)
		f.State = "absent"
		return f
	}
	defer src.Close()
	return finding{Name: "data", State: "ok", Says: fmt.Sprintf("%s %d images", uri, src.Len())}
}

func examineDisk(dir string) finding {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return broken("disk", err)
	}
	free := float64(st.Bavail) * float64(st.Bsize) / (1 << 30)
	f := finding{Name: "disk", State: "ok", Says: fmt.Sprintf("%.1f GiB free here", free)}
	if free < 2 {
		f.State, f.Mend = "low", "free some space: checkpoints and a recording need it"
	}
	return f
}
