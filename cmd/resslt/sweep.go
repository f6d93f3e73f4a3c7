package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/access"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/cmd/internal/session"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// sweepFlags are the flags of `sweep`.
type sweepFlags struct {
	file, recipe, data, out string
	only                    []string
	grids, set, splits      []string
	seeds                   []uint
	parallel, workers       int
	priority, most          int // of the runs, among those that share their workers
	dryRun, json            bool
	at                      access.Flags
}

func newSweepCommand() *cobra.Command {
	f := sweepFlags{}
	c := &cobra.Command{
		Use:   "sweep --file NAME | --recipe R --grid key=v1,v2,...",
		Short: "train a table of recipe overrides, cells with equal batches over one stream",
		Long: `sweep trains every cell of a table: a sweep file (the paper's are embedded), or
a grid of overrides over one recipe. Cells that differ in the trainer alone (tau_t,
K, m, network, optimiser, objective) share one stream of batches, made once for
those that are trained at once; cells that differ in the batches (policy, seed,
batch_size) get streams of their own. Without --nats, broker and workers run here.

A cell that is done is not trained again, and one that was interrupted is continued, so
a sweep can be stopped and started. DIR/sweep.json and DIR/sweep.csv hold the
results; each cell's run is in DIR/cells.`,
		Example: `  resslt sweep --file table6 --only CIFAR-10 --parallel 2
  resslt sweep --recipe quickstart --grid predictor=true,false --grid tau_t=0.03,0.04,0.05 --seeds 1,2,3
  resslt sweep --nats nats://farm:4222 --file table1 --parallel 8`,
		RunE: func(c *cobra.Command, _ []string) error { return sweep(c, f) },
	}
	p := c.Flags()
	p.StringVar(&f.file, "file", "", "embedded sweep ("+strings.Join(recipe.SweepNames(), ", ")+") or a YAML `file`")
	p.StringVar(&f.recipe, "recipe", "", "embedded recipe or a YAML `file`, for --grid")
	p.StringArrayVar(&f.grids, "grid", nil, "`key=value,value,...`, one side of the table; may be repeated, the last is the columns")
	p.UintSliceVar(&f.seeds, "seeds", nil, "train each cell with each of these `seeds`, and give mean, deviation and, by Student's t, the interval of each row's difference to the first")
	p.StringArrayVar(&f.set, "set", nil, "override a recipe field in every cell, `key=value`; may be repeated")
	cli.RegisterData(p, &f.data, "data `URI` in place of the recipes'").RegisterRecipeSplit(p, &f.splits)
	p.StringArrayVar(&f.only, "only", nil, "train only the rows and columns of this `name`, or where none has it, those with this in their names; may be repeated")
	p.IntVar(&f.parallel, "parallel", 1, "cells that are trained at once")
	p.IntVar(&f.workers, "workers", cores.Count(), "images rendered at once, here (default with --nats: none: the farm renders)")
	registerSharing(p, &f.priority, &f.most)
	cli.MayBeZero(p, "workers")
	p.StringVar(&f.out, "out", "", "`folder` of the results (default runs/sweep-NAME)")
	p.BoolVar(&f.dryRun, "dry-run", false, "list the cells and the streams that they share, train nothing")
	p.BoolVar(&f.json, "json", false, "print the results as one JSON object, the last line of standard output")
	f.at.Register(p, "")
	return c
}

func sweep(c *cobra.Command, f sweepFlags) error {
	ctx := c.Context()
	if err := session.RefuseRanks("resslt sweep"); err != nil { // each of its trainers would be that rank
		return err
	}
	table, err := f.table()
	if err != nil {
		return err
	}
	if f.out == "" {
		f.out = filepath.Join("runs", "sweep-"+table.Name)
	}
	if f.at.URL == "" {
		f.at.URL = os.Getenv("NATS_URL") // which the trainers take from their environment too
	}
	if f.at.URL != "" && !c.Flags().Changed("workers") {
		f.workers = 0
	}
	cells, err := f.plan(ctx, table, c.ErrOrStderr())
	if err != nil {
		return err
	}
	if f.dryRun {
		listCells(c.OutOrStdout(), cells)
		return nil
	}
	folder, err := session.LockFolder(f.out)
	if err != nil {
		return err
	}
	defer folder.Close()
	folder.Use()
	book, err := openSweepBook(f.out, table, cells)
	if err != nil {
		return err
	}
	if err := book.check(); err != nil {
		return err
	}
	trained := trainCells(ctx, f, connectionArgs(c), book, c.ErrOrStderr())
	return errors.Join(trained, book.print(c.OutOrStdout(), f.json))
}

// table is the sweep that the flags ask for.
func (f *sweepFlags) table() (*recipe.Sweep, error) {
	bad := func(flag, why, hint string) error {
		return errs.New("sweep", flag, hint, errs.Because(errs.ErrUsage, why))
	}
	seeds := make([]uint64, len(f.seeds))
	for i, s := range f.seeds {
		seeds[i] = uint64(s)
	}
	switch {
	case f.parallel < 1:
		return nil, bad("--parallel", fmt.Sprintf("is %d", f.parallel), "give 1 or more")
	case f.workers < 0:
		return nil, bad("--workers", fmt.Sprintf("is %d", f.workers), "give 0 or more")
	case f.workers == 0 && f.at.URL == "":
		return nil, bad("--workers", "is 0, and no other worker can reach the broker in this process", "give 1 or more, or --nats")
	case (f.file == "") == (f.recipe == ""):
		return nil, bad("--file", "is not given, nor --recipe, or both are", "give --file NAME, or --recipe R with --grid key=v1,v2")
	case f.file != "" && len(f.grids) > 0:
		return nil, bad("--grid", "is given together with --file", "write the axis into the file, or use --recipe")
	case f.recipe != "":
		return recipe.GridSweep(f.recipe, f.grids, seeds)
	}
	s, err := recipe.LoadSweep(f.file)
	if err == nil && len(seeds) > 0 {
		s.Seeds = seeds
		err = s.Validate()
	}
	return s, err
}

