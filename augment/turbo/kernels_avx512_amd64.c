//go:build cgo

// The colour steps with AVX-512, sixteen pixels (48 bytes) at a time, and the
// tier's table of kernels.

#include "avx512_amd64.h"

static const __mmask64 BYTES48 = 0xffffffffffff;

// load16 loads sixteen pixels as words 0x00BBGGRR, and nothing past them.
static inline __m512i load16(const uint8_t *px) {
	const __m512i spread = _mm512_setr_epi32(0x020100, 0x050403, 0x080706, 0x0b0a09, 0x0e0d0c, 0x11100f, 0x141312, 0x171615, 0x1a1918,
	                                         0x1d1c1b, 0x201f1e, 0x232221, 0x262524, 0x292827, 0x2c2b2a, 0x2f2e2d);
	return _mm512_maskz_permutexvar_epi8(0x7777777777777777, spread, _mm512_maskz_loadu_epi8(BYTES48, px));
}

// store16 stores the lower three bytes of each word.
static inline void store16(uint8_t *px, __m512i words) {
	static const uint8_t index[64]
		__attribute__((aligned(64))) = {0,  1,  2,  4,  5,  6,  8,  9,  10, 12, 13, 14, 16, 17, 18, 20, 21, 22, 24, 25, 26, 28, 29, 30,
		                                32, 33, 34, 36, 37, 38, 40, 41, 42, 44, 45, 46, 48, 49, 50, 52, 53, 54, 56, 57, 58, 60, 61, 62};
	const __m512i out = _mm512_permutexvar_epi8(_mm512_load_si512(index), words);
	_mm256_storeu_si256((__m256i *)px, _mm512_castsi512_si256(out));
	_mm_storeu_si128((__m128i *)(px + 32), _mm512_extracti32x4_epi32(out, 2));
}

// luma16 is luma of sixteen pixels, as words: the weights in two signed digits of eight bits,
// and what is left of green's, which is 2^16, after the shift.
static inline __m512i luma16(__m512i rgb) {
#define WEIGHTS(r, g, b) _mm512_set1_epi32((int32_t)((uint32_t)(uint8_t)(b) << 16 | (uint32_t)(uint8_t)(g) << 8 | (uint8_t)(r)))
	// 19595 = 77·256 - 117, 38470 = 65536 - 106·256 + 70, 7471 = 29·256 + 47.
	const __m512i low = _mm512_dpbusd_epi32(_mm512_set1_epi32(0x8000), rgb, WEIGHTS(-117, 70, 47));
	const __m512i high = _mm512_dpbusd_epi32(_mm512_setzero_si512(), rgb, WEIGHTS(77, -106, 29));
	const __m512i sum = _mm512_srai_epi32(_mm512_add_epi32(low, _mm512_slli_epi32(high, 8)), 16);
	return _mm512_dpbusd_epi32(sum, rgb, WEIGHTS(0, 1, 0));
#undef WEIGHTS
}

static void avx512_lut(uint8_t *px, size_t n, const uint8_t lut[256]) {
	const __m512i t0 = _mm512_loadu_si512(lut), t1 = _mm512_loadu_si512(lut + 64);
	const __m512i t2 = _mm512_loadu_si512(lut + 128), t3 = _mm512_loadu_si512(lut + 192);
	for (size_t i = 0; i < n; i += 64) {
		const __mmask64 m = n - i >= 64 ? ~0ull : (1ull << (n - i)) - 1;
		const __m512i v = _mm512_maskz_loadu_epi8(m, px + i);
		const __m512i lower = _mm512_permutex2var_epi8(t0, v, t1), upper = _mm512_permutex2var_epi8(t2, v, t3);
		const __m512i out = _mm512_mask_blend_epi8(_mm512_movepi8_mask(v), lower, upper);
		if (n - i >= 64)
			_mm512_storeu_si512(px + i, out);
		else
			_mm512_mask_storeu_epi8(px + i, m, out);
	}
}

static uint64_t avx512_luma_sum(const uint8_t *px, size_t pixels) {
	__m512i sum = _mm512_setzero_si512();
	size_t i = 0;
	for (; i + 16 <= pixels; i += 16) // a view is at most 2^24 pixels: 32 bits hold
		sum = _mm512_add_epi32(sum, luma16(load16(px + 3 * i)));
	return (uint64_t)(uint32_t)_mm512_reduce_add_epi32(sum) + scalar_luma_sum(px + 3 * i, pixels - i);
}

static void avx512_grayscale(uint8_t *px, size_t pixels) {
	const __m512i thrice = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x040404, 0x080808, 0x0c0c0c));
	size_t i = 0;
	for (; i + 16 <= pixels; i += 16)
		store16(px + 3 * i, _mm512_shuffle_epi8(luma16(load16(px + 3 * i)), thrice));
	scalar_grayscale(px + 3 * i, pixels - i);
}

static void avx512_saturation(uint8_t *px, size_t pixels, int32_t factor) {
	size_t i = 0;
	if (factor <= INT16_MAX) {
		// blend = from·(1-f) + to·f: one multiply-add of 16-bit pairs.
		const __m512i k = _mm512_set1_epi32((int32_t)((uint32_t)factor << 16 | (uint16_t)((1 << FACTOR_BITS) - factor)));
		const __m512i byte = _mm512_set1_epi32(0xff), zero = _mm512_setzero_si512();
		for (; i + 16 <= pixels; i += 16) {
			const __m512i rgb = load16(px + 3 * i), l = luma16(rgb);
			const __m512i r = _mm512_or_si512(l, _mm512_slli_epi32(_mm512_and_si512(rgb, byte), 16));
			const __m512i g = _mm512_or_si512(l, _mm512_slli_epi32(_mm512_and_si512(_mm512_srli_epi32(rgb, 8), byte), 16));
			const __m512i b = _mm512_or_si512(l, _mm512_and_si512(rgb, _mm512_set1_epi32(0xff0000)));
			const __m512i r2 = _mm512_srai_epi32(_mm512_madd_epi16(r, k), FACTOR_BITS);
			const __m512i g2 = _mm512_srai_epi32(_mm512_madd_epi16(g, k), FACTOR_BITS);
			const __m512i b2 = _mm512_srai_epi32(_mm512_madd_epi16(b, k), FACTOR_BITS);
			// Within lanes: r r r r g g g g b b b b 0 0 0 0, then to words again.
			const __m512i packed = _mm512_packus_epi16(_mm512_packs_epi32(r2, g2), _mm512_packs_epi32(b2, zero));
			const __m512i words = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
			store16(px + 3 * i, _mm512_shuffle_epi8(packed, words));
		}
	}
	scalar_saturation(px + 3 * i, pixels - i, factor);
}

END_OF_TIER

const struct kernels kernels_avx512 = {
	.name = "avx512",
	.weigh = avx2_weigh,
	.prepare = avx512_prepare,
	.mid_bytes = avx512_mid_bytes,
	.across = avx512_across,
	.gather = avx512_gather,
	.down = avx512_down,
	.scatter = avx512_scatter,
	.flip = scalar_flip,
	.lut = avx512_lut,
	.lut3 = avx512_lut3,
	.extremes = avx2_extremes,
	.sharpen = avx2_sharpen,
	.luma_sum = avx512_luma_sum,
	.saturation = avx512_saturation,
	.hue = avx512_hue,
	.grayscale = avx512_grayscale,
	.blur_bytes = avx512_blur_bytes,
	.blur = avx512_blur,
};
