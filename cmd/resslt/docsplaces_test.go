package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// docsPlaces make the files that a document's commands name and do not make themselves.
var docsPlaces = map[string]func(t *testing.T, dir string){
	"README.md": func(t *testing.T, dir string) {
		writeClasses(t, filepath.Join(dir, "path/to/images/train"), 30, "cat", "dog")
		writeClasses(t, filepath.Join(dir, "path/to/images/test"), 8, "cat", "dog")
		writeCIFAR10(t, filepath.Join(dir, "DIR"))
		writeFood101(t, filepath.Join(dir, "DIR", "food-101"))
		encoderOfImageNet(t, dir)
	},
	"--help": func(t *testing.T, dir string) {
		writeClasses(t, filepath.Join(dir, "my/images"), 20, "cat", "dog")
		writeClasses(t, filepath.Join(dir, "DIR"), 3, "cat", "dog")
	},
	"docs/data.md": func(t *testing.T, dir string) {
		writeClasses(t, filepath.Join(dir, "DIR/A"), 30, "cat", "dog")
		writeClasses(t, filepath.Join(dir, "DIR/B/images"), 8, "cat", "dog")
		writeClasses(t, filepath.Join(dir, "vehicles"), 3, "bus", "train")
		writeClasses(t, filepath.Join(dir, "photos/train"), 5, "dog", "eel")
		writeClasses(t, filepath.Join(dir, "photos/val"), 5, "dog", "eel")
		write(t, filepath.Join(dir, "sets.yaml"), []byte(`sets:
  - {data: "folder:DIR/A", weight: 0.7}
  - {data: "folder:photos", weight: 0.3, name: photos, split: val}
`))
	},
	"docs/images.md":     photos,
	"docs/quickstart.md": figures,
	"docs/farm.md": func(t *testing.T, dir string) {
		images := 20
		if docsWhole() { // a run that lasts as long as its drills
			images = 300
		}
		writeClasses(t, filepath.Join(dir, "srv/photos"), images, "cat", "dog")
	},
	"docs/evaluation.md": func(t *testing.T, dir string) {
		photos(t, dir)
		o := resslt(t, quick(filepath.Join(dir, "runs/mine"), "--data", "folder:"+dir+"/photos", "--set", "batch_size=8", "--set", "K=64", "--set", "steps_per_epoch=1",
			"--set", "epochs=1", "--set", "eval=[none]")...)
		if o.code != 0 {
			t.Fatal(o.stderr)
		}
	},
	"docs/troubleshooting.md": troubles,
	"docs/pictures.md": func(t *testing.T, dir string) {
		for i := range 20 {
			class := []string{"cat", "dog"}[i%2]
			write(t, filepath.Join(dir, "imagenet/train", class, fmt.Sprintf("%03d.jpg", i)), jpegFile(t, 64, i+1))
		}
	},
	"docs/weights.md": func(t *testing.T, dir string) {
		encoderOfImageNet(t, dir)
		writeClasses(t, filepath.Join(dir, "DIR"), 3, "cat", "dog")
		if err := os.Mkdir(filepath.Join(dir, "r18"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a.jpg", "b.jpg"} {
			write(t, filepath.Join(dir, name), jpegFile(t, 40, 3))
		}
		const save = `import torch, torchvision
net = torchvision.models.resnet18()
torch.save({"state_dict": {"module.encoder_q." + k: v for k, v in net.state_dict().items()}}, "ressl-200.pth")
torch.save({"student": net.state_dict(), "teacher": net.state_dict()}, "dino_full.pth")`
		c := exec.Command("/usr/bin/python3", "-c", save)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Skipf("Python has no torchvision, by which a checkpoint is made (make setup-peers): %s", out)
		}
	},
}

// photos makes a folder of that name, with two classes and two splits.
func photos(t *testing.T, dir string) {
	t.Helper()
	writeClasses(t, filepath.Join(dir, "photos/train"), 20, "cat", "dog")
	writeClasses(t, filepath.Join(dir, "photos/test"), 20, "cat", "dog")
}

