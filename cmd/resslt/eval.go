package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/cmd/internal/session"
	"resslt/ingest"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/eval"
)

func newEvalCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "eval", Short: "score an encoder by the paper's protocols, and show what it has learned",
		Long: `eval takes features of a labelled data set by any encoder and scores them. All
verbs take the same flags. --cache keeps features in a folder, where the next
verb finds them; the result is printed, with the paper's figure where there is one,
and kept in eval.json in the checkpoint's folder.`,
	}
	c.AddCommand(newKNNCommand(), newLinearCommand(), newSemiCommand(), newTransferCommand(), newLowShotCommand(),
		newNeighboursCommand(), newTSNECommand())
	return c
}

// evalFlags are what every verb of resslt eval takes.
type evalFlags struct {
	encoderFlags
	data, split, evalSplit string
	features, evalFeatures string
	most                   int
	holdOut                int
	holdsOut               bool // the verb has --hold-out
	cache, out             string
	json                   bool
}

func (f *evalFlags) register(c *cobra.Command) {
	f.encoderFlags.register(c)
	p := c.Flags()
	p.BoolVar(&f.untrained, "untrained", false, "initial weights in place of the checkpoint's, drawn by --seed: the score that training has to beat")
	p.Uint64Var(&f.seed, "seed", 1, "of everything that is drawn: splits, classifiers' weights, orders")
	f.split, f.evalSplit = "train", "test"
	data := cli.RegisterData(p, &f.data, "data `URI`: "+schemeList())
	data.RegisterSplit(p, "split", "labelled split to fit on", &f.split)
	data.RegisterSplit(p, "eval-split", "split to score on", &f.evalSplit)
	p.StringVar(&f.features, "features", "", "`file` of features to fit on, as --cache leaves them, in place of checkpoint and data")
	p.StringVar(&f.evalFeatures, "eval-features", "", "`file` of features to score on")
	p.IntVar(&f.most, "max-images", 0, "at most so many images of each split, evenly spread (0: all)")
	p.StringVar(&f.cache, "cache", "", "`folder` in which features are kept and found again")
	p.StringVar(&f.out, "out", "", "`folder` for eval.json and pictures (default that of the checkpoint; - for none)")
	p.BoolVar(&f.json, "json", false, "print the result as one JSON object")
}

// registerHoldOut adds --hold-out to a verb that fits on one split and scores on one.
func (f *evalFlags) registerHoldOut(c *cobra.Command) {
	f.holdsOut = true
	c.Flags().IntVar(&f.holdOut, "hold-out", 0, "score on every `N`-th image of --split and fit on the others, where the data has no split to score on (0: score on --eval-split)")
}

// evaluation is one verb's work: its encoder, its data, its result.
type evaluation struct {
	*evalFlags
	stdout, stderr io.Writer
	enc            encoder // without backbone where features are given
	resultBuilder
	classes classNames
	began   time.Time
	forward time.Duration // spent on features that are kept
}

// resultBuilder collects a verb's result.
type resultBuilder struct {
	result eval.Result
	unlike []string // what differs from the paper's protocol
}

// unlessDefault notes which of the flags that belong to a protocol the user has changed: no
// figure of the paper may stand beside what comes of it.
func (o *resultBuilder) unlessDefault(c *cobra.Command, flags ...string) {
	for _, name := range append([]string{"max-images", "crop"}, flags...) {
		if f := c.Flags().Lookup(name); f.Changed {
			o.unlike = append(o.unlike, "--"+name+" "+f.Value.String())
		}
	}
}

