package runreport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/online"
	"resslt/cmd/internal/report"
	"resslt/cmd/internal/sheet"
	"resslt/cmd/internal/version"
	"resslt/schemas/bounded"
	"resslt/schemas/bounded/boundedyaml"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/eval"
	"resslt/train/recipe"
)

// File is the page's name in the run's folder.
const File = "report.html"

// Write writes the page of the run in a folder.
func Write(ctx context.Context, out string) error {
	p, err := gather(ctx, out)
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(out, File), p.Write)
}

// gather reads a run's folder. Only the metrics must be there; what else is
// missing is left out, and what is damaged is named on the page.
func gather(ctx context.Context, out string) (*report.Page, error) {
	lines, err := train.ReadMetrics(filepath.Join(out, train.MetricsFile))
	if err != nil {
		return nil, err
	}
	p := &report.Page{Title: filepath.Base(out), Made: version.String() + ", " + time.Now().Format("2 January 2006, 15:04")}
	note := func(what string, err error) {
		if err != nil && !errors.Is(err, errs.ErrNotFound) && !errors.Is(err, fs.ErrNotExist) {
			p.Notes = append(p.Notes, what+": "+cli.Line(err))
		}
	}
	var r *recipe.Recipe
	raw, err := bounded.ReadFile(filepath.Join(out, "recipe.yaml"), boundedyaml.MaxBytes)
	if err == nil {
		p.Recipe = string(raw)
		r, err = recipe.Parse(filepath.Join(out, "recipe.yaml"), raw)
	}
	note("recipe", err)
	sum, err := train.ReadSummary(filepath.Join(out, "summary.json"))
	note("summary", err)
	done := err == nil
	scores, err := online.Read(out)
	note("scores while training", err)
	evals, err := eval.ReadReport(out)
	note("evaluations", err)

	if r != nil {
		p.Title, p.Subtitle = r.Name, r.Claim
	}
	p.Headline = headline(lines, &sum, done)
	p.Tables = append(p.Tables, probeTable(&sum)...)
	if evals != nil {
		p.Tables = append(p.Tables, evalTable(evals)...)
	}
	p.Tables = append(p.Tables, dataTables(&sum)...)
	p.Charts = charts(lines, scores, r)
	if done {
		p.Time = timeShares(&sum)
	}
	if r != nil {
		note("views", addViews(ctx, p, r))
	}
	if evals != nil {
		for _, res := range evals.Results {
			for _, file := range res.Pictures {
				note(file, addPicture(p, out, file, &res))
			}
		}
	}
	p.Facts = facts(r, &sum, lines, done)
	return p, nil
}

// percent keeps a number and its sign on one line of a narrow screen, by a space that does not break.
func percent(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) + "\u00a0%" }

// headline holds the figures that a reader looks for first.
func headline(lines []train.MetricsLine, sum *train.Summary, done bool) (out []report.Fact) {
	score := func(name string, after, before *float64) {
		if after != nil {
			f := report.Fact{Name: name, Value: percent(*after)}
			if before != nil {
				f.Detail = "untrained " + percent(*before)
			}
			out = append(out, f)
		}
	}
	score(fmt.Sprintf("kNN top-1, k %d", sum.KNNK), sum.KNNTop1, sum.KNNTop1Untrained)
	score("linear top-1", sum.LinearTop1, sum.LinearTop1Untrained)
	if len(lines) > 0 {
		last := lines[len(lines)-1]
		of := ""
		if done {
			of = fmt.Sprintf("of %d", sum.Steps)
		}
		out = append(out, report.Fact{Name: "steps", Value: fmt.Sprint(last.Step), Detail: of},
			report.Fact{Name: "loss", Value: strconv.FormatFloat(last.Loss, 'f', 4, 64), Detail: fmt.Sprintf("first %.4f", lines[0].Loss)})
	}
	if done {
		out = append(out, report.Fact{Name: "images/s", Value: fmt.Sprintf("%.0f", sum.ImagesPerSecond), Detail: fmt.Sprintf("%.1f %% of the time waiting for data", 100*sum.DataWaitFraction)},
			report.Fact{Name: "training", Value: time.Duration(sum.TrainSeconds * float64(time.Second)).Round(time.Second).String()})
	}
	return out
}

