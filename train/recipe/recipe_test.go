package recipe_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/train/recipe"
)

var host = recipe.Host{Threads: 2, Engine: "gift/1"}

func TestEveryEmbeddedRecipeResolves(t *testing.T) {
	names := recipe.Names()
	for _, must := range []string{"smoke", "quickstart", "cifar10", "cifar100", "stl10", "tiny-imagenet"} {
		if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+must+" ") {
			t.Errorf("recipe %s is missing from %v", must, names)
		}
	}
	for _, name := range names {
		r, err := recipe.Load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if r.Name != name {
			t.Errorf("recipe %s calls itself %s", name, r.Name)
		}
		for field, v := range map[string]string{"claim": r.Claim, "source": r.Source, "hardware": r.Hardware, "measured": r.Measured} {
			if v == "" {
				t.Errorf("recipe %s does not state its %s", name, field)
			}
		}
		if r.Data == "" { // "images": the user's own
			r.Data = "folder:/x"
		}
		if err := r.Resolve(host); err != nil {
			t.Errorf("recipe %s: %v", name, err)
		}
		if w := r.Warnings(); len(w) != 0 {
			t.Errorf("recipe %s warns: %v", name, w)
		}
	}
}

// The paper's settings, Tables 1 and 3 and section 4.
func TestPaperSettings(t *testing.T) {
	for name, want := range map[string]struct {
		tauT, warmup float64
		k, size      int
	}{
		"cifar10":       {0.04, 0, 4096, 32},
		"cifar100":      {0.03, 10, 4096, 32},
		"stl10":         {0.03, 10, 16384, 64},
		"tiny-imagenet": {0.03, 10, 16384, 64},
	} {
		r, err := recipe.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Resolve(host); err != nil {
			t.Fatal(err)
		}
		if r.TauT != want.tauT || r.WarmupNCEEpochs != want.warmup || r.K != want.k || r.ImageSize != want.size ||
			r.TauS != 0.1 || r.M != 0.99 || r.LR() != 0.06 || r.WeightDecay != 5e-4 || r.Epochs != 200 || r.LinearLR != 10 {
			t.Errorf("recipe %s strays from the paper:\n%s", name, r.YAML())
		}
	}
}

// A resolved recipe survives writing and reading: --resume and the stored result rely on
// it.
func TestYAMLRoundTrip(t *testing.T) {
	r, err := recipe.Load("quickstart")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Set("predictor=false", "infonce_warmup_epochs=0", "weight_decay=0", "data=folder:/a b/c: d"); err != nil {
		t.Fatal(err)
	}
	if err := r.Resolve(host); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "resolved.yaml")
	if err := os.WriteFile(path, r.YAML(), 0o644); err != nil {
		t.Fatal(err)
	}
	back, err := recipe.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := back.Resolve(recipe.Host{Threads: 64, Engine: "other/9"}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r, back) {
		t.Errorf("came back changed:\n%s\nwant\n%s", back.YAML(), r.YAML())
	}
}

func TestSet(t *testing.T) {
	r, err := recipe.Load("smoke")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Set("tau_t=0.05", "K=512", "eval=[knn]", "predictor=false", "policy=./my.yaml"); err != nil {
		t.Fatal(err)
	}
	if r.TauT != 0.05 || r.K != 512 || r.Predictor || r.Policy != "./my.yaml" || !reflect.DeepEqual(r.Eval, []string{"knn"}) {
		t.Errorf("set values did not land:\n%s", r.YAML())
	}
}

// An explicit zero is a zero, not the default.
func TestExplicitZeros(t *testing.T) {
	r, err := recipe.Load("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Set("momentum=0", "m=0", "weight_decay=0", "lr_warmup_epochs=0", "infonce_warmup_epochs=0"), r.Resolve(host)); err != nil {
		t.Fatal(err)
	}
	if r.Momentum != 0 || r.M != 0 || r.MEnd != 0 || r.WeightDecay != 0 || r.LRWarmupEpochs != 0 || r.WarmupNCEEpochs != 0 {
		t.Errorf("zeros became defaults:\n%s", r.YAML())
	}
	if err := r.Set("knn_k=[5]", "eval=[linear]"); err != nil || len(r.KNNK) != 1 || len(r.Eval) != 1 {
		t.Errorf("lists are not replaced: %v %v, %v", r.KNNK, r.Eval, err)
	}
}

