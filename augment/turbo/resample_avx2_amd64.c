//go:build cgo

// Resampling by multiply-adds of 16-bit pairs (pmaddwd). A Q22 coefficient is
// lo + 2^14·hi, lo of 14 bits without sign: two multiply-adds and a shift give
// the very sum that the reference makes. mid is (h,size,3), as scalar's.

#include <stdlib.h>
#include <string.h>

#include "avx2_amd64.h"

enum { LOW_BITS = 14 };

// The table of an axis: (size,taps) int16 of lo, then as many of hi.
int avx2_prepare(axis *a, int down) {
	(void)down;
	const size_t n = (size_t)a->size * (size_t)a->taps;
	if (a->table_cap < 4 * n) {
		free(a->table);
		a->table_cap = 0;
		a->table = malloc(4 * n);
		if (a->table == NULL)
			return 0;
		a->table_cap = 4 * n;
	}
	int16_t *lo = a->table, *hi = lo + n;
	for (size_t i = 0; i < n; i++) {
		lo[i] = (int16_t)(a->coef[i] & ((1 << LOW_BITS) - 1));
		hi[i] = (int16_t)(a->coef[i] >> LOW_BITS);
	}
	return 1;
}

size_t avx2_mid_bytes(int32_t h, int32_t size) { return scalar_mid_bytes(h, size) + 64; }

void avx2_across(uint8_t *mid, const uint8_t *src, size_t stride, int32_t h, const axis *a) {
	const size_t n = (size_t)a->size * (size_t)a->taps;
	const int16_t *lo = a->table, *hi = lo + n;
	// Four pixels as r r r r g g g g b b b b 0 0 0 0.
	const __m128i planes = _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1);
	for (int32_t y = 0; y < h; y++, src += stride) {
		for (int32_t i = 0; i < a->size; i++, mid += 3) {
			const uint8_t *px = src + 3 * (size_t)a->first[i];
			const int16_t *l = lo + (size_t)i * (size_t)a->taps, *u = hi + (size_t)i * (size_t)a->taps;
			__m256i low = _mm256_setzero_si256(), high = low;
			for (int32_t j = 0; j < a->count[i]; j += 4) {
				const __m128i four = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(px + 3 * j)), planes);
				const __m256i v = _mm256_cvtepu8_epi16(four);
				int64_t kl, kh;
				memcpy(&kl, l + j, 8);
				memcpy(&kh, u + j, 8);
				low = _mm256_add_epi32(low, _mm256_madd_epi16(v, _mm256_set1_epi64x(kl)));
				high = _mm256_add_epi32(high, _mm256_madd_epi16(v, _mm256_set1_epi64x(kh)));
			}
			// Two sums a channel: r r g g | b b 0 0.
			__m256i sum = _mm256_add_epi32(low, _mm256_slli_epi32(high, LOW_BITS));
			sum = _mm256_add_epi32(sum, _mm256_srli_epi64(sum, 32));
			sum = _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << (RESAMPLE_BITS - 1))), RESAMPLE_BITS);
			const __m128i rg = _mm256_castsi256_si128(sum), b = _mm256_extracti128_si256(sum, 1);
			mid[0] = clip(_mm_cvtsi128_si32(rg));
			mid[1] = clip(_mm_extract_epi32(rg, 2));
			mid[2] = clip(_mm_cvtsi128_si32(b));
		}
	}
}

void avx2_down(uint8_t *dst, const uint8_t *mid, int32_t h, int32_t size, const axis *a) {
	(void)h;
	const size_t n = (size_t)size * 3;
	const int16_t *lo = a->table, *hi = lo + (size_t)a->size * (size_t)a->taps;
	const __m256i half = _mm256_set1_epi32(1 << (RESAMPLE_BITS - 1));
	for (int32_t i = 0; i < size; i++, dst += n, lo += a->taps, hi += a->taps) {
		const uint8_t *top = mid + (size_t)a->first[i] * n;
		for (size_t x = 0; x < n; x += 16) {
			// Columns 0 … 7 and 8 … 15, low and high parts.
			__m256i l0 = half, l1 = half, h0 = _mm256_setzero_si256(), h1 = h0;
			for (int32_t j = 0; j < a->count[i]; j += 2) {
				const uint8_t *row = top + (size_t)j * n + x;
				const __m128i even = _mm_loadu_si128((const __m128i *)row);
				// The tap after the last is zero; its row may not be there.
				const __m128i odd = j + 1 < a->count[i] ? _mm_loadu_si128((const __m128i *)(row + n)) : even;
				const __m256i p0 = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(even, odd));
				const __m256i p1 = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(even, odd));
				const __m256i kl = _mm256_set1_epi32((uint16_t)lo[j] | (int32_t)((uint32_t)(uint16_t)lo[j + 1] << 16));
				const __m256i kh = _mm256_set1_epi32((uint16_t)hi[j] | (int32_t)((uint32_t)(uint16_t)hi[j + 1] << 16));
				l0 = _mm256_add_epi32(l0, _mm256_madd_epi16(p0, kl)), h0 = _mm256_add_epi32(h0, _mm256_madd_epi16(p0, kh));
				l1 = _mm256_add_epi32(l1, _mm256_madd_epi16(p1, kl)), h1 = _mm256_add_epi32(h1, _mm256_madd_epi16(p1, kh));
			}
			const __m256i s0 = _mm256_srai_epi32(_mm256_add_epi32(l0, _mm256_slli_epi32(h0, LOW_BITS)), RESAMPLE_BITS);
			const __m256i s1 = _mm256_srai_epi32(_mm256_add_epi32(l1, _mm256_slli_epi32(h1, LOW_BITS)), RESAMPLE_BITS);
			// 16 bits: 0…3 8…11 | 4…7 12…15; saturating is the clip.
			const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(s0, s1), 0xd8);
			const __m128i out = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
			if (n - x >= 16) {
				_mm_storeu_si128((__m128i *)(dst + x), out);
			} else {
				uint8_t end[16];
				_mm_storeu_si128((__m128i *)end, out);
				memcpy(dst + x, end, n - x);
			}
		}
	}
}

END_OF_TIER
