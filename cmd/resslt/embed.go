package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/spf13/cobra"

	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/train/eval"
	"resslt/train/safetensors"
	"resslt/train/torch"
)

func newEmbedCommand() *cobra.Command {
	var f encoderFlags
	var data, split, format, out string
	var skipBad bool
	c := &cobra.Command{
		Use:   "embed --checkpoint FILE --data URI --out FILE",
		Short: "features of a folder or shards, as Arrow or NPY",
		Long: `embed writes one feature vector an image, after global average pooling, in the
order of the data set. NPY is (N, D) float32; Arrow has key, label and a
FixedSizeList of float32.`,
		Example: `  resslt embed --checkpoint runs/quickstart/encoder.safetensors --data folder:my/images --format npy --out features.npy`,
		RunE: func(c *cobra.Command, _ []string) error {
			if data == "" || out == "" {
				return schemas.E("", c.CommandPath(), "give --data URI and --out FILE", schemas.Because(schemas.ErrUsage, "no --data or no --out"))
			}
			if info, err := os.Stat(filepath.Dir(out)); err != nil || !info.IsDir() {
				return schemas.E("write", out, "make the folder first", schemas.Because(schemas.ErrNotFound, filepath.Dir(out)+" is no folder"))
			}
			write, ok := map[string]func(io.Writer, *features) error{"npy": writeNPY, "arrow": writeArrow}[format]
			if !ok {
				return schemas.E("--format", format, "give npy or arrow", schemas.ErrUsage)
			}
			enc, err := f.load(c)
			if err != nil {
				return err
			}
			x, err := embed(c.Context(), enc, data, split, enc.crop, skipBad)
			if err != nil {
				return err
			}
			if err := safetensors.Replace(out, func(w io.Writer) error { return write(w, x) }); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%d×%d features in %s, %d images skipped\n", len(x.keys), x.dim, out, x.skipped)
			return nil
		},
	}
	f.register(c)
	p := c.Flags()
	p.StringVar(&data, "data", "", "data `URI`: "+schemeList())
	p.StringVar(&split, "split", "train", "split")
	p.StringVar(&format, "format", "npy", "npy or arrow")
	p.StringVar(&out, "out", "", "`file` to write")
	p.BoolVar(&skipBad, "skip-bad", false, "leave out images that cannot be decoded, instead of stopping")
	return c
}

// features are (N, dim) float32, a row an image.
type features struct {
	values  []float32
	dim     int
	keys    []string
	labels  []int32
	skipped int64
}

func embed(ctx context.Context, enc encoder, uri, split string, crop float64, skipBad bool) (*features, error) {
	o := evalImageOptions(enc.info, crop, 0)
	o.SkipBad = skipBad
	images, err := pipeline.OpenImages(ctx, uri, ingest.Options{Split: split}, o)
	if err != nil {
		return nil, err
	}
	defer images.Close()
	set, err := eval.Features(ctx, enc, images, enc.options())
	if err != nil {
		return nil, err
	}
	defer set.Free()
	x := &features{dim: set.Dim, keys: images.Keys, labels: set.Labels, skipped: images.Skipped}
	err = torch.Do(func() error { x.values = set.X.Float32s(); return nil })
	return x, err
}

// writeNPY writes NumPy's format, version 1.0: magic, a padded Python literal,
// the values.
func writeNPY(w io.Writer, x *features) error {
	head := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", len(x.keys), x.dim)
	const fixed, align = 10, 64
	head += strings.Repeat(" ", align-(fixed+len(head)+1)%align) + "\n"
	out := bufio.NewWriterSize(w, 1<<20)
	out.WriteString("\x93NUMPY\x01\x00")
	binary.Write(out, binary.LittleEndian, uint16(len(head)))
	out.WriteString(head)
	var b [4]byte
	for _, v := range x.values {
		binary.LittleEndian.PutUint32(b[:], math.Float32bits(v))
		out.Write(b[:])
	}
	return out.Flush() // gives the first error of all the writes
}

// writeArrow writes an Arrow IPC file of one record batch.
func writeArrow(w io.Writer, x *features) error {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "key", Type: arrow.BinaryTypes.String},
		{Name: "label", Type: arrow.PrimitiveTypes.Int32},
		{Name: "feature", Type: arrow.FixedSizeListOf(int32(x.dim), arrow.PrimitiveTypes.Float32)},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.StringBuilder).AppendValues(x.keys, nil)
	b.Field(1).(*array.Int32Builder).AppendValues(x.labels, nil)
	list := b.Field(2).(*array.FixedSizeListBuilder)
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
	if err := out.Write(rec); err != nil {
		return err
	}
	return out.Close()
}

// seekless counts what is written: the file writer asks a WriteSeeker for its
// place and never for another.
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
		return 0, schemas.E("write Arrow file", "", "report this", schemas.Because(schemas.ErrUnsupported, "seek"))
	}
	return s.at, nil
}
