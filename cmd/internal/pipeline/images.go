package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"resslt/augment"
	"resslt/cmd/internal/cli"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/train/eval"
)

// ImageOptions configure the reading of un-augmented images.
type ImageOptions struct {
	Size     int            // S: images come out as S×S
	Fraction float64        // side of the central square to take, as a fraction of the shorter side; 1: all of it
	Filter   augment.Filter // of the resize; "": bilinear
	Max      int            // at most so many images, spread evenly over the data set; 0: all
	Batch    int            // images a call of Next; 0: 256
	Workers  int            // images rendered at once; at least 1
	SkipBad  bool           // skip images that cannot be decoded, instead of failing
	HoldOut  HoldOut        // of the images, the part to take
}

// HoldOut divides a split that has no other beside it: every so-many-th image, by number, is held
// out to score on, the others are for fitting. Where a data set's numbers go by class, as a
// folder's do, each class has its share in both. The zero value takes all.
type HoldOut struct {
	Every int
	Held  bool // the images held out, instead of the others
}

// DefaultHoldOut is what a run holds out where its data has no split to score on.
const DefaultHoldOut = 5

// Name names the part of a split.
func (h HoldOut) Name(split string) string {
	switch {
	case h.Every == 0:
		return split
	case h.Held:
		return fmt.Sprintf("%s, 1 in %d", split, h.Every)
	}
	return fmt.Sprintf("%s, without 1 in %d", split, h.Every)
}

// take gives n images' numbers, or of them the part.
func (h HoldOut) take(n, most int64) []int64 {
	if h.Every == 0 {
		return spread(n, most)
	}
	var part []int64
	for id := range n {
		if (id%int64(h.Every) == int64(h.Every)-1) == h.Held {
			part = append(part, id)
		}
	}
	ids := spread(int64(len(part)), most)
	for i, at := range ids {
		ids[i] = part[at]
	}
	return ids
}

// Images returns a data set's images in order of id, un-augmented, for features. It is an
// eval.Source, and not for concurrent use.
type Images struct {
	uri  string
	src  ingest.Source
	o    ImageOptions
	r    *renderers
	ids  []int64
	next int

	Keys    []string   // of the images returned so far, by row
	Skipped int64      // images skipped so far
	Bad     []BadImage // those, the first mostBad of them
}

// mostBad bounds the list of images that were skipped.
const mostBad = 1000

// BadImage is an image that the decoder refuses.
type BadImage struct {
	ID  int64
	Key string
	Err error
}

// Reason is why, without the name.
func (b *BadImage) Reason() string {
	if bad := schemas.AsBadSample(b.Err); bad != nil {
		return bad.Error()
	}
	return b.Err.Error()
}

// shownBad are the names that a line has room for.
const shownBad = 4

// SkippedLine is one line: "3 images cannot be decoded: a.jpg (the file is empty), …"; ""
// where all can.
func (m *Images) SkippedLine() string {
	if m.Skipped == 0 {
		return ""
	}
	shown := m.Bad[:min(len(m.Bad), shownBad)]
	names := make([]string, len(shown))
	for i, b := range shown {
		names[i] = fmt.Sprintf("%s (%s)", cli.Printable(b.Key), b.Reason())
	}
	line := fmt.Sprintf("%s cannot be decoded: %s", count(m.Skipped, "image", "images"), strings.Join(names, ", "))
	if more := m.Skipped - int64(len(shown)); more > 0 {
		line += fmt.Sprintf(" and %d more", more)
	}
	return line
}

func (b *BadImage) Error() string { return b.Err.Error() }
func (b *BadImage) Unwrap() error { return b.Err }

// OpenImages opens the images of a split of a data set.
func OpenImages(ctx context.Context, uri string, in ingest.Options, o ImageOptions) (*Images, error) {
	src, err := ingest.Open(ctx, uri, in)
	if err != nil {
		return nil, err
	}
	if o.Batch == 0 {
		o.Batch = 256
	}
	r, err := newRenderers(src, CenterCrop(o.Size, o.Fraction, o.Filter), o.Workers, o.SkipBad)
	if err != nil {
		return nil, errors.Join(err, src.Close())
	}
	return &Images{uri: uri, src: src, o: o, r: r, ids: o.HoldOut.take(src.Len(), int64(o.Max))}, nil
}

// CenterCrop returns the policy of one un-augmented view: the central square, whose side
// is that fraction of the shorter side, resized to size by a filter ("": bilinear).
func CenterCrop(size int, fraction float64, filter augment.Filter) *augment.Policy {
	return &augment.Policy{Name: "eval", Limits: augment.DefaultLimits, Views: []augment.View{{
		Name: "center", Role: schemas.Student, Size: size,
		Ops: []augment.Op{{Kind: augment.CenterCrop, Fraction: fraction, Filter: cmp.Or(filter, augment.Bilinear)}},
	}}}
}

// Len is the number of images to be read, bad ones included.
func (m *Images) Len() int64 { return int64(len(m.ids)) }

// Row is the row, counting bad images, with which Next continues.
func (m *Images) Row() int64 { return int64(m.next) }

// SkipTo makes Next continue with a row; for the same batches, with a multiple of the
// batch size.
func (m *Images) SkipTo(row int64) { m.next = int(row) }

// Opened describes the data set in a line, with what its reader passed over.
func (m *Images) Opened() string { return Opened(m.uri, m.src) }

// Survey is what the data set's reader passed over.
func (m *Images) Survey() ingest.Survey { return ingest.SurveyOf(m.src) }

