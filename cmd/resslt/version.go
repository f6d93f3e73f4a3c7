package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"resslt/augment"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/version"
	"resslt/train/torch"
)

func newVersionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "which build this is: version, commit, date, Go, libtorch, engines",
		Long: `version says which build this is, and which libtorch it finds here. Runs keep the same with
their command, host and time: in summary.json, in every checkpoint and on the run's page.`,
		Example: `  resslt version
  resslt version --json`,
		RunE: func(c *cobra.Command, _ []string) error {
			v := struct {
				version.Build
				Libtorch string   `json:"libtorch"` // "" where there is none
				Engine   string   `json:"engine"`   // that is taken where a recipe leaves it open
				Engines  []string `json:"engines"`
			}{Build: version.Parts(), Engine: augment.DefaultEngine().Name(), Engines: augment.EngineNames()}
			libtorch := ""
			if info, err := torch.Info(); err == nil {
				v.Libtorch = info.TorchVersion
				libtorch = fmt.Sprintf("%s (%s)", info.TorchVersion, info.Shim)
			} else {
				libtorch = "none: " + cli.Line(err)
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(v)
			}
			commit := v.Commit
			if commit == "" {
				commit = "unknown"
			}
			if v.Date == "" {
				v.Date = "unknown"
			}
			if v.Modified {
				commit += ", with changes"
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, row := range [][2]string{
				{"version", v.Number},
				{"commit", commit},
				{"date", v.Date},
				{"go", v.Go + " " + v.Platform},
				{"libtorch", libtorch},
				{"engine", v.Engine},
			} {
				fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}
