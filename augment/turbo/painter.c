//go:build cgo

// The painter's life, its picture, and the execution of a plan.

#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "painter.h"

#if defined(__x86_64__)
// has_avxvnni asks the CPU itself: compilers of Debian 12 have no name for it.
static int has_avxvnni(void) {
	unsigned a, b, c, d;
	return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & bit_AVXVNNI) != 0;
}
#endif

int turbo_has_tier(int tier) {
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (tier == TURBO_AVX512)
		return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
		       __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512vnni");
	const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	if (tier == TURBO_AVX2)
		return avx2;
	if (tier == TURBO_AVXVNNI)
		return avx2 && has_avxvnni();
#elif defined(__aarch64__)
	if (tier == TURBO_NEON)
		return 1;
#endif
	return tier == TURBO_SCALAR;
}

turbo_painter *turbo_new(int tier) {
	turbo_painter *p = calloc(1, sizeof *p);
	if (p == NULL)
		return NULL;
	p->k = &kernels_scalar;
	p->dct.k = &dct_scalar;
#if defined(__x86_64__)
	if (tier == TURBO_AVX2)
		p->k = &kernels_avx2, p->dct.k = &dct_avx2;
	if (tier == TURBO_AVXVNNI)
		p->k = &kernels_avxvnni, p->dct.k = &dct_avx2;
	if (tier == TURBO_AVX512)
		p->k = &kernels_avx512, p->dct.k = &dct_avx512;
#elif defined(__aarch64__)
	if (tier == TURBO_NEON)
		p->k = &kernels_neon, p->dct.k = &dct_neon;
#else
	(void)tier;
#endif
	return p;
}

void turbo_free(turbo_painter *p) {
	if (p == NULL)
		return;
	if (p->made)
		jpeg_destroy_decompress(&p->jpeg);
	release(&p->pixels);
	release(&p->weights);
	release(&p->mid);
	release(&p->strip);
	release(&p->scratch);
	free_axis(&p->across);
	free_axis(&p->down);
	free_dct(&p->dct);
	free_packer(p->packer);
	free(p->costs);
	free(p);
}

const char *turbo_message(const turbo_painter *p) { return p->message; }

// KEEP is how large a picture's memory may stay for the next one: one picture
// of 80 megapixels must not cost a worker 240 MB for the rest of its life.
enum { KEEP = 32 << 20 };

int reserve_picture(turbo_painter *p, int32_t h) {
	const size_t n = p->stride * (size_t)h + PAD;
	if (p->pixels.cap > KEEP && n <= KEEP)
		release(&p->pixels);
	return reserve(&p->pixels, n);
}

int turbo_load(turbo_painter *p, const uint8_t *pix, size_t stride, int32_t channels, int32_t x, int32_t y, int32_t w, int32_t h) {
	p->stride = 3 * (size_t)w;
	p->w = p->h = 0;
	if (!reserve_picture(p, h)) {
		snprintf(p->message, sizeof p->message, "no memory for the picture");
		return TURBO_NO_MEMORY;
	}
	pix += (size_t)y * stride + (size_t)channels * (size_t)x;
	uint8_t *out = p->pixels.p;
	for (int32_t row = 0; row < h; row++, pix += stride, out += p->stride) {
		if (channels == 3) {
			memcpy(out, pix, p->stride);
			continue;
		}
		for (int32_t i = 0; i < w; i++)
			out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = pix[i];
	}
	p->origin = p->pixels.p;
	p->x0 = x, p->y0 = y, p->w = w, p->h = h;
	return TURBO_OK;
}

int turbo_same(const turbo_painter *a, const turbo_painter *b) {
	if (a->x0 != b->x0 || a->y0 != b->y0 || a->w != b->w || a->h != b->h)
		return 0;
	for (int32_t y = 0; y < a->h; y++) {
		if (memcmp(a->origin + (size_t)y * a->stride, b->origin + (size_t)y * b->stride, 3 * (size_t)a->w) != 0)
			return 0;
	}
	return 1;
}

// transpose makes the w×h of src, rows stride bytes apart, h×w at dst.
static void transpose(uint8_t *dst, const uint8_t *src, size_t stride, int32_t w, int32_t h) {
	for (int32_t y = 0; y < h; y++) {
		const uint8_t *in = src + (size_t)y * stride;
		for (int32_t x = 0; x < w; x++, in += 3) {
			uint8_t *out = dst + 3 * ((size_t)x * (size_t)h + (size_t)y);
			out[0] = in[0], out[1] = in[1], out[2] = in[2];
		}
	}
}

static int resize(turbo_painter *p, const uint8_t *src, size_t stride, const turbo_crop *c, int mirror, uint8_t *dst);

