package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/runreport"
	"resslt/schemas/errs"
)

func newReportCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "report --out DIR",
		Short: "a run's page: what was run, curves, scores, pictures, in one HTML file",
		Long: `report writes DIR/report.html from what a run has left in its folder, finished
or not. resslt run and resslt train write it at their end; after resslt eval, call
it again and the page has the new scores and pictures.`,
		Example: `  resslt report --out runs/quickstart`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if out == "" {
				return errs.New("", c.CommandPath(), "name the run's folder with --out DIR", errs.Because(errs.ErrUsage, "no --out"))
			}
			if err := runreport.Write(c.Context(), out); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), filepath.Join(out, runreport.File))
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "`folder` of the run")
	return c
}
