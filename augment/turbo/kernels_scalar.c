//go:build cgo

// The kernels in plain C: the tier of any CPU, and what the ends of rows use in
// the others. They are augment's ref kernels, operation by operation. mid is
// (h,size,3) without padding.

#include <string.h>

#include "kernels.h"

size_t scalar_mid_bytes(int32_t h, int32_t size) { return (size_t)h * (size_t)size * 3; }

void scalar_across(uint8_t *mid, uint8_t *room, const uint8_t *src, size_t stride, int32_t y, int32_t n, const axis *a) {
	(void)room;
	mid += (size_t)y * (size_t)a->size * 3;
	src += (size_t)y * stride;
	for (; n > 0; n--, src += stride) {
		for (int32_t i = 0; i < a->size; i++, mid += 3) {
			const int32_t *c = a->coef + (size_t)i * (size_t)a->taps;
			const uint8_t *px = src + 3 * (size_t)a->first[i];
			int32_t r = 1 << (RESAMPLE_BITS - 1), g = r, b = r;
			for (int32_t j = 0; j < a->count[i]; j++, px += 3) {
				r += c[j] * px[0];
				g += c[j] * px[1];
				b += c[j] * px[2];
			}
			mid[0] = clip(r >> RESAMPLE_BITS);
			mid[1] = clip(g >> RESAMPLE_BITS);
			mid[2] = clip(b >> RESAMPLE_BITS);
		}
	}
}

void scalar_gather(uint8_t *mid, const uint8_t *src, size_t stride, int32_t from, int32_t n, int32_t size) {
	for (int32_t y = from; y < from + n; y++)
		memcpy(mid + (size_t)y * (size_t)size * 3, src + (size_t)y * stride, (size_t)size * 3);
}

void scalar_down(uint8_t *dst, const uint8_t *mid, int32_t from, int32_t to, int32_t size, const axis *a) {
	const size_t n = (size_t)size * 3;
	dst += n * (size_t)from;
	for (int32_t i = from; i < to; i++, dst += n) {
		const int32_t *c = a->coef + (size_t)i * (size_t)a->taps;
		const uint8_t *top = mid + (size_t)a->first[i] * n;
		enum { BLOCK = 64 };
		for (size_t x = 0; x < n; x += BLOCK) {
			int32_t sum[BLOCK];
			const size_t m = n - x < BLOCK ? n - x : BLOCK;
			for (size_t b = 0; b < m; b++)
				sum[b] = 1 << (RESAMPLE_BITS - 1);
			for (int32_t j = 0; j < a->count[i]; j++) {
				const uint8_t *row = top + (size_t)j * n + x;
				for (size_t b = 0; b < m; b++)
					sum[b] += c[j] * row[b];
			}
			for (size_t b = 0; b < m; b++)
				dst[x + b] = clip(sum[b] >> RESAMPLE_BITS);
		}
	}
}

void scalar_scatter(uint8_t *dst, const uint8_t *mid, int32_t size) { memcpy(dst, mid, (size_t)size * (size_t)size * 3); }

void scalar_flip(uint8_t *px, int32_t size) {
	const size_t n = (size_t)size * 3;
	for (int32_t y = 0; y < size; y++, px += n) {
		for (uint8_t *a = px, *b = px + n - 3; a < b; a += 3, b -= 3) {
			for (int c = 0; c < 3; c++) {
				uint8_t t = a[c];
				a[c] = b[c];
				b[c] = t;
			}
		}
	}
}

void scalar_lut(uint8_t *px, size_t n, const uint8_t lut[256]) {
	for (size_t i = 0; i < n; i++)
		px[i] = lut[px[i]];
}

uint64_t scalar_luma_sum(const uint8_t *px, size_t pixels) {
	uint64_t sum = 0;
	for (size_t i = 0; i < pixels; i++, px += 3)
		sum += luma(px[0], px[1], px[2]);
	return sum;
}

void scalar_saturation(uint8_t *px, size_t pixels, int32_t factor) {
	for (size_t i = 0; i < pixels; i++, px += 3) {
		const uint8_t l = luma(px[0], px[1], px[2]);
		px[0] = blend(l, px[0], factor);
		px[1] = blend(l, px[1], factor);
		px[2] = blend(l, px[2], factor);
	}
}

// hue_of is PIL's hue of a pixel that is not grey, 0 … 255, from float32
// operations that give its rgb2hsv on every colour.
static inline uint8_t hue_of(uint8_t r, uint8_t g, uint8_t b, uint8_t hi, uint8_t lo) {
	const float c = (float)(hi - lo);
	float h;
	if (r == hi)
		h = b == lo ? 1 - (float)(hi - g) / c : (float)(hi - b) / c - 1;
	else if (g == hi)
		h = b == lo ? 1 + (float)(hi - r) / c : 3 - (float)(hi - b) / c;
	else
		h = r == lo ? 3 + (float)(hi - g) / c : 5 - (float)(hi - r) / c;
	h /= 6;
	if (h < 0)
		h += 1;
	return (uint8_t)(int32_t)(h * 255);
}

