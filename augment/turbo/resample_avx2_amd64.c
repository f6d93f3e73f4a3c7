//go:build cgo

// Resampling of pairs of taps (resample_pairs_amd64.h), with the instructions of AVX2.

#include <stdlib.h>
#include <string.h>

#include "avx2_amd64.h"
#include "resample_pairs_amd64.h"

int avx2_prepare(axis *a, int down) {
	(void)down;
	const size_t most = (size_t)a->taps / 2 + 1;
	const size_t bytes = (size_t)a->size * (sizeof(taps) + most * 2 * sizeof(int32_t));
	if (!reserve_table(a, bytes))
		return 0;
	taps *t = a->table;
	int32_t (*coef)[2] = (void *)(t + a->size);
	for (int32_t i = 0; i < a->size; i++, t++) {
		const int32_t *c = a->coef + (size_t)i * (size_t)a->taps;
		const int32_t odd = a->first[i] & 1, last = a->count[i] > 0 ? a->count[i] : 1;
		*t = (taps){.pair = a->first[i] >> 1, .pairs = (odd + last + 1) >> 1, .coef = (const int32_t (*)[2])coef};
		for (int32_t j = -odd; j < last; j += 2, coef++) {
			const int32_t c0 = j >= 0 ? c[j] : 0, c1 = j + 1 < last ? c[j + 1] : 0;
			const int16_t l0 = (int16_t)c0, l1 = (int16_t)c1;
			const uint32_t hi = (uint8_t)((c0 - l0) >> LOW_BITS) | (uint32_t)(uint8_t)((c1 - l1) >> LOW_BITS) << 8;
			(*coef)[0] = (int32_t)((uint16_t)l0 | (uint32_t)(uint16_t)l1 << 16);
			(*coef)[1] = (int32_t)(hi | hi << 16);
		}
	}
	return 1;
}

// weights4 are the filter's weights at four distances.
static inline __m256d weights4(__m256d x, int32_t bicubic) {
	const __m256d one = _mm256_set1_pd(1), zero = _mm256_setzero_pd();
	x = _mm256_andnot_pd(_mm256_set1_pd(-0.0), x);
	const __m256d below1 = _mm256_cmp_pd(x, one, _CMP_LT_OQ);
	if (!bicubic)
		return _mm256_and_pd(_mm256_sub_pd(one, x), below1);
	const __m256d a = _mm256_set1_pd(-0.5);
	__m256d inner = _mm256_sub_pd(_mm256_mul_pd(_mm256_set1_pd(1.5), x), _mm256_set1_pd(2.5));
	inner = _mm256_add_pd(_mm256_mul_pd(_mm256_mul_pd(inner, x), x), one);
	__m256d outer = _mm256_add_pd(_mm256_mul_pd(_mm256_sub_pd(x, _mm256_set1_pd(5)), x), _mm256_set1_pd(8));
	outer = _mm256_mul_pd(_mm256_sub_pd(_mm256_mul_pd(outer, x), _mm256_set1_pd(4)), a);
	outer = _mm256_blendv_pd(zero, outer, _mm256_cmp_pd(x, _mm256_set1_pd(2), _CMP_LT_OQ));
	return _mm256_blendv_pd(outer, inner, below1);
}

void avx2_weigh(int32_t *coef, double *w, const filter *f, int32_t lo, int32_t n) {
	const __m256d center = _mm256_set1_pd(f->center), half = _mm256_set1_pd(0.5), inverse = _mm256_set1_pd(f->inverse);
	__m128i at = _mm_add_epi32(_mm_set1_epi32(lo), _mm_setr_epi32(0, 1, 2, 3));
	for (int32_t j = 0; j < n; j += 4, at = _mm_add_epi32(at, _mm_set1_epi32(4))) {
		const __m256d x = _mm256_mul_pd(_mm256_add_pd(_mm256_sub_pd(_mm256_cvtepi32_pd(at), center), half), inverse);
		_mm256_storeu_pd(w + j, weights4(x, f->bicubic));
	}
	double sum = 0;
	for (int32_t j = 0; j < n; j++)
		sum += w[j];
	for (int32_t j = n; j % 4 != 0; j++)
		w[j] = 0;
	const __m256d all = _mm256_set1_pd(sum != 0 ? sum : 1), one = _mm256_set1_pd(1 << RESAMPLE_BITS), sign = _mm256_set1_pd(-0.0);
	for (int32_t j = 0; j < n; j += 4) {
		const __m256d v = _mm256_mul_pd(_mm256_div_pd(_mm256_loadu_pd(w + j), all), one);
		const __m256d away = _mm256_or_pd(half, _mm256_and_pd(v, sign));
		_mm_storeu_si128((__m128i *)(coef + j), _mm256_cvttpd_epi32(_mm256_add_pd(v, away)));
	}
}

