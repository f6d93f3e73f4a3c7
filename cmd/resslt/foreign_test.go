package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestForeignWeights: without a word about their network, weights of torchvision's that PyTorch
// saved, and the same as safetensors, can be embedded, evaluated and exported.
func TestForeignWeights(t *testing.T) {
	t.Parallel()
	needTorch(t)
	python := pythonWithTorch(t)
	dir := t.TempDir()
	images := filepath.Join(dir, "images")
	writeClasses(t, images, 30, "cat", "dog")
	save := exec.Command(python, "-c", `import json, struct, torch, torchvision
from torchvision.models.vision_transformer import VisionTransformer
torch.manual_seed(3)
nets = {n: getattr(torchvision.models, n)() for n in ("resnet18", "convnext_tiny")}
nets["vit_tiny_patch16"] = VisionTransformer(64, 16, 12, 3, 192, 768)
for name, net in nets.items():
    state = net.state_dict()
    torch.save({"model": {"module." + k: v for k, v in state.items()}, "epoch": 3}, name + ".pth")
    header, at = {}, 0
    for k, v in state.items():
        n = v.numel() * v.element_size()
        header[k] = dict(dtype={torch.float32: "F32", torch.int64: "I64"}[v.dtype], shape=list(v.shape), data_offsets=[at, at + n])
        at += n
    header = json.dumps(header).encode()
    with open(name + ".safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header)
        for v in state.values():
            f.write(v.contiguous().numpy().tobytes())`)
	save.Dir = dir
	if out, err := save.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := func(args ...string) string {
		t.Helper()
		o := resslt(t, args...)
		if o.code != 0 {
			t.Errorf("resslt %s: exit %d: %s", strings.Join(args, " "), o.code, o.stderr)
		}
		return o.stdout
	}
	for name, dim := range map[string]int{"resnet18": 512, "convnext_tiny": 768, "vit_tiny_patch16": 192} {
		var features [][]float32
		for _, ending := range []string{".pth", ".safetensors"} {
			file, of := filepath.Join(dir, name+ending), filepath.Join(dir, name+ending+".d")
			npy := filepath.Join(of, "f.npy")
			if err := os.Mkdir(of, 0o755); err != nil {
				t.Fatal(err)
			}
			run("embed", "--checkpoint", file, "--data", "folder:"+images, "--image-size", "64", "--threads", "1", "--out", npy)
			features = append(features, readNPY(t, npy))
			if said := run("export", "--checkpoint", file, "--out", filepath.Join(of, "e.safetensors")); !strings.Contains(said, "load.py ("+name) {
				t.Errorf("%s: %s", file, said)
			}
			run("export", "--checkpoint", file, "--format", "timm", "--out", filepath.Join(of, "timm"))
			if raw, err := os.ReadFile(filepath.Join(of, "timm", "config.json")); err != nil || !strings.Contains(string(raw), `"architecture"`) {
				t.Errorf("%s: %s, %v", file, raw, err)
			}
		}
		if len(features[0]) != 60*dim || !slices.Equal(features[0], features[1]) {
			t.Errorf("%s: %d features of the .pth and %d of the safetensors, or others", name, len(features[0]), len(features[1]))
		}
		said := run("eval", "knn", "--checkpoint", filepath.Join(dir, name+".pth"), "--data", "folder:"+images, "--image-size", "64", "--hold-out", "5", "--k", "5", "--threads", "1", "--json", "--out", "-")
		if !strings.Contains(said, `"backbone":"`+name+`"`) {
			t.Errorf("%s is evaluated as %s", name, said)
		}
	}
}

// TestTimmForwards: timm's networks, saved as DINO, MoCo v3, timm and ConvNeXt's code do, have
// timm's features here.
func TestTimmForwards(t *testing.T) {
	python := os.Getenv("RESSLT_INTEROP_PYTHON")
	if python == "" {
		t.Skip("RESSLT_INTEROP_PYTHON names no Python with timm: make interop")
	}
	needTorch(t)
	dir := t.TempDir()
	images := filepath.Join(dir, "images")
	pictures := writePictures(t, images, 2, 224)
	c := exec.Command(python, append([]string{"testdata/timm_forward.py", dir}, pictures...)...)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	var theirs map[string][]float64
	if err := json.Unmarshal(out, &theirs); err != nil || len(theirs) != 5 {
		t.Fatalf("%d networks, %v", len(theirs), err)
	}
	compare := func(name, file string) {
		t.Helper()
		npy := filepath.Join(t.TempDir(), "f.npy")
		if o := resslt(t, "embed", "--checkpoint", file, "--data", "folder:"+images, "--crop", "1", "--threads", "1", "--out", npy); o.code != 0 {
			t.Fatalf("%s: exit %d: %s", name, o.code, o.stderr)
		}
		ours, want, largest := readNPY(t, npy), theirs[name], 0.0
		for _, v := range want {
			largest = max(largest, math.Abs(v))
		}
		if len(ours) != len(want) || largest == 0 {
			t.Fatalf("%s: %d features, timm has %d", name, len(ours), len(want))
		}
		worst := 0.0
		for i, v := range want {
			worst = max(worst, math.Abs(float64(ours[i])-v)/largest)
		}
		t.Logf("%s: %.1e of the largest", name, worst)
		if !(worst <= 1e-4) {
			t.Errorf("%s: features differ by %g of the largest", name, worst)
		}
	}
	for name := range theirs {
		compare(name, filepath.Join(dir, name+".pth"))
		encoder := filepath.Join(dir, name+".safetensors")
		if o := resslt(t, "convert", filepath.Join(dir, name+".pth"), encoder); o.code != 0 {
			t.Fatalf("%s: exit %d: %s", name, o.code, o.stderr)
		}
		compare(name, encoder)
	}
	teacher := filepath.Join(dir, "teacher.safetensors")
	if o := resslt(t, "convert", "--key", "teacher", filepath.Join(dir, "dino.pth"), teacher); o.code != 0 {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	compare("dino-teacher", teacher)
}

// TestRunStartsFromARun: by the folder of an earlier one, frozen in part; the summary says from
// what, and a resumed run does not need the file.
func TestRunStartsFromARun(t *testing.T) {
	t.Parallel()
	needTorch(t)
	needData(t)
	from, out := finished(t), t.TempDir()
	args := quick(out, "--init", from, "--set", "freeze=[stem]")
	o := resslt(t, args...)
	if o.code != 0 || !strings.Contains(o.stderr, "starting from "+from) || !strings.Contains(o.stderr, "frozen: stem") {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	raw, err := os.ReadFile(filepath.Join(out, "summary.json"))
	if err != nil || !strings.Contains(string(raw), `"init": "`+filepath.Join(from, "encoder.safetensors")) || !strings.Contains(string(raw), `"init_sha256": "`) {
		t.Errorf("summary.json is %s, %v", raw, err)
	}
	if err := os.RemoveAll(from); err != nil {
		t.Fatal(err)
	}
	if o := resslt(t, quick(out, "--resume")...); o.code != 0 {
		t.Errorf("resumed without the file: exit %d: %s", o.code, o.stderr)
	}
}
