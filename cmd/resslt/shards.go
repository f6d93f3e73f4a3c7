package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

func newShardsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "shards",
		Short: "pack, unpack, index, list and verify data sets",
		Long: `A data set is named by a URI, and known by the digest of its content: the same
data under another path is the same data set.

` + schemeTable(),
	}
	c.AddCommand(newShardsPack(), newShardsUnpack(), newShardsIndex(), newShardsLs(), newShardsVerify())
	return c
}

func schemeTable() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, s := range ingest.Schemes() {
		fmt.Fprintf(w, "  %s\t%s\n", s.Form, s.Text)
	}
	w.Flush() // a strings.Builder never fails
	return b.String()
}

// dataFlags name the data set that a verb works on.
type dataFlags struct {
	data, split, cache string
	json               bool
}

func (f *dataFlags) add(c *cobra.Command) {
	p := c.Flags()
	data := cli.RegisterData(p, &f.data, "data `URI`, such as folder:DIR")
	data.RegisterSplit(p, "split", "train, test, val, train+val, unlabeled or train+unlabeled, of which a set has some (default train; for packed shards, theirs)", &f.split)
	p.StringVar(&f.cache, "cache", "", "folder of the indexes (default resslt/index in the user's cache)")
	p.BoolVar(&f.json, "json", false, "print one JSON object, the last line of standard output")
}

func (f *dataFlags) open(c *cobra.Command) (ingest.Source, error) {
	if f.data == "" {
		return nil, errs.New("", c.CommandPath(), "give --data URI; see `resslt shards --help`",
			errs.Because(errs.ErrUsage, "no data set is named"))
	}
	return ingest.Open(c.Context(), f.data, ingest.Options{
		Split: f.split, CacheDir: f.cache, Warn: cli.Warn,
		Progress: cli.Progress(c.ErrOrStderr(), "indexing"),
	})
}

// with opens the data set while do runs.
func (f *dataFlags) with(c *cobra.Command, do func(context.Context, ingest.Source) error) (err error) {
	src, err := f.open(c)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := src.Close(); err == nil {
			err = cerr
		}
	}()
	return do(c.Context(), src)
}

// shardsSummary is the JSON of index, pack and ls.
type shardsSummary struct {
	Digest  string          `json:"digest"`
	Format  string          `json:"format"`
	Split   string          `json:"split"`
	Samples int64           `json:"samples"`
	Bytes   int64           `json:"bytes"`
	Classes []string        `json:"classes"`
	Passed  ingest.Survey   `json:"passed_over"`
	Shards  int             `json:"shards"`
	Seconds float64         `json:"seconds"`
	List    []ingest.Shard  `json:"shard_list,omitempty"`
	First   []sampleSummary `json:"first_samples,omitempty"`
}

type sampleSummary struct {
	ID    int64  `json:"id"`
	Key   string `json:"key"`
	Label int32  `json:"label"`
	Bytes int    `json:"bytes"`
}

func summarize(m *ingest.Manifest, passed ingest.Survey, since time.Time) shardsSummary {
	if passed == nil {
		passed = ingest.Survey{}
	}
	classes := m.Classes
	if classes == nil {
		classes = []string{}
	}
	return shardsSummary{
		Digest: m.Digest(), Format: m.Format, Split: m.Split, Samples: m.Samples, Bytes: m.Bytes(),
		Classes: classes, Passed: passed, Shards: len(m.Shards), Seconds: math.Round(1000*time.Since(since).Seconds()) / 1000,
	}
}

// name has labels without names listed by their numbers.
func (s *shardsSummary) name(src ingest.Source) {
	if classes := ingest.LabellingOf(src).Classes; classes != nil {
		s.Classes = classes
	}
}

