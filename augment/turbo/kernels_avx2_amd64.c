//go:build cgo

// The colour steps with AVX2, eight pixels (24 bytes) at a time, and the tier's
// table of kernels. kernels_avx512_amd64.c has the arithmetic explained.

#include <string.h>

#include "avx2_amd64.h"

// load8 loads eight pixels as words 0x00BBGGRR, and nothing past them.
static inline __m256i load8(const uint8_t *px) {
	const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)px)),
	                                             _mm_loadu_si128((const __m128i *)(px + 8)), 1);
	return _mm256_shuffle_epi8(both, _mm256_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1, 4, 5, 6, -1, 7, 8, 9, -1, 10,
	                                                  11, 12, -1, 13, 14, 15, -1));
}

// store8 stores the lower three bytes of each word.
static inline void store8(uint8_t *px, __m256i words) {
	const __m256i out =
		_mm256_shuffle_epi8(words, _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1)));
	const __m128i second = _mm256_extracti128_si256(out, 1);
	_mm_storeu_si128((__m128i *)px, _mm256_castsi256_si128(out)); // four bytes too many, which the next store overwrites
	_mm_storel_epi64((__m128i *)(px + 12), second);
	const int32_t last = _mm_extract_epi32(second, 2);
	memcpy(px + 20, &last, 4);
}

static inline __m256i load32(const uint8_t *px) { return _mm256_loadu_si256((const __m256i *)px); }

static inline void store32(uint8_t *px, __m256i v) { _mm256_storeu_si256((__m256i *)px, v); }

// blend32 is blend of 32 bytes with from, as words: from·(1-f) + v·f is one multiply-add of
// a pair, whose factors k has.
static inline __m256i blend32(__m256i from, __m256i v, __m256i k) {
	const __m256i zero = _mm256_setzero_si256(), lo = _mm256_unpacklo_epi8(v, zero), hi = _mm256_unpackhi_epi8(v, zero);
	const __m256i a = _mm256_srai_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(lo, from), k), FACTOR_BITS);
	const __m256i b = _mm256_srai_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(lo, from), k), FACTOR_BITS);
	const __m256i c = _mm256_srai_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(hi, from), k), FACTOR_BITS);
	const __m256i d = _mm256_srai_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(hi, from), k), FACTOR_BITS);
	return _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
}

static void avx2_ramp(uint8_t *px, size_t n, int32_t from, int32_t factor) {
	const __m256i k = _mm256_set1_epi32((int32_t)((uint32_t)((1 << FACTOR_BITS) - factor) << 16 | (uint16_t)factor));
	const __m256i words = _mm256_set1_epi16((int16_t)from);
	size_t i = 0;
	for (; i + 32 <= n; i += 32)
		store32(px + i, blend32(words, load32(px + i), k));
	for (; i < n; i++)
		px[i] = blend(from, px[i], factor);
}

static void avx2_solarize(uint8_t *px, size_t n, int32_t threshold) {
	const __m256i t = _mm256_set1_epi8((char)threshold);
	size_t i = 0;
	for (; i + 32 <= n; i += 32) {
		const __m256i v = load32(px + i);
		store32(px + i, _mm256_xor_si256(v, _mm256_cmpeq_epi8(_mm256_max_epu8(v, t), v)));
	}
	for (; i < n; i++)
		px[i] = (uint8_t)(px[i] >= threshold ? 255 - px[i] : px[i]);
}

static void avx2_mask(uint8_t *px, size_t n, uint8_t bits) {
	const __m256i m = _mm256_set1_epi8((char)bits);
	size_t i = 0;
	for (; i + 32 <= n; i += 32)
		store32(px + i, _mm256_and_si256(load32(px + i), m));
	for (; i < n; i++)
		px[i] &= bits;
}

// words16 are sixteen bytes.
static inline __m256i words16(const uint8_t *p) { return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p)); }

