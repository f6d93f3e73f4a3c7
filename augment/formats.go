package augment

import (
	"fmt"
	"strings"

	"resslt/augment/raster"
	"resslt/schemas/errs"
)

// Formats are the picture formats that an engine decodes. They are what the versions of
// the built-in engines differ in: version 1 calls a GIF undecodable, so that another sample
// takes its place, and version 2 decodes it. A run has one of them on every worker, by its
// engine's name; all else, and so every pixel of the older formats, is equal. Version 3 is
// for data sets of packed JPEGs (PackedEngine), and no other run asks for it: a worker of an
// older build, to which every sample would be undecodable, refuses such a run by name.
type Formats uint8

const (
	// AllFormats are JPEG, PNG, WebP, and those of package raster: version 2.
	AllFormats Formats = iota
	// FirstFormats are JPEG, PNG and WebP: version 1, for runs that began with it.
	FirstFormats
	// PackedFormats are AllFormats and packed JPEGs (package packed): version 3.
	PackedFormats
)

// Version is the version of the built-in engines that decode these.
func (f Formats) Version() string {
	switch f {
	case FirstFormats:
		return "1"
	case PackedFormats:
		return "3"
	}
	return "2"
}

// formatRaster is every format of package raster.
const formatRaster format = 255

// openRaster opens a sample that is none of the first formats.
func (d *decoder) openRaster() (w, h int, err error) {
	kind := raster.Sniff(d.sample.Data)
	if kind == raster.Unknown {
		if other := foreign(d.sample.Data); other != "" {
			return 0, 0, d.fail(hintConvert, errs.Because(errs.ErrUnsupported, "it is "+other))
		}
		return 0, 0, d.fail(hintRemove, errs.Because(errs.ErrCorrupt,
			fmt.Sprintf("no picture: it begins with %q", d.sample.Data[:min(len(d.sample.Data), 12)])))
	}
	d.format = formatRaster
	err = d.guard(func() error {
		var err error
		if d.picture, err = raster.Open(kind, d.sample.Data); err == nil {
			w, h = d.picture.Size()
		}
		return err
	})
	return w, h, err
}

// foreign names what a file is, by its first bytes, that is no picture or one that is not decoded; "" if
// it is none of what is often found under a picture's name.
func foreign(b []byte) string {
	head := string(b[:min(len(b), 512)])
	if len(head) >= 12 && head[4:8] == "ftyp" {
		switch brand := head[8:12]; brand {
		case "avif", "avis":
			return "AVIF"
		case "heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1":
			return "HEIF"
		default:
			return fmt.Sprintf("MP4 or its like (%q)", brand)
		}
	}
	for _, f := range []struct{ magic, name string }{
		{"\xff\x0a", "JPEG XL"},
		{"\x00\x00\x00\x0cJXL ", "JPEG XL"},
		{"\x00\x00\x00\x0cjP  ", "JPEG 2000"},
		{"\xff\x4f\xff\x51", "JPEG 2000"},
		{"8BPS", "a Photoshop file"},
		{"%PDF", "PDF"},
		{"\x00\x00\x01\x00", "an icon"},
		{"P7\n", "PAM"},
		{"PF\n", "PFM"},
		{"Pf\n", "PFM"},
		{"DDS ", "DDS"},
		{"\x76\x2f\x31\x01", "OpenEXR"},
		{"PK\x03\x04", "a zip archive"},
		{"\x1f\x8b", "gzip"},
		{"version https://git-lfs", "a pointer of Git LFS, not the file itself"},
	} {
		if strings.HasPrefix(head, f.magic) {
			return f.name
		}
	}
	switch text := strings.ToLower(strings.TrimLeft(strings.TrimPrefix(head, "\ufeff"), " \t\r\n")); {
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"):
		return "a web page"
	case strings.HasPrefix(text, "<svg"), strings.HasPrefix(text, "<?xml") && strings.Contains(text, "<svg"):
		return "SVG"
	case strings.HasPrefix(text, "<?xml"):
		return "XML"
	}
	return ""
}

// animatedWebP reports whether a WebP is an animation.
func animatedWebP(b []byte) bool {
	return len(b) > 20 && string(b[12:16]) == "VP8X" && b[20]&2 != 0
}
