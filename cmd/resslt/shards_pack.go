package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/packing"
	"resslt/ingest"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// packFlags are those of pack and unpack.
type packFlags struct {
	dataFlags
	o    ingest.PackOptions
	size string
}

func (f *packFlags) add(c *cobra.Command) {
	f.dataFlags.add(c)
	p := c.Flags()
	p.StringVar(&f.o.Dir, "out", "", "folder for the shards")
	p.StringVar(&f.o.Prefix, "prefix", "", "shards are `PREFIX`-000000.tar and so on (default the split)")
	p.StringVar(&f.size, "shard-size", "256MB", "most bytes of a shard, before a codec changes them")
	p.IntVar(&f.o.Workers, "workers", cores.Here().Count, "read and recode so many pictures at once")
	p.BoolVar(&f.o.Overwrite, "force", false, "remove earlier shards of the same prefix")
}

// packSummary is the JSON of pack and unpack.
type packSummary struct {
	shardsSummary
	Converted *packing.ConvertReport `json:"converted,omitempty"` // by --bands and --range
	Shrunk    *packing.ShrinkReport  `json:"shrunk,omitempty"`    // by --max-side
	Recoded   *packing.Report        `json:"recoded,omitempty"`   // by a codec
	Restored  *int64                 `json:"restored,omitempty"`  // pictures
}

// write packs the data set and prints what it is then; tell fills in and prints the rest.
func (f *packFlags) write(c *cobra.Command, doing string, tell func(io.Writer, *packSummary)) error {
	var err error
	if f.o.ShardBytes, err = cli.ParseSize(f.size); err != nil {
		return errs.New("", "--shard-size "+f.size, "give a size such as 256MB or 1GiB", err)
	}
	if f.o.Dir == "" {
		return errs.New("", c.CommandPath(), "give --out DIR", errs.Because(errs.ErrUsage, "no folder for the shards"))
	}
	if err := durable.CheckIn(f.o.Dir); err != nil {
		return err
	}
	begun := time.Now()
	return f.with(c, func(ctx context.Context, src ingest.Source) error {
		prefix := cmp.Or(f.o.Prefix, src.Manifest().Split)
		if err := durable.CheckIn(f.o.Dir, prefix+"-*.tar", prefix+".manifest.json"); err != nil {
			return err
		}
		line := cli.Periodically(c.ErrOrStderr())
		f.o.Progress = func(done, total int64) { line("%s %d of %d samples", doing, done, total) }
		m, err := ingest.Pack(ctx, src, f.o)
		if err != nil {
			return err
		}
		s := packSummary{shardsSummary: summarize(m, ingest.SurveyOf(src), begun)}
		if err := s.print(c.OutOrStdout()); err != nil {
			return err
		}
		tell(c.OutOrStdout(), &s)
		fmt.Fprintf(c.OutOrStdout(), "open as wds:%s\n", filepath.Join(f.o.Dir, prefix+"-*.tar"))
		return printJSON(c, f.json, s)
	})
}

// recoding is a choice about the data, by flags of pack.
type recoding interface {
	Validate() error
	Recoder(then func() (ingest.Recoder, error)) func() (ingest.Recoder, error)
}

