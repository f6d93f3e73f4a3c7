package augment

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"

	"resslt/augment/packed"
	"resslt/augment/raster"
	"resslt/schemas"
	"resslt/schemas/errs"

	"golang.org/x/image/webp"
)

// decoder decodes a sample to an Image in pure Go: the part of a Painter that ref and
// gift share.
type decoder struct {
	limits  Limits
	formats Formats
	sample  *schemas.Sample
	image   Image
	reader  bytes.Reader
	format  format

	picture raster.Picture // of formatRaster

	restorer packed.Restorer
	restored []byte // the JPEG of a packed sample; nil of others
}

// format is that of the first bytes; the name is ignored.
type format uint8

const (
	formatUnknown format = iota
	formatJPEG
	formatPNG
	formatWebP
	formatPacked
)

// formatOf finds the format by the first bytes; other is the name of a picture format that
// is not supported, or "".
func formatOf(b []byte) (f format, other string) {
	has := func(magic string) bool { return len(b) >= len(magic) && string(b[:len(magic)]) == magic }
	switch {
	case has("\xff\xd8\xff"):
		return formatJPEG, ""
	case has("\x89PNG\r\n\x1a\n"):
		return formatPNG, ""
	case has("RIFF") && len(b) >= 12 && string(b[8:12]) == "WEBP":
		return formatWebP, ""
	case packed.Is(b):
		return formatPacked, ""
	case has("GIF8"):
		return formatUnknown, "GIF"
	case has("BM") && len(b) > 26:
		return formatUnknown, "BMP"
	case has("II*\x00"), has("MM\x00*"):
		return formatUnknown, "TIFF"
	case len(b) >= 12 && string(b[4:8]) == "ftyp":
		return formatUnknown, "AVIF or HEIF"
	}
	return formatUnknown, ""
}

// maxScans bounds the scans of a progressive JPEG (real ones have about ten). Even a scan
// of a few bytes visits every block of the picture, so that a small file could keep a
// worker busy for hours. Thumbnails in the metadata count, too.
const maxScans = 200

// fail is the error of a bad sample: no machine can decode it. It is made here, whatever
// decoder refused the bytes.
func (d *decoder) fail(hint string, reason error) error {
	return schemas.NewBadSample("decode", d.sample.Key, hint, reason)
}

// fault is an error that says nothing of the sample's bytes.
func (d *decoder) fault(hint string, err error) error {
	return errs.New("decode", d.sample.Key, hint, err)
}

const (
	hintRemove  = "replace or remove the file"
	hintCap     = "raise the policy's limits or shrink the file"
	hintConvert = "convert it to JPEG, PNG or WebP"
)

