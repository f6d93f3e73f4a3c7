package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/cmd/internal/session"
	"resslt/ingest"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train/eval"
	"resslt/train/torch"
)

func newEmbedCommand() *cobra.Command {
	var f encoderFlags
	var o embedOptions
	c := &cobra.Command{
		Use:   "embed --checkpoint FILE --data URI --out FILE",
		Short: "features of a folder or shards, as NPZ, NPY, Arrow or Parquet",
		Long: `embed writes one feature vector an image, after global average pooling, in the
order of the data set. NPZ has keys, labels and features, (N, D) float32; NPY the
features alone; Arrow and Parquet key, label and feature, a FixedSizeList of float32.
With --mates K it writes the numbers of each image's K nearest others in their place,
(N, K) int32: FILE of --data mates:FILE+URI, for objective=bingo.

It can be stopped at any moment, and the same command continues where it stopped:
what is done so far is kept in FILE.parts until the end. So does one that adds
--skip-bad after an image that could not be decoded; what is skipped is named.`,
		Example: `  resslt embed --checkpoint runs/quickstart/encoder.safetensors --data folder:my/images --out features.npz
  resslt embed --checkpoint runs/quickstart --data folder:my/images --out features.parquet
  resslt embed --checkpoint runs/quickstart --data folder:my/images --mates 5 --out mates.npy`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(c); err != nil {
				return err
			}
			enc, err := f.load(c)
			if err != nil {
				return err
			}
			views := session.EvalImageOptions(enc.info, enc.view, 0)
			views.SkipBad = o.skipBad
			images, err := pipeline.OpenImages(c.Context(), o.data, ingest.Options{Warn: cli.Warn, Split: o.split}, views)
			if err != nil {
				return err
			}
			defer images.Close()
			fmt.Fprintln(c.ErrOrStderr(), images.Opened())
			held, err := session.LockFolder(o.out + ".parts") // two would write the same parts, and `resslt gc` leaves it alone
			if err != nil {
				return err
			}
			defer held.Close()
			done, err := openParts(o.out+".parts", enc, images, views)
			if err != nil {
				return err
			}
			held.Use()
			if done.rows > 0 {
				fmt.Fprintf(c.ErrOrStderr(), "continuing from %s: %d of %d images are done\n", done.dir, done.rows, images.Len())
			}
			count, counted := cli.Counting(c.ErrOrStderr(), "embedding", images.Len(), done.rows)
			err = done.finish(c.Context(), enc, images, count)
			counted()
			if err != nil {
				return namingSkip(o.data, done.dir, err)
			}
			done.sayBad(c.ErrOrStderr())
			write, what, columns := featureWriters[o.format], "features", done.plan.Dim
			if o.mates > 0 {
				what, columns = "mates", o.mates
				write = func(w io.Writer, p *parts) error { return writeMates(c.Context(), w, p, o.mates, enc.device) }
			}
			if err := durable.Replace(o.out, func(w io.Writer) error { return write(w, done) }); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%d×%d %s in %s, %d images skipped\n", done.kept, columns, what, o.out, done.rows-done.kept)
			return done.remove()
		},
	}
	f.register(c)
	p := c.Flags()
	o.split = "train"
	cli.RegisterData(p, &o.data, "data `URI`: "+schemeList()).RegisterSplit(p, "split", "split", &o.split)
	p.StringVar(&o.format, "format", "", "npz, npy, arrow or parquet (default by the name of --out, else npy)")
	cli.Choices(p, slices.Sorted(maps.Keys(featureWriters)), "format")
	p.StringVar(&o.out, "out", "", "`file` to write")
	p.IntVar(&o.mates, "mates", 0, "write each image's `K` nearest others in place of features")
	p.BoolVar(&o.skipBad, "skip-bad", false, "leave out images that cannot be decoded, instead of stopping")
	return c
}

// embedOptions are the flags of `resslt embed`, but for those that name the encoder.
type embedOptions struct {
	data, split, format, out string
	skipBad                  bool
	mates                    int
}

// check refuses, before the work, what would fail behind it, and chooses the format by the file's name.
func (o *embedOptions) check(c *cobra.Command) error {
	if o.data == "" || o.out == "" {
		return errs.New("", c.CommandPath(), "give --data URI and --out FILE", errs.Because(errs.ErrUsage, "no --data or no --out"))
	}
	if err := durable.Check(o.out); err != nil {
		return err
	}
	if err := durable.CheckIn(o.out+".parts", "plan.json", "part-*", "skip*"); err != nil {
		return err
	}
	if o.format == "" {
		o.format = formatOf(o.out)
	}
	if c.Flags().Changed("mates") {
		return checkMates(o.mates, o.format, o.skipBad)
	}
	return nil
}

