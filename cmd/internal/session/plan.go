package session

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"resslt/batcher/record"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// Plan is what a session will do: all is decided and nothing is started.
type Plan struct {
	Recipe *recipe.Recipe    // resolved
	Spec   schemas.RunSpec   // of the batches
	Out    string            // folder of the run's files
	Resume *train.Checkpoint // nil: from step 0
	Run    string            // name of the run in a farm's broker
	Source string            // where the batches come from, for people

	Workers int // images rendered at once in this process, where it makes its batches

	Pixels record.Window // steps whose views are recorded in Out, apart from the log, which always is
	Stream bool          // all chunks stay in the broker, in files, and are sealed at the end

	was      *recipe.Recipe    // the run's that is resumed; nil where none is
	named    *recipe.Recipe    // the one that the user has named in its place; nil where none
	dataset  *pipeline.Dataset // the data; nil where a replay does not know it
	data     *schemas.RunData  // what a summary says of it; nil where a replay does not know it
	recalled bool              // they are those of the run that is replayed

	// Warnings are the same on every rank; LocalWarnings are of this machine.
	Warnings, LocalWarnings []string
}

// MakePlan decides what Run would do with the options, and starts nothing: it reads recipe,
// checkpoint and data (whose index it may cache), and touches neither Out nor a broker.
func MakePlan(ctx context.Context, o Options) (p *Plan, err error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	c, err := newConsole(&o)
	if err != nil {
		return nil, err
	}
	src, err := openSource(ctx, &o, c)
	if err != nil {
		return nil, err
	}
	defer closing(&err, src.close)
	if p, err = newPlan(&o); err != nil {
		return nil, err
	}
	return p, p.decide(ctx, &o, src, newGroup(&o).cores(), cli.Progress(c.stderr, "indexing"))
}

// newPlan begins a plan with its folder, which has to be locked before it is looked into.
func newPlan(o *Options) (*Plan, error) {
	r, err := recipe.Load(o.Recipe)
	if err != nil {
		return nil, err
	}
	p := &Plan{Recipe: r, Out: o.Out}
	if p.Out == "" {
		p.Out = filepath.Join("runs", r.Name)
	}
	return p, nil
}

// decide makes the plan, and finds what is wrong before an earlier run's files are touched.
// have are the cores that this process may use, indexing receives the progress of the data's
// index. After an error the plan has the warnings that were found before it.
func (p *Plan) decide(ctx context.Context, o *Options, src source, have cores.Cores, indexing func(done, total int64)) error {
	if err := CheckFolder(p.Out); err != nil {
		return err
	}
	if o.Resume || src.continues() {
		if err := refused(p.Out); err != nil {
			return err
		}
	}
	if o.Resume {
		if err := p.findCheckpoint(o.RecipeGiven); err != nil {
			return err
		}
	}
	r := p.Recipe
	if err := ResolveRecipe(r, o.Data, o.Set, have); err != nil {
		return err
	}
	if p.Resume != nil {
		p.stoppedBefore()
	}
	var err error
	if r.Data, err = ingest.Absolute(r.Data); err != nil {
		return err
	}
	if err := torch.Open(""); err != nil {
		return err
	}
	if err := train.Check(r); err != nil {
		return err
	}
	if err := p.makeSpec(ctx, src.replays(), indexing); err != nil {
		return err
	}
	if err := train.CheckSizes(r, p.Spec.Views); err != nil {
		return err
	}
	if err := p.startFrom(); err != nil {
		return err
	}
	if err := p.parseRecord(o.Record); err != nil {
		return err
	}
	if err := p.checkStop(); err != nil {
		return err
	}
	if p.Resume != nil {
		if err := p.differ(o, have); err != nil {
			return err
		}
		if err := p.checkAhead(); err != nil {
			return err
		}
	}
	if rec := src.replays(); rec != nil {
		if err := p.checkRecorded(ctx, rec); err != nil {
			return err
		}
	}
	if p.Run = o.Run; p.Run == "" {
		p.Run = r.Name
	}
	p.Source = src.describe(p)
	if _, here := src.(*embedded); here {
		p.shareCores(o.Workers, have)
	}
	p.warn()
	return nil
}

