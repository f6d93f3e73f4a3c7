//go:build cgo

// The kernels: each has a plain Go reference in package augment (ref.go), and
// every tier agrees with it to the byte.
#ifndef RESSLT_KERNELS_H
#define RESSLT_KERNELS_H

#include <stddef.h>
#include <stdint.h>

// Multiply and add must not be contracted into one rounding, which compilers do
// by default where the CPU has such an instruction (arm64): -std=c11 tells GCC,
// the pragma tells Clang. golden_test.go has the digests that would change.
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

// axis resamples n source pixels to out, of which it makes size outputs from the one
// numbered from on, as augment's type of that name:
//
//	out[from+i] = clip((2^21 + Σ_{j<count[i]} coef[i·taps+j] · src[base+first[i]+j]) >> 22)
//
// base, the first source pixel that it reads, is where src of the kernels begins; span is
// how many it reads from there. taps is a multiple of four, the rest of coef is zero.
typedef struct {
	int32_t n, out, from, size, bicubic, mirror;
	int32_t span;
	int32_t taps;
	int32_t *first, *count, *coef;
	void *memory;
	size_t cap;
	void *table; // the tier's own form of the above, or NULL
	size_t table_cap;
} axis;

// filter is what the weights of an output's taps depend on: weight of the source pixel j is
// that of ((j - center) + 1/2)·inverse.
typedef struct {
	double center, inverse;
	int32_t bicubic;
} filter;

// blur_kernel is one side of a Gaussian in Q14, the centre first.
typedef struct {
	int32_t sigma; // Q16; 0: none yet
	int32_t radius;
	int32_t weight[64];
} blur_kernel;

enum { RESAMPLE_BITS = 22, FACTOR_BITS = 14, BLUR_BITS = 14, BLUR_MID_BITS = 6, MAX_RADIUS = 48, STRIP = 16 };

struct kernels {
	const char *name;

	// weigh is weigh_taps, in the same operations. w has room for four more.
	void (*weigh)(int32_t *coef, double *w, const filter *f, int32_t lo, int32_t n);

	// prepare makes a->table of the coefficients, for across or down; 0 without
	// memory. NULL where a tier needs none.
	int (*prepare)(axis *a, int down);

	// mid_bytes is what across writes for h rows of size pixels.
	size_t (*mid_bytes)(int32_t h, int32_t size);
	// room_bytes is the scratch that across needs for rows of span pixels. NULL: none.
	size_t (*room_bytes)(int32_t span);
	// across filters n rows of src, stride bytes apart, from row y on into mid, in
	// whatever order down of the same tier reads. y is a multiple of STRIP, and n is,
	// too, unless these are the last rows. src may be read PAD bytes too far.
	void (*across)(uint8_t *mid, uint8_t *room, const uint8_t *src, size_t stride, int32_t y, int32_t n, const axis *a);
	// gather puts n rows of size pixels from row y on into mid unfiltered, for an axis
	// that keeps its length.
	void (*gather)(uint8_t *mid, const uint8_t *src, size_t stride, int32_t y, int32_t n, int32_t size);
	// down makes the rows from … to-1 of dst (size,size,3) of mid.
	void (*down)(uint8_t *dst, const uint8_t *mid, int32_t from, int32_t to, int32_t size, const axis *a);
	// scatter is gather's inverse, for an axis down that keeps its length.
	void (*scatter)(uint8_t *dst, const uint8_t *mid, int32_t size);

	void (*flip)(uint8_t *px, int32_t size);
	void (*lut)(uint8_t *px, size_t n, const uint8_t lut[256]);
	// Tables that are cheaper to compute than to look up, or NULL. ramp is blend of from
	// and each byte, factor at most INT16_MAX; solarize inverts those from threshold on,
	// 0 … 255.
	void (*ramp)(uint8_t *px, size_t n, int32_t from, int32_t factor);
	void (*solarize)(uint8_t *px, size_t n, int32_t threshold);
	void (*mask)(uint8_t *px, size_t n, uint8_t bits);
	void (*lut3)(uint8_t *px, size_t pixels, const uint8_t lut[3][256]); // one a channel
	// extremes lowers lo and raises hi to those of each channel of n bytes.
	void (*extremes)(const uint8_t *px, size_t n, uint8_t lo[3], uint8_t hi[3]);
	// sharpen blends px, but for its border, with what smoothing makes of it. copy is px.
	void (*sharpen)(uint8_t *px, const uint8_t *copy, int32_t size, int32_t factor);
	uint64_t (*luma_sum)(const uint8_t *px, size_t pixels);
	void (*saturation)(uint8_t *px, size_t pixels, int32_t factor);
	void (*hue)(uint8_t *px, size_t pixels, int32_t shift);
	void (*grayscale)(uint8_t *px, size_t pixels);
	// blur filters px (size,size,3) in place. room is blur_bytes of scratch.
	size_t (*blur_bytes)(int32_t size, int32_t radius);
	void (*blur)(uint8_t *px, int32_t size, const blur_kernel *k, uint8_t *room);
};

