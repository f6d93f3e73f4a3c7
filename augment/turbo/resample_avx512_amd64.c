//go:build cgo

// Resampling by dot products of bytes (vpdpbusd: four unsigned bytes by four
// signed ones, summed into 32 bits).
//
// A Q22 coefficient is d0 + 2^8·d1 + 2^16·d2 with three signed bytes, so three
// dot products and two shifts give the very sum that the reference makes.
//
// Across works on groups of up to five output pixels, fifteen sums, whose taps
// lie within 64 bytes of a row: one vpermb a step lays out four taps for all of
// them. It takes four rows at a time and stores them as the four bytes of a
// word: just what down needs, whose taps are rows.
//
//	mid: block b holds rows 4b … 4b+3; byte 4·x + r of it is byte x of row 4b+r

#include <string.h>

#include "avx512_amd64.h"

enum {
	OUTPUTS = 5, // of a group: 15 of 16 lanes
	REACH = 17,  // source pixels between a group's first taps: 3·(17+3)+2 < 64
};

// A group of outputs of across; its digits follow it.
typedef struct {
	int32_t out, outputs; // first output pixel, how many
	int32_t base, steps;  // first source pixel, steps of four taps
	uint8_t index[64] __attribute__((aligned(64)));
	int8_t digits[][3][64];
} group;

// A row of down: blocks of four rows, their digits as words.
typedef struct {
	int32_t block, blocks;
	const int32_t (*digits)[3];
} rows;

// split4 is the three digits of four coefficients, as words.
static inline void split4(__m128i c, __m128i digits[3]) {
	for (int k = 0; k < 3; k++) {
		digits[k] = _mm_srai_epi32(_mm_slli_epi32(c, 24), 24);
		c = _mm_srai_epi32(_mm_sub_epi32(c, digits[k]), 8);
	}
}

static inline size_t group_bytes(int32_t steps) { return sizeof(group) + (size_t)steps * 3 * 64; }

static int prepare_across(axis *a) {
	const __m128i lanes = _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 0, 0, 0, 0);
	const __m128i thrice = _mm_setr_epi8(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, -1, -1, -1, -1);
	// The worst case: every output a group of its own.
	const int32_t most = a->taps / 4;
	if (!reserve_table(a, group_bytes(most) * (size_t)(a->size + 1)))
		return 0;
	uint8_t *at = a->table;
	for (int32_t i = 0; i < a->size;) {
		group *g = (group *)at;
		int32_t lo = a->first[i], hi = lo, n = 0, taps = 0;
		while (n < OUTPUTS && i + n < a->size) {
			const int32_t f = a->first[i + n];
			const int32_t l = f < lo ? f : lo, h = f > hi ? f : hi;
			if (h - l > REACH)
				break;
			lo = l, hi = h;
			taps = a->count[i + n] > taps ? a->count[i + n] : taps;
			n++;
		}
		g->out = i, g->outputs = n, g->base = lo, g->steps = (taps + 3) / 4;
		// Each output stores 16 bytes, of which the last four are the next one's.
		for (int32_t o = 0; o < OUTPUTS; o++) {
			const int32_t off = o < n ? 3 * (a->first[i + o] - lo) : 0;
			_mm_storeu_si128((__m128i *)(g->index + 12 * o), _mm_add_epi8(lanes, _mm_set1_epi8((char)off)));
			const int32_t *c = a->coef + (size_t)(i + o) * (size_t)a->taps;
			for (int32_t s = 0; s < g->steps; s++) {
				__m128i d[3];
				split4(o < n ? _mm_loadu_si128((const __m128i *)(c + 4 * s)) : _mm_setzero_si128(), d);
				for (int32_t k = 0; k < 3; k++)
					_mm_storeu_si128((__m128i *)(g->digits[s][k] + 12 * o), _mm_shuffle_epi8(d[k], thrice));
			}
		}
		at += group_bytes(g->steps);
		i += n;
	}
	return 1;
}

