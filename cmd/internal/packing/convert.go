package packing

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math"
	"slices"
	"sync"

	"resslt/augment"
	"resslt/augment/raster"
	"resslt/ingest"
	"resslt/schemas/errs"
)

// Convert makes 8-bit pictures of pictures that have more: TIFFs of any bands and numbers, and
// PNGs of 16 bits. The bands that are named become grey, or red, green and blue; Low and what is
// less becomes 0, High and what is more 255, the rest lies between them. They become PNGs. Other
// files, and those that cannot be converted, stay as they are. It is safe for concurrent use.
type Convert struct {
	// Bands are the numbers of one band or three, from 1. Default: the colours, or the only band.
	Bands []int
	// Range is [low, high]. Default, for whole numbers of 8 and 16 bits alone: all of them.
	Range []float64

	mu     sync.Mutex
	report ConvertReport // guarded by mu
}

// ConvertReport is what a Convert has done.
type ConvertReport struct {
	Bands     []int     `json:"bands,omitempty"`
	Range     []float64 `json:"range,omitempty"`
	Converted int64     `json:"converted"`
	Kept      int64     `json:"kept"`            // other files
	Left      int64     `json:"left"`            // that cannot be converted
	First     string    `json:"first,omitempty"` // of those, with the reason
}

// Validate checks the fields. The error wraps ErrUsage.
func (c *Convert) Validate() error {
	bad := func(flag string, value any, hint string) error {
		return errs.New("convert pictures", fmt.Sprintf("--%s %v", flag, value), hint, errs.Because(errs.ErrUsage, "out of range"))
	}
	switch n := len(c.Bands); {
	case n != 0 && n != 1 && n != 3, slices.ContainsFunc(c.Bands, func(b int) bool { return b < 1 }):
		return bad("bands", c.Bands, "give the numbers of one band or three, from 1, such as --bands 4,3,2")
	case len(c.Range) != 0 && (len(c.Range) != 2 || !(c.Range[0] < c.Range[1]) || math.IsInf(c.Range[1]-c.Range[0], 0)):
		return bad("range", c.Range, "give the value that becomes black and the one that becomes white, such as --range 0,4095")
	}
	return nil
}

// Report counts what was done so far.
func (c *Convert) Report() ConvertReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.report
	r.Bands, r.Range = c.Bands, c.Range
	return r
}

// Recoder makes a Recoder for one goroutine. What it makes goes on to that of then, if that
// is not nil.
func (c *Convert) Recoder(then func() (ingest.Recoder, error)) func() (ingest.Recoder, error) {
	return func() (ingest.Recoder, error) {
		next, err := chain(then)
		return &converter{next, c}, err
	}
}

type converter struct {
	chained
	c *Convert
}

// Recode is an ingest.Recoder's.
func (r *converter) Recode(name string, file []byte) (ingest.Recoded, error) {
	made, err := r.c.convert(file)
	r.c.mu.Lock()
	n := &r.c.report
	switch {
	case err != nil:
		if n.Left++; n.First == "" {
			n.First = name + ": " + err.Error()
		}
	case made == nil:
		n.Kept++
	default:
		n.Converted++
	}
	r.c.mu.Unlock()
	return r.pass(name, made, file)
}

// numbers is a picture as the numbers that are stored; raster.Numbers is one.
type numbers interface {
	Size() (w, h int)
	Bands() int
	Colors() bool
	Span() (most float64, ok bool)
	Read(dst []byte, bands []int, lo, hi float64) error
}