// three is the sum of a byte and its neighbours in the row.
static inline __m256i three(const uint8_t *p) { return _mm256_add_epi16(_mm256_add_epi16(words16(p - 3), words16(p)), words16(p + 3)); }

void avx2_sharpen(uint8_t *px, const uint8_t *copy, int32_t size, int32_t factor) {
	if (size < 8 || factor > INT16_MAX) {
		scalar_sharpen(px, copy, size, factor);
		return;
	}
	const ptrdiff_t n = 3 * (ptrdiff_t)size;
	const __m256i k = _mm256_set1_epi32((int32_t)((uint32_t)factor << 16 | (uint16_t)((1 << FACTOR_BITS) - factor)));
	for (ptrdiff_t y = 1; y < size - 1; y++) {
		for (ptrdiff_t x = 3; x < n - 3; x += 16) {
			// The last vector begins where it ends with the row.
			const ptrdiff_t at = y * n + (x < n - 19 ? x : n - 19);
			const uint8_t *c = copy + at;
			const __m256i v = words16(c);
			__m256i sum = _mm256_add_epi16(_mm256_add_epi16(three(c - n), three(c)), three(c + n));
			sum = _mm256_add_epi16(sum, _mm256_slli_epi16(v, 2));
			// (2·sum + 13) / 26, which is below 2^13: 40330 is 2^20 / 26, rounded up.
			const __m256i odd = _mm256_add_epi16(_mm256_slli_epi16(sum, 1), _mm256_set1_epi16(13));
			const __m256i smooth = _mm256_srli_epi16(_mm256_mulhi_epu16(odd, _mm256_set1_epi16((int16_t)40330)), 4);
			const __m256i a = _mm256_srai_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(smooth, v), k), FACTOR_BITS);
			const __m256i b = _mm256_srai_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(smooth, v), k), FACTOR_BITS);
			const __m256i out = _mm256_packs_epi32(a, b);
			_mm_storeu_si128((__m128i *)(px + at), _mm_packus_epi16(_mm256_castsi256_si128(out), _mm256_extracti128_si256(out, 1)));
		}
	}
}

void avx2_extremes(const uint8_t *px, size_t n, uint8_t lo[3], uint8_t hi[3]) {
	enum { BYTES = 96 }; // three vectors, in each of which every byte keeps its channel
	size_t i = 0;
	if (n >= BYTES) {
		__m256i l[3], h[3];
		for (int k = 0; k < 3; k++)
			l[k] = h[k] = load32(px + 32 * k);
		for (i = BYTES; i + BYTES <= n; i += BYTES) {
			for (int k = 0; k < 3; k++) {
				const __m256i v = load32(px + i + 32 * (size_t)k);
				l[k] = _mm256_min_epu8(l[k], v), h[k] = _mm256_max_epu8(h[k], v);
			}
		}
		uint8_t bytes[2][BYTES];
		for (int k = 0; k < 3; k++)
			store32(bytes[0] + 32 * k, l[k]), store32(bytes[1] + 32 * k, h[k]);
		scalar_extremes(bytes[0], BYTES, lo, hi);
		scalar_extremes(bytes[1], BYTES, lo, hi);
	}
	scalar_extremes(px + i, n - i, lo, hi);
}

static inline __m256i luma8(__m256i rgb) {
	const __m256i byte = _mm256_set1_epi32(0xff);
	const __m256i g = _mm256_and_si256(_mm256_srli_epi32(rgb, 8), byte);
	const __m256i rg = _mm256_or_si256(_mm256_and_si256(rgb, byte), _mm256_slli_epi32(g, 16));
	const __m256i b2 = _mm256_or_si256(_mm256_srli_epi32(rgb, 16), _mm256_set1_epi32(2 << 16));
	const __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(rg, _mm256_set1_epi32((int32_t)((uint32_t)(-27066) << 16 | 19595))),
	                                     _mm256_madd_epi16(b2, _mm256_set1_epi32(0x4000 << 16 | 7471)));
	return _mm256_add_epi32(_mm256_srai_epi32(sum, 16), g);
}

