package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"

	"resslt/cmd/internal/session"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/recipe"
)

// sweepResult is a cell of DIR/sweep.json, and a line of DIR/sweep.csv.
type sweepResult struct {
	ID     string   `json:"id"`
	Row    string   `json:"row"`
	Column string   `json:"column"`
	Seed   uint64   `json:"seed"`
	Recipe string   `json:"recipe"`
	Set    []string `json:"set"`
	Run    string   `json:"run"`    // stream that it was trained from; equal for equal batches
	Digest string   `json:"digest"` // of the resolved recipe: a cell that has changed since is trained again
	Done   bool     `json:"done"`
	Paper  *float64 `json:"paper,omitempty"` // percent, of the sweep's metric

	KNNTop1       *float64 `json:"knn_top1,omitempty"`
	LinearTop1    *float64 `json:"linear_top1,omitempty"`
	EmbeddingStd  *float64 `json:"embedding_std,omitempty"`
	FinalLoss     float64  `json:"final_loss"`
	StudentSHA256 string   `json:"student_sha256,omitempty"`
	TrainSeconds  float64  `json:"train_seconds"`
}

// sweepBook keeps a sweep's results in its folder, so that cells that are done are
// not trained again. It is safe for concurrent use.
type sweepBook struct {
	folder string
	table  *recipe.Sweep
	cells  []*sweepCell

	mu      sync.Mutex
	results map[string]*sweepResult // by cell; guarded by mu
	others  []*sweepResult          // of cells of the table that --only leaves out; kept as they were
}

// sweepFile is DIR/sweep.json.
type sweepFile struct {
	Name   string         `json:"name"`
	Claim  string         `json:"claim,omitempty"`
	Source string         `json:"source,omitempty"`
	Metric string         `json:"metric"` // of the paper's figures
	Cells  []*sweepResult `json:"cells"`  // row by row
}

// maxSweepBytes bounds sweep.json: a cell takes some 3 kB.
const maxSweepBytes = 64 << 20

// readSweepFile reads a sweep's results; none where there is no file.
func readSweepFile(name string) (f sweepFile, err error) {
	raw, err := bounded.ReadFile(name, maxSweepBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = bounded.JSON(raw, &f)
	}
	if err != nil {
		return f, errs.New("read results", name, "fix or remove the file", errs.BecauseErr(errs.ErrCorrupt, err))
	}
	return f, nil
}

// openSweepBook reads the results that the folder has of these cells.
func openSweepBook(folder string, table *recipe.Sweep, cells []*sweepCell) (*sweepBook, error) {
	b := &sweepBook{folder: folder, table: table, cells: cells, results: map[string]*sweepResult{}}
	had, err := readSweepFile(filepath.Join(folder, "sweep.json"))
	if err != nil {
		return nil, err
	}
	rows, columns := table.RowPoints(), table.ColumnPoints()
	for _, c := range cells {
		r := *c.recipe
		if c.anyThreads { // the machine's, and --parallel's: a done cell stays done on another
			r.Threads = 0
		}
		sum := sha256.Sum256(r.YAML())
		b.results[c.ID] = &sweepResult{
			ID: c.ID, Row: rows[c.Row].Name, Column: columns[c.Column].Name, Seed: c.recipe.Seed,
			Recipe: c.Recipe, Set: c.set, Run: c.run, Digest: hex.EncodeToString(sum[:]), Paper: c.Paper,
		}
	}
	for _, r := range had.Cells {
		if now := b.results[r.ID]; now != nil && r.Done && r.Digest == now.Digest {
			r.Paper = now.Paper
			b.results[r.ID] = r
		}
	}
	for _, c := range table.Cells() {
		for _, r := range had.Cells {
			if r.ID == c.ID && b.results[r.ID] == nil { // left out by --only this time
				b.others = append(b.others, r)
			}
		}
	}
	return b, b.write()
}

