//go:build cgo

// Packed JPEGs: their form, and what the files that read and write it share. doc.go of
// package packed describes every byte.
#ifndef RESSLT_DCT_H
#define RESSLT_DCT_H

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

enum {
	DCT_VERSION = 1,
	DCT_HEADER = 28,   // bytes before the components
	DCT_SLACK = 64,    // zeros after the coefficients, so that whole vectors may be loaded
	DCT_SEGMENT = 64,  // blocks, at most
	DCT_PARTS = 3,     // components, at most
	DCT_EXTENSION = 8, // DCT_SEGMENT values and more may be written past what was asked for
	DCT_MAX_AC = DCT_SEGMENT * 63,
};

extern const uint8_t dct_magic[8];

// dct_natural[i] is where coefficient i of the zigzag is in a block of 8 rows.
extern const uint8_t dct_natural[64];

enum dct_colour { DCT_GREY, DCT_YCC, DCT_RGB };

// How a component's samples become the picture's: libjpeg's choice (jdsample.c).
enum dct_upsampling {
	DCT_FULL,     // one sample, one pixel
	DCT_H2V1,     // triangle filter along the row
	DCT_H1V2,     // between two rows
	DCT_H2V2,     // both
	DCT_REPEATED, // hx × vx pixels of each sample
};

typedef struct {
	int32_t h, v, table;
	int32_t hx, vx; // pixels of a sample, along and across
	int32_t width, height;
	int32_t blocks;    // in a block row, padded to whole MCUs
	int32_t first_row; // the number of its first block row within the MCU row's
	enum dct_upsampling upsampling;
} dct_component;

// dct_header is a pack's header, checked. Places are offsets from the pack's first byte.
typedef struct {
	size_t n; // bytes of the pack; 0: none is open
	int32_t width, height, colour, components;
	int32_t max_h, max_v, mcus_x, mcus_y;
	int32_t rows; // block rows in an MCU row
	size_t offsets, data, data_bytes, skeleton, skeleton_bytes;
	dct_component part[DCT_PARTS];
	int16_t quant[DCT_PARTS][64] __attribute__((aligned(64))); // of each component, by rows, modulo 2^16
} dct_header;

// dct_geometry computes what follows from size and sampling factors; 0 where libjpeg would
// refuse them.
int dct_geometry(dct_header *h);

// dct_parse reads and checks a header. The result is NULL or says what is wrong; where it
// is another version, other is set.
const char *dct_parse(dct_header *h, const uint8_t *pack, size_t n, int *other);

// dct_segment is one segment, unpacked. The arrays have room for vectors that are written
// past the end.
typedef struct {
	int16_t coef[(DCT_SEGMENT + DCT_EXTENSION) * 64] __attribute__((aligned(64))); // blocks of 8 rows of 8
	uint8_t big[DCT_MAX_AC + 64] __attribute__((aligned(64)));                     // the values over 1, by magnitude
	int8_t value[DCT_MAX_AC + 128] __attribute__((aligned(64)));                   // all that are not zero
	uint64_t mask[DCT_SEGMENT + DCT_EXTENSION];                                    // which these are, zigzag from 1 on
	uint16_t first[DCT_SEGMENT + 1];                                               // of each block in value
	int16_t dc[DCT_SEGMENT];
	// The values that need more than a byte: the upper bits of their magnitudes, and
	// where they are in value.
	int32_t wides;
	uint8_t wide_high[DCT_MAX_AC + 64];
	uint16_t wide_at[DCT_MAX_AC];
} dct_segment;

// dct_kernels are those of a tier. Every tier gives the same bytes, for any coefficients.
struct dct_kernels {
	// unpack makes s of the segment of so many blocks in [p, end), of which the
	// coefficients from block `from` up to block `to` are wanted; 0 if it is corrupt.
	// DCT_SLACK bytes after end can be read.
	int (*unpack)(dct_segment *s, const uint8_t *p, const uint8_t *end, int32_t blocks, int32_t from, int32_t to);
	// idct makes n blocks of samples side by side at dst, rows stride bytes apart;
	// it may make up to DCT_EXTENSION-1 blocks more.
	void (*idct)(uint8_t *dst, size_t stride, const int16_t *coef, const uint64_t *mask, int32_t n, const int16_t quant[64]);
	// The upsamplings of n samples, which have one neighbour at either end. Up to
	// DCT_SLACK bytes more are read and written.
	void (*h2v1)(uint8_t *out, const uint8_t *in, int32_t n);
	void (*h1v2)(uint8_t *out, const uint8_t *near, const uint8_t *far, int32_t n, int32_t bias);
	void (*h2v2)(uint8_t *out, const uint8_t *near, const uint8_t *far, int32_t n, int16_t *sums);
	// n pixels of interleaved RGB, and no byte more. Rows may be read DCT_SLACK too far.
	void (*ycc)(uint8_t *rgb, const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int32_t n);
	void (*interleave)(uint8_t *rgb, const uint8_t *r, const uint8_t *g, const uint8_t *b, int32_t n);
};

extern const struct dct_kernels dct_scalar;
#if defined(__x86_64__)
extern const struct dct_kernels dct_avx2;
extern const struct dct_kernels dct_avx512;
#elif defined(__aarch64__)
extern const struct dct_kernels dct_neon;
#endif

// The scalar kernels by name, for the ends of rows and for tiers that have nothing better.
void scalar_idct(uint8_t *dst, size_t stride, const int16_t *coef, const uint64_t *mask, int32_t n, const int16_t quant[64]);
void scalar_h2v1(uint8_t *out, const uint8_t *in, int32_t n);
void scalar_h1v2(uint8_t *out, const uint8_t *near, const uint8_t *far, int32_t n, int32_t bias);
void scalar_h2v2(uint8_t *out, const uint8_t *near, const uint8_t *far, int32_t n, int16_t *sums);
void scalar_ycc(uint8_t *rgb, const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int32_t n);
void scalar_interleave(uint8_t *rgb, const uint8_t *r, const uint8_t *g, const uint8_t *b, int32_t n);

// dct_decoder is what a painter keeps for packs.
typedef struct {
	const struct dct_kernels *k;
	dct_header header;
	dct_segment *segment; // one, made when first needed
	buffer bands;         // samples of two MCU rows of every component, then rows that are upsampled
} dct_decoder;

#endif
