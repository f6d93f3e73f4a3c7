package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"resslt/batcher/broker"
	"resslt/batcher/record"
	"resslt/batcher/runs"
	"resslt/cmd/internal/access"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/cmd/internal/session"
	"resslt/ingest"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
)

func newRecordCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "record",
		Short: "list, export, import and verify recordings of runs",
		Long: `Every run keeps its recipe log in OUT/record: for each slot of each step the sample,
the plans of its views and the digest of its chunk. With --record pixels the views are
kept, too; with --record stream they stay in the broker. All files are Arrow IPC files.

A SOURCE is the folder of a run, a recording's folder, or stream:RUN in the broker.`,
	}
	c.AddCommand(newRecordLsCommand(), newRecordExportCommand(), newRecordImportCommand(), newRecordVerifyCommand())
	return c
}

// recordSource is an opened SOURCE. The caller closes it.
type recordSource struct {
	name string
	*session.Recording
}

// openRecordSource opens a folder, or what the broker keeps.
func openRecordSource(c *cobra.Command, at *access.Flags, arg string) (*recordSource, error) {
	kind, place, err := session.ParseRecording(arg)
	if err != nil {
		return nil, errs.New("", c.CommandPath()+" "+arg, "give a folder or stream:RUN", errs.ErrUsage)
	}
	var r *session.Recording
	if kind == "stream" {
		_, js, cerr := at.Connect(c.Context(), "resslt record", broker.RoleObserver, func(string) {})
		if cerr != nil {
			return nil, cerr
		}
		r, err = session.OpenStored(c.Context(), js, place)
	} else {
		r, err = session.OpenRecording(kind, place)
	}
	return &recordSource{arg, r}, err
}

// chunks counts the chunks with pixels of each step.
func (s *recordSource) chunks(ctx context.Context) (map[int64]int, error) {
	if s.Stored == nil {
		return s.Folder.Stored(), nil
	}
	steps, _, err := s.Stored.Steps(ctx)
	return steps, err
}

// wholeSteps are the steps with all their pixels, in windows.
func wholeSteps(chunks map[int64]int, of int) []record.Window {
	var steps []int64
	for step, n := range chunks {
		if n >= of {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	var out []record.Window
	for _, step := range steps {
		if n := len(out); n > 0 && out[n-1].To == step {
			out[n-1].To++
		} else {
			out = append(out, record.Window{From: step, To: step + 1})
		}
	}
	return out
}

func newRecordExportCommand() *cobra.Command {
	var at access.Flags
	var out, window string
	c := &cobra.Command{
		Use:   "export SOURCE --out FOLDER",
		Short: "copy recorded steps into sealed Arrow files that any Arrow reads",
		Example: `  resslt record export stream:first --out kept --steps 0-99
  resslt record export runs/pixels --out kept             # of a run with --record pixels`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if out == "" {
				return errs.New("", c.CommandPath(), "give --out FOLDER", errs.Because(errs.ErrUsage, "no --out"))
			}
			if err := durable.CheckIn(out, "*.arrow*", pipeline.DatasetFile); err != nil {
				return err
			}
			src, err := openRecordSource(c, &at, args[0])
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, src.Close()) }()
			chunks, err := src.chunks(c.Context())
			if err != nil {
				return err
			}
			steps, err := exportWindow(src, wholeSteps(chunks, src.Run.Spec.Chunks()), window)
			if err != nil {
				return err
			}
			order, err := pipeline.Order(&src.Run.Spec)
			if err != nil {
				return err
			}
			progress := stepCounter(c.ErrOrStderr(), "exported", steps.To-steps.From)
			o := record.Options{Dir: out, Run: src.Run, Order: order, Pixels: steps, Warn: cli.Warn}
			if err := record.Export(c.Context(), src.Source(), o, progress); err != nil {
				return err
			}
			if d := src.Dataset(); d != nil {
				if err := d.Keep(out); err != nil {
					return err
				}
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %s of %s\n", out, steps, src.name)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "`folder` to write to")
	c.Flags().StringVar(&window, "steps", "", "steps FROM-TO, both included (default: all, which must be contiguous)")
	at.Register(c.Flags(), access.DefaultURL)
	return c
}

// exportWindow is the window that was asked for, or the only one of the recording.
func exportWindow(src *recordSource, whole []record.Window, asked string) (record.Window, error) {
	if asked != "" {
		return record.ParseWindow(asked, src.Run.Spec.Steps())
	}
	switch len(whole) {
	case 0:
		return record.Window{}, errs.New("export", src.name, "record with --record pixels or stream; a log is in Arrow files as it is",
			errs.Because(errs.ErrNotFound, "it has no step with all its pixels"))
	case 1:
		return whole[0], nil
	}
	return record.Window{}, errs.New("export", src.name, "choose with --steps FROM-TO",
		errs.Because(errs.ErrUsage, fmt.Sprintf("it has %s, then %s: they are not contiguous", whole[0], whole[1])))
}

func newRecordImportCommand() *cobra.Command {
	var at access.Flags
	var name string
	c := &cobra.Command{
		Use:     "import FOLDER --run NAME",
		Short:   "publish exported steps into a broker as a sealed run of the given name",
		Example: `  resslt record import kept --run first-again --nats nats://127.0.0.1:4222`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			f, err := record.OpenFolder(args[0])
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			steps := f.Stored()
			if len(steps) == 0 {
				return errs.New("import", args[0], "record with --record pixels", errs.Because(errs.ErrNotFound, "it holds no pixels"))
			}
			if name == "" {
				return errs.New("", c.CommandPath(), "give --run NAME", errs.Because(errs.ErrUsage, "no --run"))
			}
			nc, js, err := at.Connect(c.Context(), "resslt record", broker.RoleOwner, func(string) {})
			if err != nil {
				return err
			}
			defer nc.Close()
			run, err := runs.Open(c.Context(), js, name, f.Run.Spec, runs.Options{
				DataURI: f.Run.DataURI, Storage: runs.StorageFile, MaxBytes: runs.RecordingBytes(&f.Run.Spec),
			})
			if err != nil {
				return err
			}
			progress := stepCounter(c.ErrOrStderr(), "imported", int64(len(steps)))
			if err := record.Import(c.Context(), f, run, progress); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "stream:%s: %d steps, sealed\n", name, len(steps))
			return nil
		},
	}
	c.Flags().StringVar(&name, "run", "", "`name` of the run in the broker")
	at.Register(c.Flags(), access.DefaultURL)
	return c
}

