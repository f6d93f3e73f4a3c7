//go:build cgo

// The NEON kernels for packed JPEGs: the unpacking. The compiler makes vectors of the scalar
// IDCT, upsampling and colour conversion.

#include <arm_neon.h>

#include "dct_unpack.h"
#include "dct_spread.h"

// spread puts bytes from p on to the places of the bits of m.
static inline uint8x8_t spread(const void *p, uint32_t m) { return vtbl1_u8(vld1_u8(p), vld1_u8(rank[m])); }

#define COUNT(m) (BELOW(m, 7) + BIT(m, 7))
#define COUNTS4(m) COUNT(m), COUNT((m) + 1), COUNT((m) + 2), COUNT((m) + 3)
#define COUNTS16(m) COUNTS4(m), COUNTS4((m) + 4), COUNTS4((m) + 8), COUNTS4((m) + 12)
#define COUNTS64(m) COUNTS16(m), COUNTS16((m) + 16), COUNTS16((m) + 32), COUNTS16((m) + 48)
// count[m] is how many bits of m are set; the CPU has no instruction for that.
static const uint8_t count[256] = {COUNTS64(0), COUNTS64(64), COUNTS64(128), COUNTS64(192)};

// big_values reads V and E, 16 values at a time; the result is the end of E, or NULL.
static const uint8_t *big_values(dct_segment *s, const segment_streams *t) {
	const uint8_t *e = t->escape;
	for (int32_t i = 0; i < t->bigs; i += 16) {
		const uint8x8_t both = vld1_u8(t->nibble + i / 2);
		const uint8x8_t low = vand_u8(both, vdup_n_u8(15)), high = vshr_n_u8(both, 4);
		const uint8x16_t v = vcombine_u8(vzip1_u8(low, high), vzip2_u8(low, high));
		vst1q_u8(s->big + i, vaddq_u8(v, vdupq_n_u8(2)));
		// Four bits for each value that is 15.
		const uint8x8_t some = vshrn_n_u16(vreinterpretq_u16_u8(vceqq_u8(v, vdupq_n_u8(15))), 4);
		uint64_t escaped = vget_lane_u64(vreinterpret_u64_u8(some), 0) & low_bits(4 * (t->bigs - i)) & 0x1111111111111111;
		for (; escaped != 0; escaped &= escaped - 1) {
			if (e == t->end || !add_escaped(s, s->big + i + __builtin_ctzll(escaped) / 4, &e))
				return NULL;
		}
	}
	return e;
}

// all_values makes s->value of s->big, the signs and ones, eight at a time.
static void all_values(dct_segment *s, const segment_streams *t) {
	static const uint8_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
	const uint8x8_t bits = vld1_u8(bit), one = vdup_n_u8(1);
	const uint8_t *big = s->big;
	int32_t wides = 0;
	for (int32_t i = 0; i < t->values; i += 8) {
		const uint32_t m = t->is_big[i / 8];
		const uint8x8_t more = spread(big, m);
		big += count[m];
		uint64_t wide = vget_lane_u64(vreinterpret_u64_u8(more), 0) & 0x8080808080808080;
		for (; wide != 0; wide &= wide - 1)
			s->wide_at[wides++] = (uint16_t)(i + __builtin_ctzll(wide) / 8);
		const uint8x8_t v = vmax_u8(more, one), negative = vtst_u8(vdup_n_u8(t->sign[i / 8]), bits);
		vst1_u8((uint8_t *)s->value + i, vsub_u8(veor_u8(v, negative), negative));
	}
}

// sixteen is bytes 16j … 16j+15 of the zigzag, of which *value has those that are not zero.
static inline uint8x16_t sixteen(const int8_t **value, uint64_t mask, int j) {
	const uint32_t low = (uint32_t)(mask >> 16 * j) & 255, high = (uint32_t)(mask >> (16 * j + 8)) & 255;
	const uint8x8_t a = spread(*value, low);
	*value += count[low];
	const uint8x8_t b = spread(*value, high);
	*value += count[high];
	return vcombine_u8(a, b);
}

#define ITSELF(j, n) (n)
static const uint8_t by_rows[64] = {ZIGZAG_BY_ROWS(ITSELF, 0)};

static inline void unpack_block(int16_t *c, const int8_t *value, uint64_t mask, int16_t dc) {
	mask <<= 1; // from AC to the zigzag
	uint8x16x4_t z;
	z.val[0] = sixteen(&value, mask, 0);
	z.val[1] = sixteen(&value, mask, 1);
	z.val[2] = z.val[3] = vdupq_n_u8(0);
	if (mask >> 32 != 0) {
		z.val[2] = sixteen(&value, mask, 2);
		z.val[3] = sixteen(&value, mask, 3);
	}
	for (int k = 0; k < 4; k++) {
		const int8x16_t rows = vreinterpretq_s8_u8(vqtbl4q_u8(z, vld1q_u8(by_rows + 16 * k)));
		vst1q_s16(c + 16 * k, vmovl_s8(vget_low_s8(rows)));
		vst1q_s16(c + 16 * k + 8, vmovl_s8(vget_high_s8(rows)));
	}
	c[0] = dc;
}

#include "dct_segment.h"

const struct dct_kernels dct_neon = {
	.unpack = unpack,
	.idct = scalar_idct,
	.h2v1 = scalar_h2v1,
	.h1v2 = scalar_h1v2,
	.h2v2 = scalar_h2v2,
	.ycc = scalar_ycc,
	.interleave = scalar_interleave,
};
