package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/reclaim"
	"resslt/cmd/internal/runbook"
	"resslt/ingest"
	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// gcFlags are the flags of gc.
type gcFlags struct {
	cache, older        string
	checkpoints         int
	earlier, parts      bool
	dryRun, yes, asJSON bool
}

func newGCCommand() *cobra.Command {
	var f gcFlags
	c := &cobra.Command{
		Use:   "gc [FOLDER...]",
		Short: "free the disk: what killed processes left, and by policy old checkpoints, runs and the cache",
		Long: `gc removes what killed processes have left: temporary folders and brokers' stores, sockets,
interrupted downloads, half-written files, folders of runs that never began. It looks in TMPDIR,
in the cache, and in the folders given and below them (default runs). Nothing goes that a
living process holds, or that is not known to be resslt's.

What else takes room goes when its flag asks for it; without the flag it is counted:

  --keep-cache SIZE       remote shards, the least recently used first, then indexes
  --keep-checkpoints N    checkpoints but for the newest N of each run; a run that has not ended
                          keeps one, to go on from
  --earlier               runs that a later one in the same folder has set aside, previous-N
  --parts                 features that a stopped embed would go on from

--older keeps of these what was used or written to more recently. Summaries, encoders and
recordings always stay. The runs that a broker holds are cleaned up by  resslt farm gc.`,
		Example: `  resslt gc --dry-run
  resslt gc runs --keep-checkpoints 1 --earlier --older 30d --dry-run
  resslt gc --keep-cache 20GB --json`,
		Args:        cobra.ArbitraryArgs,
		Annotations: map[string]string{cli.LeaveScratch: ""}, // it says what it removes
		RunE:        f.run,
	}
	p := c.Flags()
	p.StringVar(&f.cache, "keep-cache", "", "remove cached shards and indexes until the cache has no more than `SIZE`, 20GB say; 0 empties it")
	p.IntVar(&f.checkpoints, "keep-checkpoints", 0, "remove all but the newest `N` checkpoints of runs that no process holds; 0: all of those that have ended")
	p.BoolVar(&f.earlier, "earlier", false, "remove runs that later ones have set aside")
	p.BoolVar(&f.parts, "parts", false, "remove what stopped embeds would go on from")
	p.StringVar(&f.older, "older", "0d", "with these: only what was last used or written to this `time` ago, 12h or 30d say")
	p.BoolVar(&f.dryRun, "dry-run", false, "list what would be removed, and remove nothing")
	p.BoolVar(&f.yes, "yes", false, "do not ask before what cannot be made again is removed")
	p.BoolVar(&f.asJSON, "json", false, "print one JSON object")
	return c
}

// policy is what the flags ask for.
func (f *gcFlags) policy(c *cobra.Command) (p reclaim.Policy, err error) {
	p = reclaim.Policy{Earlier: f.earlier, Parts: f.parts}
	if f.cache != "" {
		p.Cache = new(int64)
		if f.cache != "0" {
			if *p.Cache, err = cli.ParseSize(f.cache); err != nil {
				return p, errs.New("--keep-cache", f.cache, "give a size, 20GB say, or 0", err)
			}
		}
	}
	if c.Flags().Changed("keep-checkpoints") {
		p.Checkpoints = &f.checkpoints
	}
	p.Older, err = parseAge(f.older)
	return p, err
}

// gcPlaces are where gc looks. Without a folder those of runs are looked for where `resslt run`
// makes them.
func gcPlaces(dirs []string) (at reclaim.Places, err error) {
	if len(dirs) == 0 {
		if info, err := os.Stat("runs"); err == nil && info.IsDir() {
			dirs = []string{"runs"}
		}
	}
	at.Runs = dirs
	if at.Shards, err = store.DefaultFolder(); err != nil {
		return at, errs.New("find the cache", "", "name it by --cache-dir", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	at.Indexes, err = ingest.IndexFolder()
	return at, err
}

func (f *gcFlags) run(c *cobra.Command, dirs []string) error {
	policy, err := f.policy(c)
	if err != nil {
		return err
	}
	at, err := gcPlaces(dirs)
	if err != nil {
		return err
	}
	found, err := reclaim.Find(c.Context(), at, policy)
	if err != nil {
		return err
	}
	for _, err := range found.Failed {
		fmt.Fprintln(c.ErrOrStderr(), "warning: "+cli.Line(err))
	}
	out := c.OutOrStdout()
	if f.asJSON {
		out = io.Discard
	}
	printGC(out, found, time.Now())
	gone := found.Items
	if !f.dryRun {
		if n := found.Lost(); n > 0 {
			if ok, err := confirm(c, f.yes, fmt.Sprintf("remove %d checkpoints, earlier runs or parts, which cannot be made again", n)); err != nil || !ok {
				return err
			}
		}
		gone, err = found.Remove(c.Context())
	}
	sum := (&reclaim.Found{Items: gone}).Bytes()
	if f.asJSON {
		if jerr := json.NewEncoder(c.OutOrStdout()).Encode(struct {
			DryRun bool           `json:"dry_run"`
			Bytes  int64          `json:"bytes"`
			Items  []reclaim.Item `json:"items"`
			Left   []reclaim.Left `json:"left"`
		}{f.dryRun, sum, append([]reclaim.Item{}, gone...), append([]reclaim.Left{}, found.Left...)}); jerr != nil {
			return jerr
		}
		return err
	}
	did := "freed"
	if f.dryRun {
		did = "would free"
	}
	fmt.Fprintf(out, "%s %s (%d bytes), %d items\n", did, binaryBytes(uint64(sum)), sum, len(gone))
	return err
}

// printGC lists what is to be removed, then what stays and the flag for it.
func printGC(w io.Writer, found *reclaim.Found, now time.Time) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, i := range found.Items {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", binaryBytes(uint64(i.Bytes)), runbook.Age(now.Sub(i.Used).Seconds()), i.Kind, cli.Cell(i.Path), cli.Cell(i.Why))
	}
	_ = t.Flush() // what is printed is not what is done
	for _, l := range found.Left {
		fmt.Fprintf(w, "%s in %d of kind %q stay: %s\n", binaryBytes(uint64(l.Bytes)), l.Items, l.Kind, l.Flag)
	}
}