// vertical_first is resize with the passes in the other order (augment's
// Plan.VerticalFirst): that of the transposed picture in the order of all. It is rare
// enough to pay for two transpositions.
static int vertical_first(turbo_painter *p, const uint8_t *src, const turbo_crop *c, int mirror, uint8_t *dst) {
	const size_t n = (size_t)c->w * (size_t)c->h * 3, view = (size_t)c->size * (size_t)c->size * 3;
	if (!reserve(&p->scratch, n + PAD + view))
		return TURBO_NO_MEMORY;
	uint8_t *turned = p->scratch.p, *out = turned + n + PAD;
	transpose(turned, src, p->stride, c->w, c->h);
	const turbo_crop t = {
		.w = c->h,
		.h = c->w,
		.box_w = c->box_h,
		.box_h = c->box_w,
		.out_w = c->out_h,
		.out_h = c->out_w,
		.left = c->top,
		.top = c->left,
		.size = c->size,
		.bicubic = c->bicubic,
	};
	int status = resize(p, turned, 3 * (size_t)t.w, &t, 0, out);
	if (status == TURBO_OK) {
		transpose(dst, out, 3 * (size_t)c->size, c->size, c->size);
		if (mirror)
			p->k->flip(dst, c->size);
	}
	if (p->scratch.cap > KEEP)
		release(&p->scratch);
	return status;
}

// resize makes dst of the crop, whose part begins at src: a strip of rows across into mid,
// then down what they suffice for, while they are in the cache. An axis that keeps its length
// is copied, not filtered, as Pillow does.
static int resize(turbo_painter *p, const uint8_t *src, size_t stride, const turbo_crop *c, int mirror, uint8_t *dst) {
	const struct kernels *k = p->k;
	const int across = c->box_w != c->out_w, down = c->box_h != c->out_h;
	int64_t began = begin(p);
	if (!reserve(&p->mid, k->mid_bytes(c->h, c->size)))
		return TURBO_NO_MEMORY;
	if (across && !(set_axis(k, &p->across, &p->weights, c->box_w, c->out_w, c->left, c->size, c->bicubic, mirror, 0) &&
	                (k->room_bytes == NULL || reserve(&p->strip, k->room_bytes(p->across.span)))))
		return TURBO_NO_MEMORY;
	if (down && !set_axis(k, &p->down, &p->weights, c->box_h, c->out_h, c->top, c->size, c->bicubic, 0, 1))
		return TURBO_NO_MEMORY;
	if ((across ? p->across.span : c->size) > c->w || (down ? p->down.span : c->size) > c->h)
		return TURBO_MISMATCH;
	began = charge(p, TURBO_COST_FILTERS, began);
	// A pass as a whole, where its time is taken: the clock would cost as much as a strip.
	const int32_t step = p->costs != NULL ? c->h : STRIP;
	for (int32_t y = 0, row = 0; y < c->h; y += step) {
		const int32_t n = c->h - y < step ? c->h - y : step;
		if (across)
			k->across(p->mid.p, p->strip.p, src, stride, y, n, &p->across);
		else
			k->gather(p->mid.p, src, stride, y, n, c->size);
		began = charge(p, TURBO_COST_ACROSS, began);
		if (!down)
			continue;
		const int32_t from = row;
		while (row < c->size && p->down.first[row] + p->down.count[row] <= y + n)
			row++;
		k->down(dst, p->mid.p, from, row, c->size, &p->down);
		began = charge(p, TURBO_COST_DOWN, began);
	}
	if (!down)
		k->scatter(dst, p->mid.p, c->size);
	if (!across && mirror)
		k->flip(dst, c->size);
	return TURBO_OK;
}

// The numbers of augment.StepKind.
enum {
	STEP_FLIP = 1,
	STEP_BRIGHTNESS,
	STEP_CONTRAST,
	STEP_SATURATION,
	STEP_HUE,
	STEP_GRAYSCALE,
	STEP_BLUR,
	STEP_SOLARIZE,
	STEP_AFFINE,
	STEP_AUTO_CONTRAST,
	STEP_EQUALIZE,
	STEP_POSTERIZE,
	STEP_SHARPNESS,
	STEP_AFFINE_BILINEAR,
	STEP_AFFINE_BICUBIC,
	STEP_SOLARIZE_ADD,
};

static int is_affine(int32_t kind) { return kind == STEP_AFFINE || kind == STEP_AFFINE_BILINEAR || kind == STEP_AFFINE_BICUBIC; }

// early_flips counts the flips that may as well come first: all steps treat left
// and right alike, except an affine map.
static int early_flips(const turbo_step *steps, int32_t n, int32_t *affine) {
	int flips = 0;
	for (*affine = 0; *affine < n && !is_affine(steps[*affine].kind); ++*affine)
		flips += steps[*affine].kind == STEP_FLIP;
	return flips;
}

static uint8_t grey_mean(const struct kernels *k, const uint8_t *px, size_t n) { return (uint8_t)((2 * k->luma_sum(px, n) + n) / (2 * n)); }