size_t avx2_room_bytes(int32_t span) { return ((size_t)span + 3) / 4 * 192; }

size_t avx2_mid_bytes(int32_t h, int32_t size) { return pair_bytes(size) * (STRIP / 2) * (((size_t)h + STRIP - 1) / STRIP); }

// avx2_turn makes the strip of span pixels of sixteen rows, four pixels at a time.
void avx2_turn(uint8_t *strip, const uint8_t *const row[STRIP], int32_t span) {
	const __m256i channels = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11, -1, -1, -1, -1));
	const size_t n = 3 * (size_t)span;
	for (size_t x = 0; x < n; x += 12, strip += 192) {
		__m256i v[8];
		for (int r = 0; r < 8; r++) {
			const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(row[r] + x))),
			                                             _mm_loadu_si128((const __m128i *)(row[r + 8] + x)), 1);
			v[r] = _mm256_shuffle_epi8(both, channels);
		}
		const __m256i a0 = _mm256_unpacklo_epi16(v[0], v[1]), a1 = _mm256_unpackhi_epi16(v[0], v[1]);
		const __m256i b0 = _mm256_unpacklo_epi16(v[2], v[3]), b1 = _mm256_unpackhi_epi16(v[2], v[3]);
		const __m256i c0 = _mm256_unpacklo_epi16(v[4], v[5]), c1 = _mm256_unpackhi_epi16(v[4], v[5]);
		const __m256i d0 = _mm256_unpacklo_epi16(v[6], v[7]), d1 = _mm256_unpackhi_epi16(v[6], v[7]);
		const __m256i e0 = _mm256_unpacklo_epi32(a0, b0), e1 = _mm256_unpackhi_epi32(a0, b0), e2 = _mm256_unpacklo_epi32(a1, b1);
		const __m256i f0 = _mm256_unpacklo_epi32(c0, d0), f1 = _mm256_unpackhi_epi32(c0, d0), f2 = _mm256_unpacklo_epi32(c1, d1);
		__m256i *out = (__m256i *)strip;
		_mm256_storeu_si256(out + 0, _mm256_unpacklo_epi64(e0, f0));
		_mm256_storeu_si256(out + 1, _mm256_unpackhi_epi64(e0, f0));
		_mm256_storeu_si256(out + 2, _mm256_unpacklo_epi64(e1, f1));
		_mm256_storeu_si256(out + 3, _mm256_unpackhi_epi64(e1, f1));
		_mm256_storeu_si256(out + 4, _mm256_unpacklo_epi64(e2, f2));
		_mm256_storeu_si256(out + 5, _mm256_unpackhi_epi64(e2, f2));
	}
}

void avx2_gather(uint8_t *mid, const uint8_t *src, size_t stride, int32_t y, int32_t n, int32_t size) {
	const size_t row = 3 * (size_t)size, pair = pair_bytes(size);
	mid += pair * (size_t)(y / 2);
	src += stride * (size_t)y;
	for (int32_t r = 0; r < n; r += 2, mid += pair, src += 2 * stride) {
		const uint8_t *even = src, *odd = r + 1 < n ? src + stride : src;
		for (size_t x = 0; x < row; x += 16) {
			const __m128i e = _mm_loadu_si128((const __m128i *)(even + x)), o = _mm_loadu_si128((const __m128i *)(odd + x));
			_mm_storeu_si128((__m128i *)(mid + 2 * x), _mm_unpacklo_epi8(e, o));
			_mm_storeu_si128((__m128i *)(mid + 2 * x + 16), _mm_unpackhi_epi8(e, o));
		}
	}
}

void avx2_scatter(uint8_t *dst, const uint8_t *mid, int32_t size) {
	const size_t n = 3 * (size_t)size, pair = pair_bytes(size);
	const __m256i byte = _mm256_set1_epi16(0xff);
	for (int32_t y = 0; y < size; y++, dst += n) {
		const uint8_t *at = mid + pair * (size_t)(y / 2);
		const __m128i shift = _mm_cvtsi32_si128(y % 2 * 8);
		for (size_t x = 0; x < n; x += 32) {
			const __m256i a = _mm256_loadu_si256((const __m256i *)(at + 2 * x)), b = _mm256_loadu_si256((const __m256i *)(at + 2 * x + 32));
			const __m256i out =
				_mm256_packus_epi16(_mm256_and_si256(_mm256_srl_epi16(a, shift), byte), _mm256_and_si256(_mm256_srl_epi16(b, shift), byte));
			store(dst, x, n, _mm256_permute4x64_epi64(out, 0xd8));
		}
	}
}

END_OF_TIER
