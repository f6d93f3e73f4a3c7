//go:build cgo

// The AVX-512 kernels for packed JPEGs. Beside what avx512_amd64.h asks for, they need VBMI2
// (vpexpandb), which came with the same CPUs.

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,popcnt"))), \
                             apply_to = function)
#define END_OF_TIER _Pragma("clang attribute pop")
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,popcnt")
#define END_OF_TIER
#endif

#include "dct_unpack.h"
#include "dct_idct.h"

// by_rows is dct_natural's inverse: for a place in the block its number in the zigzag.
#define ITSELF(j, n) (n)
static const uint8_t by_rows[64] = {ZIGZAG_BY_ROWS(ITSELF, 0)};

// big_values reads V and E, 64 values at a time; the result is the end of E, or NULL.
static const uint8_t *big_values(dct_segment *s, const segment_streams *t) {
	const uint8_t *e = t->escape;
	const __m512i fifteen = _mm512_set1_epi8(15);
	uint64_t bad = 0;
	for (int32_t i = 0; i < t->bigs; i += 64) {
		__m512i v = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(t->nibble + i / 2)));
		v = _mm512_and_si512(_mm512_or_si512(v, _mm512_slli_epi16(v, 4)), fifteen);
		const __mmask64 escaped = _mm512_cmpeq_epi8_mask(v, fifteen) & low_bits(t->bigs - i);
		if (e > t->end)
			return NULL;
		const __m512i more = _mm512_maskz_expand_epi8(escaped, _mm512_loadu_si512(e));
		e += __builtin_popcountll(escaped);
		v = _mm512_add_epi8(_mm512_add_epi8(v, _mm512_set1_epi8(2)), more);
		const uint64_t wide = _mm512_movepi8_mask(more);
		bad |= _mm512_cmpgt_epi8_mask(more, _mm512_set1_epi8(ESCAPED)) & ~wide;
		if (wide != 0) {
			_mm512_storeu_si512(s->wide_high + s->wides, _mm512_maskz_compress_epi8(wide, more));
			s->wides += __builtin_popcountll(wide);
			v = _mm512_mask_mov_epi8(v, wide, _mm512_set1_epi8((char)PLACE));
		}
		_mm512_storeu_si512(s->big + i, v);
	}
	return bad || e > t->end ? NULL : e;
}

static void all_values(dct_segment *s, const segment_streams *t) {
	const uint8_t *big = s->big;
	int32_t wides = 0;
	for (int32_t i = 0; i < t->values; i += 64) {
		const uint64_t here = low_bits(t->values - i), is_big = load64(t->is_big + i / 8) & here;
		const __m512i more = _mm512_maskz_expand_epi8(is_big, _mm512_loadu_si512(big));
		big += __builtin_popcountll(is_big);
		for (uint64_t wide = _mm512_movepi8_mask(more); wide != 0; wide &= wide - 1)
			s->wide_at[wides++] = (uint16_t)(i + __builtin_ctzll(wide));
		const __m512i v = _mm512_mask_mov_epi8(_mm512_set1_epi8(1), is_big, more);
		_mm512_storeu_si512(s->value + i, _mm512_mask_sub_epi8(v, load64(t->sign + i / 8), _mm512_setzero_si512(), v));
	}
}

static inline void unpack_block(int16_t *c, const int8_t *value, uint64_t mask, int16_t dc) {
	const __m512i zigzag = _mm512_maskz_expand_epi8(mask << 1, _mm512_loadu_si512(value));
	const __m512i v = _mm512_permutexvar_epi8(_mm512_loadu_si512(by_rows), zigzag);
	const __m512i low = _mm512_cvtepi8_epi16(_mm512_castsi512_si256(v));
	_mm512_store_si512(c, _mm512_mask_set1_epi16(low, 1, dc));
	_mm512_store_si512(c + 32, _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64(v, 1)));
}

#include "dct_segment.h"

// What the template makes four blocks at a time: lane i of a vector is of block i.
typedef __m512i vec;
#define BLOCKS 4
#define V(op) _mm512_##op
#define ADD_PRODUCTS(sum, x, y) _mm512_dpwssd_epi32(sum, x, y)
#define LOAD_QUANT(p) _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)(p)))
#define ZERO _mm512_setzero_si512()

// load_rows makes x[i] row i of four blocks.
static inline void load_rows(vec x[8], const int16_t *coef, int32_t rows) {
	for (int half = 0; half < rows / 4; half++) {
		const int16_t *c = coef + 32 * half;
		const vec a = _mm512_load_si512(c), b = _mm512_load_si512(c + 64), d = _mm512_load_si512(c + 128), e = _mm512_load_si512(c + 192);
		const vec ab = _mm512_shuffle_i32x4(a, b, 0x44), AB = _mm512_shuffle_i32x4(a, b, 0xee);
		const vec de = _mm512_shuffle_i32x4(d, e, 0x44), DE = _mm512_shuffle_i32x4(d, e, 0xee);
		x[4 * half] = _mm512_shuffle_i32x4(ab, de, 0x88);
		x[4 * half + 1] = _mm512_shuffle_i32x4(ab, de, 0xdd);
		x[4 * half + 2] = _mm512_shuffle_i32x4(AB, DE, 0x88);
		x[4 * half + 3] = _mm512_shuffle_i32x4(AB, DE, 0xdd);
	}
}

