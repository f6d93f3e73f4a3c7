package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/chaos"
	"resslt/cmd/internal/cli"
	"resslt/schemas/errs"
)

func newCommand() *cobra.Command {
	var (
		o      chaos.Options
		c      chaos.Campaign
		keep   bool
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "inject faults into a farm of real processes, and check that the weights stay the same",
		Long: `Runs nats-server, three augmentd and one resslt train on this machine's loopback
address, and injects faults: each kind alone, then all kinds mixed, then one scenario
after another. All random choices come from --seed, which is printed, so that a
campaign can be repeated.

Kinds:     ` + strings.Join(chaos.Kinds(), ", ") + `
Scenarios: ` + strings.Join(chaos.Scenarios(), ", "),
		Example: `  make chaos SEED=7 FAULTS=50
  go run ./cmd/chaos --alone 0 --only full-disk`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stderr := cmd.ErrOrStderr()
			began := time.Now()
			o.Log = func(line string) { fmt.Fprintf(stderr, "%7.1f s  %s\n", time.Since(began).Seconds(), line) }
			var err error
			if o.Dir, err = workFolder(o.Dir); err != nil {
				return err
			}
			r, err := chaos.Run(cmd.Context(), o, c)
			if err != nil {
				return err
			}
			if len(r.Wrong()) == 0 && !keep {
				if err := os.RemoveAll(o.Dir); err != nil {
					return errs.New("remove folder", o.Dir, "remove it by hand", errs.BecauseErr(errs.ErrUnavailable, err))
				}
			}
			return print(cmd.OutOrStdout(), r, o.Dir, asJSON)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&o.Seed, "seed", 1, "of all random choices: kinds, victims, moments, outages")
	f.StringVar(&o.Bin, "bin", "bin", "`folder` of resslt and augmentd, from make build")
	f.StringVar(&o.Server, "server", "nats-server", "the broker's `program`")
	f.StringVar(&o.Data, "data", "fashion-mnist:", "data `URI` to train on")
	f.StringVar(&o.Dir, "dir", "", "new `folder` for stores, outputs and logs (default a temporary one)")
	f.DurationVar(&o.Quiet, "quiet", 90*time.Second, "time without a step after which a trainer counts as hung")
	f.IntVar(&c.Faults, "faults", 50, "faults of the mixed run; 0 for none")
	f.IntVar(&c.Runs, "runs", 1, "runs of different seeds that share the mixed run's farm and its faults")
	f.IntVar(&c.Alone, "alone", 4, "faults of each kind alone; 0 for none")
	cli.MayBeZero(f, "faults", "alone")
	f.StringSliceVar(&c.Kinds, "kinds", nil, "kinds to draw from (default all)")
	f.StringSliceVar(&c.Only, "only", nil, "scenarios to run, \"none\" for none (default all)")
	f.BoolVar(&keep, "keep", false, "keep the folder even if every check passes")
	f.BoolVar(&asJSON, "json", false, "print the report as one JSON object, the last line of standard output")
	return cmd
}

// workFolder makes the farms' folder.
func workFolder(dir string) (string, error) {
	var err error
	if dir == "" {
		dir, err = os.MkdirTemp("", "resslt-chaos-")
	} else if err = os.MkdirAll(filepath.Dir(dir), 0o755); err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		return "", errs.New("make folder", dir, "name a --dir that does not exist yet", errs.BecauseErr(errs.ErrUsage, err))
	}
	return dir, nil
}

// print writes the report; failed checks are the command's error.
func print(w io.Writer, r *chaos.Report, dir string, asJSON bool) error {
	if err := r.Table(w); err != nil {
		return err
	}
	if asJSON {
		if err := json.NewEncoder(w).Encode(r); err != nil {
			return err
		}
	}
	if wrong := r.Wrong(); len(wrong) > 0 {
		return errs.New("chaos", fmt.Sprintf("seed %d", r.Seed), "read the logs in "+dir+", and run it again with the same --seed",
			errs.Because(errs.ErrMismatch, fmt.Sprintf("%d of its checks failed, the first: %s", len(wrong), wrong[0])))
	}
	return nil
}