// TestShortenedRuns: who overrides epochs alone hears what does not follow, and how it would.
func TestShortenedRuns(t *testing.T) {
	for _, c := range []struct {
		recipe string
		set    []string
		says   []string // of the one warning; none: silent
	}{
		{"cifar100", []string{"epochs=4"}, []string{"infonce_warmup_epochs stays 10 and lr_warmup_epochs stays 10", "set infonce_warmup_epochs=0.2 and lr_warmup_epochs=0.2"}},
		{"cifar10", []string{"epochs=4"}, []string{"lr_warmup_epochs stays 10"}}, // has no InfoNCE
		{"cifar100", []string{"epochs=20", "lr_warmup_epochs=1"}, []string{"epochs=20, while infonce_warmup_epochs stays 10;"}},
		{"cifar100", []string{"infonce_warmup_epochs=0.2", "epochs=4", "lr_warmup_epochs=0.2"}, nil},
		{"cifar100", []string{"epochs=100"}, nil}, // a tenth of the run
		{"cifar100", []string{"epochs=400"}, nil},
		{"cifar10-cpu", nil, nil}, // means it
		{"imagenet", []string{"objective=simclr", "policy=simclr", "epochs=10"}, []string{"while lr_warmup_epochs stays 10;"}},
	} {
		r, err := recipe.Load(c.recipe)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.Set(c.set...), r.Resolve(host)); err != nil {
			t.Fatal(err)
		}
		got := r.Warnings()
		if len(got) > 0 != (c.says != nil) {
			t.Errorf("%s %v: warnings %q", c.recipe, c.set, got)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(strings.Join(got, "\n"), s) {
				t.Errorf("%s %v: %q does not say %q", c.recipe, c.set, got, s)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		set  string
		says []string
	}{
		{"tau_x=0.1", []string{"tau_x", "did you mean tau_"}},
		{"bach_size=3", []string{"bach_size", "batch_size"}},
		{"epochs", []string{"epochs", "key=value"}},
		{"epochs=many", []string{"epochs=many"}},
		{"epochs=0x", []string{"epochs"}},
		{"K=64", []string{"K", "64", "batch_size 64"}},
		{"tau_t=0.1", []string{"tau_t", "tau_s"}},
		{"tau_t=-1", []string{"tau_t"}},
		{"m=1.5", []string{"m:", "1.5"}},
		{"batch_size=1", []string{"batch_size", "batch norm"}},
		{"objective=simclrr", []string{"objective", "ressl", "simclr"}},
		{"accumulate=0", []string{"accumulate", "is 0"}},
		{"accumulate=3", []string{"accumulate", "batch_size 64", "divisor"}},
		{"bn_groups=5", []string{"bn_groups", "64 samples", "divisor"}},
		{"bn_groups=64", []string{"bn_groups", "groups of 2"}},
		{"precision=fp16", []string{"precision", "bf16"}},
		{"crops=-1", []string{"crops", "is -1"}},
		{"knn_every=-1", []string{"knn_every"}},
		{"linear_every=-1", []string{"linear_every"}},
		{"stop_on=knn", []string{"stop_on", "knn:SCORES"}},
		{"stop_on=loss:5", []string{"stop_on", "loss:5"}},
		{"stop_on=knn:0", []string{"stop_on", "knn:0"}},
		{"stop_on=knn:2:-1", []string{"stop_on", "knn:2:-1"}},
		{"stop_on=knn:2:nan", []string{"stop_on", "knn:2:nan"}},
		{"stop_on=linear:5", []string{"stop_on", "linear_every is 0", "set linear_every"}},
		{"eval=[svm]", []string{"eval", "svm"}},
		{"on_error=skip", []string{"on_error", "replace"}},
		{"knn_k=[]", []string{"knn_k"}},
		{"data=", []string{"data", "--data"}},
		{"batch_size=64.5", []string{"batch_size", "64.5", "whole number"}},
		{"knn_k=[20, 1.5]", []string{"knn_k", "1.5", "whole number"}},
		{"epochs=0", []string{"epochs", "is 0"}},
		{"tau_t=0", []string{"tau_t", "is 0"}},
		{"weight_decay=.inf", []string{"weight_decay", "finite"}},
		{"mean=[.nan, 0, 0]", []string{"mean", "finite"}},
		{"K=99999999999999999999", []string{"K"}},
	} {
		r, err := recipe.Load("smoke")
		if err != nil {
			t.Fatal(err)
		}
		err = r.Set(tc.set)
		if err == nil {
			err = r.Resolve(host)
		}
		if !errors.Is(err, errs.ErrUsage) {
			t.Errorf("--set %s: got %v, want ErrUsage", tc.set, err)
			continue
		}
		for _, s := range tc.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("--set %s: %q does not say %q", tc.set, err, s)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("--set %s: more than one line: %q", tc.set, err)
		}
	}
	for where, raw := range map[string]string{
		"unknown.yaml":  "name: x\ndata: a\ntau: 0.1\n",
		"type.yaml":     "epochs: [1, 2]\n",
		"broken.yaml":   "epochs: 1\n  batch_size: {",
		"repeated.yaml": "epochs: 1\nepochs: 2\n",
		"two.yaml":      "epochs: 1\n---\nepochs: 2\n",
	} {
		_, err := recipe.Parse(where, []byte(raw))
		if !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), where) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line of ErrUsage that names the file", where, err)
		}
	}
	if _, err := recipe.Load("quikstart"); !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), "quickstart") {
		t.Errorf("unknown recipe: %v", err)
	}
	if _, err := recipe.Load("none.yaml"); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("missing file: %v", err)
	}
}