func newShardsPack() *cobra.Command {
	var f packFlags
	var name string
	var o packing.Options
	var shrink packing.Shrink
	var convert packing.Convert
	c := &cobra.Command{
		Use:   "pack --data URI --out DIR",
		Short: "write a data set as WebDataset tar shards",
		Long: `Image files go in as they are, raw pixels as PNG. The same data gives the same
bytes. PREFIX.manifest.json, written last, holds the class names and hashes.

With --codec dct, JPEGs are stored as packs: their coefficients, coded for fast
decoding, without loss. The pixels are the same, and unpack gives back the files,
byte for byte; shards are about a fifth larger. What can't be packed stays a JPEG.
Other programs, and resslt before packs, do not read them.

--bands and --range make 8-bit PNGs of TIFFs of any bands and numbers (16 and 32
bits, signed, floating-point) and of 16-bit PNGs: --bands 4,3,2 are the bands for
red, green and blue, --bands 1 is for grey; of --range 0,4095 the first value
becomes black and the second one white. Other files stay as they are.

--max-side makes large pictures smaller, which loses what it drops: they become
JPEGs of --quality without metadata. Views differ from those of the originals.`,
		Example: `  resslt shards pack --data fashion-mnist: --split test --out shards
  resslt shards pack --data folder:imagenet/train --codec dct --out packed
  resslt shards pack --data folder:sentinel --bands 4,3,2 --range 0,3000 --out shards`,
		RunE: func(c *cobra.Command, _ []string) error {
			var codec *packing.Codec
			if name != "" {
				var err error
				if codec, err = packing.NewCodec(name, o); err != nil {
					return err
				}
				f.o.Recode = codec.Recoder
			}
			shrinks, converts := c.Flags().Changed("max-side"), c.Flags().Changed("bands") || c.Flags().Changed("range")
			for _, by := range []struct {
				on bool
				recoding
			}{{shrinks, &shrink}, {converts, &convert}} { // the last one is first to have a file
				if !by.on {
					continue
				}
				if err := by.Validate(); err != nil {
					return err
				}
				f.o.Recode = by.Recoder(f.o.Recode)
			}
			return f.write(c, "packing", func(w io.Writer, s *packSummary) {
				if converts {
					r := convert.Report()
					s.Converted = &r
					printConverted(w, &r)
				}
				if shrinks {
					r := shrink.Report()
					s.Shrunk = &r
					fmt.Fprintf(w, "made %d pictures smaller: %s, then %s; %d were small enough, %d can't be decoded\n",
						r.Shrunk, humanBytes(r.BytesBefore), humanBytes(r.BytesAfter), r.Kept, r.Undecodable)
				}
				if codec != nil {
					r := codec.Report()
					s.Recoded = &r
					printRecoded(w, &r)
				}
			})
		},
	}
	f.add(c)
	p := c.Flags()
	p.BoolVar(&f.o.Shuffle, "shuffle", false, "mix the samples, so that every shard has some of every class (for order=blocked)")
	p.Uint64Var(&f.o.Seed, "seed", 0, "of --shuffle")
	p.StringVar(&name, "codec", "", "recode the pictures: "+strings.Join(packing.Codecs(), ", ")+" (default: leave them as they are)")
	cli.Choices(p, packing.Codecs(), "codec")
	p.IntSliceVar(&convert.Bands, "bands", nil, "bands for red, green and blue, or one for grey, from 1 (default: the colours, or the only band)")
	p.Float64SliceVar(&convert.Range, "range", nil, "values that become black and white, `LOW,HIGH` (default: all that 8 or 16 bits hold)")
	p.IntVar(&shrink.MaxSide, "max-side", 0, "make pictures smaller whose longer side is over `N` pixels; loses quality (default: none)")
	p.IntVar(&shrink.Quality, "quality", 92, "of the JPEGs that --max-side makes, 1 to 100")
	p.IntVar(&o.CheckEvery, "check-every", 10, "with a codec, compare all pixels of every `N`th picture; every file is compared in any case")
	return c
}

// printConverted says what --bands and --range did.
func printConverted(w io.Writer, r *packing.ConvertReport) {
	fmt.Fprintf(w, "made 8-bit PNGs of %d pictures; %d are neither TIFFs nor 16-bit PNGs", r.Converted, r.Kept)
	if r.Left > 0 {
		fmt.Fprintf(w, "; left as they are: %d (first %s)", r.Left, r.First)
	}
	fmt.Fprintln(w)
}

// printRecoded says what a codec did.
func printRecoded(w io.Writer, r *packing.Report) {
	fmt.Fprintf(w, "packed %d pictures, %.4g a second", r.Packed, r.Rate)
	if r.BytesBefore > 0 {
		fmt.Fprintf(w, "; %s as JPEG, %s as packs (%.3f ×)", humanBytes(r.BytesBefore), humanBytes(r.BytesAfter), float64(r.BytesAfter)/float64(r.BytesBefore))
	}
	fmt.Fprintf(w, "\nevery pack restored and compared, pixels of %d compared\n", r.Checked)
	for _, why := range slices.Sorted(maps.Keys(r.Left)) {
		fmt.Fprintf(w, "left as they are: %d (%s)\n", r.Left[why], why)
	}
}

func newShardsUnpack() *cobra.Command {
	var f packFlags
	c := &cobra.Command{
		Use:   "unpack --data URI --out DIR",
		Short: "give packed shards back as the files that were packed",
		Long: `unpack writes the data set as WebDataset tar shards of the files that pack --codec
was given, byte for byte: with the same --shard-size, the shards that pack writes
without a codec. A picture that can't be restored ends it.`,
		Example: "  resslt shards unpack --data wds:packed --out shards",
		RunE: func(c *cobra.Command, _ []string) error {
			var n atomic.Int64
			f.o.Recode = packing.Restorer(func() { n.Add(1) })
			return f.write(c, "unpacking", func(w io.Writer, s *packSummary) {
				restored := n.Load()
				s.Restored = &restored
				fmt.Fprintf(w, "restored %d pictures\n", restored)
			})
		},
	}
	f.add(c)
	return c
}