extern const struct kernels kernels_scalar;
#if defined(__x86_64__)
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avxvnni;
extern const struct kernels kernels_avx512;
#elif defined(__aarch64__)
extern const struct kernels kernels_neon;
#endif

// The scalar kernels by name, for the ends of rows and for tiers that have
// nothing better.
size_t scalar_mid_bytes(int32_t h, int32_t size);
void scalar_across(uint8_t *mid, uint8_t *room, const uint8_t *src, size_t stride, int32_t y, int32_t n, const axis *a);
void scalar_gather(uint8_t *mid, const uint8_t *src, size_t stride, int32_t y, int32_t n, int32_t size);
void scalar_down(uint8_t *dst, const uint8_t *mid, int32_t from, int32_t to, int32_t size, const axis *a);
void scalar_scatter(uint8_t *dst, const uint8_t *mid, int32_t size);
void scalar_flip(uint8_t *px, int32_t size);
void scalar_lut(uint8_t *px, size_t n, const uint8_t lut[256]);
uint64_t scalar_luma_sum(const uint8_t *px, size_t pixels);
void scalar_saturation(uint8_t *px, size_t pixels, int32_t factor);
void scalar_hue(uint8_t *px, size_t pixels, int32_t shift);
void scalar_grayscale(uint8_t *px, size_t pixels);
size_t scalar_blur_bytes(int32_t size, int32_t radius);
void scalar_blur(uint8_t *px, int32_t size, const blur_kernel *k, uint8_t *room);

// reserve_table makes room for a->table of so many bytes, on a cache line; 0 without memory.
int reserve_table(axis *a, size_t bytes);

// weigh_taps makes the coefficients of the n source pixels from lo on, four at a time, those
// past n zero.
void weigh_taps(int32_t *coef, double *w, const filter *f, int32_t lo, int32_t n);

void scalar_lut3(uint8_t *px, size_t pixels, const uint8_t lut[3][256]);
void scalar_extremes(const uint8_t *px, size_t n, uint8_t lo[3], uint8_t hi[3]);
void scalar_sharpen(uint8_t *px, const uint8_t *copy, int32_t size, int32_t factor);

// Steps of RandAugment that all tiers share, but for the kernels that they take.
void warp(uint8_t *dst, const uint8_t *src, int32_t size, const int32_t arg[7]);
void warp_between(uint8_t *dst, const uint8_t *src, int32_t size, const int32_t arg[7], int bicubic);
void auto_contrast(const struct kernels *k, uint8_t *px, size_t pixels);
void equalize(const struct kernels *k, uint8_t *px, size_t pixels);

#if defined(__x86_64__)
// What the AVX-512 tier takes from AVX2's.
void avx2_sharpen(uint8_t *px, const uint8_t *copy, int32_t size, int32_t factor);
void avx2_extremes(const uint8_t *px, size_t n, uint8_t lo[3], uint8_t hi[3]);
void avx2_weigh(int32_t *coef, double *w, const filter *f, int32_t lo, int32_t n);
#endif

// clip holds v to 0 … 255.
static inline uint8_t clip(int32_t v) { return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v; }

// luma is ITU-R 601-2 in 16.16, PIL's convert("L").
static inline uint8_t luma(uint8_t r, uint8_t g, uint8_t b) { return (uint8_t)((r * 19595u + g * 38470u + b * 7471u + 0x8000u) >> 16); }

// blend is from + f·(to-from), f in Q14, cut towards minus infinity and clipped.
static inline uint8_t blend(int32_t from, int32_t to, int32_t f) { return clip(((from << FACTOR_BITS) + f * (to - from)) >> FACTOR_BITS); }

#endif
