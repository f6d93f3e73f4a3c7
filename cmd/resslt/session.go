package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"resslt/batcher"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/train"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// sessionFlags are the flags that `run` and `train` share.
type sessionFlags struct {
	recipe, data, out string
	set               []string
	resume, json      bool
}

func (f *sessionFlags) register(c *cobra.Command) {
	p := c.Flags()
	p.StringVar(&f.recipe, "recipe", "quickstart", "embedded recipe or a YAML `file`")
	p.StringVar(&f.data, "data", "", "data `URI` in place of the recipe's: "+schemeList())
	p.StringArrayVar(&f.set, "set", nil, "override a recipe field, `key=value`; may be repeated")
	p.StringVar(&f.out, "out", "", "`folder` for checkpoints, weights and summary.json (default runs/RECIPE)")
	p.BoolVar(&f.resume, "resume", false, "go on from the newest checkpoint in --out")
	p.BoolVar(&f.json, "json", false, "print the summary as one JSON object, the last line of standard output")
}

func schemeList() string {
	var forms []string
	for _, s := range ingest.Schemes() {
		forms = append(forms, s.Form)
	}
	return strings.Join(forms, ", ")
}

// session is one run's trainer: everything but who makes the batches.
type session struct {
	sessionFlags
	stdout, stderr io.Writer
	began          time.Time
	recipe         *recipe.Recipe
	resume         *train.Checkpoint
	spec           schemas.RunSpec
}

// openSession resolves the recipe, finds the checkpoint to resume from, indexes
// the data and makes the run spec. It fails before anything is started.
func openSession(ctx context.Context, c *cobra.Command, f sessionFlags) (*session, error) {
	s := &session{sessionFlags: f, stdout: c.OutOrStdout(), stderr: c.ErrOrStderr(), began: time.Now()}
	r, err := recipe.Load(f.recipe)
	if err != nil {
		return nil, err
	}
	if s.out == "" {
		s.out = filepath.Join("runs", r.Name)
	}
	if f.resume {
		if r, err = s.findCheckpoint(r.Name, c.Flags().Changed("recipe")); err != nil {
			return nil, err
		}
	}
	if err := override(r, f.data, f.set); err != nil {
		return nil, err
	}
	s.recipe = r
	if err := torch.Open(""); err != nil {
		return nil, err
	}
	src, err := ingest.Open(ctx, r.Data, ingest.Options{Split: r.Split, Progress: cli.Progress(s.stderr, "indexing")})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if s.spec, err = pipeline.Spec(r, src.Manifest()); err != nil {
		return nil, err
	}
	if s.resume != nil && s.resume.RunDigest != s.spec.Digest() {
		return nil, schemas.E("resume from", s.out, "resume with the recipe, data and engine of the run, or start over without --resume",
			schemas.Because(schemas.ErrMismatch, fmt.Sprintf("its batches are of run %.12s, these settings make run %.12s", s.resume.RunDigest, s.spec.Digest())))
	}
	if s.resume == nil {
		if err := s.setAside(); err != nil {
			return nil, err
		}
	}
	return s, s.writeRecipe()
}

// findCheckpoint finds the newest checkpoint and gives the recipe that it was
// made with, which is the one that counts.
func (s *session) findCheckpoint(name string, named bool) (*recipe.Recipe, error) {
	c, damaged, err := train.LatestCheckpoint(train.CheckpointDir(s.out))
	if err != nil {
		return nil, err
	}
	for _, d := range damaged {
		fmt.Fprintln(s.stderr, "passing over: "+cli.Line(d))
	}
	s.resume = c
	r, err := recipe.Parse(filepath.Join(s.out, "recipe.yaml"), []byte(c.Recipe))
	if err != nil {
		return nil, err
	}
	if named && r.Name != name {
		return nil, schemas.E("resume from", s.out, "name the run's own recipe or another --out",
			schemas.Because(schemas.ErrUsage, fmt.Sprintf("it is a run of recipe %s, not %s", r.Name, name)))
	}
	return r, nil
}

// runFiles are what a run leaves in its folder.
var runFiles = []string{"checkpoints", "metrics.jsonl", "recipe.yaml", "summary.json", "encoder.safetensors"}

