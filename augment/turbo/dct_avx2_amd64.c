//go:build cgo

// The AVX2 kernels for packed JPEGs.

#include "avx2_amd64.h"

#include "dct_unpack.h"
#include "dct_idct.h"
#include "dct_spread.h"

static inline __m128i load8(const void *p) { return _mm_loadl_epi64((const __m128i *)p); }

// spread puts bytes from p on to the places of the bits of m.
static inline __m128i spread(const void *p, uint32_t m) { return _mm_shuffle_epi8(load8(p), load8(rank[m])); }

// big_values reads V and E, 32 values at a time; the result is the end of E, or NULL.
static const uint8_t *big_values(dct_segment *s, const segment_streams *t) {
	const uint8_t *e = t->escape;
	const __m256i fifteen = _mm256_set1_epi8(15), two = _mm256_set1_epi8(2);
	for (int32_t i = 0; i < t->bigs; i += 32) {
		__m256i v = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(t->nibble + i / 2)));
		v = _mm256_and_si256(_mm256_or_si256(v, _mm256_slli_epi16(v, 4)), fifteen);
		uint32_t escaped = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, fifteen)) & (uint32_t)low_bits(t->bigs - i);
		_mm256_storeu_si256((__m256i *)(s->big + i), _mm256_add_epi8(v, two));
		if (t->end - e < __builtin_popcount(escaped))
			return NULL;
		for (; escaped != 0; escaped &= escaped - 1) {
			if (!add_escaped(s, s->big + i + __builtin_ctz(escaped), &e))
				return NULL;
		}
	}
	return e;
}

// all_values makes s->value of s->big, the signs and ones.
static void all_values(dct_segment *s, const segment_streams *t) {
	const uint8_t *big = s->big;
	const __m128i one = _mm_set1_epi8(1), bits = _mm_set1_epi64x((long long)0x8040201008040201);
	const __m128i halves = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
	int32_t wides = 0;
	for (int32_t i = 0; i < t->values; i += 16) {
		const uint32_t m = (uint32_t)(load64(t->is_big + i / 8) & low_bits(t->values - i) & 0xffff);
		const uint32_t sign = (uint32_t)load64(t->sign + i / 8) & 0xffff;
		const __m128i low = spread(big, m & 255);
		big += __builtin_popcount(m & 255);
		const __m128i high = spread(big, m >> 8);
		big += __builtin_popcount(m >> 8);
		const __m128i more = _mm_unpacklo_epi64(low, high);
		for (uint32_t wide = (uint32_t)_mm_movemask_epi8(more); wide != 0; wide &= wide - 1)
			s->wide_at[wides++] = (uint16_t)(i + __builtin_ctz(wide));
		// Big values are 2 and more, and the others are 1; but PLACE is negative.
		const __m128i v = _mm_max_epu8(more, one);
		const __m128i negative = _mm_cmpeq_epi8(_mm_and_si128(_mm_shuffle_epi8(_mm_cvtsi32_si128((int)sign), halves), bits), bits);
		_mm_storeu_si128((__m128i *)(s->value + i), _mm_sub_epi8(_mm_xor_si128(v, negative), negative));
	}
}

// from_zigzag[j] says for each place of a block which of bytes 16j … 16j+15 of the zigzag
// belongs there; 0x80 (zero) where it is another one.
#define OF_SIXTEEN(j, n) ((n) / 16 == (j) ? (n) % 16 : 0x80)
#define BY_ROWS(j) {ZIGZAG_BY_ROWS(OF_SIXTEEN, j)}
static const uint8_t from_zigzag[4][64] __attribute__((aligned(64))) = {BY_ROWS(0), BY_ROWS(1), BY_ROWS(2), BY_ROWS(3)};

// sixteen is bytes 16j … 16j+15 of the zigzag, in both lanes.
static inline __m256i sixteen(const int8_t *value, uint64_t mask, int j) {
	value += __builtin_popcountll(mask & low_bits(16 * j));
	const uint32_t low = (uint32_t)(mask >> 16 * j) & 255, high = (uint32_t)(mask >> (16 * j + 8)) & 255;
	return _mm256_broadcastsi128_si256(_mm_unpacklo_epi64(spread(value, low), spread(value + __builtin_popcount(low), high)));
}

