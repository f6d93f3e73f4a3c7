package main

import (
	"bytes"
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
	if o := resslt(t, args(weights(2), killed)...); o.code != 1 || !strings.Contains(o.stderr, `started with "encoder"`) {
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