// shareCores decides how many workers there are beside the trainer. What the user asks for
// counts, with a warning where it is likely to starve a trainer on a GPU.
func (p *Plan) shareCores(asked int, have cores.Cores) {
	gpu := strings.HasPrefix(p.Recipe.Device, "cuda")
	most := have.Workers(gpu)
	if p.Workers = asked; asked == 0 {
		p.Workers = most
	}
	if gpu && p.Workers > most {
		p.LocalWarnings = append(p.LocalWarnings, fmt.Sprintf(
			"warning: --workers %d on %s may keep the thread waiting that gives the GPU its work: the default, %d, leaves it room", p.Workers, have, most))
	}
}

// makeSpec makes the spec of the batches that the recipe asks for: of the data set, or of a
// recorded run, which needs no data.
func (p *Plan) makeSpec(ctx context.Context, replayed *Recording, indexing func(done, total int64)) (err error) {
	r := p.Recipe
	if replayed != nil {
		if p.Spec, err = pipeline.ReplaySpec(r, &replayed.Run.Spec); err == nil {
			p.recall(ctx, replayed, indexing)
		}
		return err
	}
	if p.dataset, err = openDataset(ctx, r, ingest.Options{Warn: cli.Warn, Progress: indexing}); err != nil {
		return err
	}
	p.data = p.dataset.Run()
	p.Spec, err = pipeline.Spec(r, p.dataset.Manifest)
	return err
}

// openDataset opens the recipe's data to see what it is.
func openDataset(ctx context.Context, r *recipe.Recipe, o ingest.Options) (*pipeline.Dataset, error) {
	o.Split = r.Split
	src, err := ingest.Open(ctx, r.Data, o)
	if err != nil {
		return nil, err
	}
	return pipeline.DatasetOf(src), src.Close()
}

// recall finds what the recorded run's data were: what was kept with the recording or, of a log
// without, what is there now. Only what people are told depends on it.
func (p *Plan) recall(ctx context.Context, replayed *Recording, indexing func(done, total int64)) {
	p.recalled, p.data, p.dataset = true, replayed.Run.Data, replayed.Dataset()
	if replayed.Log && p.data == nil && (p.dataset == nil || p.dataset.PassedOver == nil) {
		// Where it cannot be opened or is another, the workers say so.
		if now, err := openDataset(ctx, p.Recipe, ingest.Options{Progress: indexing}); err == nil && now.Digest() == p.Spec.Dataset.Digest {
			p.dataset = now
		}
	}
	if p.data == nil && p.dataset != nil {
		p.data = p.dataset.Run()
	}
}

// checkRecorded returns ErrNotFound where the recording does not have all steps that are left.
func (p *Plan) checkRecorded(ctx context.Context, rec *Recording) error {
	lacking, err := rec.lacks(ctx, p.From(), p.Spec.Steps())
	if err != nil || lacking == p.Spec.Steps() {
		return err
	}
	what, hint := "pixels", "record all of them, by --record pixels or stream, or replay its log by log:FOLDER"
	if rec.Log {
		what, hint = "log", "let that run come to its end first, by --resume"
	}
	return errs.New("replay", p.Recipe.Name, hint, errs.Because(errs.ErrNotFound,
		fmt.Sprintf("the recording lacks the %s of step %d; steps %d to %d are needed", what, lacking, p.From(), p.Spec.Steps()-1)))
}

// Opened describes the plan's data in a line, "" of a replay.
func (p *Plan) Opened() string {
	if p.dataset == nil || p.recalled {
		return ""
	}
	return pipeline.OpenedLine(p.Recipe.Data, p.dataset.Manifest, p.dataset.PassedOver)
}

// warn finds what is allowed and yet likely to be a mistake.
func (p *Plan) warn() {
	for _, w := range p.Recipe.Warnings() {
		p.Warnings = append(p.Warnings, "warning: "+w)
	}
}