// setAside moves an earlier run's files into previous-N, so that starting over
// loses nothing.
func (s *session) setAside() error {
	fail := func(err error) error {
		return schemas.E("use folder", s.out, "choose another --out", schemas.BecauseErr(schemas.ErrUnavailable, err))
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return fail(err)
	}
	to := ""
	for _, name := range runFiles {
		from := filepath.Join(s.out, name)
		if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for n := 1; to == ""; n++ {
			try := filepath.Join(s.out, "previous-"+strconv.Itoa(n))
			switch err := os.Mkdir(try, 0o755); {
			case err == nil:
				to = try
			case !errors.Is(err, fs.ErrExist):
				return fail(err)
			}
		}
		if err := os.Rename(from, filepath.Join(to, name)); err != nil {
			return fail(err)
		}
	}
	if to != "" {
		fmt.Fprintln(s.stderr, "an earlier run's files are now in "+to)
	}
	return nil
}

// writeRecipe prints the resolved recipe and keeps it with the result.
func (s *session) writeRecipe() error {
	y := s.recipe.YAML()
	fmt.Fprintf(s.stderr, "%s", y)
	for _, w := range s.recipe.Warnings() {
		fmt.Fprintln(s.stderr, "warning: "+w)
	}
	path := filepath.Join(s.out, "recipe.yaml")
	if err := os.WriteFile(path, y, 0o644); err != nil {
		return schemas.E("write", path, "choose another --out", schemas.BecauseErr(schemas.ErrUnavailable, err))
	}
	return nil
}

// open creates the run in the broker, or joins the one of equal spec.
func (s *session) open(ctx context.Context, js jetstream.JetStream, name string) (*batcher.Run, error) {
	return batcher.OpenRun(ctx, js, name, s.spec, batcher.RunOptions{DataURI: s.recipe.Data})
}

// patienceFor is how long a trainer waits for its first batch before it says so.
const patienceFor = 10 * time.Second

// train consumes the run's batches to the last step, whatever makes them.
func (s *session) train(ctx context.Context, run *batcher.Run, trainer string) (res *train.Result, err error) {
	order, err := pipeline.Order(&s.spec)
	if err != nil {
		return nil, err
	}
	from := int64(0)
	if s.resume != nil {
		from = s.resume.Step
		fmt.Fprintf(s.stderr, "resuming at step %d of %d\n", from, s.spec.Steps())
	}
	stream, err := batcher.OpenStream(ctx, run, order, batcher.StreamOptions{From: from, Trainer: trainer})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	p := newProgress(s.stderr, s.spec.Steps(), from)
	defer p.finish()
	hungry := time.AfterFunc(patienceFor, func() {
		fmt.Fprintf(s.stderr, "waiting for the first batch of run %s: is an augmentd running that can reach %s?\n", run.Name, s.recipe.Data)
	})
	defer hungry.Stop()
	res, err = train.Run(ctx, train.Options{
		Recipe: s.recipe, Spec: &s.spec, Stream: stream, Out: s.out, Resume: s.resume,
		Observe: func(g train.Progress) { hungry.Stop(); p.observe(g) },
	})
	if err != nil {
		return nil, err
	}
	st := stream.Stats()
	res.Summary.ChunksPublished, res.Summary.ChunksTombstoned, res.Summary.DigestMismatches = st.Chunks, st.Tombstoned, st.DigestMismatches
	return res, nil
}

// conclude writes the encoder, evaluates, and writes and prints the summary. The
// transport's counters are the caller's.
func (s *session) conclude(ctx context.Context, res *train.Result) error {
	defer res.Learner.Free()
	size := s.spec.Views[0].Size
	for _, v := range s.spec.Views {
		if v.Role == schemas.Teacher {
			size = v.Size // the whole picture's scale, where crops are smaller
		}
	}
	info := train.InfoOf(s.recipe, size)
	if err := train.SaveEncoder(filepath.Join(s.out, "encoder.safetensors"), res.Learner.Student().Backbone, info); err != nil {
		return err
	}
	sum := &res.Summary
	if s.recipe.Evaluates("knn") || s.recipe.Evaluates("linear") {
		if err := s.evaluate(ctx, res, info); err != nil {
			return err
		}
	}
	sum.WallSeconds = time.Since(s.began).Seconds()
	sum.PeakRSSBytes = peakRSS()
	if err := sum.Write(filepath.Join(s.out, "summary.json")); err != nil {
		return err
	}
	printSummary(s.stdout, s.out, sum)
	if s.json {
		return json.NewEncoder(s.stdout).Encode(sum)
	}
	return nil
}