// store_rows stores two rows of four blocks, which stand one after the other in each lane.
static inline void store_rows(uint8_t *dst, size_t stride, vec rows) {
	const vec v = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), rows);
	_mm256_storeu_si256((__m256i *)dst, _mm512_castsi512_si256(v));
	_mm256_storeu_si256((__m256i *)(dst + stride), _mm512_extracti64x4_epi64(v, 1));
}

#include "dct_idct_amd64.h"

static void h2v1(uint8_t *out, const uint8_t *in, int32_t n) {
	for (int32_t i = 0; i < n; i += 32) {
		const vec here = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(in + i)));
		const vec left = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(in + i - 1)));
		const vec right = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(in + i + 1)));
		const vec three = _mm512_add_epi16(_mm512_add_epi16(here, here), here);
		const vec even = _mm512_srli_epi16(_mm512_add_epi16(_mm512_add_epi16(three, left), _mm512_set1_epi16(1)), 2);
		const vec odd = _mm512_srli_epi16(_mm512_add_epi16(_mm512_add_epi16(three, right), _mm512_set1_epi16(2)), 2);
		_mm512_storeu_si512(out + 2 * i, _mm512_or_si512(even, _mm512_slli_epi16(odd, 8)));
	}
}

static inline vec three_to_one(const uint8_t *near, const uint8_t *far) {
	const vec a = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)near));
	const vec b = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)far));
	return _mm512_add_epi16(_mm512_add_epi16(_mm512_add_epi16(a, a), a), b);
}

static void h1v2(uint8_t *out, const uint8_t *near, const uint8_t *far, int32_t n, int32_t bias) {
	const vec round = _mm512_set1_epi16((short)bias);
	for (int32_t i = 0; i < n; i += 32) {
		const vec v = _mm512_srli_epi16(_mm512_add_epi16(three_to_one(near + i, far + i), round), 2);
		_mm256_storeu_si256((__m256i *)(out + i), _mm512_cvtepi16_epi8(v));
	}
}

static void h2v2(uint8_t *out, const uint8_t *near, const uint8_t *far, int32_t n, int16_t *sums) {
	for (int32_t i = 0; i < n + 2; i += 32)
		_mm512_storeu_si512(sums + i, three_to_one(near + i - 1, far + i - 1));
	for (int32_t i = 0; i < n; i += 32) {
		const vec left = _mm512_loadu_si512(sums + i), here = _mm512_loadu_si512(sums + i + 1), right = _mm512_loadu_si512(sums + i + 2);
		const vec three = _mm512_add_epi16(_mm512_add_epi16(here, here), here);
		const vec even = _mm512_srli_epi16(_mm512_add_epi16(_mm512_add_epi16(three, left), _mm512_set1_epi16(8)), 4);
		const vec odd = _mm512_srli_epi16(_mm512_add_epi16(_mm512_add_epi16(three, right), _mm512_set1_epi16(7)), 4);
		_mm512_storeu_si512(out + 2 * i, _mm512_or_si512(even, _mm512_slli_epi16(odd, 8)));
	}
}

// third says which pixel byte j of the k'th of three vectors of RGB is of: (64k + j) / 3.
#define FOUR(i) (i) / 3, ((i) + 1) / 3, ((i) + 2) / 3, ((i) + 3) / 3
#define SIXTEEN(i) FOUR(i), FOUR((i) + 4), FOUR((i) + 8), FOUR((i) + 12)
#define ALL(i) SIXTEEN(i), SIXTEEN((i) + 16), SIXTEEN((i) + 32), SIXTEEN((i) + 48)
static const uint8_t third[3][64] __attribute__((aligned(64))) = {{ALL(0)}, {ALL(64)}, {ALL(128)}};
// Which bytes of each are green and blue.
static const uint64_t green[3] = {0x2492492492492492, 0x9249249249249249, 0x4924924924924924};
static const uint64_t blue[3] = {0x4924924924924924, 0x2492492492492492, 0x9249249249249249};

static inline void store_pixels(uint8_t *rgb, vec r, vec g, vec b, int32_t n) {
	for (int k = 0; k < 3; k++) {
		const vec of = _mm512_load_si512(third[k]);
		vec v = _mm512_permutexvar_epi8(of, r);
		v = _mm512_mask_permutexvar_epi8(v, green[k], of, g);
		v = _mm512_mask_permutexvar_epi8(v, blue[k], of, b);
		if (n >= 64)
			_mm512_storeu_si512(rgb + 64 * k, v);
		else if (3 * n > 64 * k)
			_mm512_mask_storeu_epi8(rgb + 64 * k, low_bits(3 * n - 64 * k), v);
	}
}

static void interleave(uint8_t *rgb, const uint8_t *r, const uint8_t *g, const uint8_t *b, int32_t n) {
	for (int32_t i = 0; i < n; i += 64)
		store_pixels(rgb + 3 * i, _mm512_loadu_si512(r + i), _mm512_loadu_si512(g + i), _mm512_loadu_si512(b + i), n - i);
}

#include "dct_color_amd64.h"

static void ycc(uint8_t *rgb, const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int32_t n) {
	for (int32_t i = 0; i < n; i += 64) {
		vec r, g, b;
		ycc_pixels(_mm512_loadu_si512(y + i), _mm512_loadu_si512(cb + i), _mm512_loadu_si512(cr + i), &r, &g, &b);
		store_pixels(rgb + 3 * i, r, g, b, n - i);
	}
}

const struct dct_kernels dct_avx512 = {
	.unpack = unpack,
	.idct = idct,
	.h2v1 = h2v1,
	.h1v2 = h1v2,
	.h2v2 = h2v2,
	.ycc = ycc,
	.interleave = interleave,
};

END_OF_TIER
