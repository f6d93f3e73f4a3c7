package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"resslt/train"
	"resslt/train/backbone"
)

// TestMates: the mates that embed writes are each image's nearest others, and a student that learns
// from pairs of images has the same weights however the run is made; one of other mates is refused.
func TestMates(t *testing.T) {
	t.Parallel()
	needTorch(t)
	dir := t.TempDir()
	photos := filepath.Join(dir, "photos")
	const images, k = 70, 3
	for i := range images {
		write(t, filepath.Join(photos, []string{"cat", "dog"}[i%2], fmt.Sprintf("%02d.jpg", i)), jpegFile(t, 32, i+1))
	}
	teacher := filepath.Join(dir, "teacher.safetensors")
	b, err := backbone.New("resnet18", backbone.Config{Width: 4, SmallStem: true, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := train.SaveEncoder(teacher, b, train.EncoderInfo{Backbone: "resnet18", Width: 4, Stem: "small", ImageSize: 16, Std: [3]float64{1, 1, 1}}); err != nil {
		t.Fatal(err)
	}
	embed := func(out string, more ...string) outcome {
		return resslt(t, append([]string{"embed", "--checkpoint", teacher, "--data", "folder:" + photos, "--threads", "1", "--out", filepath.Join(dir, out)}, more...)...)
	}
	for out, more := range map[string][]string{"mates.npy": {"--mates", fmt.Sprint(k)}, "other.npy": {"--mates", "2"}} {
		if o := embed(out, more...); o.code != 0 || !strings.Contains(o.stdout, fmt.Sprintf("%d×%s mates", images, more[1])) {
			t.Fatalf("exit %d: %s%s", o.code, o.stdout, o.stderr)
		}
	}
	for says, more := range map[string][]string{"--skip-bad": {"--mates", "3", "--skip-bad"}, "give 1 to": {"--mates", "0"}, "FILE.npy": {"--mates", "3", "--format", "arrow"}} {
		if o := embed("x.npy", more...); o.code != 2 || !strings.Contains(o.stderr, says) {
			t.Errorf("%v: exit %d: %s", more, o.code, o.stderr)
		}
	}
	if o := embed("y.npy", "--mates", "70"); o.code == 0 {
		t.Error("70 images have 69 others, and 70 mates each were written")
	}

	data := "mates:" + filepath.Join(dir, "mates.npy") + "+folder:" + photos
	args := func(out, data string, more ...string) []string {
		return append([]string{
			"run", "--recipe", "smoke", "--data", data, "--json", "--out", out, "--set", "eval=[none]", "--set", "objective=bingo", "--set", "policy=small-2crop",
			"--set", "teacher=" + teacher, "--set", "embedding_dim=32", "--set", "image_size=16", "--set", "batch_size=20", "--set", "epochs=2",
			"--set", "bingo_warmup_epochs=1", "--set", "K=64", "--set", "steps_per_epoch=0",
		}, more...)
	}
	out := t.TempDir()
	want := summaryOf(t, args(out, data)...)
	if want.Images != images || want.Steps != 2*(2*images/20) {
		t.Fatalf("%d images, %d steps: an epoch of pairs has each image once, and a mate of each", want.Images, want.Steps)
	}
	t.Run("killed", func(t *testing.T) {
		dir := t.TempDir()
		interrupt(t, dir, 5, syscall.SIGKILL, args(dir, data)...)
		sameWeights(t, "resumed", summaryOf(t, args(dir, data, "--resume")...), want)
	})
	t.Run("replayed", func(t *testing.T) {
		sameWeights(t, "replay", summaryOf(t, "train", "--replay", "log:"+out, "--json", "--out", t.TempDir()), want)
	})
	t.Run("in a farm that grows", func(t *testing.T) {
		url := natsServer(t)
		for range 2 {
			start(t, command(t, "augmentd", "--nats", url, "--workers", "1"))
		}
		farm := append([]string{"train", "--nats", url, "--run", "pairs"}, args(t.TempDir(), data)[1:]...)
		sameWeights(t, "in a farm", summaryOf(t, farm...), want)
	})
	other := strings.Replace(data, "mates.npy", "other.npy", 1)
	for says, wrong := range map[string][]string{
		"mates of each image": args(out, other, "--resume"),
		"embed --mates":       args(t.TempDir(), "folder:"+photos),
		"comes in pairs":      args(t.TempDir(), data, "--set", "batch_size=15"),
		"the data set has 70": args(t.TempDir(), "mates:"+short(t, dir)+"+folder:"+photos),
	} {
		if o := resslt(t, wrong...); o.code == 0 || !strings.Contains(o.stderr, says) {
			t.Errorf("exit %d, want an error that says %q: %s", o.code, says, o.stderr)
		}
	}
	for name, verb := range map[string][]string{
		"verify":       {"shards", "verify", "--data", data},
		"inspect step": {"inspect", "--step", "3", "--record", out, "--out", t.TempDir() + "/sheet.png"},
	} {
		t.Run(name, func(t *testing.T) {
			if o := resslt(t, verb...); o.code != 0 {
				t.Errorf("exit %d: %s", o.code, o.stderr)
			}
		})
	}
}

// short writes the mates of two images.
func short(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "short.npy")
	raw, err := os.ReadFile(filepath.Join(dir, "mates.npy"))
	if err != nil {
		t.Fatal(err)
	}
	cut := strings.Replace(string(raw), "(70, 3)", "(2, 3) ", 1)
	write(t, path, []byte(cut[:len(cut)-68*3*4]))
	return path
}
