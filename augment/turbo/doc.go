// Package turbo is the fast engine, "turbo/1": libjpeg-turbo for JPEG and SIMD
// kernels in C for everything that follows. It registers itself, so a program
// has it by importing it for its side effect, and it is then the default.
//
// # Vocabulary
//
//   - painter: one goroutine's half, a C struct with a JPEG decompressor, a
//     picture, and scratch memory that grows and is reused.
//   - picture: the decoded part of the sample, the union of all views' boxes and
//     some pixels around it, (h,w,3) uint8 with a padded stride, in C memory.
//   - axis: the resampling of one axis, n source pixels to S: for each output
//     the first source pixel and Q22 coefficients (augment's and Pillow's), and
//     the same cut into signed bytes for the dot-product instructions.
//   - tier: a set of kernels for one instruction set: scalar (plain C, any CPU),
//     avx2, avx512 (BW, VBMI, VNNI), neon (any arm64: Armv8.0). A painter takes
//     the best that the CPU has, or the one that RESSLT_TIER names; a tier that
//     there is not, here or at all, is an error and never another one.
//
// # Invariants
//
//   - Equal pixels, equal bytes: on the same decoded picture every tier, on amd64
//     and arm64, gives what augment.Execute gives. The arithmetic is integers, but
//     for hue and the coefficients, where single operations rounded by IEEE 754
//     are used in one order and contraction is off. every_op_test.go holds every
//     step to golden digests; `make test-arm64` does so for arm64, by QEMU.
//   - JPEG pixels are libjpeg-turbo's with the accurate integer IDCT (islow) and
//     "fancy" chroma upsampling, what PIL and torchvision read; decoding a part
//     gives the bytes of decoding the whole and cutting. Other formats go
//     through augment's pure-Go decoders. EXIF orientation is ignored, and CMYK
//     is taken as Adobe's inverted CMYK, both as PIL and torchvision do.
//   - No damaged pixel leaves: a JPEG that is cut off, or whose entropy-coded
//     data libjpeg had to guess at, is ErrCorrupt. (Guesses beyond the last row
//     that a plan needs are not looked for; a missing end is.)
//   - C never keeps a pointer to Go memory after a call returns, no longjmp
//     crosses Go, and sizes are checked against the limits before memory is
//     asked for.
//
// # A sample
//
//	Open    jpeg_read_header on the bytes; limits
//	Decode  crop columns (whole iMCUs, one pixel of margin for upsampling),
//	        skip rows from line 0, read rows into the picture; abandon the rest
//	Paint   for each view: horizontal pass of the box, four rows at a time, stored
//	        four rows to a word; vertical pass into dst; each step in place on dst.
//	        A flip that commutes with what precedes it is folded into the
//	        horizontal coefficients and costs nothing.
//
// Without cgo the package is empty and augment's gift engine serves.
package turbo
