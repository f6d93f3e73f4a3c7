package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"resslt/cmd/internal/runbook"
	"resslt/train/eval"
	"resslt/train/objective"
	"resslt/train/paper"
	"resslt/train/recipe"
)

// ours are the figures of the runs and sweeps in some folders.
type ours struct {
	runs  []*runbook.Run
	evals []found                       // of the runs' encoders
	cells map[string]map[string][]found // by sweep and cell
}

// found is one evaluation, or a cell's score.
type found struct {
	eval.Result
	value float64 // of a cell
	on    string  // hardware of the run
}

// findOurs reads the folders. One that is not there is an error if it was asked for.
func findOurs(dirs []string, asked bool) (*ours, error) {
	o := &ours{cells: map[string]map[string][]found{}}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err != nil && !asked {
			continue
		}
		runs, err := runbook.Find(dir)
		if err != nil {
			return nil, err
		}
		for _, r := range runs {
			if err := o.add(r); err != nil {
				return nil, err
			}
		}
		if err := o.addSweeps(dir); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (o *ours) add(r *runbook.Run) error {
	o.runs = append(o.runs, r)
	report, err := eval.ReadReport(r.Folder)
	if err != nil {
		return err
	}
	on := ""
	if r.Summary != nil {
		on = r.Summary.Hardware
	}
	for _, result := range report.Results {
		o.evals = append(o.evals, found{Result: result, on: on})
	}
	return nil
}

// addSweeps reads the results of sweeps in the folder and right below it.
func (o *ours) addSweeps(dir string) error {
	for _, pattern := range []string{dir, filepath.Join(dir, "*")} {
		files, err := filepath.Glob(filepath.Join(pattern, "sweep.json"))
		if err != nil {
			return err
		}
		for _, name := range files {
			f, err := readSweepFile(name)
			if err != nil {
				return err
			}
			o.addCells(&f)
		}
	}
	return nil
}

// addCells takes the cells that are those of the embedded sweep of that name, with its settings.
func (o *ours) addCells(f *sweepFile) {
	s, err := recipe.LoadSweep(f.Name)
	if err != nil {
		return // one of the user's own
	}
	if o.cells[f.Name] == nil {
		o.cells[f.Name] = map[string][]found{}
	}
	rows, columns := s.RowPoints(), s.ColumnPoints()
	for _, c := range s.Cells() {
		for _, r := range f.Cells {
			if r.Done && r.LinearTop1 != nil && r.Row == rows[c.Row].Name && r.Column == columns[c.Column].Name && r.Recipe == c.Recipe && slices.Equal(ofTheClaim(r.Set), ofTheClaim(c.Set)) {
				one := found{value: *r.LinearTop1, Result: eval.Result{Encoder: eval.Encoder{SHA256: r.StudentSHA256}}}
				o.cells[f.Name][c.ID] = append(o.cells[f.Name][c.ID], one)
			}
		}
	}
}

// ofTheClaim are overrides without those that a figure may be had with, too: seed and machine.
func ofTheClaim(set []string) []string {
	return slices.DeleteFunc(slices.Clone(set), func(s string) bool {
		key, _, _ := strings.Cut(s, "=")
		return key == "seed" || key == "threads" || key == "device"
	})
}

// of is a table with what there is of it.
func (o *ours) of(t *paper.Table) (tableState, error) {
	if t.Sweep != "" {
		return o.sweepState(t)
	}
	rows, err := o.rows(t)
	return tableState{Table: t.Number, Title: t.Title, scores: t.Scores, Rows: rows}, err
}

func (o *ours) rows(t *paper.Table) (out []rowState, err error) {
	for i := range t.Rows {
		r, err := o.row(t, &t.Rows[i])
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (o *ours) row(t *paper.Table, row *paper.Row) (rowState, error) {
	out := rowState{Method: row.Method, Backbone: row.Backbone, Epochs: row.Epochs, State: rowNone}
	for i, score := range t.Scores {
		f := figureState{Score: score.Name, Paper: row.Figures[i]}
		f.fill(o.scores(t, row, score))
		if f.N > 0 {
			out.State = rowMeasured
		}
		out.Figures = append(out.Figures, f)
	}
	name := row.Recipe
	if name == paper.ResNet50 {
		name = "imagenet-multi"
	}
	if name == "" {
		if row.Objective != "" && out.State == rowNone {
			out.State, out.Needs = rowObjective, "--set objective="+row.Objective
			if row.Policy != "" {
				out.Needs += " --set policy=" + row.Policy
			}
			out.Needs += ", with its paper's settings"
			if row.Teacher != "" {
				out.Needs += ", and teacher=FILE of a trained " + row.Teacher
			}
			if m, err := objective.MethodOf(row.Objective); err == nil && m.Parts().Pairs {
				out.Needs += ", and data=mates:FILE+URI with its neighbours (resslt embed --mates 5)"
			}
		}
		return out, nil
	}
	r, err := recipe.Load(name)
	if err != nil {
		return out, err
	}
	out.Start = "resslt run --recipe " + name
	if t.Protocol != "linear" { // which a run ends with
		out.Start = fmt.Sprintf("resslt eval %s --checkpoint runs/%s", t.Protocol, name)
	}
	if out.State == rowMeasured {
		return out, nil
	}
	out.State, out.Needs = rowReady, r.Hardware
	for _, run := range o.runs {
		if row.Trains(run.Recipe) && run.Epochs == row.Epochs && run.State == runbook.Running {
			out.State, out.Needs = rowRunning, fmt.Sprintf("epoch %.4g of %d in %s", run.Epoch, run.Epochs, run.Folder)
		}
	}
	return out, nil
}

// scores are the results that may stand beside a row's figure: by the paper's protocol, which
// put it beside them, and of an encoder that was trained as long.
func (o *ours) scores(t *paper.Table, row *paper.Row, score paper.Score) (out []found) {
	if row.Alone() {
		return nil
	}
	for _, m := range o.evals {
		e := m.Encoder
		its := row.Trains(e.Recipe) && e.Objective == "ressl" || row.Objective != "" && row.Objective == e.Objective
		if !its || m.Protocol != t.Protocol || m.Data != t.DataOf(row, score) || e.Backbone != row.Backbone || e.Epochs != row.Epochs {
			continue
		}
		for _, s := range m.Scores {
			if s.Name == score.Name && s.Paper != nil {
				m.value = s.Value
				out = append(out, m)
			}
		}
	}
	return out
}

// fill puts ours beside the paper's: the mean over encoders, of each the last result.
func (f *figureState) fill(all []found) {
	last := map[string]float64{}
	var order []string
	for _, m := range all {
		if _, ok := last[m.Encoder.SHA256]; !ok {
			order = append(order, m.Encoder.SHA256)
		}
		last[m.Encoder.SHA256], f.On = m.value, m.on
	}
	var values []float64
	for _, sum := range order {
		values = append(values, last[sum])
	}
	if f.N = len(values); f.N > 0 {
		mean, std := recipe.MeanStd(values)
		f.Ours, f.Std = &mean, std
	}
}
