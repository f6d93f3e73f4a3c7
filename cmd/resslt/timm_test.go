package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"resslt/train"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
)

// exportTimm exports an untrained network as a folder for timm, and gives what `resslt embed`
// makes of the pictures with the encoder.
func exportTimm(t *testing.T, name, dir, images string) []float32 {
	t.Helper()
	return exportTimmOf(t, name, backbone.Config{Seed: 3}, 64, dir, images)
}

// exportTimmOf is exportTimm for a network of a configuration, with pictures of size pixels.
func exportTimmOf(t *testing.T, name string, c backbone.Config, size int, dir, images string) []float32 {
	t.Helper()
	b, err := backbone.New(name, c)
	if err != nil {
		t.Fatal(err)
	}
	defer nn.Free(b)
	if backbone.Patch(name) > 0 { // whose first weights are zeros in part: no fault of those would show
		nntest.Do(t, func() { nntest.Fill(b, name) })
	}
	encoder := filepath.Join(dir, "encoder.safetensors")
	info := train.EncoderInfo{
		Backbone: name, Width: 64, Stem: "imagenet", ImageSize: size, Pool: c.Pool,
		Mean: [3]float64{0.4, 0.5, 0.6}, Std: [3]float64{0.2, 0.25, 0.3},
	}
	if err := train.SaveEncoder(encoder, b, info); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		if o := resslt(t, args...); o.code != 0 {
			t.Fatalf("resslt %s: exit %d\n%s", strings.Join(args, " "), o.code, o.stderr)
		}
	}
	run("export", "--checkpoint", encoder, "--format", "timm", "--out", filepath.Join(dir, "timm"))
	run("embed", "--checkpoint", encoder, "--data", "folder:"+images, "--crop", "1", "--threads", "1", "--out", filepath.Join(dir, "f.npy"))
	return readNPY(t, filepath.Join(dir, "f.npy"))
}

// TestExportTimm: the folder has the configuration of the encoder, and its weights come back as a
// --checkpoint.
func TestExportTimm(t *testing.T) {
	t.Parallel()
	needTorch(t)
	dir := t.TempDir()
	images := filepath.Join(dir, "images")
	writePictures(t, images, 2, 64)
	ours := exportTimm(t, "efficientnet_b0", dir, images)
	raw, err := os.ReadFile(filepath.Join(dir, "timm", "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Architecture string `json:"architecture"`
		NumClasses   *int   `json:"num_classes"`
		Pretrained   struct {
			InputSize     []int     `json:"input_size"`
			Interpolation string    `json:"interpolation"`
			CropPct       float64   `json:"crop_pct"`
			Mean          []float64 `json:"mean"`
			Std           []float64 `json:"std"`
		} `json:"pretrained_cfg"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	p := config.Pretrained
	if config.Architecture != "efficientnet_b0" || config.NumClasses == nil || *config.NumClasses != 0 || !slices.Equal(p.InputSize, []int{3, 64, 64}) ||
		p.Interpolation != "bilinear" || p.CropPct != 0.875 || !slices.Equal(p.Mean, []float64{0.4, 0.5, 0.6}) || !slices.Equal(p.Std, []float64{0.2, 0.25, 0.3}) {
		t.Errorf("config.json is %s", raw)
	}
	if raw, err = os.ReadFile(filepath.Join(dir, "timm", "preprocess.json")); err != nil || !strings.Contains(string(raw), `"resize_size": 73`) {
		t.Errorf("preprocess.json is %s, %v", raw, err)
	}
	// mean and std are in config.json alone: the pictures are other numbers to it, the weights the same.
	theirs := filepath.Join(dir, "timm", "model.safetensors")
	if o := resslt(t, "convert", theirs, filepath.Join(dir, "back.safetensors")); o.code != 0 || !strings.Contains(o.stdout, "of a efficientnet_b0") {
		t.Fatalf("exit %d: %s%s", o.code, o.stdout, o.stderr)
	}
	want, err := train.ReadWeights(filepath.Join(dir, "encoder.safetensors"), train.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := train.ReadWeights(filepath.Join(dir, "back.safetensors"), train.Selection{})
	if err != nil || len(got) != len(want) || len(ours) != 2*1280 {
		t.Fatalf("%d tensors of %d, %d features: %v", len(got), len(want), len(ours), err)
	}
	for i, w := range want {
		if got[i].Name != w.Name || !bytes.Equal(got[i].Data, w.Data) {
			t.Errorf("%s came back as %s, or other", w.Name, got[i].Name)
		}
	}
}

// TestTimmLoads: timm itself creates every network from its folder, and has our features.
func TestTimmLoads(t *testing.T) {
	python := os.Getenv("RESSLT_INTEROP_PYTHON")
	if python == "" {
		t.Skip("RESSLT_INTEROP_PYTHON names no Python with timm: make interop")
	}
	needTorch(t)
	type form struct {
		backbone.Config
		size int
	}
	forms := map[string]form{
		"vit_tiny_patch4":   {backbone.Config{ImageSize: 32}, 32},
		"vit_tiny_patch16":  {backbone.Config{ImageSize: 224}, 224},
		"vit_small_patch16": {backbone.Config{ImageSize: 64, Pool: backbone.PoolMean}, 64},
		"vit_small_patch8":  {backbone.Config{ImageSize: 64}, 64},
		"vit_small_patch14": {backbone.Config{ImageSize: 56, LayerScale: 0.5}, 56},
		"vit_base_patch16":  {backbone.Config{ImageSize: 64}, 64},
	}
	for _, name := range backbone.Names() {
		if backbone.Patch(name) == 0 {
			forms[name] = form{size: 64}
		}
	}
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			images := filepath.Join(dir, "images")
			pictures := writePictures(t, images, 2, form.size)
			form.Seed = 3
			ours := exportTimmOf(t, name, form.Config, form.size, dir, images)
			c := exec.Command(python, append([]string{"testdata/timm_features.py", filepath.Join(dir, "timm")}, pictures...)...)
			var said bytes.Buffer
			c.Stderr = &said
			out, err := c.Output()
			if err != nil {
				t.Fatalf("timm refuses: %v\n%s", err, said.String())
			}
			lines := bufio.NewScanner(bytes.NewReader(out))
			lines.Buffer(nil, 1<<20)
			if lines.Scan(); !strings.Contains(lines.Text(), `"interpolation": "bilinear"`) || !strings.Contains(lines.Text(), `"mean": [0.4, 0.5, 0.6]`) || !strings.Contains(lines.Text(), fmt.Sprintf(`"input_size": [3, %d, %d]`, form.size, form.size)) {
				t.Errorf("timm resolves %s", lines.Text())
			}
			n := 0
			for lines.Scan() {
				for _, f := range strings.Fields(lines.Text()) {
					want, err := strconv.ParseFloat(f, 64)
					if err != nil || n >= len(ours) {
						t.Fatalf("%d features: %v", n, err)
					}
					if got := float64(ours[n]); math.Abs(got-want) > 1e-4*(1+math.Abs(want)) {
						t.Fatalf("feature %d is %g, timm's %g", n, got, want)
					}
					n++
				}
			}
			if n != len(ours) || n == 0 {
				t.Errorf("%d features of timm, %d of ours", n, len(ours))
			}
		})
	}
}