static int prepare_down(axis *a) {
	const size_t most = (size_t)a->taps / 4 + 2;
	if (!reserve_table(a, (size_t)a->size * (sizeof(rows) + most * 3 * sizeof(int32_t))))
		return 0;
	rows *r = a->table;
	int32_t (*digits)[3] = (void *)(r + a->size);
	for (int32_t i = 0; i < a->size; i++) {
		const int32_t *c = a->coef + (size_t)i * (size_t)a->taps;
		r[i].block = a->first[i] / 4;
		r[i].blocks = a->count[i] > 0 ? (a->first[i] + a->count[i] - 1) / 4 - r[i].block + 1 : 0;
		r[i].digits = (const int32_t (*)[3])digits;
		for (int32_t b = 0; b < r[i].blocks; b++) {
			// The taps of the block's rows, those outside of the filter zero.
			const int32_t tap = 4 * (r[i].block + b) - a->first[i], before = tap < 0 ? -tap : 0, after = a->count[i] - tap;
			const __mmask8 some = (__mmask8)((after < 4 ? (1 << after) - 1 : 15) & ~((1 << before) - 1));
			__m128i d[3];
			split4(_mm_maskz_loadu_epi32(some, c + tap), d);
			for (int32_t k = 0; k < 3; k++)
				digits[b][k] = _mm_cvtsi128_si32(_mm_shuffle_epi8(d[k], _mm_set1_epi32(0x0c080400)));
		}
		digits += r[i].blocks;
	}
	return 1;
}

int avx512_prepare(axis *a, int down) { return down ? prepare_down(a) : prepare_across(a); }

// block_bytes is a block of mid: four rows, and room for a whole vector more.
static inline size_t block_bytes(int32_t size) { return ((size_t)size * 12 + 127) & ~(size_t)63; }

size_t avx512_mid_bytes(int32_t h, int32_t size) { return block_bytes(size) * (size_t)((h + 3) / 4) + 256; }

// total puts the three digits' sums together and takes the fraction off.
static inline __m512i total(__m512i s0, __m512i s1, __m512i s2) {
	const __m512i sum = _mm512_add_epi32(s0, _mm512_add_epi32(_mm512_slli_epi32(s1, 8), _mm512_slli_epi32(s2, 16)));
	return _mm512_srai_epi32(sum, RESAMPLE_BITS);
}

void avx512_across(uint8_t *mid, uint8_t *room, const uint8_t *src, size_t stride, int32_t y, int32_t n, const axis *a) {
	(void)room;
	const __m512i half = _mm512_set1_epi32(1 << (RESAMPLE_BITS - 1));
	const __m512i transpose = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
	const int32_t h = y + n;
	mid += block_bytes(a->size) * (size_t)(y / 4);
	for (; y < h; y += 4, mid += block_bytes(a->size)) {
		const uint8_t *row[4];
		for (int32_t r = 0; r < 4; r++)
			row[r] = src + stride * (size_t)(y + r < h ? y + r : h - 1);
		const uint8_t *at = a->table;
		for (int32_t i = 0; i < a->size;) {
			const group *g = (const group *)at;
			const __m512i index = _mm512_load_si512(g->index);
			const size_t from = 3 * (size_t)g->base;
			const uint8_t *r0 = row[0] + from, *r1 = row[1] + from, *r2 = row[2] + from, *r3 = row[3] + from;
			__m512i a0 = half, b0 = half, c0 = half, d0 = half;
			__m512i a1 = _mm512_setzero_si512(), b1 = a1, c1 = a1, d1 = a1, a2 = a1, b2 = a1, c2 = a1, d2 = a1;
			for (int32_t s = 0; s < g->steps; s++) {
				const __m512i k0 = _mm512_load_si512(g->digits[s][0]);
				const __m512i k1 = _mm512_load_si512(g->digits[s][1]);
				const __m512i k2 = _mm512_load_si512(g->digits[s][2]);
				const __m512i p0 = _mm512_permutexvar_epi8(index, _mm512_loadu_si512(r0 + 12 * s));
				const __m512i p1 = _mm512_permutexvar_epi8(index, _mm512_loadu_si512(r1 + 12 * s));
				const __m512i p2 = _mm512_permutexvar_epi8(index, _mm512_loadu_si512(r2 + 12 * s));
				const __m512i p3 = _mm512_permutexvar_epi8(index, _mm512_loadu_si512(r3 + 12 * s));
				a0 = _mm512_dpbusd_epi32(a0, p0, k0), a1 = _mm512_dpbusd_epi32(a1, p0, k1), a2 = _mm512_dpbusd_epi32(a2, p0, k2);
				b0 = _mm512_dpbusd_epi32(b0, p1, k0), b1 = _mm512_dpbusd_epi32(b1, p1, k1), b2 = _mm512_dpbusd_epi32(b2, p1, k2);
				c0 = _mm512_dpbusd_epi32(c0, p2, k0), c1 = _mm512_dpbusd_epi32(c1, p2, k1), c2 = _mm512_dpbusd_epi32(c2, p2, k2);
				d0 = _mm512_dpbusd_epi32(d0, p3, k0), d1 = _mm512_dpbusd_epi32(d1, p3, k1), d2 = _mm512_dpbusd_epi32(d2, p3, k2);
			}
			// Saturating to 16 and then to 8 bits is the clip.
			const __m512i ab = _mm512_packs_epi32(total(a0, a1, a2), total(b0, b1, b2));
			const __m512i cd = _mm512_packs_epi32(total(c0, c1, c2), total(d0, d1, d2));
			_mm512_storeu_si512(mid + 12 * (size_t)i, _mm512_shuffle_epi8(_mm512_packus_epi16(ab, cd), transpose));
			at += group_bytes(g->steps);
			i += g->outputs;
		}
	}
}

