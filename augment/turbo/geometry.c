//go:build cgo

// Steps of RandAugment, from augment's geometry.go.

#include <string.h>

#include "kernels.h"

// inside says whether the source coordinate of output i is a pixel's.
static inline int inside(int64_t from, int64_t step, int32_t i, int32_t size) {
	const int64_t at = (from + step * i) >> 16;
	return at >= 0 && at < size;
}

// warp finds a copy of the view in src, and four bytes or more after it.
void warp(uint8_t *dst, const uint8_t *src, int32_t size, const int32_t arg[7]) {
	const int64_t right = arg[0], down = arg[3];
	for (int64_t row = 0; row < size; row++, dst += 3 * size) {
		int64_t sx = (int64_t)arg[1] * row + arg[2], sy = (int64_t)arg[4] * row + arg[5];
		// Both coordinates grow or fall along a row, so what has a source is one stretch.
		int32_t lo = 0, hi = size;
		while (lo < hi && !(inside(sx, right, lo, size) && inside(sy, down, lo, size)))
			lo++;
		while (lo < hi && !(inside(sx, right, hi - 1, size) && inside(sy, down, hi - 1, size)))
			hi--;
		memset(dst, 0, 3 * (size_t)lo);
		memset(dst + 3 * hi, 0, 3 * (size_t)(size - hi));
		if (lo == hi)
			continue;
		sx += right * lo, sy += down * lo;
		if (right == 1 << 16 && down == 0) {
			memcpy(dst + 3 * lo, src + 3 * ((sy >> 16) * size + (sx >> 16)), 3 * (size_t)(hi - lo));
			continue;
		}
		for (int32_t i = lo; i < hi - 1; i++, sx += right, sy += down)
			memcpy(dst + 3 * i, src + 3 * ((sy >> 16) * size + (sx >> 16)), 4); // one too many: the next's
		memcpy(dst + 3 * (hi - 1), src + 3 * ((sy >> 16) * size + (sx >> 16)), 3);
	}
}

// neighbours are the offsets in bytes of n pixels from the one numbered from, held within the
// axis, whose pixels are stride bytes apart.
static inline void neighbours(ptrdiff_t *to, int n, int64_t from, int32_t size, ptrdiff_t stride) {
	for (int i = 0; i < n; i++) {
		const int64_t at = from + i < 0 ? 0 : from + i;
		to[i] = (ptrdiff_t)(at < size ? at : size - 1) * stride;
	}
}

// linear_at makes a pixel between four, at (sx, sy), Q16, from centre to centre.
static void linear_at(uint8_t *o, const uint8_t *src, int32_t size, int64_t sx, int64_t sy) {
	ptrdiff_t xs[2], ys[2];
	neighbours(xs, 2, sx >> 16, size, 3);
	neighbours(ys, 2, sy >> 16, size, 3 * (ptrdiff_t)size);
	const double dx = (double)(sx & 0xffff) / 65536, dy = (double)(sy & 0xffff) / 65536;
	for (int c = 0; c < 3; c++) {
		double v[2];
		for (int i = 0; i < 2; i++) {
			const double a = src[ys[i] + xs[0] + c], b = src[ys[i] + xs[1] + c];
			v[i] = a + (b - a) * dx;
		}
		o[c] = (uint8_t)(v[0] + (v[1] - v[0]) * dy);
	}
}

static inline double cubic(double v1, double v2, double v3, double v4, double d) {
	const double p2 = v3 - v1, p3 = 2 * (v1 - v2) + v3 - v4, p4 = v2 - v1 - v3 + v4;
	return v2 + d * (p2 + d * (p3 + d * p4));
}

// cubic_at makes a pixel between sixteen.
static void cubic_at(uint8_t *o, const uint8_t *src, int32_t size, int64_t sx, int64_t sy) {
	ptrdiff_t xs[4], ys[4];
	neighbours(xs, 4, (sx >> 16) - 1, size, 3);
	neighbours(ys, 4, (sy >> 16) - 1, size, 3 * (ptrdiff_t)size);
	const double dx = (double)(sx & 0xffff) / 65536, dy = (double)(sy & 0xffff) / 65536;
	double v[4][3];
	for (int i = 0; i < 4; i++) {
		const uint8_t *a = src + ys[i] + xs[0], *b = src + ys[i] + xs[1], *c = src + ys[i] + xs[2], *d = src + ys[i] + xs[3];
		for (int j = 0; j < 3; j++)
			v[i][j] = cubic(a[j], b[j], c[j], d[j], dx);
	}
	for (int j = 0; j < 3; j++) {
		const double at = cubic(v[0][j], v[1][j], v[2][j], v[3][j], dy);
		o[j] = (uint8_t)(at <= 0 ? 0 : at >= 255 ? 255 : at);
	}
}