// open checks the flags and loads the encoder.
func (f *evalFlags) open(c *cobra.Command, protocol string) (*evaluation, error) {
	e := &evaluation{evalFlags: f, stdout: c.OutOrStdout(), stderr: c.ErrOrStderr(), began: time.Now()}
	e.result = eval.Result{Protocol: protocol, Settings: map[string]any{"seed": f.seed}, Scores: []eval.Score{}}
	if f.features != "" || f.evalFeatures != "" {
		if f.features == "" {
			return nil, errs.New("", c.CommandPath(), "give --features FILE too", errs.Because(errs.ErrUsage, "--eval-features alone"))
		}
		if f.out == "" {
			f.out = "-"
		}
		if err := f.checkOut(protocol); err != nil {
			return nil, err
		}
		e.result.Data = "features"
		r, dev, err := f.openTorch(c)
		e.enc.device = dev
		e.result.Settings["threads"] = r.Threads
		return e, err
	}
	if f.data == "" {
		return nil, errs.New("", c.CommandPath(), "give --data "+schemeList(), errs.Because(errs.ErrUsage, "no --data"))
	}
	if f.out == "" {
		f.out = "-"
		if f.checkpoint != "" {
			f.out = folderOf(f.checkpoint)
		}
	}
	if err := f.checkOut(protocol); err != nil {
		return nil, err
	}
	var err error
	if e.enc, err = f.load(c); err != nil {
		return nil, err
	}
	digest, err := e.enc.digest()
	if err != nil {
		return nil, err
	}
	info := e.enc.info
	e.result.Encoder = eval.Encoder{
		Backbone: info.Backbone, Width: info.Width, Stem: info.Stem, ImageSize: info.ImageSize,
		FeatureDim: int(e.enc.FeatureDim()), SHA256: digest, Untrained: f.untrained,
		Recipe: info.Recipe, Objective: info.Objective, Epochs: info.Epochs,
	}
	if f.checkpoint != "" && !f.untrained {
		e.result.Encoder.File = relative(f.out, f.checkpoint)
	}
	e.result.Data, _, _ = strings.Cut(f.data, ":")
	return e, nil
}

// pictures are the files that protocols write besides eval.json.
var pictures = map[string][]string{"tsne": {"tsne.png", "tsne.html"}, "neighbours": {"neighbours.png"}}

// checkOut finds what is in the place of a file that a protocol will write, before the work.
func (f *evalFlags) checkOut(protocol string) error {
	dir, names := f.out, append([]string{eval.ReportFile}, pictures[protocol]...)
	if dir == "-" { // pictures go to the current folder
		dir, names = ".", pictures[protocol]
	}
	if err := durable.CheckIn(dir, names...); err != nil || f.cache == "" {
		return err
	}
	return durable.CheckIn(f.cache)
}

// folderOf is the run's folder: a checkpoint is in a subfolder of it.
func folderOf(checkpoint string) string {
	if info, err := os.Stat(checkpoint); err == nil && info.IsDir() {
		return checkpoint
	}
	dir := filepath.Dir(checkpoint)
	if up := filepath.Dir(dir); train.CheckpointDir(up) == dir {
		return up
	}
	return dir
}

// relative is path relative to a folder, or as it is where there is none.
func relative(folder, path string) string {
	if rel, err := filepath.Rel(folder, path); err == nil && folder != "-" {
		return filepath.ToSlash(rel)
	}
	return path
}

// role is what a split is for, in the result.
type role string

const (
	fitOn    role = "fit"
	chooseOn role = "validate"
	scoreOn  role = "score"
)

