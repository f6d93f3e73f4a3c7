package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/packing"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas/errs"
)

func newShardsVerify() *cobra.Command {
	var f dataFlags
	c := &cobra.Command{
		Use:   "verify --data URI",
		Short: "hash every byte again and name what is damaged",
		Long: `verify compares every byte with the index, and shards with the hashes that pack
wrote next to them. It finds damage that leaves size and time unchanged. Images are
not decoded; but packs are restored, and their files compared with the hashes that
they were packed with.`,
		RunE: func(c *cobra.Command, _ []string) error {
			begun := time.Now()
			return f.with(c, func(ctx context.Context, src ingest.Source) error {
				rep, err := ingest.Verify(ctx, src, ingest.VerifyOptions{Progress: cli.Progress(c.ErrOrStderr(), "verifying")})
				if err != nil {
					return err
				}
				packs := int64(0)
				if ingest.Packed(src.Manifest().Format) {
					line := cli.Periodically(c.ErrOrStderr())
					n, damaged, err := packing.Verify(ctx, src, cores.Here().Count, func(done, total int64) { line("restored %d of %d samples", done, total) })
					if err != nil {
						return err
					}
					packs, rep.Damaged = n, append(rep.Damaged, damaged...)
				}
				type damage struct {
					Shard string `json:"shard"`
					File  string `json:"file,omitempty"`
					Error string `json:"error"`
				}
				found := []damage{}
				for _, d := range rep.Damaged {
					fmt.Fprintf(c.OutOrStdout(), "damaged  %s  %v\n", cli.Cell(filepath.Join(d.Shard, d.File)), d.Err)
					found = append(found, damage{d.Shard, d.File, d.Err.Error()})
				}
				fmt.Fprintf(c.OutOrStdout(), "%d shards, %s hashed, %d damaged\n", rep.Shards, humanBytes(rep.Bytes), len(found))
				if packs > 0 {
					fmt.Fprintf(c.OutOrStdout(), "%d packs restored\n", packs)
				}
				fmt.Fprintln(c.OutOrStdout(), pipeline.Totals(src.Manifest()))
				s := summarize(src.Manifest(), ingest.SurveyOf(src), begun)
				if err := printPassed(c.OutOrStdout(), s.Passed); err != nil {
					return err
				}
				if err := printJSON(c, f.json, map[string]any{
					"digest": s.Digest, "samples": s.Samples, "classes": s.Classes, "passed_over": s.Passed,
					"shards": rep.Shards, "bytes": rep.Bytes, "packs": packs, "damaged": found, "seconds": s.Seconds,
				}); err != nil {
					return err
				}
				if len(found) > 0 {
					return errs.New("verify", f.data, "fetch or pack the damaged ones again",
						errs.Because(errs.ErrCorrupt, fmt.Sprintf("%d of its parts differ from the index", len(found))))
				}
				return nil
			})
		},
	}
	f.add(c)
	return c
}
