package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/runbook"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

func newRunsCommand() *cobra.Command {
	var by string
	var filters []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "runs [FOLDER...]",
		Short: "the runs in folders: recipe, data, state, epochs, loss, scores, speed, age",
		Long: `runs lists the runs in the folders given, and below them (default runs). A run is running
while a process holds its folder, ended with its summary, else stopped: --resume goes on.

--filter KEY=TEXT keeps the runs whose recipe, data, state, tag or folder has the text; several
must all hold. Tags and a note are added by  resslt runs note FOLDER.`,
		Example: `  resslt runs
  resslt runs --sort knn --filter recipe=quickstart
  resslt runs note runs/quickstart --tag baseline --text 'before the new crops'
  resslt runs --filter tag=baseline --json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, dirs []string) error {
			if len(dirs) == 0 {
				dirs = []string{"runs"}
			}
			runs, err := runbook.Find(dirs...)
			if err != nil {
				return err
			}
			if runs, err = filterRuns(runs, filters); err != nil {
				return err
			}
			sortRuns(runs, by)
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(append([]*runbook.Run{}, runs...))
			}
			return printRuns(c.OutOrStdout(), runs)
		},
	}
	c.Flags().StringVar(&by, "sort", "folder", "`key` to sort by: "+strings.Join(sortKeys(), ", ")+"; scores and speed have the best first")
	cli.Choices(c.Flags(), sortKeys(), "sort")
	c.Flags().StringArrayVar(&filters, "filter", nil, "keep runs with `KEY=TEXT`: recipe, data, state, tag or folder; may be repeated")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	c.AddCommand(newRunsNoteCommand())
	return c
}

// valueOr is a value, or what stands for one that is missing.
func valueOr(v *float64, missing float64) float64 {
	if v == nil {
		return missing
	}
	return *v
}

// runOrders are the orders of --sort, the default first.
var runOrders = []struct {
	key string
	of  func(a, b *runbook.Run) int
}{
	{"folder", func(a, b *runbook.Run) int { return cmp.Compare(a.Folder, b.Folder) }},
	{"recipe", func(a, b *runbook.Run) int { return cmp.Compare(a.Recipe, b.Recipe) }},
	{"state", func(a, b *runbook.Run) int { return cmp.Compare(a.State, b.State) }},
	{"epoch", func(a, b *runbook.Run) int { return cmp.Compare(b.Epoch, a.Epoch) }},
	{"loss", func(a, b *runbook.Run) int { return cmp.Compare(valueOr(a.Loss, 1e300), valueOr(b.Loss, 1e300)) }},
	{"knn", func(a, b *runbook.Run) int { return cmp.Compare(valueOr(b.KNN, -1), valueOr(a.KNN, -1)) }},
	{"linear", func(a, b *runbook.Run) int { return cmp.Compare(valueOr(b.Linear, -1), valueOr(a.Linear, -1)) }},
	{"speed", func(a, b *runbook.Run) int { return cmp.Compare(b.Rate, a.Rate) }},
	{"age", func(a, b *runbook.Run) int { return cmp.Compare(a.Seconds, b.Seconds) }},
}

func sortKeys() (keys []string) {
	for _, o := range runOrders {
		keys = append(keys, o.key)
	}
	return keys
}

func sortRuns(runs []*runbook.Run, by string) {
	for _, o := range runOrders {
		if o.key == by {
			slices.SortStableFunc(runs, o.of)
		}
	}
}

// runFilters are the keys of --filter.
var runFilters = map[string]func(r *runbook.Run) []string{
	"recipe": func(r *runbook.Run) []string { return []string{r.Recipe} },
	"data":   func(r *runbook.Run) []string { return []string{r.Data} },
	"state":  func(r *runbook.Run) []string { return []string{r.State} },
	"tag":    func(r *runbook.Run) []string { return r.Tags },
	"folder": func(r *runbook.Run) []string { return []string{r.Folder} },
}

func filterRuns(runs []*runbook.Run, filters []string) ([]*runbook.Run, error) {
	for _, f := range filters {
		key, text, ok := strings.Cut(f, "=")
		get := runFilters[key]
		if !ok || get == nil {
			keys := slices.Sorted(maps.Keys(runFilters))
			return nil, errs.New("--filter", f, bounded.Suggest(key, keys)+"give KEY=TEXT with one of "+strings.Join(keys, ", "), errs.ErrUsage)
		}
		runs = slices.DeleteFunc(runs, func(r *runbook.Run) bool {
			return !slices.ContainsFunc(get(r), func(v string) bool { return strings.Contains(v, text) })
		})
	}
	return runs, nil
}

func printRuns(w io.Writer, runs []*runbook.Run) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FOLDER\tRECIPE\tDATA\tSTATE\tEPOCHS\tLOSS\tKNN\tLINEAR\tIMG/S\tAGE\tTAGS")
	for _, r := range runs {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.4g/%d\t%s\t%s\t%s\t%.0f\t%s\t%s\n", cli.Cell(r.Folder), cli.Cell(r.Recipe), cli.Cell(r.Data), r.State, r.Epoch, r.Epochs,
			cmp.Or(runbook.Figure(r.Loss, 4), "-"), cmp.Or(runbook.Figure(r.KNN, 2), "-"), cmp.Or(runbook.Figure(r.Linear, 2), "-"), r.Rate, runbook.Age(r.Seconds),
			cli.Cell(strings.Join(r.Tags, ",")))
	}
	return t.Flush()
}

func newRunsNoteCommand() *cobra.Command {
	var add, remove []string
	var text string
	c := &cobra.Command{
		Use: "note FOLDER", Short: "tags and a note on a run, kept in its folder", Args: cobra.ExactArgs(1),
		Example: `  resslt runs note runs/quickstart --tag baseline`,
		RunE: func(c *cobra.Command, args []string) error {
			note := &text
			if !c.Flags().Changed("text") {
				note = nil
			}
			if len(add)+len(remove) == 0 && note == nil {
				return errs.New("", c.CommandPath(), "give --tag, --untag or --text", errs.Because(errs.ErrUsage, "nothing to note"))
			}
			return runbook.Note(args[0], add, remove, note)
		},
	}
	c.Flags().StringArrayVar(&add, "tag", nil, "a `word` to add; may be repeated")
	c.Flags().StringArrayVar(&remove, "untag", nil, "a `word` to take away; may be repeated")
	c.Flags().StringVar(&text, "text", "", "the note, in place of the one before")
	return c
}

func newCompareCommand() *cobra.Command {
	var out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "compare FOLDER FOLDER...",
		Short: "runs side by side: keys that differ, scores, curves on one page, paired losses",
		Long: `compare prints what differs between the recipes of two to five runs, and their scores. Where
runs had the same batches (a sweep, a replay, one stream), their losses are compared step by step.
With --out it writes a page with all curves overlaid, one HTML file that needs no network.`,
		Example: `  resslt compare runs/quickstart runs/own
  resslt compare runs/quickstart runs/own --out compare.html`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, dirs []string) error {
			if len(dirs) < 2 || len(dirs) > runbook.MostCompared {
				return errs.New("", c.CommandPath(), fmt.Sprintf("name 2 to %d folders of runs", runbook.MostCompared), errs.Because(errs.ErrUsage, fmt.Sprintf("%d are named", len(dirs))))
			}
			if out != "" {
				if err := durable.Check(out); err != nil {
					return err
				}
			}
			runs := make([]*runbook.Run, len(dirs))
			for i, dir := range dirs {
				var err error
				if runs[i], err = runbook.Read(dir); err != nil {
					return err
				}
			}
			r := runbook.Compare(runs...)
			if out != "" {
				if err := durable.Replace(out, r.WritePage); err != nil {
					return err
				}
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(r)
			}
			return printComparison(c.OutOrStdout(), r, out)
		},
	}
	c.Flags().StringVar(&out, "out", "", "`file` for the page")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func printComparison(w io.Writer, c *runbook.Comparison, page string) error {
	names := runbook.Names(c.Runs)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(what string, of func(r *runbook.Run) string) {
		fmt.Fprint(t, what)
		for _, r := range c.Runs {
			fmt.Fprint(t, "\t"+cmp.Or(of(r), "-"))
		}
		fmt.Fprintln(t)
	}
	fmt.Fprintln(t, "\t"+strings.Join(names, "\t"))
	row("state", func(r *runbook.Run) string { return r.State })
	row("epochs", func(r *runbook.Run) string { return fmt.Sprintf("%.4g/%d", r.Epoch, r.Epochs) })
	row("loss", func(r *runbook.Run) string { return runbook.Figure(r.Loss, 4) })
	row("kNN, %", func(r *runbook.Run) string { return runbook.Figure(r.KNN, 2) })
	row("linear, %", func(r *runbook.Run) string { return runbook.Figure(r.Linear, 2) })
	for _, k := range c.Keys {
		fmt.Fprint(t, k.Name)
		for _, v := range k.Values {
			fmt.Fprintf(t, "\t%s", cli.Cell(fmt.Sprint(v)))
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range c.Paired {
		fmt.Fprintf(w, "%s − %s, the same batches: loss %+.4f (%s), lower at %.0f %% of %d steps\n",
			p.Folder, c.Runs[0].Folder, p.Mean, p.Interval(), 100*p.Lower, p.Steps)
	}
	if page != "" {
		fmt.Fprintln(w, "page "+page)
	}
	return nil
}