// parseRecord reads what is recorded of the batches besides the log.
func (p *Plan) parseRecord(s string) (err error) {
	kind, window, some := strings.Cut(s, ":")
	switch {
	case s == "log":
	case s == "stream":
		p.Stream = true
	case s == "pixels":
		p.Pixels = record.Window{To: p.Spec.Steps()}
	case kind == "pixels" && some:
		p.Pixels, err = record.ParseWindow(window, p.Spec.Steps())
	default:
		err = errs.New("", "--record "+strconv.Quote(s), bounded.Suggest(kind, []string{"log", "pixels", "stream"})+"give log, pixels, pixels:FROM-TO or stream", errs.ErrUsage)
	}
	return err
}

// From is the first step to train.
func (p *Plan) From() int64 {
	if p.Resume == nil {
		return 0
	}
	return p.Resume.Step
}

// Trained reports whether an earlier session has made the last step: what is left is the
// evaluation, which needs neither broker nor run.
func (p *Plan) Trained() bool { return p.Resume != nil && p.Resume.Step >= p.Spec.Steps() }

// Work is how much a session has to do.
type Work struct {
	Steps, Images int64
	Bytes         int64 // of the batches' pixels
	Recorded      int64 // of those, bytes that are kept in Out
}

// Work estimates what is left to do.
func (p *Plan) Work() Work {
	step := int64(p.Spec.BatchSize) * int64(p.Spec.SampleBytes())
	left := p.Spec.Steps() - p.From()
	return Work{
		Steps: left, Images: left * int64(p.Spec.BatchSize), Bytes: left * step,
		Recorded: max(0, p.Pixels.To-max(p.Pixels.From, p.From())) * step,
	}
}

// Print writes the plan for people: what will be done, then the resolved recipe.
func (p *Plan) Print(w io.Writer) error {
	work := p.Work()
	resume := "no: starts at step 0; an earlier run's files in the folder are set aside"
	if p.Resume != nil {
		resume = fmt.Sprintf("%s, step %d of %d", p.Resume.Path(), p.Resume.Step, p.Spec.Steps())
	}
	keep := "log"
	if work.Recorded > 0 {
		keep += fmt.Sprintf(", pixels of %s (%.1f MB)", p.Pixels, float64(work.Recorded)/1e6)
	}
	if p.Stream {
		keep += ", stream"
	}
	todo := fmt.Sprintf("%d steps of %d images: %d images, %.1f MB of views", work.Steps, p.Spec.BatchSize, work.Images, float64(work.Bytes)/1e6)
	if p.Trained() {
		todo = "the evaluation: all steps are trained"
	}
	var b strings.Builder
	for _, l := range [][2]string{
		{"recipe", p.Recipe.Name},
		{"data", fmt.Sprintf("%s, %d images, digest %.12s", p.Recipe.Data, p.Spec.Dataset.Images(), p.Spec.Dataset.Digest)},
		{"batches", p.Source},
		{"run", fmt.Sprintf("digest %.12s", p.Spec.Digest())},
		{"folder", p.Out},
		{"resume", resume},
		{"to do", todo},
		{"record", keep},
	} {
		fmt.Fprintf(&b, "%-9s %s\n", l[0], l[1])
	}
	if !p.Trained() {
		before := cli.RSS()
		n, err := train.Estimate(p.Recipe, &p.Spec)
		if err != nil {
			return err
		}
		for _, line := range p.needs(n, before+n.Weights) {
			fmt.Fprintln(&b, line)
		}
	}
	if line := p.Opened(); line != "" && len(p.dataset.PassedOver) > 0 {
		fmt.Fprintln(&b, line)
	}
	for _, line := range append(p.LocalWarnings[:len(p.LocalWarnings):len(p.LocalWarnings)], p.Warnings...) {
		fmt.Fprintln(&b, line)
	}
	_, err := fmt.Fprintf(w, "%s\n%s", b.String(), p.Recipe.YAML())
	return err
}