// dir is where a cell's run is kept.
func (b *sweepBook) dir(c *sweepCell) string { return filepath.Join(b.folder, "cells", c.ID) }

// todo gives the cells that are not done, those of one stream next to each other.
func (b *sweepBook) todo() []*sweepCell {
	b.mu.Lock()
	defer b.mu.Unlock()
	var runs []string
	of := map[string][]*sweepCell{}
	for _, c := range b.cells {
		if b.results[c.ID].Done {
			continue
		}
		if of[c.run] == nil {
			runs = append(runs, c.run)
		}
		of[c.run] = append(of[c.run], c)
	}
	var out []*sweepCell
	for _, r := range runs {
		out = append(out, of[r]...)
	}
	return out
}

// finish adds the summary of a cell that was trained.
func (b *sweepBook) finish(c *sweepCell) error {
	s, err := train.ReadSummary(filepath.Join(b.dir(c), "summary.json"))
	if err != nil {
		return err
	}
	b.mu.Lock()
	r := b.results[c.ID]
	r.Done = true
	r.KNNTop1, r.LinearTop1, r.EmbeddingStd = s.KNNTop1, s.LinearTop1, s.EmbeddingStd
	r.FinalLoss, r.StudentSHA256, r.TrainSeconds = s.FinalLoss, s.StudentSHA256, s.TrainSeconds
	b.mu.Unlock()
	return b.write()
}

// metric is the score that the paper's figures state.
func (b *sweepBook) metric() string {
	if b.table.Metric == "" {
		return "linear"
	}
	return b.table.Metric
}

func (b *sweepBook) file() sweepFile {
	f := sweepFile{Name: b.table.Name, Claim: b.table.Claim, Source: b.table.Source, Metric: b.metric()}
	for _, c := range b.cells {
		f.Cells = append(f.Cells, b.results[c.ID])
	}
	f.Cells = append(f.Cells, b.others...)
	return f
}

// write replaces sweep.json and sweep.csv.
func (b *sweepBook) write() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.file()
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return errs.New("write results", b.folder, "report this as a bug", errs.BecauseErr(errs.ErrUsage, err))
	}
	var table bytes.Buffer
	w := csv.NewWriter(&table)
	lines := [][]string{{"row", "column", "seed", "knn_top1", "linear_top1", "embedding_std", "paper_" + f.Metric, "final_loss", "student_sha256", "run", "id"}}
	number := func(x *float64) string {
		if x == nil {
			return ""
		}
		return strconv.FormatFloat(*x, 'g', -1, 64)
	}
	for _, r := range f.Cells {
		if r.Done {
			lines = append(lines, []string{
				r.Row, r.Column, strconv.FormatUint(r.Seed, 10), number(r.KNNTop1), number(r.LinearTop1),
				number(r.EmbeddingStd), number(r.Paper), number(&r.FinalLoss), r.StudentSHA256, r.Run, r.ID,
			})
		}
	}
	if err := w.WriteAll(lines); err != nil { // into memory
		return errs.New("write results", b.folder, "report this as a bug", errs.BecauseErr(errs.ErrUsage, err))
	}
	for name, body := range map[string][]byte{"sweep.json": append(raw, '\n'), "sweep.csv": table.Bytes()} {
		if err := durable.WriteFile(filepath.Join(b.folder, name), body); err != nil {
			return err
		}
	}
	return nil
}

// check finds what is in the place of a file of the results, before the first cell is trained.
func (b *sweepBook) check() error {
	if err := durable.CheckIn(b.folder, "sweep.json", "sweep.csv"); err != nil {
		return err
	}
	for _, c := range b.todo() {
		if err := durable.CheckIn(b.dir(c), "train.log"); err != nil {
			return err
		}
		if err := session.CheckFolder(b.dir(c)); err != nil {
			return err
		}
	}
	return nil
}