static inline __m256i pick(__m256i bytes, int j, int half) {
	return _mm256_shuffle_epi8(bytes, _mm256_load_si256((const __m256i *)(from_zigzag[j] + 32 * half)));
}

static inline void unpack_block(int16_t *c, const int8_t *value, uint64_t mask, int16_t dc) {
	mask <<= 1; // from AC to the zigzag
	const __m256i a = sixteen(value, mask, 0), b = sixteen(value, mask, 1);
	__m256i upper = _mm256_or_si256(pick(a, 0, 0), pick(b, 1, 0)), lower = _mm256_or_si256(pick(a, 0, 1), pick(b, 1, 1));
	if (mask >> 32 != 0) {
		const __m256i d = sixteen(value, mask, 2), e = sixteen(value, mask, 3);
		upper = _mm256_or_si256(upper, _mm256_or_si256(pick(d, 2, 0), pick(e, 3, 0)));
		lower = _mm256_or_si256(lower, _mm256_or_si256(pick(d, 2, 1), pick(e, 3, 1)));
	}
	__m256i *out = (__m256i *)c;
	_mm256_store_si256(out, _mm256_cvtepi8_epi16(_mm256_castsi256_si128(upper)));
	_mm256_store_si256(out + 1, _mm256_cvtepi8_epi16(_mm256_extracti128_si256(upper, 1)));
	_mm256_store_si256(out + 2, _mm256_cvtepi8_epi16(_mm256_castsi256_si128(lower)));
	_mm256_store_si256(out + 3, _mm256_cvtepi8_epi16(_mm256_extracti128_si256(lower, 1)));
	c[0] = dc;
}

#include "dct_segment.h"

// What the template makes two blocks at a time.
typedef __m256i vec;
#define BLOCKS 2
#define V(op) _mm256_##op
#define ADD_PRODUCTS(sum, x, y) _mm256_add_epi32(sum, _mm256_madd_epi16(x, y))
#define LOAD_QUANT(p) _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(p)))
#define ZERO _mm256_setzero_si256()

// load_rows makes x[i] row i of two blocks.
static inline void load_rows(vec x[8], const int16_t *coef, int32_t rows) {
	for (int i = 0; i < rows; i += 2) {
		const vec a = _mm256_load_si256((const __m256i *)(coef + 8 * i)), b = _mm256_load_si256((const __m256i *)(coef + 64 + 8 * i));
		x[i] = _mm256_permute2x128_si256(a, b, 0x20);
		x[i + 1] = _mm256_permute2x128_si256(a, b, 0x31);
	}
}

// store_rows stores two rows of two blocks, which stand one after the other in each lane.
static inline void store_rows(uint8_t *dst, size_t stride, vec rows) {
	const vec v = _mm256_permute4x64_epi64(rows, 0xd8);
	_mm_storeu_si128((__m128i *)dst, _mm256_castsi256_si128(v));
	_mm_storeu_si128((__m128i *)(dst + stride), _mm256_extracti128_si256(v, 1));
}

#include "dct_idct_amd64.h"

static inline vec load_words(const uint8_t *p) { return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p)); }

// filter is (3·here + beside + round) >> shift.
static inline vec triangle(vec here, vec beside, int round, int shift) {
	const vec three = _mm256_add_epi16(_mm256_add_epi16(here, here), here);
	return _mm256_srli_epi16(_mm256_add_epi16(_mm256_add_epi16(three, beside), _mm256_set1_epi16((short)round)), shift);
}

static void h2v1(uint8_t *out, const uint8_t *in, int32_t n) {
	for (int32_t i = 0; i < n; i += 16) {
		const vec here = load_words(in + i);
		const vec even = triangle(here, load_words(in + i - 1), 1, 2), odd = triangle(here, load_words(in + i + 1), 2, 2);
		_mm256_storeu_si256((__m256i *)(out + 2 * i), _mm256_or_si256(even, _mm256_slli_epi16(odd, 8)));
	}
}