func newRecordVerifyCommand() *cobra.Command {
	var at access.Flags
	var window, data string
	var complete, asJSON bool
	var remake int64
	c := &cobra.Command{
		Use:   "verify SOURCE",
		Short: "prove that every sample was visited once an epoch, as the run's order says",
		Long: `verify reads a recording as a ledger: that every chunk of every step is there once, that its
slots hold the samples that the run's order has there, no sample twice in an epoch; which
were replaced, which chunks could not be made, how many samples an epoch leaves out. Pixels
are hashed again. With --remake N the chunks of every N-th step are made again
from the data and compared. Exit code 1 where something is missing, twice or different.`,
		Example: `  resslt record verify runs/quickstart
  resslt record verify runs/quickstart --remake 10
  resslt record verify stream:first --nats nats://127.0.0.1:4222 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if remake < 0 {
				return errs.New("--remake", fmt.Sprint(remake), "give 1 or more, or 0 for none", errs.ErrUsage)
			}
			src, err := openRecordSource(c, &at, args[0])
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, src.Close()) }()
			steps := record.Window{To: src.Run.Spec.Steps()}
			if sum, err := train.ReadSummary(filepath.Join(args[0], "summary.json")); err == nil {
				steps.To = min(steps.To, sum.Steps) // stop_on has ended it early
			}
			if window != "" {
				if steps, err = record.ParseWindow(window, src.Run.Spec.Steps()); err != nil {
					return err
				}
				complete = true
			}
			// A run that has its summary is complete.
			complete = complete || cli.IsFile(filepath.Join(args[0], "summary.json"))
			rep, err := verify(c, src, steps, complete, remake, data)
			if err != nil {
				return err
			}
			printReport(c.OutOrStdout(), src.name, rep, replacedKeys(c.Context(), cmp.Or(data, src.Run.DataURI), src, rep))
			if asJSON {
				if err := json.NewEncoder(c.OutOrStdout()).Encode(rep); err != nil {
					return errs.New("print", "report", "see where standard output goes", errs.BecauseErr(errs.ErrUnavailable, err))
				}
			}
			if rep.Found > 0 {
				return errs.New("verify", src.name, "see the report; train a run with doubtful batches again, from a sound checkpoint",
					errs.Because(errs.ErrMismatch, fmt.Sprintf("%d problems; the first: %s", rep.Found, rep.Problems[0])))
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&window, "steps", "", "steps FROM-TO alone, both included; all of them must be there")
	f.BoolVar(&complete, "complete", false, "the run's last step must be there, too (implied by its summary.json)")
	f.Int64Var(&remake, "remake", 0, "make every N-th step again from the data and compare (0: none)")
	f.StringVar(&data, "data", "", "data `URI` for --remake (default: where the run had it)")
	f.BoolVar(&asJSON, "json", false, "print the report as one JSON object, the last line of standard output")
	at.Register(f, access.DefaultURL)
	return c
}

// replacedKeys finds the names of the first samples that were replaced, in the run's data.
func replacedKeys(ctx context.Context, uri string, src *recordSource, rep *record.Report) func(sample int64) string {
	var samples []*train.Replaced
	for _, x := range rep.Replaced[:min(len(rep.Replaced), shown)] {
		samples = append(samples, &train.Replaced{Sample: x.Planned})
	}
	if len(samples) > 0 {
		session.FindKeys(ctx, uri, &src.Run.Spec, samples)
	}
	return func(sample int64) string {
		for _, s := range samples {
			if s.Sample == sample {
				return s.Key
			}
		}
		return ""
	}
}

// verify makes the ledger of a source.
func verify(c *cobra.Command, src *recordSource, steps record.Window, complete bool, remake int64, data string) (*record.Report, error) {
	ctx := c.Context()
	order, err := pipeline.Order(&src.Run.Spec)
	if err != nil {
		return nil, err
	}
	l := record.NewLedger(&src.Run.Spec, order, steps)
	if src.Stored != nil {
		err = l.AddStored(ctx, src.Stored)
	} else {
		err = l.AddFolder(ctx, src.Folder)
	}
	if err != nil {
		return nil, err
	}
	rep := l.Report(complete)
	if remake == 0 {
		return rep, nil
	}
	if src.Folder == nil {
		return nil, errs.New("", "--remake", "export the stream first", errs.Because(errs.ErrUsage, "it takes a folder's log"))
	}
	var overrides []string
	if data != "" {
		overrides = append(overrides, data)
	}
	from, err := pipeline.OpenSource(ctx, &src.Run, overrides, ingest.Options{Warn: cli.Warn, Progress: cli.Progress(c.ErrOrStderr(), "indexing")})
	if err != nil {
		return nil, err
	}
	progress := stepCounter(c.ErrOrStderr(), "made again", (rep.To-rep.From+remake-1)/remake)
	err = l.Remake(ctx, src.Folder, from, record.RemakeOptions{Every: remake, Workers: cores.Count(), Progress: progress})
	return rep, errors.Join(err, from.Close())
}
