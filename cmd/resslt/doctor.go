package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"resslt/augment"
	"resslt/batcher/broker"
	"resslt/cmd/internal/access"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/version"
	"resslt/ingest"
	"resslt/schemas/errs"
	"resslt/train/torch"
)

// finding is one line of the doctor's report.
type finding struct {
	Name  string `json:"name"`
	State string `json:"state"` // "ok", "slow", "low", "absent" (not needed) or "missing" (needed)
	Says  string `json:"says"`
	Hint  string `json:"hint,omitempty"`
}

// MarshalJSON adds the hint under the name that it had before, for one release.
func (f finding) MarshalJSON() ([]byte, error) {
	type plain finding
	return json.Marshal(struct {
		plain
		Mend string `json:"mend,omitempty"` // deprecated: hint
	}{plain(f), f.Hint})
}

func newDoctorCommand() *cobra.Command {
	var at access.Flags
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "report what this machine has and what to fix: libtorch, BLAS, devices, engine, broker, disk",
		RunE: func(c *cobra.Command, _ []string) error {
			var fs []finding
			fs = append(fs, finding{Name: "resslt", State: "ok", Says: version.String() + ", " + cores.Here().String()})
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
			if f.Hint != "" {
				fmt.Fprintf(w, "%-8s %-10s hint: %s\n", "", "", f.Hint)
			}
		}
	}
	switch len(missing) {
	case 0:
	case 1:
		return errs.New("doctor", first.Name, first.Hint, errs.Because(errs.ErrUnavailable, first.Says))
	default:
		return errs.New("doctor", "", "do what the report says", errs.Because(errs.ErrUnavailable, strings.Join(missing, ", ")))
	}
	return nil
}

// broken turns an error into a finding, its hint into the hint.
func broken(name string, err error) finding {
	f := finding{Name: name, State: "missing", Says: cli.Line(err)}
	if before, after, ok := strings.Cut(f.Says, " (hint: "); ok {
		f.Says, f.Hint = before, strings.TrimSuffix(after, ")")
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
		blas.State, blas.Hint = "slow", "apt-get install libopenblas0-pthread: matrix products go some 15 times faster"
	}
	out = append(out, blas)
	return append(append(out, examineDevices(info)...), examineGroups(info))
}

// examineGroups finds by what several processes could train one model. Only build.sh knows
// which of NCCL's and CUDA's headers are missing, and names them.
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
		f.Hint = "for several GPUs run `make shim` again: it names the package with the headers that are missing"
	case len(info.CUDA) > 0 || gloo:
	case nccl:
		f.Says = "several can train one model on GPUs, by nccl; on CPUs one trains by itself"
	default:
		f.State, f.Says = "absent", "one trains a model by itself: the shim has no gloo"
	}
	if len(info.CUDA) == 0 && !gloo {
		f.Hint = "for several on CPUs " + hintGloo(info.Library)
	}
	return f
}

// hintGloo depends on where libtorch comes from: gloo's headers must be those that it was
// built with.
func hintGloo(library string) string {
	switch _, err := os.Stat(filepath.Join(filepath.Dir(library), "..", "include", "gloo")); {
	case strings.HasPrefix(library, "/usr/lib"):
		return "install gloo's headers (libgloo-dev) and run `make shim` again"
	case err == nil:
		return "run `make shim` again: this libtorch has gloo's headers"
	}
	return "build the shim with Debian's libtorch (libtorch-dev, libgloo-dev): this one brings no headers of gloo, as PyTorch's wheels do not"
}

// kernelsOff says why a GPU's own kernels are not used; "" where they are, or there are none.
func kernelsOff(d torch.Device) (why string) {
	_ = torch.Do(func() error { why = torch.KernelsOff(d); return nil }) // tryDevice has computed on it
	return why
}

