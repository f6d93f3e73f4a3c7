package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"resslt/train"
	"resslt/train/backbone"
	"resslt/train/nn"
)

// pythonWithTorch is a Python that has torchvision: PyPI's of the day where make docs-test has
// named it, else Debian's.
func pythonWithTorch(t *testing.T) string {
	t.Helper()
	if python := os.Getenv("RESSLT_INTEROP_PYTHON"); python != "" {
		return python
	}
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import torchvision").Run(); err != nil {
		t.Skip("python3-torchvision is not installed: make setup-peers")
	}
	return python
}

// TestLoadPy: the load.py of an export makes torchvision's network for every kind of encoder, and
// has the features of `resslt embed` for pictures of any form.
func TestLoadPy(t *testing.T) {
	t.Parallel()
	needTorch(t)
	python := pythonWithTorch(t)
	images := t.TempDir()
	pictures := []string{filepath.Join(images, "a.png"), filepath.Join(images, "b.jpg")}
	write(t, pictures[0], pngOf(t, 90, 71, 1))
	write(t, pictures[1], jpegFile(t, 75, 3))
	kinds := []struct {
		width, size int
		stem        string
	}{{64, 64, "imagenet"}, {16, 32, "small"}}
	for _, name := range backbone.Names() {
		for _, kind := range kinds {
			// A kind of each family, of another width and stem; make docs-test has all of them.
			if !docsWhole() && (kind.width == 64 || name != "resnet18" && name != "efficientnet_b1" && name != "mobilenet_v3_large" && name != "vit_tiny_patch4" && name != "wide_resnet50_2" && name != "convnext_tiny") {
				continue
			}
			if kind.size%max(1, backbone.Patch(name)) != 0 || backbone.Patch(name) > 0 && strings.HasPrefix(name, "vit_base") {
				continue // no such size; base is small with more heads
			}
			if name == "convnext_base" || name == "convnext_small" && kind.width == 64 {
				continue // tiny with more blocks, and channels
			}
			t.Run(fmt.Sprintf("%s %d %s", name, kind.width, kind.stem), func(t *testing.T) {
				dir := t.TempDir()
				b, err := backbone.New(name, backbone.Config{Seed: 3, Width: kind.width, SmallStem: kind.stem == "small", ImageSize: kind.size})
				if err != nil {
					t.Fatal(err)
				}
				defer nn.Free(b)
				encoder := filepath.Join(dir, "encoder.safetensors")
				err = train.SaveEncoder(encoder, b, train.EncoderInfo{
					Backbone: name, Width: kind.width, Stem: kind.stem, ImageSize: kind.size,
					Mean: [3]float64{0.4, 0.5, 0.6}, Std: [3]float64{0.2, 0.25, 0.3},
				})
				if err != nil {
					t.Fatal(err)
				}
				npy, weights := filepath.Join(dir, "f.npy"), filepath.Join(dir, "out", "of mine.safetensors")
				if err := os.Mkdir(filepath.Dir(weights), 0o755); err != nil {
					t.Fatal(err)
				}
				if o := resslt(t, "export", "--checkpoint", encoder, "--out", weights); o.code != 0 || !strings.Contains(o.stdout, "load.py") {
					t.Fatalf("exit %d: %s%s", o.code, o.stdout, o.stderr)
				}
				if o := resslt(t, "embed", "--checkpoint", encoder, "--data", "folder:"+images, "--threads", "1", "--out", npy); o.code != 0 {
					t.Fatalf("exit %d: %s", o.code, o.stderr)
				}
				ours := readNPY(t, npy)
				c := exec.Command(python, append([]string{"testdata/load_py.py", filepath.Dir(weights)}, pictures...)...)
				var said bytes.Buffer
				c.Stderr = &said
				out, err := c.Output()
				if err != nil {
					t.Fatalf("%v\n%s", err, said.String())
				}
				lines := strings.Split(strings.TrimSpace(string(out)), "\n")
				if len(lines) != len(pictures)+3 {
					t.Fatalf("%d lines: %s", len(lines), out)
				}
				theirs := strings.Fields(strings.Join(lines[:len(pictures)], " "))
				if len(theirs) != len(ours) || len(ours) == 0 {
					t.Fatalf("%d features, %d of ours", len(theirs), len(ours))
				}
				largest := 0.0 // an untrained EfficientNet's are small
				for _, f := range ours {
					largest = max(largest, math.Abs(float64(f)))
				}
				for i, f := range theirs {
					want, err := strconv.ParseFloat(f, 64)
					// fp32 by another order of additions, as in TestTimmLoads.
					if got := float64(ours[i]); err != nil || !(math.Abs(got-want) <= 1e-4*largest) || largest == 0 {
						t.Fatalf("feature %d is %g, PyTorch's %g, %v", i, got, want, err)
					}
				}
				t.Log(lines[len(pictures):])
			})
		}
	}
}

// A load.py that somebody else wrote stays, and so does everything else.
func TestExportKeepsOthersCode(t *testing.T) {
	t.Parallel()
	needTorch(t)
	needData(t)
	from, dir := finished(t), t.TempDir()
	write(t, filepath.Join(dir, "load.py"), []byte("print()\n"))
	o := resslt(t, "export", "--checkpoint", from, "--out", filepath.Join(dir, "e.safetensors"))
	if o.code != 2 || !strings.Contains(o.stderr, "load.py") || exists(filepath.Join(dir, "e.safetensors")) {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
	// Of the teacher and of the whole: no encoder is in such a file.
	if o := resslt(t, "export", "--checkpoint", from, "--part", "all", "--out", filepath.Join(dir, "all.safetensors")); o.code != 0 || strings.Contains(o.stdout, "load.py") {
		t.Errorf("exit %d: %s%s", o.code, o.stdout, o.stderr)
	}
	if err := os.Remove(filepath.Join(dir, "load.py")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // ours is replaced
		if o := resslt(t, "export", "--checkpoint", from, "--network", "teacher", "--out", filepath.Join(dir, "e.safetensors")); o.code != 0 {
			t.Errorf("exit %d: %s", o.code, o.stderr)
		}
	}
}