// convert is the file as PNG; nil for one that is neither TIFF nor a PNG of 16 bits.
func (c *Convert) convert(file []byte) ([]byte, error) {
	var n numbers
	var err error
	if isPNG := bytes.HasPrefix(file, []byte("\x89PNG\r\n\x1a\n")); isPNG && len(file) > pngDepth && file[pngDepth] == 16 {
		n, err = openPNG(file)
	} else if raster.Sniff(file) == raster.TIFF {
		n, err = raster.OpenNumbers(file)
	} else {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	w, h := n.Size()
	if l := augment.DefaultLimits; w < 1 || h < 1 || w > l.MaxSide || h > l.MaxSide || w*h > l.MaxPixels {
		return nil, errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d×%d pixels", w, h))
	}
	bands, err := c.bandsOf(n)
	if err != nil {
		return nil, err
	}
	lo, hi := 0.0, 0.0
	if len(c.Range) == 2 {
		lo, hi = c.Range[0], c.Range[1]
	} else if most, ok := n.Span(); ok {
		hi = most
	} else {
		return nil, errs.Because(errs.ErrUsage, "its numbers have no range of their own: give --range")
	}
	pix := make([]byte, w*h*len(bands))
	if err := n.Read(pix, bands, lo, hi); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := png.Encode(&b, pictureOf(pix, w, h, len(bands))); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// bandsOf are the bands to read of a picture.
func (c *Convert) bandsOf(n numbers) ([]int, error) {
	switch {
	case c.Bands != nil:
		if most := slices.Max(c.Bands); most > n.Bands() {
			return nil, errs.Because(errs.ErrUsage, fmt.Sprintf("it has %d bands, and --bands names number %d", n.Bands(), most))
		}
		return c.Bands, nil
	case n.Colors():
		return []int{1, 2, 3}, nil
	case n.Bands() == 1:
		return []int{1}, nil
	}
	return nil, errs.Because(errs.ErrUsage, fmt.Sprintf("it has %d bands, and none is said to be a colour: choose by --bands", n.Bands()))
}

// pictureOf is (h,w,channels) pix, of one channel or three, for the encoder.
func pictureOf(pix []byte, w, h, channels int) image.Image {
	if channels == 1 {
		return &image.Gray{Pix: pix, Stride: w, Rect: image.Rect(0, 0, w, h)}
	}
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	opaque(m.Pix, pix) // PNG then stores three channels
	return m
}

// pngDepth is where a PNG says how many bits its samples have.
const pngDepth = 24

// png16 is a PNG of 16 bits as its numbers: grey, or red, green, blue and alpha.
type png16 struct {
	image.Config
	file  []byte
	bands int
}

func openPNG(file []byte) (numbers, error) {
	cfg, err := png.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		return nil, errs.BecauseErr(errs.ErrCorrupt, err)
	}
	n := png16{cfg, file, 4}
	const grey, greyAlpha, rgb = 0, 4, 2 // of PNG's colour types
	switch file[pngDepth+1] {
	case grey:
		n.bands = 1
	case greyAlpha:
		n.bands = 2
	case rgb:
		n.bands = 3
	}
	return n, nil
}

func (n png16) Size() (w, h int)              { return n.Width, n.Height }
func (n png16) Bands() int                    { return n.bands }
func (n png16) Colors() bool                  { return n.bands > 2 }
func (n png16) Span() (most float64, ok bool) { return 65535, true }

// Read is raster.Numbers's.
func (n png16) Read(dst []byte, bands []int, lo, hi float64) error {
	m, err := png.Decode(bytes.NewReader(n.file))
	if err != nil {
		return errs.BecauseErr(errs.ErrCorrupt, err)
	}
	var pix []byte
	var step, stride int
	switch m := m.(type) {
	case *image.Gray16:
		pix, step, stride = m.Pix, 2, m.Stride
	case *image.RGBA64: // opaque
		pix, step, stride = m.Pix, 8, m.Stride
	case *image.NRGBA64:
		pix, step, stride = m.Pix, 8, m.Stride
	default:
		return errs.Because(errs.ErrUnsupported, fmt.Sprintf("pixels as %T", m))
	}
	var shades [1 << 16]byte
	for v := range shades {
		shades[v] = raster.Shade(float64(v), lo, hi)
	}
	for y := range n.Height {
		for x := range n.Width {
			p := pix[y*stride+x*step:]
			for i, band := range bands {
				at := 2 * (band - 1)
				if n.bands == 2 && band == 2 {
					at = 6 // alpha's place
				}
				dst[(y*n.Width+x)*len(bands)+i] = shades[int(p[at])<<8|int(p[at+1])]
			}
		}
	}
	return nil
}