// set gives the features of a split, from the files given, the cache, or the encoder.
func (e *evaluation) set(ctx context.Context, as role, split string) (*eval.Set, error) {
	file := map[role]string{fitOn: e.features, scoreOn: e.evalFeatures}[as]
	switch {
	case file != "":
		s, err := eval.Read(file, e.enc.device)
		if err != nil {
			return nil, err
		}
		e.note(as, filepath.Base(file), s, "")
		e.result.Encoder.FeatureDim = s.Dim
		return s, nil
	case e.enc.Backbone == nil:
		return nil, errs.New("evaluate", string(as), "give --eval-features FILE too", errs.Because(errs.ErrUsage, "there are no features of split "+split))
	}
	hold := pipeline.HoldOut{Every: e.holdOut, Held: as == scoreOn}
	images, err := session.OpenEvalImages(ctx, e.data, split, e.enc.info, e.enc.view, e.most, hold)
	if err != nil {
		return nil, e.withoutSplit(ctx, split, err)
	}
	defer images.Close()
	m := images.Manifest()
	if e.classes == nil {
		e.classes = images.Classes()
	}
	kept := e.keptFeatures(m, hold)
	s, err := kept.read(e.enc.device, e.result.Encoder.FeatureDim)
	if err != nil {
		return nil, err
	}
	if s == nil {
		began := time.Now()
		o := e.enc.options()
		o.Progress = e.progress("features of "+split, images.Len())
		if s, err = eval.Features(ctx, e.enc, images, o); err != nil {
			return nil, err
		}
		e.forward += time.Since(began)
		if err := kept.write(s); err != nil { // kept or not, they are good
			cli.Warn(cli.Line(err))
		}
	}
	e.note(as, images.Part(), s, m.Digest())
	e.noteReading(images)
	if as == fitOn {
		e.result.Data = eval.DataName(e.result.Data, m.Samples, len(images.Classes()))
	}
	return s, nil
}

// note adds a split of which features were taken.
func (o *resultBuilder) note(as role, split string, s *eval.Set, digest string) {
	o.result.Splits = append(o.result.Splits, eval.Split{Role: string(as), Name: split, Images: s.Len(), Digest: digest})
}

// noteReading adds to the newest split what its reader passed over and skipped, and prints it.
func (e *evaluation) noteReading(images *pipeline.Images) {
	s := &e.result.Splits[len(e.result.Splits)-1]
	s.PassedOver = images.Survey()
	s.SkippedAll = images.Skipped
	for _, b := range images.Bad[:min(len(images.Bad), train.MaxReplaced)] {
		s.Skipped = append(s.Skipped, eval.Skipped{Sample: b.ID, Key: b.Key, Reason: b.Reason()})
	}
	fmt.Fprintln(e.stderr, images.Opened())
	if line := images.SkippedLine(); line != "" {
		fmt.Fprintln(e.stderr, "warning: skipped: "+line)
	}
}

// pair gives the features to fit on and to score on. Like the weights they live as long as
// the process.
func (e *evaluation) pair(ctx context.Context) (fit, score *eval.Set, err error) {
	if e.holdOut == 1 {
		return nil, nil, errs.New("", "--hold-out 1", "give 2 or more: 5 holds out a fifth", errs.Because(errs.ErrUsage, "nothing is left to fit on"))
	}
	evalSplit := e.evalSplit
	if e.holdOut > 0 {
		evalSplit = e.split
		e.unlike = append(e.unlike, fmt.Sprintf("--hold-out %d", e.holdOut))
	}
	if e.enc.Backbone != nil {
		// A missing split is found before the other's features are taken.
		src, err := e.openData(ctx, evalSplit)
		if err != nil {
			return nil, nil, e.withoutSplit(ctx, evalSplit, err)
		}
		if err := src.Close(); err != nil {
			return nil, nil, err
		}
	}
	if fit, err = e.set(ctx, fitOn, e.split); err != nil {
		return nil, nil, err
	}
	if score, err = e.set(ctx, scoreOn, evalSplit); err != nil {
		fit.Free()
		return nil, nil, err
	}
	return fit, score, nil
}

// withoutSplit adds to an error of the split to score on how to do without it, where the data
// has the split to fit on.
func (e *evaluation) withoutSplit(ctx context.Context, split string, err error) error {
	if split != e.evalSplit || split == e.split || !errors.Is(err, errs.ErrNotFound) {
		return err
	}
	src, other := e.openData(ctx, e.split)
	if other != nil {
		return err
	}
	_ = src.Close()
	hint := "give --eval-split NAME=FOLDER, the folder of the images to score on"
	if e.holdsOut {
		hint = fmt.Sprintf("give --hold-out 5 to score on a fifth of split %s, or --eval-split NAME=FOLDER, the folder of the images to score on", e.split)
	}
	return errs.New("", "", hint, errs.Unhinted(err))
}