// print prints the table in the paper's form, once for each score that there is, the paper's
// own in brackets.
func (b *sweepBook) print(w io.Writer, asJSON bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fig := range []struct {
		name, title, format string
		of                  func(*sweepResult) *float64
	}{
		{"linear", "linear probe, top-1 %", "%.2f", func(r *sweepResult) *float64 { return r.LinearTop1 }},
		{"knn", "kNN, top-1 %", "%.2f", func(r *sweepResult) *float64 { return r.KNNTop1 }},
		{"std", "standard deviation of the embedding (0: collapsed)", "%.4f", func(r *sweepResult) *float64 { return r.EmbeddingStd }},
	} {
		text := b.grid(fig.format, fig.of, fig.name == b.metric())
		if text == nil {
			continue
		}
		paper := ""
		if fig.name == b.metric() && len(b.table.Paper) > 0 {
			paper = "; in brackets the paper's"
		}
		err := printGrid(w, fmt.Sprintf("%s: %s%s", b.table.Name, fig.title, paper), text)
		if less := b.pairedGrid(fig.format, fig.of); err == nil && less != nil {
			err = printGrid(w, fmt.Sprintf("the same, paired by seed, with the %d %% interval of the mean difference", recipe.Confidence), less)
		}
		if err != nil {
			return errs.New("print", "the table", "see "+filepath.Join(b.folder, "sweep.csv"), errs.BecauseErr(errs.ErrUnavailable, err))
		}
	}
	fmt.Fprintf(w, "results %s\n", filepath.Join(b.folder, "sweep.json"))
	if asJSON {
		return json.NewEncoder(w).Encode(b.file())
	}
	return nil
}

func printGrid(w io.Writer, title string, grid [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, title)
	for _, line := range grid {
		fmt.Fprintln(t, strings.Join(line, "\t"))
	}
	return t.Flush()
}

// seeded is a cell's score by one seed.
type seeded struct {
	seed  uint64
	score float64
}

// values are the scores of each row and column, in the order of the seeds.
func (b *sweepBook) values(of func(*sweepResult) *float64) map[[2]int][]seeded {
	out := map[[2]int][]seeded{}
	for _, c := range b.cells {
		if r := b.results[c.ID]; r.Done && of(r) != nil {
			at := [2]int{c.Row, c.Column}
			out[at] = append(out[at], seeded{r.Seed, *of(r)})
		}
	}
	return out
}

// grid is the table of one figure as text, nil where no cell has it. Cells of
// several seeds give mean ± deviation.
func (b *sweepBook) grid(format string, of func(*sweepResult) *float64, withPaper bool) [][]string {
	rows, columns := b.table.RowPoints(), b.table.ColumnPoints()
	values := b.values(of)
	papers := map[[2]int]*float64{}
	shown := map[int]bool{} // rows of which there is a cell
	for _, c := range b.cells {
		papers[[2]int{c.Row, c.Column}] = c.Paper
		shown[c.Row] = true
	}
	if len(values) == 0 {
		return nil
	}
	head := []string{b.table.Rows.Heading()}
	for _, c := range columns {
		name := c.Name
		if key := b.table.Columns.Heading(); key != "" {
			name = key + " " + name
		}
		head = append(head, name)
	}
	out := [][]string{head}
	for i, r := range rows {
		if !shown[i] {
			continue
		}
		line := []string{r.Name}
		for j := range columns {
			at := [2]int{i, j}
			text := "-"
			if v := values[at]; len(v) > 0 {
				x := make([]float64, len(v))
				for k := range v {
					x[k] = v[k].score
				}
				mean, std := recipe.MeanStd(x)
				text = fmt.Sprintf(format, mean)
				if len(x) > 1 {
					text += fmt.Sprintf(" ± "+format, std)
				}
			}
			if p := papers[at]; withPaper && p != nil {
				text += fmt.Sprintf(" (%.2f)", *p)
			}
			line = append(line, text)
		}
		out = append(out, line)
	}
	return out
}