static uint64_t avx2_luma_sum(const uint8_t *px, size_t pixels) {
	__m256i sum = _mm256_setzero_si256();
	size_t i = 0;
	for (; i + 8 <= pixels; i += 8)
		sum = _mm256_add_epi32(sum, luma8(load8(px + 3 * i)));
	uint32_t lanes[8];
	_mm256_storeu_si256((__m256i *)lanes, sum);
	uint64_t total = scalar_luma_sum(px + 3 * i, pixels - i);
	for (int j = 0; j < 8; j++)
		total += lanes[j];
	return total;
}

static void avx2_grayscale(uint8_t *px, size_t pixels) {
	size_t i = 0;
	for (; i + 8 <= pixels; i += 8)
		store8(px + 3 * i, _mm256_mullo_epi32(luma8(load8(px + 3 * i)), _mm256_set1_epi32(0x010101)));
	scalar_grayscale(px + 3 * i, pixels - i);
}

static void avx2_saturation(uint8_t *px, size_t pixels, int32_t factor) {
	size_t i = 0;
	if (factor <= INT16_MAX) {
		const __m256i k = _mm256_set1_epi32((int32_t)((uint32_t)factor << 16 | (uint16_t)((1 << FACTOR_BITS) - factor)));
		const __m256i byte = _mm256_set1_epi32(0xff);
		const __m256i words = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
		for (; i + 8 <= pixels; i += 8) {
			const __m256i rgb = load8(px + 3 * i), l = luma8(rgb);
			const __m256i r = _mm256_or_si256(l, _mm256_slli_epi32(_mm256_and_si256(rgb, byte), 16));
			const __m256i g = _mm256_or_si256(l, _mm256_slli_epi32(_mm256_and_si256(_mm256_srli_epi32(rgb, 8), byte), 16));
			const __m256i b = _mm256_or_si256(l, _mm256_and_si256(rgb, _mm256_set1_epi32(0xff0000)));
			const __m256i r2 = _mm256_srai_epi32(_mm256_madd_epi16(r, k), FACTOR_BITS);
			const __m256i g2 = _mm256_srai_epi32(_mm256_madd_epi16(g, k), FACTOR_BITS);
			const __m256i b2 = _mm256_srai_epi32(_mm256_madd_epi16(b, k), FACTOR_BITS);
			const __m256i packed = _mm256_packus_epi16(_mm256_packs_epi32(r2, g2), _mm256_packs_epi32(b2, _mm256_setzero_si256()));
			store8(px + 3 * i, _mm256_shuffle_epi8(packed, words));
		}
	}
	scalar_saturation(px + 3 * i, pixels - i, factor);
}

END_OF_TIER

// What CPUs with and without AVX-VNNI share.
#define SHARED                                                                                                                         \
	.weigh = avx2_weigh, .prepare = avx2_prepare, .mid_bytes = avx2_mid_bytes, .room_bytes = avx2_room_bytes, .gather = avx2_gather,   \
	.scatter = avx2_scatter, .flip = scalar_flip, .lut = scalar_lut, .ramp = avx2_ramp, .solarize = avx2_solarize, .mask = avx2_mask,  \
	.lut3 = scalar_lut3, .extremes = avx2_extremes, .sharpen = avx2_sharpen, .luma_sum = avx2_luma_sum, .saturation = avx2_saturation, \
	.hue = avx2_hue, .grayscale = avx2_grayscale, .blur_bytes = avx2_blur_bytes

const struct kernels kernels_avx2 = {SHARED, .name = "avx2", .across = avx2_across, .down = avx2_down, .blur = avx2_blur};
const struct kernels kernels_avxvnni = {SHARED, .name = "avxvnni", .across = avxvnni_across, .down = avxvnni_down, .blur = avxvnni_blur};
