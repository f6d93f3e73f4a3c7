// Package turbo is the fast engine, "turbo/2" (and "turbo/1", see augment.Formats): libjpeg-turbo for JPEG and SIMD kernels in
// C for everything after it. It registers itself: a program that imports it for its side
// effect has it, as the default.
//
// # Vocabulary
//
//   - painter: the part for one goroutine, a C struct with a JPEG decompressor, a
//     picture, and buffers that grow and are reused.
//   - picture: the decoded part of the sample, the union of all views' boxes and some
//     pixels around it, (h,w,3) uint8 with a padded stride, in C memory.
//   - axis: the resampling of one axis, n source pixels to S: for each output the first
//     source pixel and Q22 coefficients (those of augment and Pillow), and the same as
//     signed bytes for the dot-product instructions.
//   - pack: a packed JPEG, its quantised coefficients in a form that is fast to read
//     (package packed has the format). Engine turbo/3 decodes it.
//   - band: the samples of one component in two rows of MCUs, as a ring.
//   - strip: sixteen rows of the picture, laid out for the horizontal pass.
//   - tier: a set of kernels for one instruction set: scalar (plain C, any CPU), avx2
//     (and FMA), avxvnni (avx2 and AVX-VNNI), avx512 (BW, VBMI, VNNI), neon (any arm64:
//     Armv8.0). A painter takes the best tier of the CPU, or the one that RESSLT_TIER names;
//     a tier that is unknown or that the CPU lacks is an error, and no other one is taken
//     instead.
//
// # Invariants
//
//   - On the same decoded picture every tier, on amd64 and arm64, gives the bytes of
//     augment.Execute. The arithmetic is integer, except for hue and the coefficients,
//     which use operations rounded by IEEE 754 in a fixed order, without contraction.
//     every_op_test.go compares every step with golden digests; `make test-arm64` does
//     so for arm64, by QEMU.
//   - JPEG pixels are libjpeg-turbo's with the accurate integer IDCT (islow) and
//     "fancy" chroma upsampling, as in PIL and torchvision; decoding a part gives the
//     bytes of decoding the whole and cropping. Other formats go through augment's
//     pure-Go decoders. EXIF orientation is ignored, and CMYK is taken as Adobe's
//     inverted CMYK, both as in PIL and torchvision.
//   - A pack's pixels are those of its JPEG, in whole and in part: the IDCT, the upsampling
//     and the colour conversion are libjpeg's to the bit. A JPEG for which that is not
//     sure, since its coefficients are beyond those of any picture, is not packed.
//   - Damaged packs are ErrCorrupt, or pixels that every tier has alike: arithmetic wraps
//     and saturates at the same places, and every length is checked before it is used.
//   - Damaged pixels of a JPEG are never returned: one that is cut off, or whose entropy-coded
//     data libjpeg had to guess, is ErrCorrupt. (Only guesses up to the last row that a
//     plan needs are noticed; a missing end always is.)
//   - C never keeps a pointer to Go memory after a call returns, no longjmp crosses Go,
//     and sizes are checked against the limits before memory is allocated.
//
// # A sample
//
//	Open    jpeg_read_header on the bytes; limits
//	Decode  crop columns (whole iMCUs, one pixel of margin for upsampling),
//	        skip rows from line 0, read rows into the picture; abandon the remaining ones
//	        of a pack: for each MCU row that the box needs, unpack the segments of its
//	        block rows, IDCT into bands, then upsample and convert the rows of pixels
//	        whose samples are there
//	Paint   for each view: horizontal pass of a strip of the box's rows, stored as the
//	        tier's vertical pass reads them; vertical pass into dst as far as they
//	        suffice; then each step in place on dst. A flip that commutes with the steps
//	        before it is folded into the horizontal coefficients and costs nothing.
//
// # Files
//
//	turbo.h         what Go calls          painter.c  the painter; executes plans
//	kernels.h       the table of a tier    jpeg.c     decodes boxes of JPEGs
//	coefficients.h  resampling and blur    buffer.h   memory that grows
//	profile.c       where the time goes
//
//	dct.h           packs, and the kernels of a tier for them
//	dct_header.c    reads a pack's header       dct_unpack.h, dct_segment.h  a segment's streams
//	dct_decode.c    decodes boxes of packs      dct_idct.h    the inverse DCT
//	dct_pack.c      makes packs of JPEGs        dctfuzz       random JPEGs, damaged packs
//
// painter.c, jpeg.c, dct_decode.c and dct_pack.c use the others; kernels and coefficients do
// not know the painter.
//
// Without cgo the package is empty, and augment's gift engine is the default.
package turbo
