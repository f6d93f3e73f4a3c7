package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/session"
	"resslt/cmd/internal/sheet"
	"resslt/cmd/internal/web"
)

func newWebCommand() *cobra.Command {
	addr := ":0"
	c := &cobra.Command{
		Use:   "web [DIR...]",
		Short: "a page in a browser with the runs in folders, as they train: curves, collapse watch, neighbours, comparisons",
		Long: `web serves a page with the runs in the folders given, and below them (default runs), until it is
stopped, and prints its address. It follows the files of runs, whichever process writes them, and
disturbs none. A run that was started with --web shows also what only its process knows: the queue,
the workers, the views of the newest step; of any run those of a step in its record are made again.

An address without a host is this machine alone; from another, ssh -L leads there. Any other
address wants a token, which is in the URL that is printed; ` + web.TokenVariable + ` gives one of your own.`,
		Example: `  resslt web
  resslt web runs /shared/runs --web :8080
  resslt web runs --web 0.0.0.0:8080`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, dirs []string) error {
			if len(dirs) == 0 {
				dirs = []string{"runs"}
			}
			s, err := web.Listen(web.Options{Addr: addr, Token: web.TokenOf(), Dirs: dirs, Recorded: recordedViews, Log: slog.Default()})
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), s.URL())
			return s.Serve(c.Context())
		},
	}
	c.Flags().StringVar(&addr, "web", addr, "`address` of the page; :0 is any free port of this machine")
	return c
}

// recordedViews are the first samples of a step as a run's record has them, or made again from its
// log and its data; step -1 is the newest.
func recordedViews(ctx context.Context, folder string, step int64) (_ *web.Views, err error) {
	rec, err := session.OpenRecording("", folder)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rec.Close()) }()
	if step < 0 {
		step = rec.Folder.LoggedTo() - 1
	}
	chunk, _, err := stepChunks(rec, step, 0, nil, nil)
	if err != nil {
		return nil, err
	}
	c, err := chunk(ctx, step, 0)
	if err != nil {
		return nil, err
	}
	slots, err := sheet.Slots(&rec.Run.Spec, c, 0, web.ShownSlots)
	return &web.Views{Of: rec.Run.Spec.Views, Slots: slots}, err
}