// Open reads the size and checks the limits. The sample must not change until Decode has
// returned.
func (d *decoder) Open(s *schemas.Sample) (w, h int, err error) {
	d.sample = s
	switch n := len(s.Data); {
	case n == 0:
		return 0, 0, d.fail(hintRemove, errs.Because(errs.ErrCorrupt, "the file is empty"))
	case n > d.limits.MaxBytes && s.Encoding == schemas.Encoded && !packed.Is(s.Data):
		return 0, 0, d.fail(hintCap, errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes, over %d", n, d.limits.MaxBytes)))
	}
	switch s.Encoding {
	case schemas.RawRGB, schemas.RawGray:
		w, h = s.Width, s.Height
	case schemas.Encoded:
		if w, h, err = d.config(); err != nil {
			return 0, 0, err
		}
	default:
		return 0, 0, d.fault("use a newer build", errs.Because(errs.ErrUnsupported, fmt.Sprintf("encoding %d", s.Encoding)))
	}
	if err := d.checkSize(w, h); err != nil {
		return 0, 0, err
	}
	channels := 3
	switch s.Encoding {
	case schemas.RawGray:
		channels = 1
		fallthrough
	case schemas.RawRGB:
		if len(s.Data) != channels*w*h {
			return 0, 0, d.fault("index the data set again", errs.Because(errs.ErrCorrupt,
				fmt.Sprintf("%d bytes for %d×%d×%d", len(s.Data), h, w, channels)))
		}
	}
	d.image.W, d.image.H = w, h
	return w, h, nil
}

func (d *decoder) checkSize(w, h int) error {
	switch {
	case w < 1 || h < 1:
		return d.fail(hintRemove, errs.Because(errs.ErrCorrupt, fmt.Sprintf("it is %d×%d pixels", w, h)))
	case w > d.limits.MaxSide || h > d.limits.MaxSide:
		return d.fail(hintCap, errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d×%d pixels, a side over %d", w, h, d.limits.MaxSide)))
	case w*h > d.limits.MaxPixels:
		return d.fail(hintCap, errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d×%d pixels, over %d", w, h, d.limits.MaxPixels)))
	}
	return nil
}

// config reads the header of an encoded sample.
func (d *decoder) config() (w, h int, err error) {
	var other string
	d.picture, d.restored = nil, nil
	if d.format, other = formatOf(d.sample.Data); d.format == formatUnknown {
		if d.formats != FirstFormats {
			return d.openRaster()
		}
		if other != "" {
			return 0, 0, d.fail(hintConvert, errs.Because(errs.ErrUnsupported, "it is "+other))
		}
		return 0, 0, d.fail(hintRemove, errs.Because(errs.ErrCorrupt,
			fmt.Sprintf("not JPEG, PNG or WebP: it begins with %q", d.sample.Data[:min(len(d.sample.Data), 12)])))
	}
	if d.format == formatPacked {
		return d.openPacked()
	}
	if d.format == formatJPEG {
		return d.configJPEG()
	}
	if d.format == formatWebP && d.formats != FirstFormats && animatedWebP(d.sample.Data) {
		return 0, 0, d.fail(hintConvert, errs.Because(errs.ErrUnsupported, "it is an animated WebP"))
	}
	var cfg image.Config
	err = d.guard(func() error {
		var err error
		switch d.format {
		case formatPNG:
			cfg, err = png.DecodeConfig(d.open())
		case formatWebP:
			cfg, err = webp.DecodeConfig(d.open())
		}
		return err
	})
	return cfg.Width, cfg.Height, err
}

// configJPEG reads the header of a JPEG.
func (d *decoder) configJPEG() (w, h int, err error) {
	if n := bytes.Count(d.data(), []byte("\xff\xda")); n > maxScans {
		return 0, 0, d.fail(hintRemove, errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d JPEG scans, over %d", n, maxScans)))
	}
	var cfg image.Config
	err = d.guard(func() error {
		var err error
		cfg, err = jpeg.DecodeConfig(d.open())
		return err
	})
	return cfg.Width, cfg.Height, err
}

// data are the bytes that are decoded.
func (d *decoder) data() []byte {
	if d.restored != nil {
		return d.restored
	}
	return d.sample.Data
}

// open rewinds the reader to the first byte.
func (d *decoder) open() io.Reader {
	d.reader.Reset(d.data())
	return &d.reader
}

// guard runs a third-party decoder. A panic in it is a defect that the sample's bytes
// provoke: an error of the sample, not the end of the worker.
func (d *decoder) guard(decode func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = d.fail(hintRemove, errs.Because(errs.ErrCorrupt, fmt.Sprintf("the decoder panicked: %v", r)))
		}
	}()
	if err := decode(); err != nil {
		var jpegUnsupported jpeg.UnsupportedError
		var pngUnsupported png.UnsupportedError
		switch {
		case errors.As(err, &jpegUnsupported), errors.As(err, &pngUnsupported):
			return d.fail(hintConvert, errs.BecauseErr(errs.ErrUnsupported, err))
		case errors.Is(err, errs.ErrUnsupported): // package raster's
			return d.fail(hintConvert, err)
		case errors.Is(err, errs.ErrCorrupt):
			return d.fail(hintRemove, err)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return d.fail(hintRemove, errs.Because(errs.ErrCorrupt, "the file is cut off"))
		}
		return d.fail(hintRemove, errs.BecauseErr(errs.ErrCorrupt, err))
	}
	return nil
}

// Decode decodes the box of the picture. EXIF orientation is ignored, as by torchvision's
// loader.
func (d *decoder) Decode(box Box) error {
	w, h := d.image.W, d.image.H
	if !box.within(w, h) {
		return d.fault("draw the plans for this picture", errs.Because(errs.ErrMismatch, fmt.Sprintf("box %+v of %d×%d", box, w, h)))
	}
	d.image.reset(w, h)
	switch d.sample.Encoding {
	case schemas.RawRGB:
		d.image.each(box, d.sample.Data, 3*w, 3, 1, 2)
		return nil
	case schemas.RawGray:
		d.image.each(box, d.sample.Data, w, 1, 0, 0)
		return nil
	}
	if d.format == formatRaster {
		return d.guard(func() error { return d.picture.Decode(d.image.Pix) })
	}
	var m image.Image
	err := d.guard(func() (err error) {
		switch d.format {
		case formatJPEG:
			m, err = jpeg.Decode(d.open())
		case formatPNG:
			m, err = png.Decode(d.open())
		case formatWebP:
			m, err = webp.Decode(d.open())
		}
		return err
	})
	if err != nil {
		return err
	}
	// DecodeConfig and Decode may read different sizes from one header; fill needs the
	// first.
	if b := m.Bounds(); b.Dx() != w || b.Dy() != h {
		return d.fail(hintRemove, errs.Because(errs.ErrCorrupt, fmt.Sprintf("%d×%d pixels, %d×%d by its header", b.Dx(), b.Dy(), w, h)))
	}
	if !d.image.fill(m, box, d.format == formatWebP) {
		return d.fail(hintConvert, errs.Because(errs.ErrUnsupported, fmt.Sprintf("pixels as %T", m)))
	}
	return nil
}

// Decode decodes a whole sample into dst, reusing its memory, in pure Go. The error names
// the sample; it is a schemas.BadSample where the bytes are at fault.
func Decode(s *schemas.Sample, l Limits, dst *Image) error {
	d := decoder{limits: l, formats: PackedFormats, image: *dst}
	w, h, err := d.Open(s)
	if err != nil {
		return err
	}
	if err := d.Decode(Box{0, 0, w, h}); err != nil {
		return err
	}
	*dst = d.image
	return nil
}
