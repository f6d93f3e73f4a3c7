package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOtherFilesAsEncoders: the error says what the file is, and the command that it names is
// one that there is.
func TestOtherFilesAsEncoders(t *testing.T) {
	t.Parallel()
	needTorch(t)
	dir := t.TempDir()
	images := filepath.Join(dir, "images")
	write(t, filepath.Join(images, "a.jpg"), jpegFile(t, 32, 1))
	for what, c := range map[string]struct{ head, hint string }{
		"a PyTorch checkpoint":     {"PK\x03\x04" + strings.Repeat("\x00", 22) + "\x10\x00\x00\x00archive/data.pkl", "resslt convert FILE"},
		"a Python pickle":          {"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "resslt convert FILE"},
		"a Git LFS pointer":        {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "git lfs pull"},
		"an HTML page":             {"<!DOCTYPE html><html>", "download the file itself"},
		"a gzip file":              {"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00", "gunzip"},
		"an empty file":            {"", "fetch it again"},
		"a JPEG image":             {"\xff\xd8\xff\xe0aaaaaaaa", "name a .safetensors file"},
		"header of 1702129257 byt": {"items in a list of many, of which none is a tensor", "fetch"}, // of no kind that is known
	} {
		file := filepath.Join(dir, "weights.pth")
		write(t, file, []byte(c.head))
		o := resslt(t, "embed", "--checkpoint", file, "--data", "folder:"+images, "--out", filepath.Join(dir, "f.npy"))
		if o.code == 0 || strings.Count(strings.TrimSpace(o.stderr), "\n") != 0 {
			t.Errorf("%s: exit %d: %s", what, o.code, o.stderr)
		}
		if !strings.HasPrefix(what, "header") && (!strings.Contains(o.stderr, "it is "+what) || !strings.Contains(o.stderr, c.hint)) {
			t.Errorf("%s: %s", what, o.stderr)
		}
	}
	if o := resslt(t, "embed", "--checkpoint", dir, "--data", "folder:"+images, "--out", filepath.Join(dir, "f.npy")); o.code == 0 || !strings.Contains(o.stderr, "it is a folder") {
		t.Errorf("a folder: exit %d: %s", o.code, o.stderr)
	}
	if o := resslt(t, "convert", "--script"); o.code != 0 || !strings.HasPrefix(o.stdout, `"""convert.py`) {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
	if o := resslt(t, "convert", filepath.Join(dir, "weights.pth"), filepath.Join(dir, "e.safetensors"), "--python", "false"); o.code != 1 || !strings.Contains(o.stderr, "false has no PyTorch") {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
}

// TestConvert: what PyTorch saves becomes an encoder; several of them are told apart by the user.
func TestConvert(t *testing.T) {
	t.Parallel()
	needTorch(t)
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import torchvision").Run(); err != nil {
		t.Skipf("%s has no torchvision: install the peers with `make setup-peers`", python)
	}
	dir := t.TempDir()
	images := filepath.Join(dir, "images")
	write(t, filepath.Join(images, "a.jpg"), jpegFile(t, 32, 1))
	save := exec.Command(python, "-c", `import argparse, torch, torchvision, sys
net, other = torchvision.models.resnet18(), torchvision.models.resnet18()
torch.save(net.state_dict(), "one.pth")
torch.save(net.state_dict(), "old.pth", _use_new_zipfile_serialization=False)
torch.save({"a": net.state_dict(), "b": other.state_dict()}, "two.pth")
torch.save({"a": net.state_dict(), "b": net.state_dict()}, "same.pth")
torch.save({"head": torch.zeros(3)}, "none.pth")
torch.save({"model": net.state_dict(), "args": argparse.Namespace(lr=1)}, "args.pth")`)
	save.Dir = dir
	if out, err := save.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	convert := func(name string, more ...string) outcome {
		return resslt(t, append([]string{"convert", "--python", python, filepath.Join(dir, name), filepath.Join(dir, "e.safetensors")}, more...)...)
	}
	for name, c := range map[string]struct {
		more []string
		says string // of an error; "" of none
	}{
		"one.pth": {}, "old.pth": {}, "same.pth": {},
		"two.pth":  {nil, "give --prefix, one of 'a.', 'b.'"},
		"none.pth": {nil, "no ResNet"},
		"no.pth":   {nil, "not found"},
		"args.pth": {[]string{"--trust"}, ""},
	} {
		_ = os.Remove(filepath.Join(dir, "e.safetensors")) // it may not be there
		o := convert(name, c.more...)
		if (o.code == 0) != (c.says == "") || !strings.Contains(o.stderr, c.says) {
			t.Errorf("%s: exit %d: %s", name, o.code, o.stderr)
		}
		if c.says != "" {
			continue
		}
		if o := resslt(t, "embed", "--checkpoint", filepath.Join(dir, "e.safetensors"), "--data", "folder:"+images, "--out", filepath.Join(dir, name+".npy")); o.code != 0 {
			t.Errorf("%s: its encoder: exit %d: %s", name, o.code, o.stderr)
		}
	}
	if o := convert("two.pth", "--prefix", "b."); o.code != 0 {
		t.Errorf("by its prefix: exit %d: %s", o.code, o.stderr)
	}
	if o := convert("e.safetensors"); o.code != 2 || !strings.Contains(o.stderr, "--checkpoint as it is") {
		t.Errorf("safetensors: exit %d: %s", o.code, o.stderr)
	}
}