// probeTable is the summary's scores, trained and untrained.
func probeTable(sum *train.Summary) []report.Table {
	if sum.Trained == nil || sum.Untrained == nil {
		return nil
	}
	t := report.Table{
		Title: "Probes at the end of the run", Columns: []string{"top-1", "untrained", "trained", "gain"},
		Caption: fmt.Sprintf("Frozen encoder, fitted on %d images and scored on %d.", sum.Trained.TrainImages, sum.Trained.TestImages),
	}
	row := func(name string, before, after float64) {
		t.Rows = append(t.Rows, []string{name, percent(before), percent(after), fmt.Sprintf("%+.2f", after-before)})
	}
	for _, k := range sorted(sum.Trained.KNN) {
		if before, ok := sum.Untrained.KNN[k]; ok {
			row("kNN, k "+strings.TrimPrefix(k, "k"), before, sum.Trained.KNN[k])
		}
	}
	if a, b := sum.Trained.LinearTop1, sum.Untrained.LinearTop1; a != nil && b != nil {
		row("linear, last epoch", *b, *a)
	}
	return []report.Table{t}
}

// evalTable is eval.json, with the paper's figures.
func evalTable(r *eval.Report) []report.Table {
	t := report.Table{
		Title: "Evaluations", Columns: []string{"protocol", "data", "encoder", "score", "here", "paper"},
		Caption: "By resslt eval. ± is the standard deviation over draws. A figure of the paper is of its own data, network and length of training.",
	}
	for _, res := range r.Results {
		encoder := fmt.Sprintf("%s, width %d", res.Encoder.Backbone, res.Encoder.Width)
		if res.Encoder.Untrained {
			encoder += ", untrained"
		}
		for _, s := range res.Scores {
			here, paper := strconv.FormatFloat(s.Value, 'f', 2, 64), ""
			if s.Std != nil {
				here += fmt.Sprintf(" ± %.2f (n %d)", *s.Std, s.N)
			}
			if s.Paper != nil {
				paper = fmt.Sprintf("%.2f (%s)", s.Paper.Value, s.Paper.Source)
			}
			t.Rows = append(t.Rows, []string{res.Protocol, res.Data, encoder, s.Label, here, paper})
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return []report.Table{t}
}

// timeShares splits the session's wall-clock time.
func timeShares(sum *train.Summary) []report.Share {
	if !(sum.WallSeconds > 0) || sum.TrainSeconds > sum.WallSeconds {
		return nil // a resumed run: its training was longer than this session
	}
	wait := sum.TrainSeconds * sum.DataWaitFraction
	var out []report.Share
	for _, s := range []struct {
		name    string
		seconds float64
	}{{"training steps", sum.TrainSeconds - wait}, {"waiting for batches", wait}, {"start and evaluation", sum.WallSeconds - sum.TrainSeconds}} {
		out = append(out, report.Share{Name: s.name, Part: s.seconds / sum.WallSeconds, Value: fmt.Sprintf("%.1f s", s.seconds)})
	}
	return out
}

// sheetSamples are drawn for the page.
const sheetSamples = 3

// addViews draws the first samples with their views.
func addViews(ctx context.Context, p *report.Page, r *recipe.Recipe) error {
	family, _, _ := strings.Cut(r.Engine, "/")
	drawn, by, err := sheet.Samples(ctx, sheet.Options{
		Data: r.Data, Split: r.Split, Policy: r.Policy, Engine: family, ImageSize: r.ImageSize, Seed: r.Seed, Count: sheetSamples,
	})
	if err != nil {
		return err
	}
	raw, err := report.EncodePNG(drawn)
	if err != nil {
		return err
	}
	p.Pictures = append(p.Pictures, report.Picture{
		Title: "Weak and strong views", PNG: raw,
		Alt:     "samples with their crop boxes, and the views that were drawn from them",
		Caption: "The first samples in epoch 0: the boxes on the original are the views'. Policy " + by + ".",
	})
	return nil
}

// maxPicture bounds a picture on the page, bytes.
const maxPicture = 8 << 20

// addPicture adds a picture that an evaluation made.
func addPicture(p *report.Page, out, file string, res *eval.Result) error {
	path := filepath.Join(out, filepath.FromSlash(file))
	if !filepath.IsLocal(filepath.FromSlash(file)) || filepath.Ext(file) != ".png" {
		return nil // an HTML page, which stays a file of its own
	}
	raw, err := bounded.ReadFile(path, maxPicture)
	if errors.Is(err, errs.ErrTooLarge) {
		return errs.New("read picture", path, "make a smaller one", err)
	}
	if err != nil {
		return errs.New("read picture", path, "draw it again with resslt eval "+res.Protocol, errs.BecauseErr(errs.ErrNotFound, err))
	}
	if _, err := png.DecodeConfig(bytes.NewReader(raw)); err != nil {
		return errs.New("read picture", path, "draw it again with resslt eval "+res.Protocol, errs.BecauseErr(errs.ErrCorrupt, err))
	}
	titles := map[string]string{"neighbours": "Nearest neighbours", "tsne": "t-SNE"}
	title := titles[res.Protocol]
	if title == "" {
		title = res.Protocol
	}
	if res.Encoder.Untrained {
		title += ", untrained"
	}
	p.Pictures = append(p.Pictures, report.Picture{
		Title: title, PNG: raw, Alt: title + " of " + res.Data,
		Caption: fmt.Sprintf("resslt eval %s, %s.", res.Protocol, res.Data),
	})
	return nil
}

// facts describe the run: recipe, data, hardware, digests.
func facts(r *recipe.Recipe, sum *train.Summary, lines []train.MetricsLine, done bool) (out []report.Fact) {
	add := func(name, value, detail string) {
		if value != "" {
			out = append(out, report.Fact{Name: name, Value: value, Detail: detail})
		}
	}
	if r != nil {
		add("recipe", r.Name, r.Source)
		add("data", r.Data, "split "+r.Split)
		add("objective", r.Objective, "")
		add("network", fmt.Sprintf("%s, width %d, %s stem", r.Backbone, r.Width, r.Stem), "")
		add("batch", fmt.Sprint(r.BatchSize), fmt.Sprintf("for %d epochs", r.Epochs))
		add("seed", fmt.Sprint(r.Seed), "")
	}
	if !done {
		if len(lines) > 0 {
			add("state", fmt.Sprintf("not finished: step %d", lines[len(lines)-1].Step), "")
		}
		return out
	}
	if s := sum.Stopping; s.Ended() {
		add("ended early", s.Rule, fmt.Sprintf("planned for %d epochs; the best score, %.2f %%, was after step %d", s.PlannedEpochs, s.Best, s.BestStep))
	}
	add("images", fmt.Sprint(sum.Images), dataDetail(sum))
	add("data digest", sum.DataDigest, "")
	add("run digest", sum.RunDigest, "equal digests, equal batches")
	add("student", sum.StudentSHA256, "SHA-256 over the weights")
	add("hardware", sum.Hardware, "")
	add("command", sum.Command, "")
	add("host", sum.Host, "")
	add("started", sum.Started, fmt.Sprintf("the last session took %s", time.Duration(sum.WallSeconds*float64(time.Second)).Round(time.Second)))
	add("resslt", sum.Build, "")
	add("libtorch", sum.TorchVersion, fmt.Sprintf("%s, %d threads", sum.Device, sum.Threads))
	add("kernels", sum.CPUKernels, strings.Join(kernelNotes(sum), ", "))
	add("engine", sum.Engine, sum.EngineTier)
	add("peak memory", fmt.Sprintf("%.0f MB", float64(sum.PeakRSSBytes)/1e6), "resident")
	add("chunks", fmt.Sprint(sum.ChunksPublished), fmt.Sprintf("%d redelivered, %d tombstones, %d digest mismatches, %d samples replaced",
		sum.ChunksRedelivered, sum.ChunksTombstoned, sum.DigestMismatches, sum.SamplesReplaced))
	return slices.Clip(out)
}

// kernelNotes are oneDNN's and BLAS's kernels, of summaries that name them.
func kernelNotes(sum *train.Summary) (out []string) {
	if sum.OneDNNISA != "" {
		out = append(out, "oneDNN "+sum.OneDNNISA)
	}
	if sum.BLAS != "" {
		out = append(out, strings.TrimSpace(sum.BLAS+" "+sum.BLASKernel))
	}
	return out
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
