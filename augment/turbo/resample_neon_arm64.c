//go:build cgo

// Resampling with NEON. A Q22 coefficient is lo + 2^16·hi, lo of 16 bits without
// sign. Σ lo·v is kept in 32 bits. Σ hi·v is kept in 16, eight at a time: it is
// shifted by 16, so its upper bits fall out of the sum, which the reference
// keeps in 32 bits and which fits them. Then, rounding included,
//
//	sum >> 22 = ((Σ lo·v >> 16) + Σ hi·v) >> 6
//
// and the last shift saturates, which is the clip. mid is (h,size,3), as scalar's.

#include <string.h>

#include "neon_arm64.h"

enum { LOW_BITS = 16, ROUND = 1 << (RESAMPLE_BITS - 1) };

// The table of an axis. Across: for four taps, four of lo and four of hi, so
// that one load has them. Down: lo and hi of one tap after another.
int neon_prepare(axis *a, int down) {
	const size_t n = (size_t)a->size * (size_t)a->taps;
	if (!reserve_table(a, 4 * n))
		return 0;
	uint16_t *t = a->table;
	for (size_t i = 0; i < n; i++) {
		const size_t lo = down ? 2 * i : 2 * i - i % 4, hi = down ? lo + 1 : lo + 4;
		t[lo] = (uint16_t)a->coef[i];
		t[hi] = (uint16_t)((uint32_t)a->coef[i] >> LOW_BITS);
	}
	return 1;
}

// COLUMNS are what down takes at a time: of the last row it reads as many bytes
// too far, less one.
enum { COLUMNS = 32 };

size_t neon_mid_bytes(int32_t h, int32_t size) { return scalar_mid_bytes(h, size) + COLUMNS; }

// sums are those of one output pixel of two rows, each spread over its lanes.
typedef struct {
	uint32x4_t r0, g0, b0, r1, g1, b1; // lo·v of four taps
	uint16x8_t rg0, rg1;               // hi·v: r r r r g g g g
	uint16x8_t bb;                     // hi·v: b b b b of row 0, of row 1
} sums;

static inline void add_taps(sums *s, const uint8_t *row0, const uint8_t *row1, uint8x16_t planes0, uint8x16_t planes1, uint16x8_t lo,
                            uint16x8_t hi) {
	const uint8x16_t v0 = vqtbl1q_u8(vld1q_u8(row0), planes0), v1 = vqtbl1q_u8(vld1q_u8(row1), planes1);
	const uint16x8_t rg0 = vmovl_u8(vget_low_u8(v0)), rg1 = vmovl_u8(vget_low_u8(v1)), bb = vmovl_high_u8(vorrq_u8(v0, v1));
	s->r0 = vmlal_u16(s->r0, vget_low_u16(rg0), vget_low_u16(lo));
	s->g0 = vmlal_high_u16(s->g0, rg0, lo);
	s->b0 = vmlal_u16(s->b0, vget_low_u16(bb), vget_low_u16(lo));
	s->r1 = vmlal_u16(s->r1, vget_low_u16(rg1), vget_low_u16(lo));
	s->g1 = vmlal_high_u16(s->g1, rg1, lo);
	s->b1 = vmlal_high_u16(s->b1, bb, lo);
	s->rg0 = vmlaq_u16(s->rg0, rg0, hi);
	s->rg1 = vmlaq_u16(s->rg1, rg1, hi);
	s->bb = vmlaq_u16(s->bb, bb, hi);
}

// clipped is (lo >> 16) + hi, shifted by the rest and held to 0 … 255.
static inline uint8x8_t clipped(uint16x8_t lo, uint16x8_t hi) {
	return vqshrun_n_s16(vreinterpretq_s16_u16(vaddq_u16(lo, hi)), RESAMPLE_BITS - LOW_BITS);
}

// put stores red and green, which are neighbours in rg, and blue.
static inline void put(uint8_t *px, uint16_t rg, uint8_t b) {
	memcpy(px, &rg, 2);
	px[2] = b;
}