// Dataset is the data set's manifest and survey.
func (m *Images) Dataset() *Dataset { return DatasetOf(m.src) }

// Part names the split, and the part of it that is read.
func (m *Images) Part() string { return m.o.HoldOut.Name(m.Manifest().Split) }

// Manifest describes the data set.
func (m *Images) Manifest() *ingest.Manifest { return m.src.Manifest() }

// Classes are the names of the labels, or their numbers where they have none.
func (m *Images) Classes() []string { return ingest.LabellingOf(m.src).Classes }

// Next returns the next images, io.EOF after the last. The pixels are the caller's.
func (m *Images) Next(ctx context.Context) (eval.Images, error) {
	for m.next < len(m.ids) {
		ids := m.ids[m.next:min(m.next+m.o.Batch, len(m.ids))]
		out, keys, bad, err := m.r.render(ctx, ids, augment.Key{})
		if err != nil {
			return eval.Images{}, err
		}
		m.Bad = append(m.Bad, bad[:min(len(bad), mostBad-len(m.Bad))]...)
		m.next += len(ids)
		m.Keys = append(m.Keys, keys...)
		m.Skipped += int64(len(ids) - len(keys))
		if len(out.Labels) > 0 {
			return out, nil
		}
	}
	return eval.Images{}, io.EOF
}

// Close frees the renderers and closes the data set.
func (m *Images) Close() error { return errors.Join(m.r.close(), m.src.Close()) }

// renderers render the one view of a policy for many samples concurrently.
type renderers struct {
	src     ingest.Source
	size    int
	skipBad bool
	each    []*augment.Renderer
	samples []schemas.Sample // a buffer for each renderer
}

func newRenderers(src ingest.Source, policy *augment.Policy, workers int, skipBad bool) (*renderers, error) {
	workers = max(1, workers)
	r := &renderers{src: src, size: policy.Views[0].Size, skipBad: skipBad, samples: make([]schemas.Sample, workers)}
	for range workers {
		one, err := augment.NewRenderer(ImageEngine(src.Manifest()), policy)
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		r.each = append(r.each, one)
	}
	return r, nil
}

func (r *renderers) close() error {
	var err error
	for _, one := range r.each {
		err = errors.Join(err, one.Close())
	}
	r.each = nil
	return err
}

// readAndRender reads sample id and has it rendered. A sample that the renderer calls bad is
// one only if its bytes are those that were indexed; otherwise the store is at fault.
func readAndRender(ctx context.Context, src ingest.Source, s *schemas.Sample, id int64, render func() error) error {
	if err := src.Read(ctx, id, s); err != nil {
		return err
	}
	err := render()
	if schemas.AsBadSample(err) != nil {
		if fault := ingest.Confirm(ctx, src, s); fault != nil {
			return fault
		}
	}
	return err
}

// render renders the images of the ids, and returns their keys, too. The views are drawn
// by key's seed and epoch. With skipBad, images that cannot be decoded are left out, and
// listed; without, the error has a BadImage.
func (r *renderers) render(ctx context.Context, ids []int64, key augment.Key) (eval.Images, []string, []BadImage, error) {
	n, one := len(ids), 3*r.size*r.size
	out := eval.Images{Size: r.size, Pixels: make([]byte, n*one), Labels: make([]int32, n), IDs: make([]int64, n)}
	keys := make([]string, n)
	bad := make([]*BadImage, n)
	var taken atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for w := range r.each {
		g.Go(func() error {
			s := &r.samples[w]
			for i := int(taken.Add(1)) - 1; i < n; i = int(taken.Add(1)) - 1 {
				err := readAndRender(ctx, r.src, s, ids[i], func() error {
					k := key
					k.Sample = s.ID
					_, err := r.each[w].Render(s, k, [][]byte{out.Pixels[i*one : (i+1)*one]}, nil)
					return err
				})
				if err != nil {
					if schemas.AsBadSample(err) == nil {
						return err
					}
					if bad[i] = (&BadImage{s.ID, s.Key, err}); !r.skipBad {
						return bad[i]
					}
				}
				out.Labels[i], out.IDs[i], keys[i] = s.Label, s.ID, s.Key
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return eval.Images{}, nil, nil, err
	}
	// Close the gaps of bad images.
	kept := 0
	var left []BadImage
	for i := range n {
		if bad[i] != nil {
			left = append(left, *bad[i])
			continue
		}
		if kept != i {
			copy(out.Pixels[kept*one:(kept+1)*one], out.Pixels[i*one:(i+1)*one])
			out.Labels[kept], out.IDs[kept], keys[kept] = out.Labels[i], out.IDs[i], keys[i]
		}
		kept++
	}
	out.Pixels, out.Labels, out.IDs = out.Pixels[:kept*one], out.Labels[:kept], out.IDs[:kept]
	if marked, ok := r.src.(ingest.MultiLabel); ok {
		for _, id := range out.IDs {
			out.Targets = append(out.Targets, marked.Marks(id)...)
		}
	}
	return out, keys[:kept], left, nil
}

// RenderSamples renders the one view of a policy for the samples of the ids, drawn by
// key's seed and epoch, and returns their keys, too. A sample that cannot be decoded is
// an error.
func RenderSamples(ctx context.Context, src ingest.Source, policy *augment.Policy, ids []int64, key augment.Key, workers int) (eval.Images, []string, error) {
	r, err := newRenderers(src, policy, workers, false)
	if err != nil {
		return eval.Images{}, nil, err
	}
	m, keys, _, err := r.render(ctx, ids, key)
	return m, keys, errors.Join(err, r.close())
}