// progress prints how much of something is done, every few seconds.
func (e *evaluation) progress(what string, of int64) func(done int) {
	line := cli.Periodically(e.stderr)
	return func(done int) { line("%s: %d of %d", what, done, of) }
}

func (e *evaluation) epochs(what string) func(epoch, epochs int) {
	var report func(int)
	return func(epoch, epochs int) {
		if report == nil {
			report = e.progress(what+", epoch", int64(epochs))
		}
		report(epoch)
	}
}

// score adds a figure to the result, with the paper's where it has one by the same protocol.
func (o *resultBuilder) score(name, label string, value float64) *eval.Score {
	r := &o.result
	paper := eval.PaperFigure(r.Protocol, r.Data, r.Encoder, name)
	if paper != nil && len(o.unlike) > 0 {
		paper, r.Unlike = nil, strings.Join(o.unlike, ", ")
	}
	r.Scores = append(r.Scores, eval.Score{Name: name, Label: label, Value: value, Paper: paper})
	return &r.Scores[len(r.Scores)-1]
}

// finish keeps the result and prints it.
func (e *evaluation) finish() error {
	e.result.Time = time.Now().UTC().Format(time.RFC3339)
	e.result.Seconds = (time.Since(e.began) - e.forward).Seconds()
	if e.out != "-" {
		if err := os.MkdirAll(e.out, 0o755); err != nil {
			return errs.New("make", e.out, "give a folder that can be written, or --out -", errs.BecauseErr(errs.ErrUnavailable, err))
		}
		if err := eval.Append(e.out, e.result); err != nil {
			return err
		}
	}
	if e.json {
		return json.NewEncoder(e.stdout).Encode(e.result)
	}
	return printResult(e.stdout, &e.result)
}

func printResult(w io.Writer, r *eval.Result) error {
	who := r.Encoder.Backbone
	if who == "" {
		who = "features from a file"
	} else if r.Encoder.Width != 64 {
		who += fmt.Sprintf(", width %d", r.Encoder.Width)
	}
	if r.Encoder.Untrained {
		who += ", untrained"
	}
	fmt.Fprintf(w, "%s on %s: %s, %d features\n", r.Protocol, r.Data, who, r.Encoder.FeatureDim)
	for _, s := range r.Splits {
		fmt.Fprintf(w, "  %-8s %s, %d images\n", s.Role, s.Name, s.Images)
	}
	for _, s := range r.Scores {
		fmt.Fprintf(w, "%-28s %8.2f", s.Label, s.Value)
		if s.Std != nil {
			fmt.Fprintf(w, " ± %.2f", *s.Std)
		}
		if s.Paper != nil {
			fmt.Fprintf(w, "   paper %.2f (%s)", s.Paper.Value, s.Paper.Source)
		}
		fmt.Fprintln(w)
	}
	if r.Unlike != "" {
		fmt.Fprintf(w, "the paper's figure is by another protocol; here: %s\n", r.Unlike)
	}
	for _, p := range r.Pictures {
		fmt.Fprintf(w, "picture %s\n", p)
	}
	_, err := fmt.Fprintf(w, "%.1f s\n", r.Seconds)
	return err
}

// hasVal are the data sets that come with a validation split.
func hasVal(scheme string) bool {
	switch scheme {
	case "dtd", "flowers", "aircraft", "voc2007":
		return true
	}
	return false
}

// dataTitle is the data set's name in a picture, of a folder its own name.
func (e *evaluation) dataTitle() string {
	if scheme, place, _ := strings.Cut(e.data, ":"); scheme == "folder" {
		dir, _ := ingest.CutParameters(place)
		return filepath.Base(dir)
	}
	return e.result.Data
}

// openData opens a split of the data set for its images and labels.
func (e *evaluation) openData(ctx context.Context, split string) (ingest.Source, error) {
	if e.data == "" {
		return nil, errs.New("open data", e.result.Protocol, "give --checkpoint and --data in place of --features", errs.Because(errs.ErrUsage, "features alone have no pictures"))
	}
	return ingest.Open(ctx, e.data, ingest.Options{Warn: cli.Warn, Split: split})
}