func (s *shardsSummary) print(w io.Writer) error {
	classes := "none"
	if n := len(s.Classes); n > 0 {
		const most = 12
		classes = fmt.Sprintf("%d: %s", n, cli.Cell(strings.Join(s.Classes[:min(n, most)], ", ")))
		if n > most {
			classes += ", …"
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "digest\t%s\n", s.Digest)
	fmt.Fprintf(t, "format\t%s\n", s.Format)
	fmt.Fprintf(t, "split\t%s\n", s.Split)
	fmt.Fprintf(t, "samples\t%d\n", s.Samples)
	fmt.Fprintf(t, "bytes\t%s\n", humanBytes(s.Bytes))
	fmt.Fprintf(t, "shards\t%d\n", s.Shards)
	fmt.Fprintf(t, "classes\t%s\n", classes)
	if err := t.Flush(); err != nil {
		return err
	}
	return printPassed(w, s.Passed)
}

// printPassed lists what was passed over, every reason in a line.
func printPassed(w io.Writer, passed ingest.Survey) error {
	for _, kept := range []bool{false, true} {
		part := slices.DeleteFunc(slices.Clone(passed), func(p ingest.PassedOver) bool { return p.Kept != kept })
		switch {
		case len(part) == 0:
			continue
		case kept:
			fmt.Fprintln(w, "kept all the same:")
		default:
			fmt.Fprintf(w, "passed over %d:\n", part.Count())
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, p := range part {
			fmt.Fprintf(t, "  %d\t%s\tfirst %q\n", p.Count, p.Things(), p.First)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func newShardsIndex() *cobra.Command {
	var f dataFlags
	var manifest string
	c := &cobra.Command{
		Use:   "index --data URI",
		Short: "index a data set once and print its digest",
		Long: `index reads every byte once and keeps where each image is. With --manifest it
also writes, for tar shards, NAME.manifest.json and NAME.index: stored next
to the shards in a bucket or on a web server, they let wds:…/NAME.manifest.json open at
once, without a listing and without reading the shards.`,
		Example: `  resslt shards index --data folder:imagenet/train
  resslt shards index --data 'wds:shards/train-*.tar' --manifest shards/train.manifest.json`,
		RunE: func(c *cobra.Command, _ []string) error {
			if manifest != "" {
				for _, path := range ingest.ManifestFiles(manifest) {
					if err := durable.Check(path); err != nil {
						return err
					}
				}
			}
			begun := time.Now()
			return f.with(c, func(_ context.Context, src ingest.Source) error {
				if manifest != "" {
					if err := ingest.WriteManifest(src, manifest); err != nil {
						return err
					}
				}
				s := summarize(src.Manifest(), ingest.SurveyOf(src), begun)
				s.name(src)
				if err := s.print(c.OutOrStdout()); err != nil {
					return err
				}
				return printJSON(c, f.json, s)
			})
		},
	}
	f.add(c)
	c.Flags().StringVar(&manifest, "manifest", "", "write the shards' manifest to `FILE` and their index next to it")
	return c
}

func newShardsLs() *cobra.Command {
	var f dataFlags
	var samples int64
	c := &cobra.Command{
		Use:     "ls --data URI",
		Short:   "list the shards of a data set",
		Example: "  resslt shards ls --data 'wds:shards/train-*.tar' --samples 5",
		RunE: func(c *cobra.Command, _ []string) error {
			if samples < 0 {
				return errs.New("", c.CommandPath(), "give --samples 0 or more",
					errs.Because(errs.ErrUsage, fmt.Sprintf("--samples is %d", samples)))
			}
			begun := time.Now()
			return f.with(c, func(ctx context.Context, src ingest.Source) error {
				m := src.Manifest()
				t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "SHARD\tSAMPLES\tBYTES\tSHA-256")
				for _, s := range m.Shards {
					fmt.Fprintf(t, "%s\t%d\t%d\t%.12s\n", cli.Cell(s.Name), s.Samples, s.Bytes, s.SHA256)
				}
				fmt.Fprintf(t, "total %d\t%d\t%d\t\n", len(m.Shards), m.Samples, m.Bytes())
				out := summarize(m, ingest.SurveyOf(src), begun)
				out.name(src)
				out.List = m.Shards
				if samples > 0 {
					fmt.Fprintln(t, "\nID\tKEY\tLABEL\tBYTES")
				}
				var s schemas.Sample
				for id := range min(samples, src.Len()) {
					if err := src.Read(ctx, id, &s); err != nil {
						return err
					}
					fmt.Fprintf(t, "%d\t%s\t%s\t%d\n", id, cli.Cell(s.Key), labelName(m, s.Label), len(s.Data))
					out.First = append(out.First, sampleSummary{ID: id, Key: s.Key, Label: s.Label, Bytes: len(s.Data)})
				}
				if err := t.Flush(); err != nil {
					return err
				}
				fmt.Fprintln(c.OutOrStdout(), pipeline.Totals(m))
				if err := printPassed(c.OutOrStdout(), out.Passed); err != nil {
					return err
				}
				return printJSON(c, f.json, out)
			})
		},
	}
	f.add(c)
	c.Flags().Int64Var(&samples, "samples", 0, "list the first `N` samples as well")
	return c
}

func labelName(m *ingest.Manifest, label int32) string {
	switch {
	case label == schemas.NoLabel:
		return "-"
	case int(label) < len(m.Classes):
		return fmt.Sprintf("%d %s", label, cli.Cell(m.Classes[label]))
	}
	return strconv.Itoa(int(label))
}

func printJSON(c *cobra.Command, wanted bool, v any) error {
	if !wanted {
		return nil
	}
	return json.NewEncoder(c.OutOrStdout()).Encode(v)
}

// humanBytes is a size for people: three digits and a decimal unit.
func humanBytes(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1000, 0
	for ; v >= 999.5 && i < len(units)-1; i++ {
		v /= 1000
	}
	return fmt.Sprintf("%.3g %cB", v, units[i])
}
