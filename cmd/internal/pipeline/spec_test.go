package pipeline_test

import (
	"errors"
	"strings"
	"testing"

	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas/errs"
	"resslt/train/recipe"
)

// TestCheckViews: views that the objective cannot use, or larger than the images.
func TestCheckViews(t *testing.T) {
	for _, c := range []struct {
		set    []string
		format string
		says   string // nothing: sound
	}{
		{nil, "cifar10", ""},
		{[]string{"image_size=33"}, "cifar10", "upscale=true"},
		{[]string{"image_size=33", "upscale=true"}, "cifar10", ""},
		{[]string{"image_size=33"}, "folder", ""},
		{[]string{"policy=imagenet"}, "stl10", "224 pixels wide and the images of stl10 are 96"},
		{[]string{"policy=plain"}, "folder", "policy=small"},
		{[]string{"policy=imagenet-multi", "objective=byol"}, "folder", "policy=byol"},
		{[]string{"crops=2"}, "folder", "crops"},
		{[]string{"crops=2", "policy=small-2crop"}, "folder", ""},
	} {
		r := recipe.Default()
		r.Data = "none:"
		if err := errors.Join(r.Set(c.set...), r.Resolve(recipe.Host{})); err != nil {
			t.Fatal(err)
		}
		p, err := pipeline.Policy(r.Policy, r.ImageSize)
		if err != nil {
			t.Fatal(err)
		}
		err = pipeline.CheckViews(&r, c.format, p.ViewSpecs())
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%v of %s: %v", c.set, c.format, err)
		case c.says != "" && (!errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%v of %s: %v, want a usage error that says %q", c.set, c.format, err, c.says)
		}
	}
}

// A run begins with the version of its engine that decodes its data, and one that names a
// version, as a resumed or replayed run does, has that.
func TestEngineVersions(t *testing.T) {
	manifest := func(format string) *ingest.Manifest {
		return &ingest.Manifest{Format: format, Split: "train", Samples: 1000, Shards: []ingest.Shard{{Name: "a", Samples: 1000}}}
	}
	for _, c := range []struct {
		data, engine, want string
	}{
		{"folder:/d", "", "/2"},
		{"wds:/d", "", "/2"},
		{"parquet:/d", "", "/2"},
		{"food101:/d", "", "/2"},
		{"cifar10:/d", "", "/1"},
		{"fashion-mnist:", "", "/1"},
		{"stl10:/d", "", "/1"},
		{"folder:/d", "ref", "ref/2"},
		{"cifar10:/d", "ref", "ref/1"},
		{"folder:/d", "gift", "gift/2"},
		{"folder:/d", "ref/1", "ref/1"},
		{"cifar10:/d", "ref/2", "ref/2"},
	} {
		r := recipe.Default()
		r.Name, r.Data, r.Upscale = "r", c.data, true
		if c.engine != "" {
			if err := r.Set("engine=" + c.engine); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Resolve(pipeline.Host(cores.Cores{Count: 1}, r.Data)); err != nil {
			t.Fatal(err)
		}
		format, _, _ := strings.Cut(c.data, ":")
		s, err := pipeline.Spec(&r, manifest(format))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(s.Engine, c.want) {
			t.Errorf("%s with engine %q: %s, want %s", c.data, c.engine, s.Engine, c.want)
		}
	}
}

// A recording is replayed by a recipe of its length or of fewer epochs, which are its beginning.
func TestReplaySpec(t *testing.T) {
	of := func(set ...string) *recipe.Recipe {
		r := recipe.Default()
		r.Name, r.Data = "r", "folder:/d"
		if err := errors.Join(r.Set(append([]string{"engine=ref/2", "epochs=20"}, set...)...), r.Resolve(pipeline.Host(cores.Cores{Count: 1}, r.Data))); err != nil {
			t.Fatal(err)
		}
		return &r
	}
	recorded, err := pipeline.Spec(of(), &ingest.Manifest{Format: "folder", Split: "train", Samples: 1000, Shards: []ingest.Shard{{Name: "a", Samples: 1000}}})
	if err != nil {
		t.Fatal(err)
	}
	for set, epochs := range map[string]int64{"epochs=20": 20, "epochs=7": 7, "epochs=21": 0, "seed=9": 0} {
		s, err := pipeline.ReplaySpec(of(set), &recorded)
		switch {
		case epochs == 0 && !errors.Is(err, errs.ErrMismatch):
			t.Errorf("%s gives %v", set, err)
		case epochs > 0 && (err != nil || s.Epochs != epochs || !s.EqualBatches(&recorded)):
			t.Errorf("%s: %d epochs, %v", set, s.Epochs, err)
		}
	}
}
