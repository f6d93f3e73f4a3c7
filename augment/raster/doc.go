// Package raster decodes the picture formats beside JPEG, PNG and WebP that people's data
// sets hold: BMP, GIF (its first frame), PNM (PBM, PGM, PPM) and TIFF (its first page). It
// knows nothing of samples and views; package augment calls it.
//
//	format  := raster.Sniff(data)            by the first bytes
//	picture := raster.Open(format, data)     header only: nothing is allocated by its sizes
//	w, h    := picture.Size()                the caller checks them against its limits
//	picture.Decode(rgb)                      into the caller's (h, w, 3) uint8
//
// # What pixels are
//
// Those of Pillow's Image.open(f).convert("RGB"), byte for byte (pillow_test.go), with one
// exception: grey pictures of 16 bits, of which Pillow makes white wherever a value is over
// 255. Here they are what colours of 16 bits are: the upper 8 bits in TIFF, the nearest of
// 8 bits in PNM. Alpha is dropped, not blended. TIFF's orientation is applied, as by Pillow; EXIF's in
// other formats is not.
//
// # Invariants
//
//   - Open reads the header alone. Decode takes memory in proportion to the file and to
//     w·h, time in proportion to both: what strips or blocks of a file share is bounded.
//   - Errors wrap errs.ErrCorrupt or errs.ErrUnsupported, and name no file: they are the same
//     on every machine. They are the same for the same bytes, always.
//   - Integer arithmetic: equal bytes on every architecture.
//
// OpenNumbers reads a TIFF as the numbers that it stores, for pictures that someone chooses bands
// and a range of; decoding a sample has no part in it.
//
// # What is refused by name
//
//	BMP   JPEG or PNG inside, unknown header
//	TIFF  BigTIFF; floating-point, signed and 32-bit samples; CIELab; JPEG, zstd, WebP and
//	      LERC compression
//	PNM   PAM and PFM are not known at all
//
// golang.org/x/image has decoders for BMP and TIFF. They refuse what Pillow reads (RLE, 16 bits,
// OS/2 headers, planes, 2 and 4 bits, CMYK, grey with alpha, four samples without a meaning), and
// allocate before their caller sees a size. Its LZW and CCITT decoders are used here.
package raster