// examineDevices tries every GPU: one that is listed may still not compute.
func examineDevices(info torch.BuildInfo) (out []finding) {
	for i, d := range info.CUDA {
		f := finding{
			Name: fmt.Sprintf("cuda:%d", i), State: "ok",
			Says: fmt.Sprintf("%s, %.1f GiB, capability %s, bf16 %v, cuDNN %s, CUDA graphs %v, own kernels %v", d.Name, float64(d.MemoryBytes)/(1<<30), d.Capability, d.BFloat16, info.CuDNN, info.CUDAGraphs, info.CUDAKernels),
		}
		if err := tryDevice(torch.CUDA(i)); err != nil {
			was := f.Says
			f = broken(f.Name, err)
			f.Says = was + ": " + f.Says
		} else if why := kernelsOff(torch.CUDA(i)); why != "" {
			f.State, f.Hint = "slow", "libtorch's operators are used in their place; please report it with this line"
			f.Says += ": " + why
		} else if !info.CUDAGraphs {
			f.State, f.Hint = "slow", "run `make shim` again: it names the package with the headers of CUDA that are missing; without graphs small networks wait for launches"
		}
		out = append(out, f)
	}
	switch {
	case len(out) > 0:
	case info.CUDABuild:
		out = append(out, finding{Name: "cuda", State: "missing", Says: "the shim is built for CUDA, but no GPU can be used: " + info.CUDAWhy, Hint: hintCUDA(info.CUDAWhy)})
	default:
		out = append(out, finding{Name: "devices", State: "ok", Says: "cpu (the shim is built without CUDA)"})
	}
	return out
}

// hintCUDA depends on what the shim reports of the driver.
func hintCUDA(why string) string {
	switch {
	case strings.Contains(why, "no NVIDIA driver"):
		return "install NVIDIA's driver until nvidia-smi works (a container: start it with --gpus all), or run `make shim WITHOUT=cuda` for CPUs"
	case strings.Contains(why, "insufficient"):
		return "update NVIDIA's driver, or run `make shim` with a libtorch for the driver's CUDA"
	}
	return "make sure that nvidia-smi works and CUDA_VISIBLE_DEVICES names a GPU, or run `make shim WITHOUT=cuda` for CPUs"
}

// tryDevice has the device compute a product, by cuBLAS, and a convolution, by cuDNN, of ones.
func tryDevice(dev torch.Device) error {
	return torch.Do(func() error {
		x := torch.Full([]int64{4, 4, 4, 4}, 1, torch.Float32, dev)
		m := torch.Reshape(x, []int64{16, 16})
		product := torch.SumDim(torch.Mm(m, m), []int64{0, 1}, false, torch.Unset).Item()
		conv := torch.SumDim(torch.Conv2d(x, x, nil, []int64{1, 1}, []int64{0, 0}, []int64{1, 1}, 1), []int64{0, 1, 2, 3}, false, torch.Unset).Item()
		if product != 16*16*16 || conv != 4*4*64 {
			return errs.New("try device", dev.String(), "look for the GPU's errors in the kernel's log",
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

func examineBroker(ctx context.Context, at *access.Flags) finding {
	js, says, done, err := reachBroker(ctx, at)
	if err != nil {
		return broken("broker", err)
	}
	defer done()
	nc := js.Conn()
	if _, err := js.AccountInfo(ctx); err != nil {
		return broken("broker", err)
	}
	f := finding{Name: "broker", State: "ok", Says: says + ", version " + nc.ConnectedServerVersion()}
	if have := nc.MaxPayload(); have < broker.MaxPayload {
		f.State = "low"
		f.Says += fmt.Sprintf(", max_payload %d bytes", have)
		f.Hint = fmt.Sprintf("set `max_payload: %dMB` in its configuration: chunks are up to that size", broker.MaxPayload>>20)
	}
	return f
}

// reachBroker connects to the broker that the flags name, or starts the embedded one.
func reachBroker(ctx context.Context, at *access.Flags) (js jetstream.JetStream, says string, done func(), err error) {
	o, err := at.Options("resslt doctor", broker.RoleObserver)
	if err != nil {
		return nil, "", nil, err
	}
	if o.URL == "" {
		b, err := access.Embed(ctx, o.Name, broker.Options{}, nil)
		if err != nil {
			return nil, "", nil, err
		}
		return b.JetStream, "the embedded one starts, JetStream on", func() { _ = b.Close() }, nil // it has served
	}
	nc, js, err := broker.Connect(ctx, o)
	if err != nil {
		return nil, "", nil, err
	}
	return js, "reachable at " + o.URL + ", JetStream on", nc.Close, nil
}

// examineData looks for the quickstart's data, which only the quickstart needs.
func examineData(ctx context.Context) finding {
	const uri = "fashion-mnist:"
	src, err := ingest.Open(ctx, uri, ingest.Options{Warn: cli.Warn})
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
		f.State, f.Hint = "low", "free some space: checkpoints and a recording need it"
	}
	return f
}
