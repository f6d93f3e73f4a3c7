package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"resslt/train"
	"resslt/train/backbone"
)

// TestEmbedContinues kills embed between two parts: the same command continues, and
// leaves the file that an undisturbed one leaves.
func TestEmbedContinues(t *testing.T) {
	needTorch(t)
	needData(t)
	dir := t.TempDir()
	weights := func(seed uint64) string {
		b, err := backbone.New("resnet18", backbone.Config{Width: 4, SmallStem: true, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, string('a'+rune(seed))+".safetensors")
		if err := train.SaveEncoder(path, b, train.EncoderInfo{Backbone: "resnet18", Width: 4, Stem: "small", ImageSize: 28, Std: [3]float64{1, 1, 1}}); err != nil {
			t.Fatal(err)
		}
		return path
	}
	encoder := weights(1)
	args := func(encoder, out string) []string {
		return []string{"embed", "--checkpoint", encoder, "--data", "fashion-mnist:", "--split", "test", "--threads", "1", "--out", out}
	}
	whole, killed := filepath.Join(dir, "whole.npy"), filepath.Join(dir, "killed.npy")
	if o := resslt(t, args(encoder, whole)...); o.code != 0 || !strings.Contains(o.stdout, "10000×32 features") {
		t.Fatalf("exit %d: %s%s", o.code, o.stdout, o.stderr)
	}

	c := command(t, "resslt", args(encoder, killed)...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(killed+".parts", "part-00000000-*.arrow")
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		if found, _ := filepath.Glob(first); len(found) == 1 { // the pattern is sound
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no part came")
		}
	}
	if err := c.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // it was killed
	if _, err := os.Stat(killed); err == nil {
		t.Fatal("a killed process left a file")
	}

	// Another encoder does not continue from these parts.
	if o := resslt(t, args(weights(2), killed)...); o.code != 1 || !strings.Contains(o.stderr, "the encoder's weights is") || !strings.Contains(o.stderr, "it was started with") {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
	// Nor does a part whose bytes have changed count.
	found, err := filepath.Glob(first)
	if err != nil || len(found) != 1 {
		t.Fatalf("parts: %v, %v", found, err)
	}
	part, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(part)
	flipped[len(flipped)-60] ^= 1 // in the footer's metadata
	write(t, found[0], flipped)
	if o := resslt(t, args(encoder, killed)...); o.code != 1 || !strings.Contains(o.stderr, "its bytes have changed") {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
	write(t, found[0], part)
	o := resslt(t, args(encoder, killed)...)
	if o.code != 0 || !strings.Contains(o.stderr, "continuing from") {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	a, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(killed)
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("the file of the killed run differs, %v", err)
	}
	if _, err := os.Stat(killed + ".parts"); err == nil {
		t.Error("the parts were left behind")
	}
}

// TestEmbedGoesOn: an image that cannot be decoded stops embed, whose line says how to go on;
// that command keeps what is done, names what it skips, and leaves the file that skipping from
// the beginning leaves.
func TestEmbedGoesOn(t *testing.T) {
	t.Parallel()
	needTorch(t)
	dir := t.TempDir()
	b, err := backbone.New("resnet18", backbone.Config{Width: 4, SmallStem: true, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	encoder := filepath.Join(dir, "encoder.safetensors")
	if err := train.SaveEncoder(encoder, b, train.EncoderInfo{Backbone: "resnet18", Width: 4, Stem: "small", ImageSize: 8, Std: [3]float64{1, 1, 1}}); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "images")
	whole := jpegFile(t, 8, 1)
	const rows = partRows + 10 // the bad one is in the second part
	for i := range rows {
		image := whole
		if i == partRows+3 {
			image = []byte("no picture")
		}
		write(t, filepath.Join(data, fmt.Sprintf("%06d.jpg", i)), image)
	}
	args := func(out string, more ...string) []string {
		return append([]string{"embed", "--checkpoint", encoder, "--data", "folder:" + data, "--threads", "1", "--out", filepath.Join(dir, out)}, more...)
	}
	bad := fmt.Sprintf("%06d.jpg", partRows+3)
	o := resslt(t, args("a.npy")...)
	lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
	if last := lines[len(lines)-1]; o.code != 1 || !strings.Contains(last, "--skip-bad") || !strings.Contains(last, bad) || strings.Count(last, "(hint:") != 1 {
		t.Errorf("exit %d: %s", o.code, last)
	}
	if o := resslt(t, args("a.npy", "--split", "train", "--threads", "2")...); o.code != 1 || !strings.Contains(o.stderr, "threads is 2, it was started with 1 (") {
		t.Errorf("with other threads: exit %d: %s", o.code, o.stderr)
	}
	o = resslt(t, args("a.npy", "--skip-bad")...)
	if o.code != 0 || !strings.Contains(o.stderr, fmt.Sprintf("%d of %d images are done", partRows, rows)) || !strings.Contains(o.stderr, "skipped "+bad) ||
		!strings.Contains(o.stdout, "1 images skipped") {
		t.Fatalf("exit %d: %s%s", o.code, o.stdout, o.stderr)
	}
	if o := resslt(t, args("b.npy", "--skip-bad")...); o.code != 0 || !strings.Contains(o.stderr, "skipped "+bad) {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	x, err := os.ReadFile(filepath.Join(dir, "a.npy"))
	if err != nil {
		t.Fatal(err)
	}
	if y, err := os.ReadFile(filepath.Join(dir, "b.npy")); err != nil || !bytes.Equal(x, y) {
		t.Errorf("the files differ, %v", err)
	}
	// The hint's other way: another image, and none of the parts.
	parts := filepath.Join(dir, "c.npy.parts")
	if o := resslt(t, args("c.npy")...); o.code != 1 || !strings.Contains(o.stderr, "replace the image and delete "+parts) {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	write(t, filepath.Join(data, bad), whole)
	if err := os.RemoveAll(parts); err != nil {
		t.Fatal(err)
	}
	if o := resslt(t, args("c.npy")...); o.code != 0 || !strings.Contains(o.stdout, "0 images skipped") {
		t.Fatalf("exit %d: %s%s", o.code, o.stdout, o.stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.parts")); left != nil { // the pattern is sound
		t.Errorf("%v were left behind", left)
	}
}
