//go:build cgo

// The scalar tier: what defines the others.

#include <string.h>

#include "dct_unpack.h"
#include "dct_idct.h"
#include "kernels.h"

// big_values reads V and E; the result is the end of E, or NULL if they are corrupt. Here and
// in all_values there is no branch for what can't be foretold of a value.
static const uint8_t *big_values(dct_segment *s, const segment_streams *t) {
	const uint8_t *e = t->escape;
	uint32_t bad = 0;
	for (int32_t i = 0; i < t->bigs; i += 2) {
		const uint32_t both = t->nibble[i >> 1];
		// At most two bytes are read from the end on: the slack has them.
		if (e > t->end)
			return NULL;
		for (int32_t j = 0; j < 2; j++) {
			const uint32_t v = both >> 4 * j & 15, escaped = v == 15, more = *e & -escaped;
			e += escaped;
			s->big[i + j] = (uint8_t)(v + 2 + more);
			bad |= (more - ESCAPED - 1) < WIDE - ESCAPED - 1;
			if (more >= WIDE) {
				s->big[i + j] = PLACE;
				s->wide_high[s->wides++] = (uint8_t)more;
			}
		}
	}
	return bad || e > t->end ? NULL : e;
}

static void all_values(dct_segment *s, const segment_streams *t) {
	int32_t k = 0, wides = 0;
	for (int32_t i = 0; i < t->values; i += 8) {
		uint32_t is_big = t->is_big[i >> 3], sign = t->sign[i >> 3];
		for (int32_t j = 0; j < 8; j++, is_big >>= 1, sign >>= 1) {
			const uint32_t big = is_big & 1, negative = -(sign & 1);
			const uint32_t v = (s->big[k] & -big) | (big ^ 1);
			k += (int32_t)big;
			if (v == PLACE)
				s->wide_at[wides++] = (uint16_t)(i + j);
			s->value[i + j] = (int8_t)(uint8_t)((v ^ negative) - negative);
		}
	}
}

static void unpack_block(int16_t *c, const int8_t *value, uint64_t mask, int16_t dc) {
	memset(c, 0, 64 * sizeof *c);
	c[0] = dc;
	for (; mask != 0; mask &= mask - 1)
		c[dct_natural[1 + __builtin_ctzll(mask)]] = *value++;
}

#include "dct_segment.h"

// transform is one pass over eight lines at once: x[8·k + i] is term k of line i.
static inline void transform(int32_t out[64], const int16_t x[64], uint32_t round, int shift) {
	for (int i = 0; i < 8; i++) {
		const uint32_t x0 = (uint32_t)x[i], x1 = (uint32_t)x[8 + i], x2 = (uint32_t)x[16 + i], x3 = (uint32_t)x[24 + i];
		const uint32_t x4 = (uint32_t)x[32 + i], x5 = (uint32_t)x[40 + i], x6 = (uint32_t)x[48 + i], x7 = (uint32_t)x[56 + i];
		const uint32_t sum = (x0 + x4) * IDCT_ONE + round, difference = (x0 - x4) * IDCT_ONE + round;
		const uint32_t a = x2 * E0_2 + x6 * E0_6, b = x2 * E1_2 + x6 * (uint32_t)E1_6;
		const uint32_t e0 = sum + a, e3 = sum - a, e1 = difference + b, e2 = difference - b;
		const uint32_t o0 = x1 * O0_1 + x3 * O0_3 + x5 * O0_5 + x7 * O0_7;
		const uint32_t o1 = x1 * O1_1 + x3 * (uint32_t)O1_3 + x5 * (uint32_t)O1_5 + x7 * (uint32_t)O1_7;
		const uint32_t o2 = x1 * O2_1 + x3 * (uint32_t)O2_3 + x5 * O2_5 + x7 * O2_7;
		const uint32_t o3 = x1 * O3_1 + x3 * (uint32_t)O3_3 + x5 * O3_5 + x7 * (uint32_t)O3_7;
		out[i] = (int32_t)(e0 + o0) >> shift;
		out[8 + i] = (int32_t)(e1 + o1) >> shift;
		out[16 + i] = (int32_t)(e2 + o2) >> shift;
		out[24 + i] = (int32_t)(e3 + o3) >> shift;
		out[32 + i] = (int32_t)(e3 - o3) >> shift;
		out[40 + i] = (int32_t)(e2 - o2) >> shift;
		out[48 + i] = (int32_t)(e1 - o1) >> shift;
		out[56 + i] = (int32_t)(e0 - o0) >> shift;
	}
}

