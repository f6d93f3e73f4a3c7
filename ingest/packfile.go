package ingest

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/sniff"
)

// Recoder changes the files that Pack writes; it knows nothing of data sets. It belongs to
// one goroutine.
type Recoder interface {
	// Recode returns what to store instead of a file, which may be the file itself. name is
	// for errors.
	Recode(name string, file []byte) (Recoded, error)
	Close() error
}

// Recoded is what a Recoder made of a file.
type Recoded struct {
	Data []byte
	Size int64 // bytes of the file in the form that Pack writes without a Recoder
}

// packFile is a sample as it is stored.
type packFile struct {
	data  []byte
	ext   string
	size  int64 // bytes of the file before it was recoded
	label int32
}

// nextFile gives the samples in turn.
type nextFile func() (*packFile, error)

// prepareAll has opt.Workers goroutines prepare the samples, a few ahead, while write takes
// them in turn.
func prepareAll(ctx context.Context, src Source, opt PackOptions, write func(nextFile) error) error {
	type result struct {
		file *packFile
		err  error
	}
	type job struct {
		id   int64
		done chan result // one is sent; has room for it
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	jobs := make(chan job)
	turn := make(chan chan result, opt.Workers) // in the order of the samples; what is ahead
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(jobs)
		var order *Order
		if opt.Shuffle {
			order = NewOrder(opt.Seed, src.Len())
		}
		for i := range src.Len() {
			j := job{i, make(chan result, 1)}
			if order != nil {
				j.id = order.At(0, i)
			}
			select {
			case turn <- j.done:
			case <-gctx.Done():
				return gctx.Err()
			}
			select {
			case jobs <- j:
			case <-gctx.Done():
				return gctx.Err()
			}
		}
		return nil
	})
	for range opt.Workers {
		g.Go(func() (err error) {
			p := &preparer{src: src}
			if opt.Recode != nil {
				if p.recoder, err = opt.Recode(); err != nil {
					return err
				}
				defer func() {
					if cerr := p.recoder.Close(); err == nil {
						err = cerr
					}
				}()
			}
			for j := range jobs {
				f, err := p.prepare(gctx, j.id)
				j.done <- result{f, err}
			}
			return nil
		})
	}
	err := write(func() (*packFile, error) {
		if gctx.Err() != nil { // of what is ready and what is cancelled, select would take either
			return nil, context.Cause(gctx)
		}
		select {
		case done := <-turn:
			select {
			case r := <-done:
				return r.file, r.err
			case <-gctx.Done():
				return nil, context.Cause(gctx)
			}
		case <-gctx.Done():
			return nil, context.Cause(gctx)
		}
	})
	cancel()
	werr := g.Wait()
	if err != nil {
		return err
	}
	return werr
}

// preparer reads samples and makes them files, for one goroutine.
type preparer struct {
	src     Source
	recoder Recoder // nil: none
	sample  schemas.Sample
	png     png.Encoder
}

func (p *preparer) prepare(ctx context.Context, id int64) (*packFile, error) {
	s := &p.sample
	s.Data = nil // the last one's are in use
	if err := p.src.Read(ctx, id, s); err != nil {
		return nil, err
	}
	data := s.Data
	if s.Encoding != schemas.Encoded {
		var err error
		if data, err = p.encode(s); err != nil {
			return nil, err
		}
	}
	f := &packFile{data: data, size: int64(len(data)), label: s.Label}
	if p.recoder != nil {
		r, err := p.recoder.Recode(s.Key, data)
		if err != nil {
			return nil, err
		}
		f.data, f.size = r.Data, r.Size
	}
	if f.ext = ExtensionOf(f.data); f.ext == "" {
		// No known image format. It stays a sample, as it was in the source.
		if f.ext = filepath.Ext(s.Key); !isImageName(s.Key) {
			return nil, errs.New("pack", s.Key, "remove it from the data set",
				errs.Because(errs.ErrUnsupported, "neither JPEG, PNG nor WebP"))
		}
	}
	return f, nil
}

// encode is the PNG of raw pixels.
func (p *preparer) encode(s *schemas.Sample) ([]byte, error) {
	var img image.Image
	if s.Encoding == schemas.RawGray {
		img = &image.Gray{Pix: s.Data, Stride: s.Width, Rect: image.Rect(0, 0, s.Width, s.Height)}
	} else {
		rgba := image.NewNRGBA(image.Rect(0, 0, s.Width, s.Height))
		for i := range s.Width * s.Height {
			copy(rgba.Pix[4*i:], s.Data[3*i:3*i+3])
			rgba.Pix[4*i+3] = 255 // opaque: PNG then stores three channels
		}
		img = rgba
	}
	if p.png.BufferPool == nil {
		p.png.BufferPool = &pngBuffer{}
	}
	var out bytes.Buffer
	if err := p.png.Encode(&out, img); err != nil {
		return nil, errs.New("pack", s.Key, "", errs.BecauseErr(errs.ErrUnsupported, err))
	}
	return out.Bytes(), nil
}

// ExtensionOf is the extension under which Pack stores an image, by its first bytes; "" for one that
// it does not know.
func ExtensionOf(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xd8, 0xff}):
		return ".jpg"
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return ".png"
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return ".webp"
	case bytes.HasPrefix(b, []byte(sniff.PackedJPEG)):
		return packedExt
	}
	return ""
}

// pngBuffer keeps the encoder's memory from one sample to the next.
type pngBuffer struct{ b *png.EncoderBuffer }

func (p *pngBuffer) Get() *png.EncoderBuffer  { return p.b }
func (p *pngBuffer) Put(b *png.EncoderBuffer) { p.b = b }
