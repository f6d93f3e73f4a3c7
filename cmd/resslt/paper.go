package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/schemas/errs"
	"resslt/train/paper"
	"resslt/train/recipe"
)

func newPaperCommand() *cobra.Command {
	dirs := []string{"runs"}
	var asJSON bool
	c := &cobra.Command{
		Use:   "paper [TABLE]",
		Short: "the paper's tables: what each row takes, its figure, and ours beside it",
		Long: `paper lists the tables of the paper, or with a number the rows of one: the paper's figure, ours,
and the command that starts the row. Ours are the scores by the paper's protocol, after as many
epochs, of the runs and sweeps in the folders of --runs; n is how many encoders have one.

A row is measured (it has ours), running, ready (a recipe trains it, on the hardware that it
names), an objective (its loss is here, a recipe with its paper's settings is not), or has no recipe.`,
		Example: `  resslt paper
  resslt paper 8
  resslt paper 7 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			tables := paper.Tables()
			if len(args) == 1 {
				n, err := strconv.Atoi(args[0])
				if err != nil || n < 1 || n > len(tables) {
					return errs.New("table", args[0], fmt.Sprintf("give 1 to %d, or nothing for all", len(tables)), errs.ErrUsage)
				}
				tables = tables[n-1 : n]
			}
			ours, err := findOurs(dirs, c.Flags().Changed("runs"))
			if err != nil {
				return err
			}
			var states []tableState
			for i := range tables {
				s, err := ours.of(&tables[i])
				if err != nil {
					return err
				}
				states = append(states, s)
			}
			switch out := c.OutOrStdout(); {
			case asJSON:
				return json.NewEncoder(out).Encode(states)
			case len(args) == 0:
				return printTables(out, states)
			case states[0].Sweep != "":
				return printSweepTable(out, states[0])
			default:
				return printTable(out, states[0])
			}
		},
	}
	c.Flags().StringArrayVar(&dirs, "runs", dirs, "`folder` with runs and sweeps; may be repeated")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array of tables")
	return c
}

// States of a row.
const (
	rowMeasured  = "measured"
	rowRunning   = "running"
	rowReady     = "ready"
	rowObjective = "objective"
	rowNone      = "no recipe"
)

// tableState is a table of the paper with what this project has of it.
type tableState struct {
	Table int        `json:"table"`
	Title string     `json:"title"`
	Sweep string     `json:"sweep,omitempty"`
	OnCPU string     `json:"on_cpu,omitempty"` // the sweep that shows its order at a CPU's budget
	Start string     `json:"start,omitempty"`  // of a sweep
	Rows  []rowState `json:"rows"`

	scores []paper.Score
}

// rowState is a row; of a sweep, a cell.
type rowState struct {
	Method   string        `json:"method"`
	Column   string        `json:"column,omitempty"` // of a sweep
	Backbone string        `json:"backbone,omitempty"`
	Epochs   int           `json:"epochs,omitempty"`
	Figures  []figureState `json:"figures"`
	State    string        `json:"state"`
	Needs    string        `json:"needs,omitempty"` // hardware, or what is missing
	Start    string        `json:"start,omitempty"`
}

// figureState is the paper's figure and ours, percent.
type figureState struct {
	Score string   `json:"score"`
	Paper *float64 `json:"paper"`
	Ours  *float64 `json:"ours,omitempty"` // mean
	Std   float64  `json:"std,omitempty"`
	N     int      `json:"n,omitempty"`
	On    string   `json:"hardware,omitempty"`
}

func (f figureState) ours() string {
	switch {
	case f.Ours == nil:
		return "-"
	case f.N == 1:
		return fmt.Sprintf("%.2f", *f.Ours)
	}
	return fmt.Sprintf("%.2f ± %.2f (n %d)", *f.Ours, f.Std, f.N)
}

func (f figureState) paper() string {
	if f.Paper == nil {
		return "-"
	}
	return strconv.FormatFloat(*f.Paper, 'f', -1, 64)
}

func (s tableState) count(states ...string) (n int) {
	for _, r := range s.Rows {
		for _, state := range states {
			if r.State == state {
				n++
			}
		}
	}
	return n
}

func printTables(w io.Writer, states []tableState) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TABLE\tWHAT\tROWS\tREADY\tMEASURED\tSTART")
	for _, s := range states {
		start := s.Start
		if start == "" {
			start = fmt.Sprintf("resslt paper %d", s.Table)
		}
		fmt.Fprintf(t, "%d\t%s\t%d\t%d\t%d\t%s\n", s.Table, s.Title, len(s.Rows), s.count(rowReady, rowRunning), s.count(rowMeasured), start)
	}
	return t.Flush()
}

func printTable(w io.Writer, s tableState) error {
	fmt.Fprintf(w, "Table %d: %s\n\n", s.Table, s.Title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "METHOD\tBACKBONE\tEPOCHS")
	for _, score := range s.scores {
		fmt.Fprintf(t, "\tPAPER\tOURS%s", strings.TrimRight(" "+score.Title, " "))
	}
	fmt.Fprintln(t, "\tSTATE\tSTART")
	for _, r := range s.Rows {
		epochs := "-"
		if r.Epochs > 0 {
			epochs = strconv.Itoa(r.Epochs)
		}
		fmt.Fprintf(t, "%s\t%s\t%s", r.Method, r.Backbone, epochs)
		for _, f := range r.Figures {
			fmt.Fprintf(t, "\t%s\t%s", f.paper(), f.ours())
		}
		state := r.State
		if r.Needs != "" {
			state += ": " + r.Needs
		}
		fmt.Fprintf(t, "\t%s\t%s\n", cli.Cell(state), r.Start)
	}
	return t.Flush()
}

// printSweepTable prints a sweep as the paper does, ours behind a stroke, and below it the rows
// that a recipe claims.
func printSweepTable(w io.Writer, s tableState) error {
	fmt.Fprintf(w, "Table %d: %s. Linear top-1: the paper's / ours. %s\n\n", s.Table, s.Title, s.Rows[0].Needs)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	claimed := tableState{Table: s.Table, Title: "what a recipe claims", scores: s.scores}
	var lines []string
	heading, method := "", ""
	for _, r := range s.Rows {
		if r.Column == "" {
			claimed.Rows = append(claimed.Rows, r)
			continue
		}
		if len(lines) == 0 || r.Method != method {
			method = r.Method
			lines = append(lines, method)
		}
		if len(lines) == 1 {
			heading += "\t" + r.Column
		}
		cell := "\t" + r.Figures[0].paper()
		if r.Figures[0].Ours != nil {
			cell += " / " + r.Figures[0].ours()
		}
		lines[len(lines)-1] += cell
	}
	fmt.Fprintln(t, heading+"\n"+strings.Join(lines, "\n"))
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nstart: %s\n", s.Start)
	if s.OnCPU != "" {
		fmt.Fprintf(w, "its order, in an hour on a CPU: resslt sweep --file %s --seeds 1,2,3\n", s.OnCPU)
	}
	if len(claimed.Rows) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return printTable(w, claimed)
}

// sweepState is a table that is a sweep, with the results that a folder has of it.
func (o *ours) sweepState(t *paper.Table) (tableState, error) {
	s, err := recipe.LoadSweep(t.Sweep)
	if err != nil {
		return tableState{}, err
	}
	out := tableState{Table: t.Number, Title: t.Title, Sweep: t.Sweep, OnCPU: t.OnCPU, Start: "resslt sweep --file " + t.Sweep, scores: t.Scores}
	rows, columns := s.RowPoints(), s.ColumnPoints()
	for _, c := range s.Cells() {
		r := rowState{
			Method: rows[c.Row].Name, Column: columns[c.Column].Name, State: rowReady, Needs: s.Hardware,
			Start: fmt.Sprintf("%s --only '%s'", out.Start, rows[c.Row].Name), Figures: []figureState{{Score: "top1", Paper: c.Paper}},
		}
		if r.Figures[0].fill(o.cells[t.Sweep][c.ID]); r.Figures[0].N > 0 {
			r.State = rowMeasured
		}
		out.Rows = append(out.Rows, r)
	}
	claimed, err := o.rows(t)
	out.Rows = append(out.Rows, claimed...)
	return out, err
}