static void idct_block(uint8_t *dst, size_t stride, const int16_t *coef, const int16_t quant[64]) {
	int16_t x[64], w[64];
	int32_t y[64];
	for (int i = 0; i < 64; i++)
		x[i] = (int16_t)(uint16_t)((uint32_t)coef[i] * (uint32_t)quant[i]);
	transform(y, x, ROUND_1, SHIFT_1);
	for (int r = 0; r < 8; r++) {
		for (int i = 0; i < 8; i++) {
			const int32_t v = y[8 * r + i];
			w[8 * i + r] = (int16_t)(v < -32768 ? -32768 : v > 32767 ? 32767 : v);
		}
	}
	transform(y, w, ROUND_2, SHIFT_2);
	for (int r = 0; r < 8; r++) {
		for (int i = 0; i < 8; i++)
			dst[(size_t)r * stride + (size_t)i] = clip(y[8 * i + r]);
	}
}

void scalar_idct(uint8_t *dst, size_t stride, const int16_t *coef, const uint64_t *mask, int32_t n, const int16_t quant[64]) {
	for (int32_t b = 0; b < n; b++, coef += 64, dst += 8) {
		if (mask[b] != 0) {
			idct_block(dst, stride, coef, quant);
			continue;
		}
		const uint8_t v = dc_sample(coef[0], quant[0]);
		for (int r = 0; r < 8; r++)
			memset(dst + (size_t)r * stride, v, 8);
	}
}

void scalar_h2v1(uint8_t *out, const uint8_t *in, int32_t n) {
	for (int32_t i = 0; i < n; i++) {
		out[2 * i] = (uint8_t)((3 * in[i] + in[i - 1] + 1) >> 2);
		out[2 * i + 1] = (uint8_t)((3 * in[i] + in[i + 1] + 2) >> 2);
	}
}

void scalar_h1v2(uint8_t *out, const uint8_t *near, const uint8_t *far, int32_t n, int32_t bias) {
	for (int32_t i = 0; i < n; i++)
		out[i] = (uint8_t)((3 * near[i] + far[i] + bias) >> 2);
}

void scalar_h2v2(uint8_t *out, const uint8_t *near, const uint8_t *far, int32_t n, int16_t *sums) {
	for (int32_t i = 0; i < n + 2; i++)
		sums[i] = (int16_t)(3 * near[i - 1] + far[i - 1]);
	for (int32_t i = 0; i < n; i++) {
		out[2 * i] = (uint8_t)((3 * sums[i + 1] + sums[i] + 8) >> 4);
		out[2 * i + 1] = (uint8_t)((3 * sums[i + 1] + sums[i + 2] + 7) >> 4);
	}
}

// libjpeg's table of jdcolor.c, in 16.16.
void scalar_ycc(uint8_t *rgb, const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int32_t n) {
	for (int32_t i = 0; i < n; i++, rgb += 3) {
		const int32_t b = cb[i] - 128, r = cr[i] - 128;
		rgb[0] = clip(y[i] + ((91881 * r + 32768) >> 16));
		rgb[1] = clip(y[i] + ((-22554 * b - 46802 * r + 32768) >> 16));
		rgb[2] = clip(y[i] + ((116130 * b + 32768) >> 16));
	}
}

void scalar_interleave(uint8_t *rgb, const uint8_t *r, const uint8_t *g, const uint8_t *b, int32_t n) {
	for (int32_t i = 0; i < n; i++, rgb += 3)
		rgb[0] = r[i], rgb[1] = g[i], rgb[2] = b[i];
}

const struct dct_kernels dct_scalar = {
	.unpack = unpack,
	.idct = scalar_idct,
	.h2v1 = scalar_h2v1,
	.h1v2 = scalar_h1v2,
	.h2v2 = scalar_h2v2,
	.ycc = scalar_ycc,
	.interleave = scalar_interleave,
};