static void h1v2(uint8_t *out, const uint8_t *near, const uint8_t *far, int32_t n, int32_t bias) {
	for (int32_t i = 0; i < n; i += 16) {
		const vec v = triangle(load_words(near + i), load_words(far + i), bias, 2);
		_mm_storeu_si128((__m128i *)(out + i), _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));
	}
}

static void h2v2(uint8_t *out, const uint8_t *near, const uint8_t *far, int32_t n, int16_t *sums) {
	for (int32_t i = 0; i < n + 2; i += 16)
		_mm256_storeu_si256((__m256i *)(sums + i), triangle(load_words(near + i - 1), load_words(far + i - 1), 0, 0));
	for (int32_t i = 0; i < n; i += 16) {
		const vec left = _mm256_loadu_si256((const __m256i *)(sums + i)), here = _mm256_loadu_si256((const __m256i *)(sums + i + 1));
		const vec even = triangle(here, left, 8, 4), odd = triangle(here, _mm256_loadu_si256((const __m256i *)(sums + i + 2)), 7, 4);
		_mm256_storeu_si256((__m256i *)(out + 2 * i), _mm256_or_si256(even, _mm256_slli_epi16(odd, 8)));
	}
}

// store16 stores 16 pixels: byte j of three vectors is of colour j mod 3.
static inline void store16(uint8_t *rgb, __m128i r, __m128i g, __m128i b) {
#define OF(colour, j) ((j) % 3 == (colour) ? (char)((j) / 3) : (char)0x80)
#define SPREAD(colour, k)                                                                                                             \
	_mm_setr_epi8(OF(colour, k), OF(colour, k + 1), OF(colour, k + 2), OF(colour, k + 3), OF(colour, k + 4), OF(colour, k + 5),       \
	              OF(colour, k + 6), OF(colour, k + 7), OF(colour, k + 8), OF(colour, k + 9), OF(colour, k + 10), OF(colour, k + 11), \
	              OF(colour, k + 12), OF(colour, k + 13), OF(colour, k + 14), OF(colour, k + 15))
#define STORE(k)                                                     \
	_mm_storeu_si128((__m128i *)(rgb + (k)),                         \
	                 _mm_or_si128(_mm_shuffle_epi8(r, SPREAD(0, k)), \
	                              _mm_or_si128(_mm_shuffle_epi8(g, SPREAD(1, k)), _mm_shuffle_epi8(b, SPREAD(2, k)))))
	STORE(0);
	STORE(16);
	STORE(32);
}

static inline void store32(uint8_t *rgb, vec r, vec g, vec b) {
	store16(rgb, _mm256_castsi256_si128(r), _mm256_castsi256_si128(g), _mm256_castsi256_si128(b));
	store16(rgb + 48, _mm256_extracti128_si256(r, 1), _mm256_extracti128_si256(g, 1), _mm256_extracti128_si256(b, 1));
}

// store_pixels stores n pixels, at most 32.
static inline void store_pixels(uint8_t *rgb, vec r, vec g, vec b, int32_t n) {
	if (n >= 32) {
		store32(rgb, r, g, b);
		return;
	}
	uint8_t some[96];
	store32(some, r, g, b);
	memcpy(rgb, some, 3 * (size_t)n);
}

static inline vec load32(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }

static void interleave(uint8_t *rgb, const uint8_t *r, const uint8_t *g, const uint8_t *b, int32_t n) {
	for (int32_t i = 0; i < n; i += 32)
		store_pixels(rgb + 3 * i, load32(r + i), load32(g + i), load32(b + i), n - i);
}

#include "dct_color_amd64.h"

static void ycc(uint8_t *rgb, const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int32_t n) {
	for (int32_t i = 0; i < n; i += 32) {
		vec r, g, b;
		ycc_pixels(load32(y + i), load32(cb + i), load32(cr + i), &r, &g, &b);
		store_pixels(rgb + 3 * i, r, g, b, n - i);
	}
}

const struct dct_kernels dct_avx2 = {
	.unpack = unpack,
	.idct = idct,
	.h2v1 = h2v1,
	.h1v2 = h1v2,
	.h2v2 = h2v2,
	.ycc = ycc,
	.interleave = interleave,
};

END_OF_TIER
