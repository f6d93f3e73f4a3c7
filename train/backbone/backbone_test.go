package backbone_test

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/racetest"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
)

// key is a state dict's entry as in torchvision_keys.json: [name, shape].
type key struct {
	name  string
	shape []int64
}

func (k *key) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&k.name, &k.shape})
}

func TestKeysAreTorchvisions(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	raw, err := os.ReadFile(nntest.File(t, "torchvision_keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][]key
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	for _, name := range backbone.Names() {
		if p := backbone.Patch(name); p > 0 && p != 16 { // of the same keys and shapes but for the patch
			continue
		}
		b, err := backbone.New(name, backbone.Config{})
		if err != nil {
			t.Fatal(err)
		}
		nntest.Do(t, func() {
			got := nn.StateDict(b)
			if len(got) != len(want[name]) {
				t.Fatalf("%s has %d entries, torchvision %d", name, len(got), len(want[name]))
			}
			for i, w := range want[name] {
				if g := got[i]; g.Name != w.name || !slices.Equal(g.Tensor.Shape(), w.shape) {
					t.Errorf("%s entry %d is %s %v, want %s %v", name, i, g.Name, g.Tensor.Shape(), w.name, w.shape)
				}
			}
		})
		nn.Free(b)
	}
}

func TestStagesComposeToForward(t *testing.T) {
	nntest.Torch(t)
	for _, name := range backbone.Names() {
		b, err := backbone.New(name, backbone.Config{Width: 4, SmallStem: true, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		nntest.Do(t, func() {
			b.SetTraining(false)
			x := nntest.FormulaTensor("stages", 1, 0, 2, 3, 32, 32)
			want, h := b.Forward(x), x
			for _, s := range b.Stages() {
				h = s.Forward(h)
			}
			if !slices.Equal(h.Bytes(), want.Bytes()) {
				t.Errorf("%s: its stages in a row give other features than Forward", name)
			}
		})
		nn.Free(b)
	}
}

// TestFrozen: a network asks about its parameters by the names that it visits them with, and those
// that are frozen have no gradient; a blank one has the same state, without the drawing.
func TestFrozen(t *testing.T) {
	nntest.Torch(t)
	for _, name := range backbone.Names() {
		if p := backbone.Patch(name); p > 0 && name != "vit_tiny_patch8" {
			continue
		}
		asked := map[string]bool{}
		c := backbone.Config{Width: 4, SmallStem: true, LayerScale: 0.1, StochasticDepth: 0.2, Blank: true}
		c.Frozen = func(key string) bool { asked[key] = true; return !strings.HasSuffix(key, "bias") }
		b, err := backbone.New(name, c)
		if err != nil {
			t.Fatal(err)
		}
		nntest.Do(t, func() {
			for _, p := range nn.Parameters(b) {
				if !asked[p.Name] {
					t.Errorf("%s: nobody was asked about %s", name, p.Name)
				}
				delete(asked, p.Name)
				if p.Tensor.RequiresGrad() != strings.HasSuffix(p.Name, "bias") {
					t.Errorf("%s: %s requires grad: %v", name, p.Name, p.Tensor.RequiresGrad())
				}
			}
		})
		if len(asked) > 0 {
			t.Errorf("%s has not %v", name, asked)
		}
		nn.Free(b)
	}
}

func TestWeightsDependOnSeedAndNameAlone(t *testing.T) {
	nntest.Torch(t)
	make := func(name string, c backbone.Config) map[string][]byte {
		b, err := backbone.New(name, c)
		if err != nil {
			t.Fatal(err)
		}
		defer nn.Free(b)
		out := map[string][]byte{}
		nntest.Do(t, func() {
			for _, n := range nn.StateDict(b) {
				out[n.Name] = n.Tensor.Bytes()
			}
		})
		return out
	}
	a := make("resnet18", backbone.Config{Width: 8, Seed: 1})
	b := make("resnet34", backbone.Config{Width: 8, Seed: 1, ChannelsLast: true})
	c := make("resnet18", backbone.Config{Width: 8, Seed: 2})
	const key = "layer1.1.conv2.weight"
	if !slices.Equal(a[key], b[key]) {
		t.Error("another network and memory order changed a weight of the same name and seed")
	}
	if slices.Equal(a[key], c[key]) {
		t.Error("another seed left the weight as it was")
	}
	if slices.Equal(a[key], a["layer1.0.conv2.weight"]) {
		t.Error("two weights of different names are equal")
	}
}

func TestBadConfig(t *testing.T) {
	for _, c := range []struct {
		name   string
		config backbone.Config
		says   string
	}{
		{"resnet19", backbone.Config{}, "resnet18, resnet34, resnet50"},
		{"resnet18", backbone.Config{Width: -1}, "width is -1"},
		{"resnet18", backbone.Config{Width: 1 << 20}, "width is 1048576"},
	} {
		_, err := backbone.New(c.name, c.config)
		if !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("New(%q, %+v) gives %v, want a usage error that says %q", c.name, c.config, err, c.says)
		}
	}
}
