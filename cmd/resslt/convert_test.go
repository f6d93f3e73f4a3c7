package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
}

// TestConvert: what PyTorch saves is a --checkpoint as it is, and becomes an encoder; several of
// them are told apart by the user.
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
torch.save({"a": net.state_dict(), "b": other.state_dict()}, "two.pth")
torch.save({"head": torch.zeros(3)}, "none.pth")
torch.save({"student": net, "teacher": other.state_dict(), "args": argparse.Namespace(lr=1)}, "dino.pth", _use_new_zipfile_serialization=False)
torch.jit.script(net).save("script.pt")
open("cut.pth", "wb").write(open("one.pth", "rb").read()[:-100000])`)
	save.Dir = dir
	if out, err := save.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	encoder := filepath.Join(dir, "e.safetensors")
	convert := func(name string, more ...string) outcome {
		return resslt(t, append([]string{"convert", filepath.Join(dir, name), encoder}, more...)...)
	}
	features := func(checkpoint, to string) outcome {
		return resslt(t, "embed", "--checkpoint", checkpoint, "--data", "folder:"+images, "--threads", "1", "--out", filepath.Join(dir, to))
	}
	for name, c := range map[string]struct {
		says string // of an error; "" of none
	}{
		"one.pth": {}, "dino.pth": {},
		"two.pth":   {`give --prefix, one of "a.", "b."`},
		"none.pth":  {"no ResNet"},
		"no.pth":    {"not found"},
		"script.pt": {"TorchScript"},
		"cut.pth":   {"fetch or save the file again"},
	} {
		_ = os.Remove(encoder) // it may not be there
		o := convert(name)
		if (o.code == 0) != (c.says == "") || !strings.Contains(o.stderr, c.says) || strings.Count(strings.TrimSpace(o.stderr), "\n") > 0 {
			t.Errorf("%s: exit %d: %s", name, o.code, o.stderr)
		}
		direct := features(filepath.Join(dir, name), "direct.npy")
		if (direct.code == 0) != (c.says == "") || !strings.Contains(direct.stderr, c.says) {
			t.Errorf("%s as a --checkpoint: exit %d: %s", name, direct.code, direct.stderr)
		}
		if c.says != "" {
			continue
		}
		if !strings.Contains(o.stdout, "of a resnet18, width 64, imagenet stem") {
			t.Errorf("%s: %s", name, o.stdout)
		}
		if o := features(encoder, "converted.npy"); o.code != 0 {
			t.Errorf("%s: its encoder: exit %d: %s", name, o.code, o.stderr)
		}
		a, b := readNPY(t, filepath.Join(dir, "direct.npy")), readNPY(t, filepath.Join(dir, "converted.npy"))
		if len(a) != 512 || !slices.Equal(a, b) {
			t.Errorf("%s: %d features as it is, %d of its encoder, or others", name, len(a), len(b))
		}
	}
	student := features(filepath.Join(dir, "dino.pth"), "student.npy")
	teacher := convert("dino.pth", "--key", "teacher")
	byTeacher := features(encoder, "teacher.npy")
	if student.code+teacher.code+byTeacher.code != 0 || slices.Equal(readNPY(t, filepath.Join(dir, "student.npy")), readNPY(t, filepath.Join(dir, "teacher.npy"))) {
		t.Errorf("student and teacher are the same, or refused: %s%s%s", student.stderr, teacher.stderr, byTeacher.stderr)
	}
	if o := resslt(t, "export", "--checkpoint", filepath.Join(dir, "dino.pth"), "--network", "teacher", "--out", filepath.Join(dir, "t.safetensors")); o.code != 0 {
		t.Errorf("export of a teacher: exit %d: %s", o.code, o.stderr)
	}
	if o := convert("two.pth", "--prefix", "b."); o.code != 0 {
		t.Errorf("by its prefix: exit %d: %s", o.code, o.stderr)
	}
	if o := convert("dino.pth", "--key", "pupil"); o.code != 2 || !strings.Contains(o.stderr, "student, teacher, ema") {
		t.Errorf("--key pupil: exit %d: %s", o.code, o.stderr)
	}
	if o := resslt(t, "convert", encoder, filepath.Join(dir, "again.safetensors")); o.code != 2 || !strings.Contains(o.stderr, "--checkpoint as it is") {
		t.Errorf("safetensors: exit %d: %s", o.code, o.stderr)
	}
}