// evaluate probes the trained and the initial encoder.
func (s *session) evaluate(ctx context.Context, res *train.Result, info train.EncoderInfo) error {
	r := s.recipe
	images := func(split string) train.ImageSource {
		return func(ctx context.Context) (train.Images, error) {
			return openEvalImages(ctx, r.Data, split, info, r.EvalImages)
		}
	}
	if err := s.canEvaluate(ctx, r.EvalSplit); err != nil {
		// A folder of one's own has no test split, and training it is no less done.
		fmt.Fprintln(s.stderr, "not evaluated: "+cli.Line(err))
		return nil
	}
	fmt.Fprintln(s.stderr, "evaluating the trained encoder")
	trained, err := train.Probe(ctx, r, res.Learner.Student().Backbone, images(r.ProbeSplit), images(r.EvalSplit))
	if err != nil {
		return err
	}
	fmt.Fprintln(s.stderr, "evaluating the untrained encoder")
	untrained, err := train.Untrained(ctx, r, images(r.ProbeSplit), images(r.EvalSplit))
	if err != nil {
		return err
	}
	res.Summary.Add(r, trained, untrained)
	return nil
}

// canEvaluate says why the split cannot be scored on: it is missing or unlabelled.
func (s *session) canEvaluate(ctx context.Context, split string) error {
	src, err := ingest.Open(ctx, s.recipe.Data, ingest.Options{Split: split})
	if err != nil {
		return err
	}
	defer src.Close()
	if len(src.Manifest().Classes) == 0 {
		return schemas.E("evaluate", s.recipe.Data+" "+split, "give labelled images or set eval=[none]",
			schemas.Because(schemas.ErrUnsupported, "it has no labels"))
	}
	return nil
}

// openEvalImages opens un-augmented images for a probe, which passes over the
// ones that cannot be decoded.
func openEvalImages(ctx context.Context, uri, split string, info train.EncoderInfo, most int) (*pipeline.Images, error) {
	o := evalImageOptions(info, most)
	o.SkipBad = true
	return pipeline.OpenImages(ctx, uri, ingest.Options{Split: split}, o)
}

// evalImageOptions are how an encoder wants its images.
func evalImageOptions(info train.EncoderInfo, most int) pipeline.ImageOptions {
	fraction := 1.0 // section 4: the centre crop; of small square images that is all of it
	if info.Stem == "imagenet" {
		fraction = 0.875 // 224 of 256, as everybody has it
	}
	return pipeline.ImageOptions{Size: info.ImageSize, Fraction: fraction, Max: most, Workers: runtime.NumCPU()}
}

func printSummary(w io.Writer, out string, s *train.Summary) {
	fmt.Fprintf(w, "%s: %d steps of %d images, final loss %.4f, %.0f images/s, %.1f %% of it waiting, %.0f s\n",
		s.Recipe, s.Steps, s.BatchSize, s.FinalLoss, s.ImagesPerSecond, 100*s.DataWaitFraction, s.TrainSeconds)
	if s.Trained != nil {
		fmt.Fprintf(w, "%-16s %9s %9s\n", "top-1, %", "untrained", "trained")
		row := func(name string, before, after *float64) {
			if before != nil && after != nil {
				fmt.Fprintf(w, "%-16s %9.2f %9.2f\n", name, *before, *after)
			}
		}
		for _, k := range sortedKeys(s.Trained.KNN) {
			b, a := s.Untrained.KNN[k], s.Trained.KNN[k]
			row("kNN "+k, &b, &a)
		}
		row("linear", s.Untrained.LinearTop1, s.Trained.LinearTop1)
	}
	fmt.Fprintf(w, "student %s\nsummary %s\n", s.StudentSHA256, filepath.Join(out, "summary.json"))
}

// peakRSS is the process's largest resident size in bytes.
func peakRSS() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Maxrss << 10 // Linux counts KiB
}