void scalar_hue(uint8_t *px, size_t pixels, int32_t shift) {
	enum { ONE = 255 * 255 };
	for (size_t i = 0; i < pixels; i++, px += 3) {
		const uint8_t r = px[0], g = px[1], b = px[2];
		uint8_t hi = r > g ? r : g, lo = r < g ? r : g;
		hi = b > hi ? b : hi;
		lo = b < lo ? b : lo;
		if (hi == lo)
			continue;
		const uint32_t v = hi, s = (uint32_t)(hi - lo) * 255 / v;
		if (s == 0) {
			px[0] = px[1] = px[2] = hi;
			continue;
		}
		const uint32_t turn = (uint32_t)(uint8_t)(hue_of(r, g, b, hi, lo) + shift) * 6;
		const uint32_t m = turn % 255;
		const uint8_t p = (uint8_t)((v * (255 - s) * 2 + 255) / (2 * 255));
		const uint8_t q = (uint8_t)((v * (ONE - s * m) * 2 + ONE) / (2 * ONE));
		const uint8_t t = (uint8_t)((v * (ONE - s * (255 - m)) * 2 + ONE) / (2 * ONE));
		switch (turn / 255 % 6) {
		case 0: px[0] = hi, px[1] = t, px[2] = p; break;
		case 1: px[0] = q, px[1] = hi, px[2] = p; break;
		case 2: px[0] = p, px[1] = hi, px[2] = t; break;
		case 3: px[0] = p, px[1] = q, px[2] = hi; break;
		case 4: px[0] = t, px[1] = p, px[2] = hi; break;
		default: px[0] = hi, px[1] = p, px[2] = q; break;
		}
	}
}

void scalar_grayscale(uint8_t *px, size_t pixels) {
	for (size_t i = 0; i < pixels; i++, px += 3)
		px[0] = px[1] = px[2] = luma(px[0], px[1], px[2]);
}

// The room of the blur: mid, (size,size,3) int16 in Q6; then one row with its
// edges repeated; then a row of sums.
size_t scalar_blur_bytes(int32_t size, int32_t radius) {
	const size_t n = (size_t)size * 3;
	return 2 * n * (size_t)size + 64 + n + 6 * (size_t)radius + 64 + 4 * n;
}

void scalar_blur(uint8_t *px, int32_t size, const blur_kernel *k, uint8_t *room) {
	const size_t n = (size_t)size * 3, pad = 3 * (size_t)k->radius;
	int16_t *mid = (int16_t *)room;
	int32_t *sum = (int32_t *)(room + ((2 * n * (size_t)size + 63) & ~(size_t)63));
	uint8_t *line = (uint8_t *)(sum + n);
	for (int32_t y = 0; y < size; y++) {
		const uint8_t *row = px + (size_t)y * n;
		memcpy(line + pad, row, n);
		for (size_t i = 0; i < pad; i += 3) {
			memcpy(line + i, row, 3);
			memcpy(line + pad + n + i, row + n - 3, 3);
		}
		for (size_t x = 0; x < n; x++)
			sum[x] = k->weight[0] * row[x] + (1 << (BLUR_BITS - BLUR_MID_BITS - 1));
		for (int32_t i = 1; i <= k->radius; i++) {
			const uint8_t *left = line + pad - 3 * (size_t)i, *right = line + pad + 3 * (size_t)i;
			for (size_t x = 0; x < n; x++)
				sum[x] += k->weight[i] * (left[x] + right[x]);
		}
		for (size_t x = 0; x < n; x++)
			mid[(size_t)y * n + x] = (int16_t)(sum[x] >> (BLUR_BITS - BLUR_MID_BITS));
	}
	for (int32_t y = 0; y < size; y++) {
		for (size_t x = 0; x < n; x++)
			sum[x] = k->weight[0] * mid[(size_t)y * n + x] + (1 << (BLUR_BITS + BLUR_MID_BITS - 1));
		for (int32_t i = 1; i <= k->radius; i++) {
			const int16_t *above = mid + (size_t)(y - i > 0 ? y - i : 0) * n;
			const int16_t *below = mid + (size_t)(y + i < size ? y + i : size - 1) * n;
			for (size_t x = 0; x < n; x++)
				sum[x] += k->weight[i] * (above[x] + below[x]);
		}
		for (size_t x = 0; x < n; x++)
			px[(size_t)y * n + x] = clip(sum[x] >> (BLUR_BITS + BLUR_MID_BITS));
	}
}

const struct kernels kernels_scalar = {
	.name = "scalar",
	.weigh = weigh_taps,
	.mid_bytes = scalar_mid_bytes,
	.across = scalar_across,
	.gather = scalar_gather,
	.down = scalar_down,
	.scatter = scalar_scatter,
	.flip = scalar_flip,
	.lut = scalar_lut,
	.lut3 = scalar_lut3,
	.extremes = scalar_extremes,
	.sharpen = scalar_sharpen,
	.luma_sum = scalar_luma_sum,
	.saturation = scalar_saturation,
	.hue = scalar_hue,
	.grayscale = scalar_grayscale,
	.blur_bytes = scalar_blur_bytes,
	.blur = scalar_blur,
};
