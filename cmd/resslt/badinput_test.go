package main

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// jpegFile is a real JPEG of noise-like content.
func jpegFile(t *testing.T, size int, seed int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			m.Set(x, y, color.RGBA{uint8(x*seed + y), uint8(y * seed), uint8(x * y), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Each wrong input is one line on standard error that names the thing and the
// hint, with the exit code of the design, and never a stack trace.
func TestBadInput(t *testing.T) {
	t.Parallel()
	needTorch(t)
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	idx := filepath.Join(dir, "idx")
	for _, name := range []string{"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"} {
		write(t, filepath.Join(idx, name), []byte{0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 28, 0, 0, 0, 28, 1, 2, 3})
	}
	notTorch := filepath.Join(dir, "libresslt_torch.so")
	write(t, notTorch, []byte("this is no library\n"))
	recipe := filepath.Join(dir, "mine.yaml")
	write(t, recipe, []byte("data: \"fashion-mnist:\"\nbatchsize: 64\n"))

	for name, tc := range map[string]struct {
		args []string
		env  string
		code int
		says []string
	}{
		"missing folder":   {args: []string{"run", "--recipe", "smoke", "--data", "folder:" + dir + "/none"}, code: 1, says: []string{dir + "/none", "hint"}},
		"empty folder":     {args: []string{"run", "--recipe", "smoke", "--data", "folder:" + empty}, code: 1, says: []string{empty, "hint"}},
		"wrong-size IDX":   {args: []string{"run", "--recipe", "smoke", "--data", "mnist:" + idx}, code: 1, says: []string{"idx3", "hint"}},
		"unknown scheme":   {args: []string{"run", "--recipe", "smoke", "--data", "flickr:x"}, code: 2, says: []string{"flickr", "folder:DIR"}},
		"unknown recipe":   {args: []string{"run", "--recipe", "quikstart"}, code: 2, says: []string{"quikstart", "quickstart"}},
		"unknown key":      {args: []string{"run", "--recipe", recipe}, code: 2, says: []string{"batchsize", "batch_size", "2:1"}},
		"misspelt --set":   {args: []string{"run", "--recipe", "smoke", "--set", "epoch=3"}, code: 2, says: []string{"epoch", "epochs"}},
		"unknown flag":     {args: []string{"run", "--recipee", "smoke"}, code: 2, says: []string{"recipee", "--help"}},
		"unknown verb":     {args: []string{"rnu"}, code: 2, says: []string{"rnu", "run"}},
		"unknown policy":   {args: []string{"run", "--recipe", "smoke", "--set", "policy=smal"}, code: 2, says: []string{"smal", "small"}},
		"unknown backbone": {args: []string{"run", "--recipe", "smoke", "--set", "backbone=resnet19"}, code: 2, says: []string{"resnet19", "resnet18"}},
		"no libtorch":      {args: []string{"run", "--recipe", "smoke"}, env: "RESSLT_TORCH=" + dir + "/none.so", code: 1, says: []string{"none.so", "hint"}},
		"broken libtorch":  {args: []string{"run", "--recipe", "smoke"}, env: "RESSLT_TORCH=" + notTorch, code: 1, says: []string{notTorch, "hint"}},
		"no broker":        {args: []string{"train", "--recipe", "smoke", "--nats", "nats://127.0.0.1:1"}, code: 1, says: []string{"127.0.0.1:1", "hint"}},
		"inspect what":     {args: []string{"inspect"}, code: 2, says: []string{"--data", "hint"}},
		"fraction":         {args: []string{"run", "--recipe", "smoke", "--set", "batch_size=64.5"}, code: 2, says: []string{"64.5", "whole"}},
		"endless run":      {args: []string{"run", "--recipe", "smoke", "--set", "epochs=9223372036854775807"}, code: 2, says: []string{"epochs", "at most"}},
		"no such GPU":      {args: []string{"run", "--recipe", "smoke", "--set", "device=cuda:7"}, code: 1, says: []string{"cuda:7", "doctor"}},
		"folder to write":  {args: []string{"embed", "--checkpoint", recipe, "--data", "fashion-mnist:", "--out", dir + "/no/x.npy"}, code: 1, says: []string{dir + "/no", "hint"}},
		"unsound recipe":   {args: []string{"recipe", "check", "smoke", "--set", "backbone=vgg"}, code: 2, says: []string{"vgg", "resnet18"}},
		"no weights":       {args: []string{"eval", "knn", "--checkpoint", dir + "/none", "--data", "fashion-mnist:"}, code: 1, says: []string{dir + "/none", "hint"}},
		"text as weights":  {args: []string{"embed", "--checkpoint", recipe, "--data", "fashion-mnist:", "--out", dir + "/x.npy"}, code: 1, says: []string{recipe, "corrupt"}},
		"no such priority": {args: []string{"train", "--recipe", "smoke", "--priority", "101"}, code: 2, says: []string{"--priority 101", "1 to 100"}},
		"fewer than none":  {args: []string{"train", "--recipe", "smoke", "--max-workers", "-1"}, code: 2, says: []string{"--max-workers -1", "1 or more"}},
		"audit of less":    {args: []string{"train", "--recipe", "smoke", "--audit", "-1"}, code: 2, says: []string{"--audit -1", "1 or more"}},
		"remake of less":   {args: []string{"record", "verify", dir, "--remake", "-1"}, code: 2, says: []string{"--remake -1", "1 or more"}},
		"more than images": {args: []string{"run", "--recipe", "smoke", "--set", "batch_size=70000", "--set", "K=100000", "--set", "steps_per_epoch=0"}, code: 2, says: []string{"batch_size", "60000"}},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(strings.Join(tc.args, " "), "fashion") || name == "more than images" {
				needData(t)
			}
			args := tc.args
			if args[0] == "run" || args[0] == "train" {
				args = append(args[:len(args):len(args)], "--out", filepath.Join(t.TempDir(), "out"))
			}
			c := command(t, "resslt", args...)
			if tc.env != "" {
				c.Env = append(c.Env, tc.env)
			}
			o := c.run()
			if o.code != tc.code {
				t.Errorf("exit %d, want %d: %s", o.code, tc.code, o.stderr)
			}
			// The resolved recipe may stand before it; the error is the last line.
			lines := strings.Split(strings.TrimRight(o.stderr, "\n"), "\n")
			last := lines[len(lines)-1]
			for _, s := range tc.says {
				if !strings.Contains(last, s) {
					t.Errorf("%q does not say %q", last, s)
				}
			}
			if strings.Contains(o.stderr, "goroutine") || strings.Contains(o.stderr, "panic") || !strings.HasPrefix(last, "resslt: ") {
				t.Errorf("not one line of ours:\n%s", o.stderr)
			}
		})
	}
}

// Broken pictures among sound ones never stop a run: each is replaced by the
// next of the order, counted, and the weights are the same again.
func TestBrokenPicturesAreReplaced(t *testing.T) {
	t.Parallel()
	needTorch(t)
	dir := filepath.Join(t.TempDir(), "photos")
	for class, seed := range map[string]int{"cat": 3, "dog": 7} {
		for i := range 20 {
			write(t, filepath.Join(dir, class, string(rune('a'+i))+".jpg"), jpegFile(t, 40, seed+i))
		}
	}
	whole := jpegFile(t, 64, 5)
	write(t, filepath.Join(dir, "cat", "truncated.jpg"), whole[:len(whole)/3])
	write(t, filepath.Join(dir, "cat", "text.jpg"), []byte("just some words\n"))
	write(t, filepath.Join(dir, "dog", "empty.jpg"), nil)

	small := []string{"--data", "folder:" + dir, "--set", "batch_size=8", "--set", "K=64", "--set", "steps_per_epoch=5", "--set", "image_size=32"}
	a := summaryOf(t, quick(t.TempDir(), small...)...)
	if a.SamplesReplaced == 0 || a.ChunksTombstoned != 0 || a.Images != 42 { // the empty file is passed over
		t.Errorf("replaced %d, tombstones %d, images %d; want some, 0, 42", a.SamplesReplaced, a.ChunksTombstoned, a.Images)
	}
	sameWeights(t, "again, four workers", summaryOf(t, quick(t.TempDir(), append(small, "--workers", "4")...)...), a)

	o := resslt(t, quick(t.TempDir(), append(small, "--set", "on_error=fail")...)...)
	if o.code != 1 || !strings.Contains(o.stderr, "tombstone") || strings.Contains(o.stderr, "goroutine") {
		t.Errorf("on_error=fail: exit %d: %s", o.code, o.stderr)
	}
}