void avx512_gather(uint8_t *mid, const uint8_t *src, size_t stride, int32_t y, int32_t rows, int32_t size) {
	const size_t n = 3 * (size_t)size;
	const int32_t h = y + rows;
	mid += block_bytes(size) * (size_t)(y / 4);
	for (; y < h; y += 4, mid += block_bytes(size)) {
		for (int32_t r = 0; r < 4; r++) {
			const uint8_t *row = src + stride * (size_t)(y + r < h ? y + r : h - 1);
			for (size_t x = 0; x < n; x++)
				mid[4 * x + (size_t)r] = row[x];
		}
	}
}

void avx512_scatter(uint8_t *dst, const uint8_t *mid, int32_t size) {
	const size_t n = 3 * (size_t)size;
	for (int32_t y = 0; y < size; y++, dst += n) {
		const uint8_t *block = mid + block_bytes(size) * (size_t)(y / 4) + y % 4;
		for (size_t x = 0; x < n; x++)
			dst[x] = block[4 * x];
	}
}

void avx512_down(uint8_t *dst, const uint8_t *mid, int32_t from, int32_t to, int32_t size, const axis *a) {
	const size_t n = 3 * (size_t)size, stride = block_bytes(size);
	const __m512i half = _mm512_set1_epi32(1 << (RESAMPLE_BITS - 1));
	// packs works within 128-bit lanes; this puts its words in order.
	const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
	const rows *r = (const rows *)a->table + from;
	dst += n * (size_t)from;
	for (int32_t i = from; i < to; i++, r++, dst += n) {
		const uint8_t *top = mid + stride * (size_t)r->block;
		for (size_t x = 0; x < n; x += 64) {
			__m512i a0 = half, b0 = half, c0 = half, d0 = half;
			__m512i a1 = _mm512_setzero_si512(), b1 = a1, c1 = a1, d1 = a1, a2 = a1, b2 = a1, c2 = a1, d2 = a1;
			const uint8_t *at = top + 4 * x;
			for (int32_t b = 0; b < r->blocks; b++, at += stride) {
				const __m512i k0 = _mm512_set1_epi32(r->digits[b][0]);
				const __m512i k1 = _mm512_set1_epi32(r->digits[b][1]);
				const __m512i k2 = _mm512_set1_epi32(r->digits[b][2]);
				const __m512i p0 = _mm512_loadu_si512(at), p1 = _mm512_loadu_si512(at + 64);
				const __m512i p2 = _mm512_loadu_si512(at + 128), p3 = _mm512_loadu_si512(at + 192);
				a0 = _mm512_dpbusd_epi32(a0, p0, k0), a1 = _mm512_dpbusd_epi32(a1, p0, k1), a2 = _mm512_dpbusd_epi32(a2, p0, k2);
				b0 = _mm512_dpbusd_epi32(b0, p1, k0), b1 = _mm512_dpbusd_epi32(b1, p1, k1), b2 = _mm512_dpbusd_epi32(b2, p1, k2);
				c0 = _mm512_dpbusd_epi32(c0, p2, k0), c1 = _mm512_dpbusd_epi32(c1, p2, k1), c2 = _mm512_dpbusd_epi32(c2, p2, k2);
				d0 = _mm512_dpbusd_epi32(d0, p3, k0), d1 = _mm512_dpbusd_epi32(d1, p3, k1), d2 = _mm512_dpbusd_epi32(d2, p3, k2);
			}
			const __m512i ab = _mm512_packs_epi32(total(a0, a1, a2), total(b0, b1, b2));
			const __m512i cd = _mm512_packs_epi32(total(c0, c1, c2), total(d0, d1, d2));
			const __m512i out = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(ab, cd));
			if (n - x >= 64)
				_mm512_storeu_si512(dst + x, out);
			else
				_mm512_mask_storeu_epi8(dst + x, (1ull << (n - x)) - 1, out);
		}
	}
}

END_OF_TIER