// figures makes the folder for the documents' pictures, which a clone has.
func figures(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "docs/figures"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// smokeRun makes runs/smoke, as the quick start does.
func smokeRun(t *testing.T, dir string) {
	t.Helper()
	if o := resslt(t, "run", "--recipe", "smoke", "--out", filepath.Join(dir, "runs/smoke"), "--set", "eval=[none]"); o.code != 0 {
		t.Fatal(o.stderr)
	}
}

// troubles makes what the page on errors has go wrong.
func troubles(t *testing.T, dir string) {
	t.Helper()
	photos(t, dir)
	smokeRun(t, dir) // on the recipe's own data, which --resume compares
	for _, place := range []string{"mixed/train", "mixed/test", "mixed/extra", "archive/photos/train", "archive/photos/test"} {
		writeClasses(t, filepath.Join(dir, place), 3, "cat", "dog")
	}
	writeClasses(t, filepath.Join(dir, "few"), 5, "cat", "dog")
	writeClasses(t, filepath.Join(dir, "damaged"), 3, "cat", "dog")
	write(t, filepath.Join(dir, "damaged/cat/001.png"), []byte("not a picture at all\n"))
	writeClasses(t, dir, 3, "unlabelled")
	write(t, filepath.Join(dir, "mine.yaml"), []byte("data: \"fashion-mnist:\"\nbatchsize: 64\n"))
	write(t, filepath.Join(dir, "pointer.parquet"), []byte("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"))
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, members := range map[string][]string{"texts.tar": {"a.txt"}, "twice.tar": {"a.jpg", "a.png"}} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, m := range members {
			body := pngFile(t, 40, 1)
			if err := errors.Join(w.WriteHeader(&tar.Header{Name: m, Mode: 0o644, Size: int64(len(body))}), second(w.Write(body))); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), b.Bytes())
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := errors.Join(second(z.Write(bytes.Repeat([]byte("x"), 1000))), z.Close()); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "zipped.tar"), b.Bytes())
}

func second(_ int, err error) error { return err }

// encoderOfImageNet makes runs/imagenet: one step of a network of the published width, with
// ImageNet's stem.
func encoderOfImageNet(t *testing.T, dir string) {
	t.Helper()
	o := resslt(t, "run", "--recipe", "smoke", "--data", "fashion-mnist:"+smallData(), "--out", filepath.Join(dir, "runs/imagenet"),
		"--set", "backbone=resnet18", "--set", "width=64", "--set", "stem=imagenet", "--set", "image_size=28", "--set", "epochs=1",
		"--set", "steps_per_epoch=1", "--set", "batch_size=8", "--set", "eval=[none]")
	if o.code != 0 {
		t.Fatal(o.stderr)
	}
}

// writeClasses writes pictures of 40×40 into a folder for each class.
func writeClasses(t *testing.T, dir string, n int, classes ...string) {
	t.Helper()
	for _, class := range classes {
		for i := range n {
			write(t, filepath.Join(dir, class, fmt.Sprintf("%03d.png", i)), pngFile(t, 40, uint64(i)))
		}
	}
}

// pngFile is a square PNG of noise.
func pngFile(t *testing.T, size int, seed uint64) []byte { return pngOf(t, size, size, seed) }

// pngOf is a PNG of noise.
func pngOf(t *testing.T, w, h int, seed uint64) []byte {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 2))
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for p := range w * h {
		m.SetNRGBA(p%w, p/w, color.NRGBA{uint8(rnd.Uint32()), uint8(rnd.Uint32()), uint8(rnd.Uint32()), 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// writeCIFAR10 writes the official form's files, whose numbers of images are fixed.
func writeCIFAR10(t *testing.T, dir string) {
	t.Helper()
	const images, bytesEach = 10_000, 1 + 3*32*32
	raw := make([]byte, images*bytesEach)
	rnd := rand.NewChaCha8([32]byte{1})
	_, _ = rnd.Read(raw) // never fails
	for i := range images {
		raw[i*bytesEach] = byte(i % 10)
	}
	for _, name := range []string{"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"} {
		write(t, filepath.Join(dir, "cifar-10-batches-bin", name+".bin"), raw)
		raw[1]++ // another file, another digest
	}
	write(t, filepath.Join(dir, "cifar-10-batches-bin/batches.meta.txt"), []byte("airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n"))
}

// writeFood101 writes the official form's lists, of two classes.
func writeFood101(t *testing.T, dir string) {
	t.Helper()
	classes := []string{"apple_pie", "waffles"}
	lists := map[string]string{}
	for _, class := range classes {
		for split, n := range map[string]int{"train": 20, "test": 8} {
			for i := range n {
				name := fmt.Sprintf("%s/%s%d", class, split, i)
				lists[split] += name + "\n"
				write(t, filepath.Join(dir, "images", name+".jpg"), jpegFile(t, 40, i+2))
			}
		}
	}
	write(t, filepath.Join(dir, "meta/classes.txt"), []byte(strings.Join(classes, "\n")+"\n"))
	for split, list := range lists {
		write(t, filepath.Join(dir, "meta", split+".txt"), []byte(list))
	}
}
