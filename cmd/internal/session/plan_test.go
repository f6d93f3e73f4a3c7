package session

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"resslt/batcher/record"
	"resslt/cmd/internal/cores"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/recipe"
	"resslt/train/torch/torchtest"
)

// images writes a data set of 40 small images and gives its URI.
func images(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "images", "a")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		m := image.NewRGBA(image.Rect(0, 0, 8, 8))
		m.Set(0, 0, color.RGBA{uint8(i), 1, 2, 255})
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, string(rune('A'+i))+".png"), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return "folder:" + filepath.Dir(dir)
}

// smoke are the options of a small run: 20 steps of 8 images.
func smoke(t *testing.T, data, out string) Options {
	t.Helper()
	o := Options{
		Recipe: "smoke", Data: data, Out: out, Record: "log", Embedded: true, Workers: 1, Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer),
		Set: []string{"batch_size=8", "steps_per_epoch=0", "epochs=4", "K=64"},
	}
	return o
}

// checkpointAt leaves a checkpoint of the run in its folder.
func checkpointAt(t *testing.T, o Options, step int64) {
	t.Helper()
	p, err := MakePlan(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	c := train.Checkpoint{Step: step, RunDigest: p.Spec.Digest(), Spec: &p.Spec, Recipe: string(p.Recipe.YAML()), Torch: "1.0.0"}
	if err := train.SaveCheckpoint(train.CheckpointDir(o.Out), c, nil, 1); err != nil {
		t.Fatal(err)
	}
}

// listing are the files below a folder with their times.
func listing(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		all = append(all, path+" "+info.ModTime().Format(time.RFC3339Nano))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPlan(t *testing.T) {
	torchtest.Require(t)
	data := images(t)
	for name, c := range map[string]struct {
		at      int64 // step of a checkpoint in the folder; 0: none
		refusal bool  // an audit has refused the run in the folder
		ask     func(o *Options)
		from    int64
		work    Work
		trained bool
		err     error
		says    []string // in the error, or in the printed plan
	}{
		"fresh":      {work: Work{20, 160, 160 * 3 * 28 * 28 * 2, 0}, says: []string{"starts at step 0", "this process's workers", "name: smoke"}},
		"start over": {at: 5, work: Work{20, 160, 160 * 3 * 28 * 28 * 2, 0}},
		"resume": {
			at: 5, from: 5, ask: func(o *Options) { o.Resume = true }, work: Work{15, 120, 120 * 3 * 28 * 28 * 2, 0},
			says: []string{"step 5 of 20", "made with libtorch 1.0.0"},
		},
		"resume what is not there": {
			ask: func(o *Options) { o.Resume = true }, work: Work{20, 160, 160 * 3 * 28 * 28 * 2, 0},
			says: []string{"no checkpoint in", "starting at step 0", "starts at step 0"},
		},
		"trained": {at: 20, from: 20, trained: true, ask: func(o *Options) { o.Resume = true }, says: []string{"the evaluation"}},
		"another trainer": {
			at: 5, from: 5, ask: func(o *Options) { o.Resume, o.Set = true, append(o.Set, "tau_t=0.05") }, work: Work{15, 120, 120 * 3 * 28 * 28 * 2, 0},
			says: []string{"changed since the checkpoint", "tau_t is 0.05, the run has 0.04"},
		},
		"other batches": {
			at: 5, ask: func(o *Options) { o.Resume, o.Set = true, append(o.Set, "seed=9", "batch_size=4", "K=32") }, err: errs.ErrMismatch,
			says: []string{"batch_size is 4, the run has 8; seed is 9, the run has 1; K is 32, the run has 64 ("},
		},
		"another image size": {
			at: 5, ask: func(o *Options) { o.Resume, o.Set = true, append(o.Set, "image_size=16") }, err: errs.ErrMismatch,
			says: []string{"mismatch: image_size is 16, the run has 28 ("},
		},
		"another network": {
			at: 5, ask: func(o *Options) { o.Resume, o.Set = true, append(o.Set, "width=16", "predictor=false") }, err: errs.ErrMismatch,
			says: []string{"width is 16, the run has", "predictor is false, the run has true"},
		},
		"longer": {
			at: 10, from: 10, ask: func(o *Options) { o.Resume, o.Set = true, append(o.Set, "epochs=6") }, work: Work{20, 160, 160 * 3 * 28 * 28 * 2, 0},
			says: []string{"step 10 of 30", "of 6 epochs, it was planned for 4: from step 10 on", "replanned:\n- \"10:4\"\n"},
		},
		"longer, after the end": {
			at: 20, from: 20, ask: func(o *Options) { o.Resume, o.Set = true, append(o.Set, "epochs=6") }, work: Work{10, 80, 80 * 3 * 28 * 28 * 2, 0},
			says: []string{"step 20 of 30"},
		},
		"shorter": {
			at: 10, from: 10, ask: func(o *Options) { o.Resume, o.Set = true, append(o.Set, "epochs=3") }, work: Work{5, 40, 40 * 3 * 28 * 28 * 2, 0},
			says: []string{"step 10 of 15", "of 3 epochs, it was planned for 4"},
		},
		"shorter than it is": {
			at: 10, ask: func(o *Options) { o.Resume, o.Set = true, append(o.Set, "epochs=1") }, err: errs.ErrUsage,
			says: []string{"epochs is 1, and 10 steps are trained, 2 epochs"},
		},
		"longer and of another seed": {
			at: 10, ask: func(o *Options) { o.Resume, o.Set = true, append(o.Set, "epochs=6", "seed=9") }, err: errs.ErrMismatch,
			says: []string{"mismatch: seed is 9, the run has 1 ("},
		},
		"another recipe": {
			at: 5, ask: func(o *Options) { o.Resume, o.RecipeGiven, o.Recipe = true, true, "quickstart" }, err: errs.ErrUsage,
			says: []string{"a run of recipe smoke, not quickstart"},
		},
		"pixels":               {ask: func(o *Options) { o.Record = "pixels:4-9" }, work: Work{20, 160, 160 * 3 * 28 * 28 * 2, 48 * 3 * 28 * 28 * 2}, says: []string{"pixels of steps 4 to 9"}},
		"pixels that are over": {at: 10, from: 10, ask: func(o *Options) { o.Resume, o.Record = true, "pixels:4-9" }, work: Work{10, 80, 80 * 3 * 28 * 28 * 2, 0}},
		"no such window":       {ask: func(o *Options) { o.Record = "pixels:9-4" }, err: errs.ErrUsage},
		"no such record":       {ask: func(o *Options) { o.Record = "tape" }, err: errs.ErrUsage},
		"stream of one's own":  {ask: func(o *Options) { o.Record = "stream" }, err: errs.ErrUsage, says: []string{"--record pixels"}},
		"no workers":           {ask: func(o *Options) { o.Workers = -1 }, err: errs.ErrUsage},
		"no such recipe":       {ask: func(o *Options) { o.Recipe = "smok" }, err: errs.ErrUsage, says: []string{"smoke"}},
		"no such key":          {ask: func(o *Options) { o.Set = []string{"epoch=1"} }, err: errs.ErrUsage, says: []string{"epochs"}},
		"no such data":         {ask: func(o *Options) { o.Data += "/none" }, err: errs.ErrNotFound},
		"farm": {
			ask: func(o *Options) { o.Embedded, o.Record = false, "stream" }, work: Work{20, 160, 160 * 3 * 28 * 28 * 2, 0},
			says: []string{"run smoke from the farm", "log, stream"},
		},
		"farm under a name":    {ask: func(o *Options) { o.Embedded, o.Run = false, "first" }, work: Work{20, 160, 160 * 3 * 28 * 28 * 2, 0}, says: []string{"run first"}},
		"refused":              {at: 5, refusal: true, ask: func(o *Options) { o.Resume = true }, err: errs.ErrDeterminism, says: []string{"crooked", "--fresh"}},
		"refused in a farm":    {refusal: true, ask: func(o *Options) { o.Embedded = false }, err: errs.ErrDeterminism},
		"refused, begun again": {refusal: true, work: Work{20, 160, 160 * 3 * 28 * 28 * 2, 0}},
		"refused, fresh":       {refusal: true, ask: func(o *Options) { o.Embedded, o.Fresh = false, true }, work: Work{20, 160, 160 * 3 * 28 * 28 * 2, 0}},
		"audit of less":        {ask: func(o *Options) { o.Audit = -1 }, err: errs.ErrUsage},
		"no such replay":       {ask: func(o *Options) { o.Replay = "tape:x" }, err: errs.ErrUsage, says: []string{"stream:RUN"}},
		"nothing to replay":    {ask: func(o *Options) { o.Replay = "pixels:" + t.TempDir() }, err: errs.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			o := smoke(t, data, filepath.Join(t.TempDir(), "out"))
			if c.at > 0 {
				checkpointAt(t, o, c.at)
			}
			if c.refusal {
				if err := errors.Join(os.MkdirAll(o.Out, 0o755), os.WriteFile(filepath.Join(o.Out, refusalFile), []byte("chunk 3 is crooked\n"), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			if c.ask != nil {
				c.ask(&o)
			}
			before := listing(t, filepath.Dir(o.Out))
			p, err := MakePlan(t.Context(), o)
			var text bytes.Buffer
			switch {
			case c.err != nil:
				if !errors.Is(err, c.err) {
					t.Fatalf("error %v, want %v", err, c.err)
				}
				text.WriteString(err.Error())
			case err != nil:
				t.Fatal(err)
			default:
				if p.From() != c.from || p.Trained() != c.trained || p.Work() != c.work {
					t.Errorf("from %d, trained %v, work %+v; want %d, %v, %+v", p.From(), p.Trained(), p.Work(), c.from, c.trained, c.work)
				}
				if err := p.Print(&text); err != nil {
					t.Fatal(err)
				}
			}
			for _, says := range c.says {
				if !strings.Contains(text.String(), says) {
					t.Errorf("no %q in %.600s", says, text.String())
				}
			}
			if after := listing(t, filepath.Dir(o.Out)); !slices.Equal(before, after) {
				t.Errorf("the plan touched the folder: %q, before %q", after, before)
			}
		})
	}
}

// TestPlanSharesCores: workers leave a trainer on a GPU cores; who asks for more gets them,
// and is told.
func TestPlanSharesCores(t *testing.T) {
	for _, c := range []struct {
		device             string
		cores, asked, have int
		warns              bool
	}{
		{device: "cpu", cores: 8, asked: 0, have: 8},
		{device: "cpu", cores: 8, asked: 16, have: 16},
		{device: "cuda", cores: 16, asked: 0, have: 14},
		{device: "cuda:1", cores: 16, asked: 14, have: 14},
		{device: "cuda", cores: 16, asked: 16, have: 16, warns: true},
		{device: "cuda", cores: 2, asked: 0, have: 1},
		{device: "cuda", cores: 1, asked: 1, have: 1},
	} {
		r := recipe.Default()
		r.Device = c.device
		p := &Plan{Recipe: &r}
		p.shareCores(c.asked, cores.Cores{Count: c.cores})
		if p.Workers != c.have || (len(p.LocalWarnings) > 0) != c.warns {
			t.Errorf("%+v: %d workers, %q", c, p.Workers, p.LocalWarnings)
		}
	}
}

func TestPlanKeepsTheWindow(t *testing.T) {
	p := &Plan{}
	p.Spec.Epochs, p.Spec.StepsPerEpoch = 2, 10
	if err := p.parseRecord("pixels"); err != nil || p.Pixels != (record.Window{To: 20}) || p.Stream {
		t.Errorf("%+v, %v", p, err)
	}
}