// Section 4: global batch norm with predictor, shuffled without.
func TestBatchNormGroups(t *testing.T) {
	for _, tc := range []struct {
		set  []string
		want int
	}{
		{nil, 1},
		{[]string{"predictor=false"}, 8},
		{[]string{"predictor=false", "bn_groups=1"}, 1},
		{[]string{"objective=moco-v2"}, 8},
		{[]string{"objective=moco-v2", "accumulate=2"}, 4},
		{[]string{"objective=moco-v2", "batch_size=24"}, 3},
		{[]string{"objective=simsiam", "predictor=false"}, 1},
	} {
		r, err := recipe.Load("smoke")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.Set(tc.set...), r.Resolve(host)); err != nil || r.BNGroups != tc.want {
			t.Errorf("%v: %d groups, %v; want %d", tc.set, r.BNGroups, err, tc.want)
		}
	}
}

// A recipe inherits every value that it does not set, but not the claims.
func TestExtends(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	base := write("base.yaml", "claim: a\ntau_t: 0.05\nK: 512\ndata: \"folder:x\"\n")
	child := write("child.yaml", "extends: base.yaml\nK: 1024\n")
	r, err := recipe.Load(child)
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "child" || r.Claim != "" || r.TauT != 0.05 || r.K != 1024 {
		t.Errorf("child.yaml is\n%s", r.YAML())
	}
	if strings.Contains(string(r.YAML()), "extends") {
		t.Error("the resolved recipe is not flat")
	}
	if r, err = recipe.Load(write("of-embedded.yaml", "extends: cifar10\nepochs: 3\n")); err != nil || r.TauT != 0.04 || r.Epochs != 3 {
		t.Errorf("extending cifar10 gives %v, %+v", err, r)
	}
	for name, text := range map[string]string{
		"which it extends, extends another": "extends: child.yaml\n",
		"there is none of that name":        "extends: cifar11\n",
		"no such file":                      "extends: none.yaml\n",
		"unknown key tau_u":                 "extends: " + base + "\ntau_u: 1\n",
		"unknown key Recipe":                "extends: cifar10\nRecipe: {K: 4}\n",
	} {
		if _, err := recipe.Load(write("wrong.yaml", text)); !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), name) {
			t.Errorf("%q gives %v, want a usage error that says %q", text, err, name)
		}
	}
}

// without leaves out the lines of some keys, each with the list below it.
func without(yaml string, keys ...string) string {
	var out []string
	skipping := false
	for _, line := range strings.Split(yaml, "\n") {
		key, _, _ := strings.Cut(line, ":")
		if !strings.HasPrefix(line, "-") && !strings.HasPrefix(line, " ") {
			skipping = slices.Contains(keys, key)
		}
		if !skipping {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// TestParseResolved: a key that an earlier build's checkpoint lacks gets the value that
// means what that build did.
func TestParseResolved(t *testing.T) {
	r := recipe.Default()
	r.Name, r.Data = "x", "none:"
	if err := r.Resolve(recipe.Host{Threads: 2, Engine: "ref/1"}); err != nil {
		t.Fatal(err)
	}
	now := string(r.YAML())
	for _, c := range []struct {
		name, yaml string
		fused      bool
	}{
		{"of this build", now, true},
		{"turned off", strings.Replace(now, "fused: true\n", "fused: false\n", 1), false},
		{"of a build that had no such key", strings.Replace(now, "fused: true\n", "", 1), false},
		{"of a build that had no other objectives' keys", without(now, "hold_epochs", "tau_t_start", "tau_t_warmup_epochs", "prototypes", "vicreg_weights", "teacher"), true},
		{"of a build that had no MoCHi", without(now, "triplet_ranks", "mochi_hardest", "mochi_mixed", "adco_lr"), true},
	} {
		got, err := recipe.ParseResolved("recipe.yaml", []byte(c.yaml))
		if err != nil {
			t.Fatal(err)
		}
		if got.Fused != c.fused {
			t.Errorf("%s: fused is %v, want %v", c.name, got.Fused, c.fused)
		}
		if changed := got.Changed(&r); (len(changed) == 1) == c.fused {
			t.Errorf("%s: changed since: %v", c.name, changed)
		}
	}
	if _, err := recipe.ParseResolved("recipe.yaml", []byte("batch: [")); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("what is no YAML: %v", err)
	}
}
