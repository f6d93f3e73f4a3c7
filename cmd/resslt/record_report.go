package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"resslt/batcher/broker"
	"resslt/batcher/record"
	"resslt/batcher/runs"
	"resslt/cmd/internal/access"
	"resslt/cmd/internal/cli"
	"resslt/schemas/errs"
)

// stepCounter prints how many steps are done, every few seconds.
func stepCounter(w io.Writer, doing string, of int64) func(step int64) {
	line, n := cli.Periodically(w), int64(0)
	return func(int64) {
		n++
		line("%s %d of %d steps", doing, n, of)
	}
}

// shown is how many of each kind a report for people names.
const shown = 10

// printReport is the ledger for a person.
func printReport(w io.Writer, name string, r *record.Report, key func(sample int64) string) {
	fmt.Fprintf(w, "%s: run %.12s, steps %d to %d of %d\n", name, r.RunDigest, r.From, r.To-1, r.Steps)
	fmt.Fprintf(w, "  %d steps whole, %d visits, %d epochs whole; an epoch leaves out the last %d of its %d samples, which fill no batch of %d\n",
		r.StepsWhole, r.Visits, r.EpochsWhole, r.Tail, r.Samples, r.BatchSize)
	if r.To < r.Steps {
		fmt.Fprintf(w, "  %d steps to the end of the run were not checked\n", r.Steps-r.To)
	}
	if r.PixelChunks > 0 {
		fmt.Fprintf(w, "  %d chunks with their pixels, digests computed again\n", r.PixelChunks)
	}
	if r.Remade > 0 {
		fmt.Fprintf(w, "  %d chunks made again from the data, digests compared\n", r.Remade)
	}
	for i, x := range r.Replaced {
		if i == shown {
			fmt.Fprintf(w, "  replaced: … %d in all\n", len(r.Replaced))
			break
		}
		name := fmt.Sprintf("sample %d", x.Planned)
		if k := key(x.Planned); k != "" {
			name += " (" + cli.Cell(k) + ")"
		}
		fmt.Fprintf(w, "  replaced: step %d slot %d: %s by %d, which the epoch visited twice: %s\n", x.Step, x.Slot, name, x.Sample, x.Reason)
	}
	for i, t := range r.Tombstones {
		if i == shown {
			fmt.Fprintf(w, "  tombstones: … %d in all\n", len(r.Tombstones))
			break
		}
		then := "not made since"
		if t.Made {
			then = "made later"
		}
		fmt.Fprintf(w, "  tombstone: step %d chunk %d: %s (%s)\n", t.Step, t.Chunk, t.Reason, then)
	}
	for i, p := range r.Problems {
		if i == shown {
			fmt.Fprintf(w, "  PROBLEM: … %d in all\n", r.Found)
			break
		}
		fmt.Fprintf(w, "  PROBLEM: %s\n", p)
	}
	if r.Found == 0 {
		fmt.Fprintln(w, "  no problems")
	}
}

// listing is one line of `record ls`.
type listing struct {
	Name   string `json:"name"` // file, or run in the broker
	Kind   string `json:"kind"` // "log", "pixels", "stream"
	Run    string `json:"run_digest"`
	Steps  string `json:"steps"`
	Chunks int    `json:"chunks,omitempty"` // of a stream
	Bytes  int64  `json:"bytes"`
	Sealed bool   `json:"sealed"`
}

func newRecordLsCommand() *cobra.Command {
	var at access.Flags
	var asJSON bool
	c := &cobra.Command{
		Use:   "ls [FOLDER]",
		Short: "list the files of a recording, or without a folder the runs that a broker keeps",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var rows []listing
			var err error
			if len(args) == 1 {
				rows, err = listFolder(args[0])
			} else {
				rows, err = listBroker(c, &at)
			}
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(rows)
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "name\tkind\trun\tsteps\tMB\tsealed")
			for _, r := range rows {
				fmt.Fprintf(t, "%s\t%s\t%.12s\t%s\t%.1f\t%v\n", r.Name, r.Kind, r.Run, r.Steps, float64(r.Bytes)/1e6, r.Sealed)
			}
			return t.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	at.Register(c.Flags(), access.DefaultURL)
	return c
}

func listFolder(dir string) (rows []listing, err error) {
	f, err := record.OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, x := range f.Files {
		kind := "log"
		if x.Pixels {
			kind = "pixels"
		}
		first, last := x.Steps()
		steps := "none"
		if first >= 0 {
			steps = fmt.Sprintf("%d-%d", first, last)
		}
		rows = append(rows, listing{Name: filepath.Base(x.Path), Kind: kind, Run: x.Run.Digest, Steps: steps, Bytes: x.Bytes, Sealed: x.Sealed})
	}
	return rows, nil
}

func listBroker(c *cobra.Command, at *access.Flags) ([]listing, error) {
	ctx := c.Context()
	nc, js, err := at.Connect(ctx, "resslt record", broker.RoleObserver, func(string) {})
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	runs, err := runs.List(ctx, js)
	if runs == nil && err != nil {
		return nil, err
	}
	if err != nil { // some cannot be read, others can
		fmt.Fprintln(c.ErrOrStderr(), "warning: "+cli.Line(err))
	}
	rows := []listing{}
	for _, run := range runs {
		row, err := listStored(ctx, run)
		if errors.Is(err, errs.ErrNotFound) {
			continue // deleted just now
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func listStored(ctx context.Context, run *runs.Run) (listing, error) {
	stored, err := run.Stored(ctx)
	if err != nil {
		return listing{}, err
	}
	chunks, size, err := stored.Steps(ctx)
	if err != nil {
		return listing{}, err
	}
	row := listing{Name: run.Name, Kind: "stream", Run: run.Info.Digest, Bytes: int64(size), Sealed: stored.Sealed(), Steps: "none"}
	for _, n := range chunks {
		row.Chunks += n
	}
	for i, w := range wholeSteps(chunks, run.Spec().Chunks()) {
		if i == 0 {
			row.Steps = ""
		} else {
			row.Steps += ","
		}
		row.Steps += fmt.Sprintf("%d-%d", w.From, w.To-1)
	}
	return row, nil
}
