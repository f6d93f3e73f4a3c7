//go:build cgo

// The blur with NEON: the two values at a distance are added in 16 bits, and the
// sum is multiplied by the weight into 32. Rows: bytes, at most 510. Columns: Q6
// values, at most 2·16320. The weights are at most 2^14, and their sum is that.

#include <string.h>

#include "neon_arm64.h"

// BLOCK is how many values are filtered at a time.
enum { BLOCK = 16 };

// A row of mid is padded to whole blocks.
static inline size_t blur_row(int32_t size) { return ((size_t)size * 3 + BLOCK - 1) / BLOCK * BLOCK; }

// The room of the blur: mid, (size, blur_row) uint16 in Q6; then a row of bytes
// with its edges repeated, and a block beyond.
size_t neon_blur_bytes(int32_t size, int32_t radius) {
	return 2 * blur_row(size) * (size_t)size + blur_row(size) + 6 * (size_t)radius + BLOCK;
}

typedef struct {
	uint32x4_t v[4];
} block_sums;

static inline void add16(block_sums *s, uint16x8_t left, uint16x8_t right, uint16_t weight) {
	s->v[0] = vmlal_n_u16(s->v[0], vget_low_u16(left), weight);
	s->v[1] = vmlal_high_n_u16(s->v[1], left, weight);
	s->v[2] = vmlal_n_u16(s->v[2], vget_low_u16(right), weight);
	s->v[3] = vmlal_high_n_u16(s->v[3], right, weight);
}

void neon_blur(uint8_t *px, int32_t size, const blur_kernel *k, uint8_t *room) {
	const size_t n = (size_t)size * 3, stride = blur_row(size), pad = 3 * (size_t)k->radius;
	const int32_t radius = k->radius;
	uint16_t *mid = (uint16_t *)room, weight[MAX_RADIUS + 1];
	uint8_t *line = room + 2 * stride * (size_t)size;
	for (int32_t i = 0; i <= radius; i++)
		weight[i] = (uint16_t)k->weight[i];
	for (int32_t y = 0; y < size; y++) {
		const uint8_t *row = px + (size_t)y * n;
		memcpy(line + pad, row, n);
		for (size_t i = 0; i < pad; i += 3) {
			memcpy(line + i, row, 3);
			memcpy(line + pad + n + i, row + n - 3, 3);
		}
		enum { SHIFT = BLUR_BITS - BLUR_MID_BITS };
		const uint32x4_t half = vdupq_n_u32(1 << (SHIFT - 1));
		for (size_t x = 0; x < n; x += BLOCK) {
			const uint8_t *at = line + pad + x;
			block_sums s = {{half, half, half, half}};
			const uint8x16_t c = vld1q_u8(at);
			add16(&s, vmovl_u8(vget_low_u8(c)), vmovl_high_u8(c), weight[0]);
			for (int32_t i = 1; i <= radius; i++) {
				const uint8x16_t a = vld1q_u8(at - 3 * i), b = vld1q_u8(at + 3 * i);
				add16(&s, vaddl_u8(vget_low_u8(a), vget_low_u8(b)), vaddl_high_u8(a, b), weight[i]);
			}
			uint16_t *to = mid + (size_t)y * stride + x;
			vst1q_u16(to, vshrn_high_n_u32(vshrn_n_u32(s.v[0], SHIFT), s.v[1], SHIFT));
			vst1q_u16(to + 8, vshrn_high_n_u32(vshrn_n_u32(s.v[2], SHIFT), s.v[3], SHIFT));
		}
	}
	for (int32_t y = 0; y < size; y++) {
		const uint16_t *above[MAX_RADIUS + 1], *below[MAX_RADIUS + 1];
		for (int32_t i = 0; i <= radius; i++) {
			above[i] = mid + stride * (size_t)(y - i > 0 ? y - i : 0);
			below[i] = mid + stride * (size_t)(y + i < size ? y + i : size - 1);
		}
		// 16 bits of the shift by taking upper halves, then the rest: no sum
		// exceeds 255.5 in Q20, so nothing needs clipping.
		enum { SHIFT = BLUR_BITS + BLUR_MID_BITS };
		const uint32x4_t half = vdupq_n_u32(1 << (SHIFT - 1));
		for (size_t x = 0; x < n; x += BLOCK) {
			block_sums s = {{half, half, half, half}};
			add16(&s, vld1q_u16(above[0] + x), vld1q_u16(above[0] + x + 8), weight[0]);
			for (int32_t i = 1; i <= radius; i++)
				add16(&s, vaddq_u16(vld1q_u16(above[i] + x), vld1q_u16(below[i] + x)),
				      vaddq_u16(vld1q_u16(above[i] + x + 8), vld1q_u16(below[i] + x + 8)), weight[i]);
			const uint8x16_t out =
				vcombine_u8(vshrn_n_u16(upper16(s.v[0], s.v[1]), SHIFT - 16), vshrn_n_u16(upper16(s.v[2], s.v[3]), SHIFT - 16));
			uint8_t *to = px + (size_t)y * n + x;
			if (n - x >= BLOCK) {
				vst1q_u8(to, out);
			} else {
				uint8_t end[BLOCK];
				vst1q_u8(end, out);
				memcpy(to, end, n - x);
			}
		}
	}
}