// featureWriters are the forms of --format.
var featureWriters = map[string]func(io.Writer, *parts) error{"npy": writeNPY, "npz": writeNPZ, "arrow": writeArrow, "parquet": writeParquet}

// formatOf is what a file's name says of its form.
func formatOf(out string) string {
	switch ext := strings.TrimPrefix(filepath.Ext(out), "."); ext {
	case "npz", "arrow", "parquet":
		return ext
	case "feather":
		return "arrow"
	}
	return "npy"
}

// namingSkip has the error of an image that cannot be decoded say how to go on without it.
func namingSkip(data, parts string, err error) error {
	var bad *pipeline.BadImage
	if !errors.As(err, &bad) {
		return err
	}
	why := bad.Err
	var typed *errs.Error
	if errors.As(why, &typed) {
		plain := *typed
		plain.Hint = ""
		why = &plain
	}
	return errs.New("embed", data, "give the same command with --skip-bad to leave such images out and keep what is done so far, or replace the image and delete "+parts+" to begin again", why)
}

// features are (N, dim) float32, one row for each image.
type features struct {
	values []float32
	dim    int
	keys   []string
	labels []int32
}

// stretch is the images of a source up to a row.
type stretch struct {
	*pipeline.Images
	to int64
}

func (s *stretch) Next(ctx context.Context) (eval.Images, error) {
	if s.Row() >= s.to {
		return eval.Images{}, io.EOF
	}
	return s.Images.Next(ctx)
}

// embed takes the features of the images up to a row, which ends a batch.
func embed(ctx context.Context, enc encoder, images *pipeline.Images, to int64, progress func(images int)) (*features, error) {
	from := len(images.Keys)
	o := enc.options()
	o.Progress = progress
	set, err := eval.Features(ctx, enc, &stretch{images, to}, o)
	x := &features{dim: int(enc.FeatureDim())}
	if errors.Is(err, errs.ErrUsage) && images.Row() >= to && len(images.Keys) == from {
		return x, nil // every image of the stretch was skipped
	}
	if err != nil {
		return nil, err
	}
	defer set.Free()
	x.keys, x.labels = images.Keys[from:], set.Labels
	err = torch.Do(func() error { x.values = set.X.Float32s(); return nil })
	return x, err
}

// writeArrow writes an Arrow IPC file, a record batch for each part.
func writeArrow(w io.Writer, p *parts) error {
	out, err := ipc.NewFileWriter(&seekless{w: w}, ipc.WithSchema(featureSchema(p.plan.Dim)))
	if err != nil {
		return err
	}
	return errors.Join(p.each(out.Write), out.Close())
}

// colFeature is the column of the vectors.
const colFeature = 2

func featureSchema(dim int) *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "key", Type: arrow.BinaryTypes.String},
		{Name: "label", Type: arrow.PrimitiveTypes.Int32},
		{Name: "feature", Type: arrow.FixedSizeListOf(int32(dim), arrow.PrimitiveTypes.Float32)},
	}, nil)
}

// write writes the features as an Arrow IPC file of one record batch.
func (x *features) write(w io.Writer) error {
	schema := featureSchema(x.dim)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.StringBuilder).AppendValues(x.keys, nil)
	b.Field(1).(*array.Int32Builder).AppendValues(x.labels, nil)
	list := b.Field(colFeature).(*array.FixedSizeListBuilder)
	for range x.keys {
		list.Append(true)
	}
	list.ValueBuilder().(*array.Float32Builder).AppendValues(x.values, nil)
	rec := b.NewRecord()
	defer rec.Release()
	out, err := ipc.NewFileWriter(&seekless{w: w}, ipc.WithSchema(schema))
	if err != nil {
		return err
	}
	return errors.Join(out.Write(rec), out.Close())
}

// seekless counts what is written: the file writer asks a WriteSeeker for its position and
// never for another.
type seekless struct {
	w  io.Writer
	at int64
}

func (s *seekless) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.at += int64(n)
	return n, err
}

func (s *seekless) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, errs.New("write Arrow file", "", "report this", errs.Because(errs.ErrUnsupported, "seek"))
	}
	return s.at, nil
}
