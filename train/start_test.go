package train

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/recipe"
	"resslt/train/safetensors"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// saveStart writes an encoder of its own weights.
func saveStart(t testing.TB, name string, c backbone.Config, info EncoderInfo) string {
	t.Helper()
	c.Seed = 77
	b, err := backbone.New(name, c)
	if err != nil {
		t.Fatal(err)
	}
	defer nn.Free(b)
	nntest.Do(t, func() { nntest.Fill(b, "start ") })
	path := filepath.Join(t.TempDir(), "start.safetensors")
	info.Backbone, info.Mean, info.Std = name, nn.ImageNetMean, nn.ImageNetStd
	if err := SaveEncoder(path, b, info); err != nil {
		t.Fatal(err)
	}
	return path
}

// smallStart writes the encoder that small's learners start from.
func smallStart(t testing.TB, width int) string {
	t.Helper()
	return saveStart(t, "resnet18", backbone.Config{Width: width, SmallStem: true}, EncoderInfo{Width: width, Stem: "small", ImageSize: smallSize})
}

// TestLearnerStartsFromAFile: both backbones have the file's bits, and all else is the seed's.
func TestLearnerStartsFromAFile(t *testing.T) {
	nntest.Torch(t)
	c := small
	c.Start.File = smallStart(t, c.Width)
	tensors, err := ReadWeights(c.Start.File, Selection{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{}
	for _, x := range tensors {
		want["student.backbone."+x.Name], want["teacher.backbone."+x.Name] = x.Data, x.Data
	}
	seeded, started := newSmall(t, small), newSmall(t, c)
	defer seeded.Free()
	defer started.Free()
	from := 0
	seeds := contents(t, seeded)
	for name, got := range contents(t, started) {
		expected, ok := want[name]
		if ok {
			from++
		} else {
			expected = seeds[name]
		}
		if !slices.Equal(got, expected) {
			t.Errorf("%s is neither the file's nor the seed's", name)
		}
	}
	if from != 2*len(tensors) || from < 200 {
		t.Errorf("%d tensors are the file's, which has %d", from, len(tensors))
	}
	if slices.Equal(seeds["student.backbone.conv1.weight"], want["student.backbone.conv1.weight"]) {
		t.Error("the file's weights are the seed's")
	}
	// Three steps are those of a learner into which the weights were loaded.
	loaded := newSmall(t, small)
	defer loaded.Free()
	nntest.Do(t, func() {
		state, err := deviceTensors(tensors)
		if err == nil {
			err = errors.Join(nn.LoadStateDict(loaded.student.Backbone, state, true), nn.LoadStateDict(loaded.teacher.Backbone, state, true))
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	for _, l := range []*Learner{loaded, started} {
		for _, name := range []string{"a", "b", "c"} {
			stepOn(t, l, name, hyper)
		}
	}
	sameContents(t, "three steps", contents(t, loaded), contents(t, started))
}

// TestStartRefuses: what does not fit is named.
func TestStartRefuses(t *testing.T) {
	nntest.Torch(t)
	whole := smallStart(t, small.Width)
	tensors, _, err := safetensors.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	write := func(change func([]safetensors.Tensor) []safetensors.Tensor) string {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		if err := safetensors.WriteFile(path, change(slices.Clone(tensors)), nil); err != nil {
			t.Fatal(err)
		}
		return path
	}
	named := func(name string) safetensors.Tensor {
		return safetensors.Tensor{Name: name, DType: safetensors.F32, Shape: []int64{1}, Data: make([]byte, 4)}
	}
	prefixed := func(more ...string) string {
		return write(func(all []safetensors.Tensor) []safetensors.Tensor {
			for i := range all {
				all[i].Name = "backbone." + all[i].Name
			}
			for _, n := range more {
				all = append(all, named("backbone."+n))
			}
			return all
		})
	}
	digest, err := StartDigest(whole)
	if err != nil {
		t.Fatal(err)
	}
	many := saveStart(t, "vit_tiny_patch4", backbone.Config{Width: 4, ImageSize: smallSize, Heads: 6}, EncoderInfo{Width: 4, Stem: "imagenet", ImageSize: smallSize, Heads: 6})
	vit := func(c *Config) { c.Backbone, c.ImageSize = "vit_tiny_patch4", smallSize }
	for name, c := range map[string]struct {
		file   string
		change func(*Config)
		kind   error
		says   []string
	}{
		"itself":           {file: whole},
		"its own digest":   {file: whole, change: func(c *Config) { c.Start.SHA256 = digest }},
		"heads are left":   {file: prefixed("fc.weight", "projector.0.weight", "prototypes.weight")},
		"another digest":   {whole, func(c *Config) { c.Start.SHA256 = strings.Repeat("0", 64) }, errs.ErrMismatch, []string{digest[:12], "init_sha256"}},
		"no such file":     {whole + "x", nil, errs.ErrNotFound, []string{"start from"}},
		"another width":    {whole, func(c *Config) { c.Width = 8 }, errs.ErrMismatch, []string{"shapes differ: conv1.weight is [4 3 3 3], want [8 3 3 3]", "set backbone=resnet18 width=4 stem=small"}},
		"another network":  {whole, func(c *Config) { c.Backbone = "resnet34" }, errs.ErrMismatch, []string{"missing keys: layer1.2.conv1.weight", "set backbone=resnet18"}},
		"a missing key":    {write(func(all []safetensors.Tensor) []safetensors.Tensor { return all[1:] }), nil, errs.ErrMismatch, []string{"missing keys: " + tensors[0].Name}},
		"an unexpected":    {write(func(all []safetensors.Tensor) []safetensors.Tensor { return append(all, named("layer1.0.se.weight")) }), nil, errs.ErrMismatch, []string{"unexpected keys: layer1.0.se.weight"}},
		"an unknown":       {prefixed("gate.weight"), nil, errs.ErrMismatch, []string{`"backbone.gate" (1)`, "resslt convert"}},
		"heads that shape": {many, vit, errs.ErrMismatch, []string{"6 heads", "heads=6"}},
		"as many heads":    {file: many, change: func(c *Config) { vit(c); c.Heads = 6 }},
	} {
		t.Run(name, func(t *testing.T) {
			config := small
			config.Start.File = c.file
			if c.change != nil {
				c.change(&config)
			}
			l, err := NewLearner(config)
			if err == nil {
				l.Free()
			}
			if c.kind == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			errstest.Want(t, err, c.kind, c.says...)
		})
	}
}

// TestStartResizesPositions: a transformer that starts from one for other images has the features
// that the latter has on these, to the bit.
func TestStartResizesPositions(t *testing.T) {
	nntest.Torch(t)
	for _, size := range []int{24, 64} {
		file := saveStart(t, "vit_tiny_patch8", backbone.Config{Width: 4, ImageSize: 40}, EncoderInfo{Width: 4, Stem: "imagenet", ImageSize: 40})
		c := small
		c.Backbone, c.ImageSize, c.Start.File = "vit_tiny_patch8", size, file
		l, err := NewLearner(c)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Free()
		own, err := LoadEncoder(file, EncoderInfo{Backbone: c.Backbone, Width: 4, Stem: "imagenet"}, torch.CPU)
		if err != nil {
			t.Fatal(err)
		}
		defer nn.Free(own)
		nntest.Do(t, func() {
			x := nntest.FormulaTensor("resized", 1, 0, 2, 3, int64(size), int64(size))
			features := func(b backbone.Backbone) (out []float32) {
				b.SetTraining(false)
				torch.NoGrad(func() { out = b.Forward(x).Float32s() })
				return out
			}
			side := int64(size / 8)
			l.student.Backbone.Visit("", func(e nn.Entry) {
				if e.Name == positionsKey && e.Tensor.Size(1) != 1+side*side {
					t.Errorf("positions are %v", e.Tensor.Shape())
				}
			})
			if !slices.Equal(features(l.student.Backbone), features(own)) {
				t.Errorf("%d pixels: other features than by resizing in the forward pass", size)
			}
		})
	}
}

// TestStartedRunResumesWithoutItsFile: the checkpoint has the weights, and the recipe the digest.
func TestStartedRunResumesWithoutItsFile(t *testing.T) {
	torchtest.Require(t)
	file := smallStart(t, 2)
	set := []string{"init=" + file, "freeze=[stem]"}
	r, spec := tiny(t, 6, set...)
	found, err := CheckStart(r, smallSize)
	if err != nil || !strings.Contains(found, "120 tensors of resnet18") || len(r.InitSHA256) != 64 {
		t.Fatalf("%q, %v, digest %q", found, err, r.InitSHA256)
	}
	whole := finish(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir()})
	out := t.TempDir()
	if _, err := Run(context.Background(), Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec, failAt: 3}, Out: out}); !errors.Is(err, errBroker) {
		t.Fatal(err)
	}
	c, _, err := LatestCheckpoint(CheckpointDir(out))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := recipe.ParseResolved("", []byte(c.Recipe))
	if err != nil || kept.Init != file || kept.InitSHA256 != r.InitSHA256 || !slices.Equal(kept.Freeze, []string{"stem"}) {
		t.Errorf("the checkpoint's recipe has %q %q %q, %v", kept.Init, kept.InitSHA256, kept.Freeze, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	got := finish(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec, step: c.Step}, Out: out, Resume: c})
	if got.StudentSHA256 != whole.StudentSHA256 || got.TeacherSHA256 != whole.TeacherSHA256 || got.InitSHA256 != r.InitSHA256 {
		t.Errorf("resumed run ends elsewhere:\n%+v\n%+v", got, whole)
	}
	if err := CheckStartFile(r); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("a file that is gone: %v", err)
	}
	plain, _ := tiny(t, 6)
	if other := finish(t, Options{Recipe: plain, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir()}); other.StudentSHA256 == whole.StudentSHA256 || other.InitSHA256 != "" {
		t.Error("a run from the seed's weights ends as the one from the file")
	}
}