void warp_between(uint8_t *dst, const uint8_t *src, int32_t size, const int32_t arg[7], int bicubic) {
	const uint8_t fill[3] = {(uint8_t)(arg[6] >> 16), (uint8_t)(arg[6] >> 8), (uint8_t)arg[6]};
	const int64_t side = (int64_t)size << 16, half = 1 << 15;
	for (int64_t row = 0; row < size; row++) {
		int64_t sx = (int64_t)arg[1] * row + arg[2], sy = (int64_t)arg[4] * row + arg[5];
		for (int32_t i = 0; i < size; i++, dst += 3, sx += arg[0], sy += arg[3]) {
			if (sx < 0 || sx >= side || sy < 0 || sy >= side)
				memcpy(dst, fill, 3);
			else if (bicubic)
				cubic_at(dst, src, size, sx - half, sy - half);
			else
				linear_at(dst, src, size, sx - half, sy - half);
		}
	}
}

// sharpen_bytes makes bytes from … to-1 of a row, neither its first pixel nor its last, of a
// copy, whose rows are n bytes long: each blended with the mean of its neighbours, in which it
// counts five times.
static inline void sharpen_bytes(uint8_t *px, const uint8_t *copy, ptrdiff_t n, ptrdiff_t from, ptrdiff_t to, int32_t factor) {
	for (ptrdiff_t x = from; x < to; x++) {
		const uint8_t *c = copy + x;
		int32_t sum = c[-n - 3] + c[-n] + c[-n + 3] + c[-3] + 5 * c[0] + c[3] + c[n - 3] + c[n] + c[n + 3];
		px[x] = blend((2 * sum + 13) / 26, c[0], factor);
	}
}

void scalar_sharpen(uint8_t *px, const uint8_t *copy, int32_t size, int32_t factor) {
	const ptrdiff_t n = 3 * (ptrdiff_t)size;
	for (ptrdiff_t y = 1; y < size - 1; y++)
		sharpen_bytes(px + y * n, copy + y * n, n, 3, n - 3, factor);
}

void scalar_extremes(const uint8_t *px, size_t n, uint8_t lo[3], uint8_t hi[3]) {
	for (size_t i = 0; i < n; i++) {
		uint8_t *l = lo + i % 3, *h = hi + i % 3;
		*l = px[i] < *l ? px[i] : *l;
		*h = px[i] > *h ? px[i] : *h;
	}
}

void scalar_lut3(uint8_t *px, size_t pixels, const uint8_t lut[3][256]) {
	for (size_t i = 0; i < pixels; i++, px += 3)
		px[0] = lut[0][px[0]], px[1] = lut[1][px[1]], px[2] = lut[2][px[2]];
}

// identity is the table that changes nothing.
static void identity(uint8_t lut[256]) {
	for (int v = 0; v < 256; v++)
		lut[v] = (uint8_t)v;
}

void auto_contrast(const struct kernels *k, uint8_t *px, size_t pixels) {
	uint8_t lo[3] = {255, 255, 255}, hi[3] = {0}, lut[3][256];
	k->extremes(px, 3 * pixels, lo, hi);
	for (int c = 0; c < 3; c++) {
		if (hi[c] <= lo[c]) {
			identity(lut[c]);
			continue;
		}
		const double scale = 255 / (double)(hi[c] - lo[c]);
		const double offset = -(double)lo[c] * scale;
		for (int v = 0; v < 256; v++)
			lut[c][v] = clip((int32_t)((double)v * scale + offset));
	}
	k->lut3(px, pixels, (const uint8_t (*)[256])lut);
}

void equalize(const struct kernels *k, uint8_t *px, size_t pixels) {
	// Two of each, for neighbours that are alike not to wait for one another.
	uint32_t histogram[2][3][256] = {0};
	size_t i = 0;
	for (; i + 2 <= pixels; i += 2) {
		const uint8_t *p = px + 3 * i;
		histogram[0][0][p[0]]++, histogram[0][1][p[1]]++, histogram[0][2][p[2]]++;
		histogram[1][0][p[3]]++, histogram[1][1][p[4]]++, histogram[1][2][p[5]]++;
	}
	for (; i < pixels; i++) {
		for (int c = 0; c < 3; c++)
			histogram[0][c][px[3 * i + (size_t)c]]++;
	}
	uint8_t lut[3][256];
	for (int c = 0; c < 3; c++) {
		int64_t counts[256];
		int last = 0;
		for (int v = 0; v < 256; v++) {
			counts[v] = (int64_t)histogram[0][c][v] + histogram[1][c][v];
			last = counts[v] > 0 ? v : last;
		}
		const int64_t step = ((int64_t)pixels - counts[last]) / 255;
		if (step == 0) {
			identity(lut[c]);
			continue;
		}
		int64_t n = step / 2;
		for (int v = 0; v < 256; v++) {
			lut[c][v] = clip((int32_t)(n / step));
			n += counts[v];
		}
	}
	k->lut3(px, pixels, (const uint8_t (*)[256])lut);
}