// ramp blends every byte with from.
static void ramp(const struct kernels *k, uint8_t *px, size_t n, int32_t from, int32_t factor) {
	if (k->ramp != NULL && factor <= INT16_MAX) {
		k->ramp(px, n, from, factor);
		return;
	}
	uint8_t lut[256];
	for (int i = 0; i < 256; i++)
		lut[i] = blend(from, i, factor);
	k->lut(px, n, lut);
}

static void solarize(const struct kernels *k, uint8_t *px, size_t n, int32_t threshold) {
	if (threshold > 255)
		return;
	if (k->solarize != NULL) {
		k->solarize(px, n, threshold);
		return;
	}
	uint8_t lut[256];
	for (int i = 0; i < 256; i++)
		lut[i] = (uint8_t)(i >= threshold ? 255 - i : i);
	k->lut(px, n, lut);
}

static void posterize(const struct kernels *k, uint8_t *px, size_t n, int32_t bits) {
	const uint8_t kept = (uint8_t)(0xff << (8 - bits));
	if (k->mask != NULL) {
		k->mask(px, n, kept);
		return;
	}
	uint8_t lut[256];
	for (int i = 0; i < 256; i++)
		lut[i] = (uint8_t)(i & kept);
	k->lut(px, n, lut);
}

static void solarize_add(const struct kernels *k, uint8_t *px, size_t n, int32_t add) {
	uint8_t lut[256];
	for (int i = 0; i < 256; i++)
		lut[i] = i < 128 ? clip(i + add) : (uint8_t)i;
	k->lut(px, n, lut);
}

static int apply(turbo_painter *p, const turbo_step *s, int32_t size, uint8_t *px) {
	const struct kernels *k = p->k;
	size_t n = (size_t)size * (size_t)size;
	int32_t arg = s->arg[0];
	switch (s->kind) {
	case STEP_FLIP: k->flip(px, size); break;
	case STEP_CONTRAST: ramp(k, px, 3 * n, grey_mean(k, px, n), arg); break;
	case STEP_BRIGHTNESS: ramp(k, px, 3 * n, 0, arg); break;
	case STEP_SATURATION: k->saturation(px, n, arg); break;
	case STEP_HUE: k->hue(px, n, arg); break;
	case STEP_GRAYSCALE: k->grayscale(px, n); break;
	case STEP_BLUR:
		set_blur(&p->blur, arg);
		if (!reserve(&p->mid, k->blur_bytes(size, p->blur.radius)))
			return 0;
		k->blur(px, size, &p->blur, p->mid.p);
		break;
	case STEP_SOLARIZE: solarize(k, px, 3 * n, arg); break;
	case STEP_POSTERIZE: posterize(k, px, 3 * n, arg); break;
	case STEP_SOLARIZE_ADD: solarize_add(k, px, 3 * n, arg); break;
	case STEP_AFFINE:
	case STEP_AFFINE_BILINEAR:
	case STEP_AFFINE_BICUBIC:
	case STEP_SHARPNESS:
		if (!reserve(&p->scratch, 3 * n + PAD))
			return 0;
		memcpy(p->scratch.p, px, 3 * n);
		if (s->kind == STEP_AFFINE)
			warp(px, p->scratch.p, size, s->arg);
		else if (is_affine(s->kind))
			warp_between(px, p->scratch.p, size, s->arg, s->kind == STEP_AFFINE_BICUBIC);
		else
			k->sharpen(px, p->scratch.p, size, arg);
		break;
	case STEP_AUTO_CONTRAST: auto_contrast(k, px, n); break;
	case STEP_EQUALIZE: equalize(k, px, n); break;
	}
	return 1;
}

int turbo_paint(turbo_painter *p, const turbo_crop *c, const turbo_step *steps, int32_t nsteps, uint8_t *dst) {
	int status = TURBO_MISMATCH;
	if (c->w >= 1 && c->h >= 1 && c->x >= p->x0 && c->y >= p->y0 && c->x - p->x0 <= p->w - c->w && c->y - p->y0 <= p->h - c->h) {
		int32_t affine;
		int mirror = early_flips(steps, nsteps, &affine) & 1;
		const uint8_t *src = p->origin + (size_t)(c->y - p->y0) * p->stride + 3 * (size_t)(c->x - p->x0);
		status = c->vertical_first ? vertical_first(p, src, c, mirror, dst) : resize(p, src, p->stride, c, mirror, dst);
		for (int32_t i = 0; status == TURBO_OK && i < nsteps; i++) {
			if (i < affine && steps[i].kind == STEP_FLIP)
				continue;
			const int64_t began = begin(p);
			if (!apply(p, &steps[i], c->size, dst))
				status = TURBO_NO_MEMORY;
			charge(p, TURBO_COST_STEP + steps[i].kind, began);
		}
	}
	if (status == TURBO_MISMATCH)
		snprintf(p->message, sizeof p->message, "a box outside of what was decoded");
	else if (status == TURBO_NO_MEMORY)
		snprintf(p->message, sizeof p->message, "no memory for a view of %d×%d", (int)c->size, (int)c->size);
	return status;
}
