//go:build cgo

// The coefficients of the filters, in the operations and the order of augment's
// resample.go and blur.go: each rounded once (kernels.h forbids contraction), so
// the same numbers everywhere.

#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coefficients.h"

// triangle is the bilinear kernel, support 1.
static inline double triangle(double x) {
	x = fabs(x);
	return x < 1 ? 1 - x : 0;
}

// keys is Keys' cubic with a = -1/2, support 2.
static inline double keys(double x) {
	const double a = -0.5;
	x = fabs(x);
	if (x < 1)
		return (((a + 2) * x) - (a + 3)) * x * x + 1;
	if (x < 2)
		return ((((x - 5) * x) + 8) * x - 4) * a;
	return 0;
}

static int allocate(axis *a, int32_t size, int32_t taps) {
	size_t ints = (size_t)size * (size_t)(taps + 2);
	if (a->cap < ints) {
		free(a->memory);
		a->cap = 0;
		a->memory = malloc(ints * sizeof(int32_t));
		if (a->memory == NULL)
			return 0;
		a->cap = ints;
	}
	a->first = a->memory;
	a->count = a->first + size;
	a->coef = a->count + size;
	return 1;
}

int reserve_table(axis *a, size_t bytes) {
	if (a->table_cap >= bytes)
		return 1;
	free(a->table);
	a->table_cap = 0;
	bytes = (bytes + bytes / 4 + 63) & ~(size_t)63;
	if (posix_memalign(&a->table, 64, bytes) != 0) {
		a->table = NULL;
		return 0;
	}
	a->table_cap = bytes;
	return 1;
}

// reach is the half-open range [lo, hi) of the source pixels of the output at center.
static inline void reach(double center, double support, int32_t n, int32_t *lo, int32_t *hi) {
	*lo = (int32_t)(center - support + 0.5), *hi = (int32_t)(center + support + 0.5);
	if (*lo < 0)
		*lo = 0;
	if (*hi > n)
		*hi = n;
}

void weigh_taps(int32_t *coef, double *w, const filter *f, int32_t lo, int32_t n) {
	double sum = 0;
	for (int32_t j = 0; j < n; j++) {
		double x = ((double)(j + lo) - f->center + 0.5) * f->inverse;
		w[j] = f->bicubic ? keys(x) : triangle(x);
		sum += w[j];
	}
	for (int32_t j = 0; j < n; j++) {
		double q = sum != 0 ? w[j] / sum : w[j];
		double v = q * (1 << RESAMPLE_BITS);
		coef[j] = v < 0 ? (int32_t)(v - 0.5) : (int32_t)(v + 0.5);
	}
	for (int32_t j = n; j % 4 != 0; j++)
		coef[j] = 0;
}

int set_axis(const struct kernels *k, axis *a, buffer *weights, int32_t n, int32_t out, int32_t from, int32_t size, int bicubic, int mirror,
             int down) {
	if (a->n == n && a->out == out && a->from == from && a->size == size && a->bicubic == bicubic && a->mirror == mirror)
		return 1;
	a->n = 0; // until it is whole
	double scale = (double)n / (double)out;
	double filter_scale = scale > 1 ? scale : 1;
	double support = (bicubic ? 2.0 : 1.0) * filter_scale;
	filter f = {.inverse = 1 / filter_scale, .bicubic = bicubic};
	int32_t taps = (int32_t)ceil(support) * 2 + 1;
	taps = (taps + 3) & ~3;
	if (!allocate(a, size, taps) || !reserve(weights, sizeof(double) * (size_t)(taps + 4)))
		return 0;
	double *w = (double *)weights->p;
	int32_t base = 0, lo, hi = 0;
	for (int32_t i = 0; i < size; i++) {
		f.center = ((double)(from + i) + 0.5) * scale;
		reach(f.center, support, n, &lo, &hi);
		if (i == 0)
			base = lo;
		int32_t o = mirror ? size - 1 - i : i;
		a->first[o] = lo - base;
		a->count[o] = hi - lo;
		int32_t *c = a->coef + (size_t)o * (size_t)taps;
		k->weigh(c, w, &f, lo, hi - lo);
		for (int32_t j = (hi - lo + 3) & ~3; j < taps; j++)
			c[j] = 0;
	}
	a->span = hi - base;
	a->out = out;
	a->from = from;
	a->size = size;
	a->taps = taps;
	a->bicubic = bicubic;
	a->mirror = mirror;
	a->n = n;
	if (k->prepare != NULL && !k->prepare(a, down)) {
		a->n = 0;
		return 0;
	}
	return 1;
}

void free_axis(axis *a) {
	free(a->memory);
	free(a->table);
	*a = (axis){0};
}

// exponential is e^x for |x| < 700, as augment's portable_math.go.
static double exponential(double x) {
	const double ln2 = 0.693147180559945309417232121458176568;
	double k = floor(x / ln2 + 0.5);
	double r = x - k * ln2;
	double sum = 1, term = 1;
	for (int i = 1; i <= 20; i++) {
		term = term * r / (double)i;
		sum += term;
	}
	return ldexp(sum, (int)k);
}

// gauss is e^x for x ≤ 0; what is below 2^-20 has no weight in Q14.
static double gauss(double x) { return x < -14 ? 0 : exponential(x); }

void set_blur(blur_kernel *k, int32_t sigma) {
	if (k->sigma == sigma)
		return;
	k->sigma = sigma;
	k->radius = (3 * sigma + 0xffff) >> 16;
	double s = (double)sigma / 65536;
	double down = -1 / (2 * (s * s));
	double total = 1;
	for (int i = 1; i <= k->radius; i++)
		total += 2 * gauss((double)(i * i) * down);
	int32_t rest = 1 << BLUR_BITS;
	for (int i = k->radius; i > 0; i--) {
		int32_t w = (int32_t)floor(gauss((double)(i * i) * down) / total * (1 << BLUR_BITS) + 0.5);
		k->weight[i] = w;
		rest -= 2 * w;
	}
	k->weight[0] = rest;
}