// sweepCell is a cell that can be trained.
type sweepCell struct {
	recipe.Cell
	recipe *recipe.Recipe // resolved
	set    []string       // overrides that make it so, for the child process
	run    string         // in the broker; cells of one run share its stream
	// anyThreads: the recipe leaves libtorch's threads open.
	anyThreads bool
}

// plan resolves every cell and finds which share a stream. Whatever can be found wrong before
// the training is found here.
func (f *sweepFlags) plan(ctx context.Context, table *recipe.Sweep, stderr io.Writer) ([]*sweepCell, error) {
	if err := torch.Open(""); err != nil {
		return nil, err
	}
	rows, columns := table.RowPoints(), table.ColumnPoints()
	chosen, err := choose(f.only, append(slices.Clone(rows), columns...))
	if err != nil {
		return nil, err
	}
	manifests := map[string]*ingest.Manifest{}
	var cells []*sweepCell
	for _, cell := range table.Cells(append(f.set, f.splits...)...) {
		if !chosen[rows[cell.Row].Name] && !chosen[columns[cell.Column].Name] {
			continue
		}
		s := &sweepCell{Cell: cell, set: cell.Set}
		if err := s.resolve(f); err != nil {
			return nil, cellError(cell.ID, err)
		}
		spec, err := s.spec(ctx, manifests)
		if err != nil {
			return nil, cellError(cell.ID, err)
		}
		s.run = "sweep-" + spec.Digest()[:16]
		for _, w := range s.recipe.Warnings() {
			fmt.Fprintf(stderr, "warning: %s: %s\n", cell.ID, w)
		}
		cells = append(cells, s)
	}
	return cells, nil
}

// choose finds the points that --only means: all where it is not given, the point of that
// name, or every point whose name has it.
func choose(only []string, points []recipe.Point) (map[string]bool, error) {
	chosen := map[string]bool{}
	for _, p := range points {
		chosen[p.Name] = len(only) == 0
	}
	for _, name := range only {
		if _, exact := chosen[name]; exact {
			chosen[name] = true
			continue
		}
		found := false
		for _, p := range points {
			if strings.Contains(p.Name, name) {
				chosen[p.Name], found = true, true
			}
		}
		if !found {
			return nil, errs.New("sweep", "--only "+name, "see --dry-run without it", errs.Because(errs.ErrUsage, "no row or column has that in its name"))
		}
	}
	return chosen, nil
}

// cellError names the cell.
func cellError(id string, err error) error { return errs.New("cell", id, "", err) }

func (s *sweepCell) resolve(f *sweepFlags) error {
	r, err := recipe.Load(s.Recipe)
	if err != nil {
		return err
	}
	if err := r.Set(s.set...); err != nil {
		return err
	}
	if r.Threads == 0 && r.Device == "cpu" {
		// Trainers that run at once share the cores; more threads than these would slow
		// all of them to a crawl.
		s.anyThreads = true
		s.set = append(s.set[:len(s.set):len(s.set)], fmt.Sprintf("threads=%d", cores.For(cores.Here().Share(f.parallel), os.LookupEnv).Count))
	}
	if s.recipe, err = loadRecipe(s.Recipe, f.data, s.set); err != nil {
		return err
	}
	if s.recipe.Data, err = ingest.Absolute(s.recipe.Data); err != nil {
		return err
	}
	return train.Check(s.recipe)
}

// spec is the run spec of the cell's batches. manifests has those of the data sets that
// were opened.
func (s *sweepCell) spec(ctx context.Context, manifests map[string]*ingest.Manifest) (*schemas.RunSpec, error) {
	key := s.recipe.Data + "\n" + s.recipe.Split
	m := manifests[key]
	if m == nil {
		src, err := ingest.Open(ctx, s.recipe.Data, ingest.Options{Warn: cli.Warn, Split: s.recipe.Split})
		if err != nil {
			return nil, err
		}
		m = src.Manifest()
		manifests[key] = m
		if err := src.Close(); err != nil {
			return nil, err
		}
	}
	spec, err := pipeline.Spec(s.recipe, m)
	return &spec, err
}

func listCells(w io.Writer, cells []*sweepCell) {
	runs := map[string]bool{}
	for _, c := range cells {
		runs[c.run] = true
		fmt.Fprintf(w, "%-40s %s  %s %s\n", c.ID, c.run, c.Recipe, strings.Join(c.set, " "))
	}
	fmt.Fprintf(w, "%d cells over %d streams\n", len(cells), len(runs))
}

// connectionArgs are the flags that name the broker, as they were given, for the child
// processes, which inherit the environment.
func connectionArgs(c *cobra.Command) []string {
	var args []string
	for _, name := range []string{"nats", "creds", "nkey", "token", "token-file", "tls-ca", "tls-cert", "tls-key"} {
		if f := c.Flags().Lookup(name); f != nil && f.Changed {
			args = append(args, "--"+name, f.Value.String())
		}
	}
	return args
}
