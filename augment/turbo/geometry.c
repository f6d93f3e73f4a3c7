//go:build cgo

// Steps of RandAugment, from augment's geometry.go.

#include <string.h>

#include "kernels.h"

void warp(uint8_t *dst, const uint8_t *src, int32_t size, const int32_t arg[6]) {
	for (int64_t row = 0; row < size; row++) {
		int64_t sx = (int64_t)arg[1] * row + arg[2];
		int64_t sy = (int64_t)arg[4] * row + arg[5];
		for (int32_t i = 0; i < size; i++, dst += 3) {
			const int64_t x = sx >> 16, y = sy >> 16;
			if (x >= 0 && x < size && y >= 0 && y < size)
				memcpy(dst, src + 3 * (y * size + x), 3);
			else
				dst[0] = dst[1] = dst[2] = 0;
			sx += arg[0];
			sy += arg[3];
		}
	}
}

// sharpness finds a copy of px in smooth, and smooths that.
void sharpness(uint8_t *px, uint8_t *smooth, int32_t size, int32_t factor) {
	const ptrdiff_t n = 3 * (ptrdiff_t)size;
	for (ptrdiff_t y = 1; y < size - 1; y++) {
		const uint8_t *row = px + y * n;
		uint8_t *out = smooth + y * n;
		for (ptrdiff_t x = 3; x < n - 3; x++) {
			const uint8_t *c = row + x;
			int32_t sum = c[-n - 3] + c[-n] + c[-n + 3] + c[-3] + 5 * c[0] + c[3] + c[n - 3] + c[n] + c[n + 3];
			out[x] = (uint8_t)((2 * sum + 13) / 26);
		}
	}
	for (ptrdiff_t i = 0; i < n * size; i++)
		px[i] = blend(smooth[i], px[i], factor);
}

void auto_contrast(uint8_t *px, size_t pixels) {
	for (int c = 0; c < 3; c++) {
		uint8_t lo = 255, hi = 0;
		for (size_t i = 0; i < pixels; i++) {
			const uint8_t v = px[3 * i + c];
			lo = v < lo ? v : lo;
			hi = v > hi ? v : hi;
		}
		if (hi <= lo)
			continue;
		uint8_t lut[256];
		const double scale = 255 / (double)(hi - lo);
		const double offset = -(double)lo * scale;
		for (int v = 0; v < 256; v++)
			lut[v] = clip((int32_t)((double)v * scale + offset));
		for (size_t i = 0; i < pixels; i++)
			px[3 * i + c] = lut[px[3 * i + c]];
	}
}

void equalize(uint8_t *px, size_t pixels) {
	for (int c = 0; c < 3; c++) {
		int64_t histogram[256] = {0};
		for (size_t i = 0; i < pixels; i++)
			histogram[px[3 * i + c]]++;
		int last = 255;
		while (histogram[last] == 0)
			last--;
		const int64_t step = ((int64_t)pixels - histogram[last]) / 255;
		if (step == 0)
			continue;
		uint8_t lut[256];
		int64_t n = step / 2;
		for (int v = 0; v < 256; v++) {
			lut[v] = clip((int32_t)(n / step));
			n += histogram[v];
		}
		for (size_t i = 0; i < pixels; i++)
			px[3 * i + c] = lut[px[3 * i + c]];
	}
}
