package pipeline

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"resslt/augment"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/train/eval"
)

// ImageOptions say how un-augmented images are read.
type ImageOptions struct {
	Size     int     // S: images come out as S×S
	Fraction float64 // side of the central square that is taken, of the shorter side; 1: all of it
	Max      int     // at most so many images; 0: all
	Batch    int     // images a call of Next; 0: 256
	Workers  int     // images rendered at once; at least 1
	SkipBad  bool    // pass over images that cannot be decoded, instead of failing
}

// Images yields a data set's images in order of id, un-augmented, for features.
// It is an eval.Source. Not for concurrent use; Close joins nothing and frees
// the renderers and the data set.
type Images struct {
	src       ingest.Source
	o         ImageOptions
	renderers []*augment.Renderer
	samples   []schemas.Sample
	next, n   int64

	Keys    []string // of the images given so far, by row
	Skipped int64    // images passed over
}

// OpenImages opens the images of a split of a data set.
func OpenImages(ctx context.Context, uri string, in ingest.Options, o ImageOptions) (*Images, error) {
	src, err := ingest.Open(ctx, uri, in)
	if err != nil {
		return nil, err
	}
	if o.Batch == 0 {
		o.Batch = 256
	}
	o.Workers = max(1, o.Workers)
	policy := &augment.Policy{Name: "eval", Limits: augment.DefaultLimits, Views: []augment.View{{
		Name: "center", Role: schemas.Student, Size: o.Size,
		Ops: []augment.Op{{Kind: augment.CenterCrop, Fraction: o.Fraction, Filter: augment.Bilinear}},
	}}}
	m := &Images{src: src, o: o, n: src.Len(), samples: make([]schemas.Sample, o.Workers)}
	if o.Max > 0 {
		m.n = min(m.n, int64(o.Max))
	}
	for range o.Workers {
		r, err := augment.NewRenderer(augment.DefaultEngine(), policy)
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		m.renderers = append(m.renderers, r)
	}
	return m, nil
}

// Len is the number of images that will be given, bad ones included.
func (m *Images) Len() int64 { return m.n }

// Manifest describes the data set.
func (m *Images) Manifest() *ingest.Manifest { return m.src.Manifest() }

// Next gives the next images, io.EOF after the last. The pixels are the
// caller's.
func (m *Images) Next(ctx context.Context) (eval.Images, error) {
	for m.next < m.n {
		n := int(min(int64(m.o.Batch), m.n-m.next))
		out, err := m.render(ctx, m.next, n)
		if err != nil {
			return eval.Images{}, err
		}
		m.next += int64(n)
		if len(out.Labels) > 0 {
			return out, nil
		}
	}
	return eval.Images{}, io.EOF
}

// render makes images [from, from+n), each worker taking the next one free.
func (m *Images) render(ctx context.Context, from int64, n int) (eval.Images, error) {
	one := 3 * m.o.Size * m.o.Size
	out := eval.Images{Size: m.o.Size, Pixels: make([]byte, n*one), Labels: make([]int32, n)}
	keys := make([]string, n)
	bad := make([]bool, n)
	var taken atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for w := range m.renderers {
		g.Go(func() error {
			s := &m.samples[w]
			for i := int(taken.Add(1)) - 1; i < n; i = int(taken.Add(1)) - 1 {
				if err := m.src.Read(ctx, from+int64(i), s); err != nil {
					return err
				}
				_, err := m.renderers[w].Render(s, augment.Key{Sample: s.ID}, [][]byte{out.Pixels[i*one : (i+1)*one]}, nil)
				if err != nil {
					if !m.o.SkipBad || !errors.Is(err, schemas.ErrCorrupt) && !errors.Is(err, schemas.ErrTooLarge) && !errors.Is(err, schemas.ErrUnsupported) {
						return err
					}
					bad[i] = true
				}
				out.Labels[i], keys[i] = s.Label, s.Key
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return eval.Images{}, err
	}
	// Close the gaps that bad images leave.
	kept := 0
	for i := range n {
		if bad[i] {
			m.Skipped++
			continue
		}
		if kept != i {
			copy(out.Pixels[kept*one:(kept+1)*one], out.Pixels[i*one:(i+1)*one])
			out.Labels[kept] = out.Labels[i]
		}
		m.Keys = append(m.Keys, keys[i])
		kept++
	}
	out.Pixels, out.Labels = out.Pixels[:kept*one], out.Labels[:kept]
	return out, nil
}

// Close frees the renderers and closes the data set.
func (m *Images) Close() error {
	err := m.src.Close()
	for _, r := range m.renderers {
		err = errors.Join(err, r.Close())
	}
	m.renderers = nil
	return err
}