// neon_across filters four rows at a time: they share the coefficients and the
// additions across lanes. Of the last rows the missing ones are the last again.
void neon_across(uint8_t *mid, uint8_t *room, const uint8_t *src, size_t stride, int32_t from, int32_t count, const axis *a) {
	(void)room;
	// Four pixels as r r r r g g g g b b b b 0 0 0 0, and with b last.
	static const uint8_t order0[16] = {0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 255, 255, 255, 255};
	static const uint8_t order1[16] = {0, 3, 6, 9, 1, 4, 7, 10, 255, 255, 255, 255, 2, 5, 8, 11};
	const uint8x16_t planes0 = vld1q_u8(order0), planes1 = vld1q_u8(order1);
	const uint32x4_t round = vsetq_lane_u32(ROUND, vdupq_n_u32(0), 0);
	const size_t n = (size_t)a->size * 3;
	for (int32_t y = from; y < from + count; y += 4) {
		const int32_t rows = from + count - y;
		const uint8_t *s0 = src + (size_t)y * stride;
		const uint8_t *s1 = rows > 1 ? s0 + stride : s0, *s2 = rows > 2 ? s1 + stride : s1, *s3 = rows > 3 ? s2 + stride : s2;
		uint8_t *m0 = mid + (size_t)y * n;
		uint8_t *m1 = rows > 1 ? m0 + n : m0, *m2 = rows > 2 ? m1 + n : m1, *m3 = rows > 3 ? m2 + n : m2;
		const uint16_t *k = a->table;
		for (size_t i = 0; i < n; i += 3, k += 2 * a->taps) {
			const size_t at = 3 * (size_t)a->first[i / 3];
			const uint16x8_t zero = vdupq_n_u16(0);
			sums p = {.r0 = round, .g0 = round, .b0 = round, .r1 = round, .g1 = round, .b1 = round, .rg0 = zero, .rg1 = zero, .bb = zero},
				 q = p;
			for (int32_t j = 0; j < a->count[i / 3]; j += 4) {
				const uint64x2_t both = vreinterpretq_u64_u16(vld1q_u16(k + 2 * j));
				const uint16x8_t lo = vreinterpretq_u16_u64(vdupq_laneq_u64(both, 0)), hi = vreinterpretq_u16_u64(vdupq_laneq_u64(both, 1));
				const size_t x = at + 3 * (size_t)j;
				add_taps(&p, s0 + x, s1 + x, planes0, planes1, lo, hi);
				add_taps(&q, s2 + x, s3 + x, planes0, planes1, lo, hi);
			}
			// r g of rows 0 and 1, of 2 and 3; then b of all four.
			const uint32x4_t l01 = vpaddq_u32(vpaddq_u32(p.r0, p.g0), vpaddq_u32(p.r1, p.g1));
			const uint32x4_t l23 = vpaddq_u32(vpaddq_u32(q.r0, q.g0), vpaddq_u32(q.r1, q.g1));
			const uint32x4_t lb = vpaddq_u32(vpaddq_u32(p.b0, p.b1), vpaddq_u32(q.b0, q.b1));
			const uint16x8_t h_rg = vpaddq_u16(vpaddq_u16(p.rg0, p.rg1), vpaddq_u16(q.rg0, q.rg1));
			const uint16x8_t h_bb = vpaddq_u16(p.bb, q.bb);
			const uint16x4_t rg = vreinterpret_u16_u8(clipped(upper16(l01, l23), h_rg));
			const uint8x8_t b = clipped(upper16(lb, lb), vpaddq_u16(h_bb, h_bb));
			put(m0 + i, vget_lane_u16(rg, 0), vget_lane_u8(b, 0));
			put(m1 + i, vget_lane_u16(rg, 1), vget_lane_u8(b, 1));
			put(m2 + i, vget_lane_u16(rg, 2), vget_lane_u8(b, 2));
			put(m3 + i, vget_lane_u16(rg, 3), vget_lane_u8(b, 3));
		}
	}
}

// columns is the sums of sixteen columns.
typedef struct {
	uint32x4_t lo[4];
	uint16x8_t hi[2];
} columns;

static inline void add_row(columns *c, const uint8_t *row, uint16x4_t k) {
	const uint8x16_t v = vld1q_u8(row);
	const uint16x8_t left = vmovl_u8(vget_low_u8(v)), right = vmovl_high_u8(v);
	c->lo[0] = vmlal_lane_u16(c->lo[0], vget_low_u16(left), k, 0);
	c->lo[1] = vmlal_high_lane_u16(c->lo[1], left, k, 0);
	c->lo[2] = vmlal_lane_u16(c->lo[2], vget_low_u16(right), k, 0);
	c->lo[3] = vmlal_high_lane_u16(c->lo[3], right, k, 0);
	c->hi[0] = vmlaq_lane_u16(c->hi[0], left, k, 1);
	c->hi[1] = vmlaq_lane_u16(c->hi[1], right, k, 1);
}

static inline uint8x16_t column_bytes(const columns *c) {
	return vcombine_u8(clipped(upper16(c->lo[0], c->lo[1]), c->hi[0]), clipped(upper16(c->lo[2], c->lo[3]), c->hi[1]));
}

void neon_down(uint8_t *dst, const uint8_t *mid, int32_t from, int32_t to, int32_t size, const axis *a) {
	const size_t n = (size_t)size * 3;
	const uint32x4_t round = vdupq_n_u32(ROUND);
	const uint16x8_t zero = vdupq_n_u16(0);
	const uint16_t *k = (const uint16_t *)a->table + 2 * (size_t)a->taps * (size_t)from;
	dst += n * (size_t)from;
	for (int32_t i = from; i < to; i++, dst += n, k += 2 * a->taps) {
		const uint8_t *top = mid + (size_t)a->first[i] * n;
		for (size_t x = 0; x < n; x += COLUMNS) {
			columns left = {.lo = {round, round, round, round}, .hi = {zero, zero}}, right = left;
			for (int32_t j = 0; j < a->count[i]; j++) {
				uint32_t both; // lo, hi
				memcpy(&both, k + 2 * j, 4);
				const uint16x4_t c = vreinterpret_u16_u32(vdup_n_u32(both));
				const uint8_t *row = top + (size_t)j * n + x;
				add_row(&left, row, c);
				add_row(&right, row + COLUMNS / 2, c);
			}
			uint8_t end[COLUMNS], *to = n - x >= COLUMNS ? dst + x : end;
			vst1q_u8(to, column_bytes(&left));
			vst1q_u8(to + COLUMNS / 2, column_bytes(&right));
			if (to == end)
				memcpy(dst + x, end, n - x);
		}
	}
}
