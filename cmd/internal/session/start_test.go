package session

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
	"resslt/train"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/torch/torchtest"
)

// startFile writes an encoder of recipe smoke's network, with weights of the seed.
func startFile(t *testing.T, seed uint64) string {
	t.Helper()
	b, err := backbone.New("resnet18", backbone.Config{Width: 8, SmallStem: true, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	defer nn.Free(b)
	path := filepath.Join(t.TempDir(), "encoder.safetensors")
	if err := train.SaveEncoder(path, b, train.EncoderInfo{Backbone: "resnet18", Width: 8, Stem: "small", ImageSize: 28}); err != nil {
		t.Fatal(err)
	}
	return path
}

// copyFile copies the bytes of one file to another.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, raw, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestPlanStartsFromAFile: the digest is in the recipe, a folder stands for its encoder, and what
// does not fit is refused before anything is written.
func TestPlanStartsFromAFile(t *testing.T) {
	torchtest.Require(t)
	data, file := images(t), startFile(t, 5)
	digest, err := train.StartDigest(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		set  []string
		kind error
		says []string // in the error, or in the printed plan
	}{
		"a file":         {set: []string{"init=" + file}, says: []string{"starting from " + file + ": 120 tensors of resnet18", "init_sha256: " + digest}},
		"a run's folder": {set: []string{"init=" + filepath.Dir(file)}, says: []string{"init: " + file, "init_sha256: " + digest}},
		"a part frozen":  {set: []string{"init=" + file, "freeze=[stem, layer1]"}, says: []string{"- stem"}},
		"its digest":     {set: []string{"init=" + file, "init_sha256=" + digest}, says: []string{"init_sha256: " + digest}},
		"another digest": {[]string{"init=" + file, "init_sha256=" + strings.Repeat("0", 64)}, errs.ErrMismatch, []string{digest[:12]}},
		"a digest alone": {[]string{"init_sha256=" + digest}, errs.ErrUsage, []string{"init_sha256"}},
		"another width":  {[]string{"init=" + file, "width=4"}, errs.ErrMismatch, []string{"conv1.weight is [8 3 3 3], want [4 3 3 3]", "width=8"}},
		"no file":        {[]string{"init=" + file + "x"}, errs.ErrNotFound, []string{"start from"}},
		"no such part":   {[]string{"freeze=[layer9]"}, errs.ErrUsage, []string{`"layer9"`, "layer1 … layer4"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := smoke(t, data, filepath.Join(t.TempDir(), "out"))
			o.Set = append(o.Set, c.set...)
			p, err := MakePlan(t.Context(), o)
			if c.kind != nil {
				errstest.Want(t, err, c.kind, c.says...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var printed bytes.Buffer
			if err := p.Print(&printed); err != nil {
				t.Fatal(err)
			}
			for _, s := range c.says {
				if !strings.Contains(printed.String(), s) {
					t.Errorf("the plan does not say %q:\n%s", s, printed.String())
				}
			}
		})
	}
}

// TestResumeComparesItsFile: the checkpoint has the weights. Another file is refused, one that has
// changed is named, and one that is gone is not missed.
func TestResumeComparesItsFile(t *testing.T) {
	torchtest.Require(t)
	data, other := images(t), startFile(t, 6)
	for name, c := range map[string]struct {
		seeded bool                             // the run began from its seed's weights
		change func(file string) (set []string) // after the run began
		kind   error
		says   string // in the error, or in a warning; "" of none
	}{
		"as it was":        {change: func(string) []string { return nil }},
		"gone":             {change: func(file string) []string { _ = os.Remove(file); return nil }},
		"changed":          {change: func(file string) []string { copyFile(t, other, file); return nil }, says: "has changed since the run began"},
		"named again":      {change: func(file string) []string { return []string{"init=" + file} }},
		"moved":            {change: func(file string) []string { copyFile(t, file, file+".new"); return []string{"init=" + file + ".new"} }},
		"another":          {change: func(string) []string { return []string{"init=" + other} }, kind: errs.ErrMismatch, says: "the run began from"},
		"none":             {change: func(string) []string { return []string{"init="} }, kind: errs.ErrUsage, says: "init_sha256 is set"},
		"none, nor digest": {change: func(string) []string { return []string{"init=", "init_sha256="} }, kind: errs.ErrMismatch, says: "the run began from"},
		"one of a sudden":  {seeded: true, change: func(string) []string { return []string{"init=" + other} }, kind: errs.ErrMismatch, says: "its seed's weights"},
		"another part":     {change: func(string) []string { return []string{"freeze=[layer2]"} }, kind: errs.ErrMismatch, says: `freeze is ["layer2"], the run has ["layer1"]`},
	} {
		t.Run(name, func(t *testing.T) {
			file := startFile(t, 5)
			o := smoke(t, data, filepath.Join(t.TempDir(), "out"))
			first := o
			if first.Set = append(first.Set, "freeze=[layer1]"); !c.seeded {
				first.Set = append(first.Set, "init="+file)
			}
			checkpointAt(t, first, 5)
			o.Set, o.Resume = append(o.Set, c.change(file)...), true
			p, err := MakePlan(t.Context(), o)
			if c.kind != nil {
				errstest.Want(t, err, c.kind, c.says)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			warned := strings.Join(append(p.LocalWarnings, p.Warnings...), "\n")
			if c.says != "" && !strings.Contains(warned, c.says) || c.says == "" && (strings.Contains(warned, "changed since") || strings.Contains(warned, "init")) {
				t.Errorf("warnings: %s", warned)
			}
			if p.Recipe.Init == "" || len(p.Recipe.InitSHA256) != 64 {
				t.Errorf("the recipe has %q of digest %q", p.Recipe.Init, p.Recipe.InitSHA256)
			}
		})
	}
}
