package train

import (
	"encoding/binary"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// peerPython is Debian's, which has PyTorch and torchvision.
const peerPython = "/usr/bin/python3"

// runWeights runs a task of testdata/weights.py. It skips the test where
// there is no torchvision.
func runWeights(t *testing.T, task, dir string) {
	t.Helper()
	if err := exec.Command(peerPython, "-c", "import torchvision").Run(); err != nil {
		t.Skipf("%s has no torchvision: install the peers with `make setup-peers`", peerPython)
	}
	c := exec.Command(peerPython, filepath.Join("testdata", "weights.py"), task, dir)
	c.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("weights.py %s: %v\n%s", task, err, out)
	}
}

// sameFeatures compares the encoder's features with those that Python left in float64,
// by what PyTorch's own fp32 differs from them here.
func sameFeatures(t *testing.T, b backbone.Backbone, file string, size int64) {
	t.Helper()
	numbers := func(ending string, bytes int, number func([]byte) float64) (out []float64) {
		raw, err := os.ReadFile(file + ending)
		if err != nil {
			t.Fatal(err)
		}
		for ; len(raw) > 0; raw = raw[bytes:] {
			out = append(out, number(raw))
		}
		return out
	}
	of := func(v []float64) nntest.Values { return nntest.Values{"features": v} }
	peers := of(numbers(".f32", 4, func(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }))
	truth := of(numbers(".f64", 8, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }))
	ref := nntest.NewReference(t, truth, peers)
	nntest.Do(t, func() {
		b.SetTraining(false)
		torch.NoGrad(func() {
			x := nntest.FormulaTensor("weights input", 1, 0, 2, 3, size, size)
			ref.Check(t, "fp32", of(b.Forward(x).Float64s()))
		})
	})
}

// TestImport: checkpoints of other projects, as PyTorch saves them.
func TestImport(t *testing.T) {
	nntest.Torch(t)
	dir := t.TempDir()
	runWeights(t, "make", dir)
	for name, info := range map[string]EncoderInfo{
		"ressl":            {Backbone: "resnet18", Stem: "imagenet"},
		"moco":             {Backbone: "resnet18", Stem: "imagenet"},
		"torchvision":      {Backbone: "resnet18", Stem: "imagenet"},
		"solo-learn":       {Backbone: "resnet18", Stem: "small"},
		"solo-learn-old":   {Backbone: "resnet18", Stem: "small"},
		"lightly":          {Backbone: "resnet18", Stem: "imagenet"},
		"lightly-children": {Backbone: "resnet18", Stem: "imagenet"},
		"simsiam":          {Backbone: "resnet18", Stem: "imagenet"},
		"mocov3":           {Backbone: "resnet18", Stem: "imagenet"},
		"swav":             {Backbone: "resnet18", Stem: "imagenet"},
		"dino":             {Backbone: "resnet18", Stem: "imagenet"},
		"vicreg":           {Backbone: "resnet18", Stem: "imagenet"},
		"byol":             {Backbone: "resnet18", Stem: "imagenet"},
		"lightning":        {Backbone: "resnet18", Stem: "imagenet"},
		"compiled":         {Backbone: "resnet18", Stem: "imagenet"},
		"timm":             {Backbone: "resnet18", Stem: "imagenet"},
		"dino-args":        {Backbone: "resnet18", Stem: "imagenet"},
		"mmselfsup":        {Backbone: "resnet18", Stem: "imagenet"},
		"barlow":           {Backbone: "resnet18", Stem: "imagenet"},
		"ddp":              {Backbone: "resnet18", Stem: "imagenet"},
		"efficientnet":     {Backbone: "efficientnet_b0", Stem: "imagenet"},
		"vit-dino":         {Backbone: "vit_tiny_patch8", Stem: "imagenet"},
		"vit-mae":          {Backbone: "vit_tiny_patch8", Stem: "imagenet"},
		"vit-dinov2":       {Backbone: "vit_tiny_patch8", Stem: "imagenet"},
		"vit-torchvision":  {Backbone: "vit_tiny_patch8", Stem: "imagenet"},
		"vit-mocov3":       {Backbone: "vit_tiny_patch8", Stem: "imagenet", Heads: 6},
		"wide":             {Backbone: "wide_resnet50_2", Stem: "small"},
		"convnext-timm":    {Backbone: "convnext_tiny", Stem: "imagenet"},
		"convnext-paper":   {Backbone: "convnext_tiny", Stem: "imagenet"},

		"convnext-torchvision": {Backbone: "convnext_tiny", Stem: "imagenet"},
		"mobilenet":            {Backbone: "mobilenet_v3_large", Stem: "imagenet"},
	} {
		t.Run(name, func(t *testing.T) {
			info.Width = 8
			b, err := LoadEncoder(filepath.Join(dir, name+".pth"), info, torch.CPU)
			if err != nil {
				t.Fatal(err)
			}
			defer nn.Free(b)
			sameFeatures(t, b, filepath.Join(dir, name), 32)
			startsFrom(t, filepath.Join(dir, name+".pth"), info, b)
		})
	}
}

// startsFrom compares the encoder that a run starts from with the one that eval loads.
func startsFrom(t *testing.T, path string, info EncoderInfo, want backbone.Backbone) {
	t.Helper()
	c := small
	c.Backbone, c.Width, c.SmallStem, c.Heads, c.Start.File = info.Backbone, info.Width, info.Stem == "small", info.Heads, path
	nntest.Do(t, func() {
		want.Visit("", func(e nn.Entry) {
			switch {
			case e.Name == positionsKey:
				c.ImageSize = backbone.SizeOf(info.Backbone, e.Tensor.Size(1))
			case strings.HasSuffix(e.Name, "ls_1.gamma"):
				c.LayerScale = 0.5
			}
		})
	})
	b, err := backbone.New(c.Backbone, c.backbone())
	if err != nil {
		t.Fatal(err)
	}
	defer nn.Free(b)
	if _, err := c.startFrom(b); err != nil {
		t.Fatal(err)
	}
	nntest.Do(t, func() {
		got := nn.StateDict(b)
		for i, w := range nn.StateDict(want) {
			if got[i].Name != w.Name || !slices.Equal(got[i].Tensor.Bytes(), w.Tensor.Bytes()) {
				t.Errorf("a run starts from another %s", w.Name)
			}
		}
	})
}

// TestTorchvisionLoadsEncoders: every backbone's encoder.safetensors, with
// strict=True, gives torchvision the features that it gives here.
func TestTorchvisionLoadsEncoders(t *testing.T) {
	nntest.Torch(t)
	dir := t.TempDir()
	nets := map[string]backbone.Backbone{}
	for _, name := range backbone.Names() {
		other := backbone.Patch(name) > 0 && name != "vit_tiny_patch16" || strings.HasPrefix(name, "convnext") && name != "convnext_tiny"
		if other { // in sizes alone
			continue
		}
		b, err := backbone.New(name, backbone.Config{Seed: 1, ChannelsLast: true, ImageSize: 64})
		if err != nil {
			t.Fatal(err)
		}
		defer nn.Free(b)
		info := EncoderInfo{Backbone: name, Width: 64, Stem: "imagenet"}
		if err := SaveEncoder(filepath.Join(dir, name+".safetensors"), b, info); err != nil {
			t.Fatal(err)
		}
		nets[name] = b
	}
	runWeights(t, "load", dir)
	for name, b := range nets {
		t.Run(name, func(t *testing.T) {
			sameFeatures(t, b, filepath.Join(dir, name), 64)
		})
	}
}
