//go:build cgo

// The colour steps with NEON, whose loads and stores de-interleave R, G and B and
// together, and the tier's table of kernels.

#include "neon_arm64.h"

// luma16 is luma of sixteen pixels: the products and their sum fit 32 bits, and
// the narrowing shift rounds as luma does.
static inline uint8x16_t luma16(uint8x16x3_t rgb) {
	uint16x8_t half[2];
	for (int i = 0; i < 2; i++) {
		uint16x8_t v[3];
		for (int c = 0; c < 3; c++)
			v[c] = i == 0 ? vmovl_u8(vget_low_u8(rgb.val[c])) : vmovl_high_u8(rgb.val[c]);
		uint32x4_t lo = vmull_n_u16(vget_low_u16(v[0]), 19595), hi = vmull_high_n_u16(v[0], 19595);
		lo = vmlal_n_u16(lo, vget_low_u16(v[1]), 38470), hi = vmlal_high_n_u16(hi, v[1], 38470);
		lo = vmlal_n_u16(lo, vget_low_u16(v[2]), 7471), hi = vmlal_high_n_u16(hi, v[2], 7471);
		half[i] = vrshrn_high_n_u32(vrshrn_n_u32(lo, 16), hi, 16);
	}
	return vuzp1q_u8(vreinterpretq_u8_u16(half[0]), vreinterpretq_u8_u16(half[1]));
}

// neon_lut looks sixteen bytes up in quarters of the table: what is not of a quarter gives
// zero, or stays.
static void neon_lut(uint8_t *px, size_t n, const uint8_t lut[256]) {
	uint8x16x4_t t[4];
	for (int q = 0; q < 4; q++)
		t[q] = vld1q_u8_x4(lut + 64 * q);
	size_t i = 0;
	for (; i + 16 <= n; i += 16) {
		const uint8x16_t v = vld1q_u8(px + i);
		uint8x16_t out = vqtbl4q_u8(t[0], v);
		out = vqtbx4q_u8(out, t[1], vsubq_u8(v, vdupq_n_u8(64)));
		out = vqtbx4q_u8(out, t[2], vsubq_u8(v, vdupq_n_u8(128)));
		vst1q_u8(px + i, vqtbx4q_u8(out, t[3], vsubq_u8(v, vdupq_n_u8(192))));
	}
	scalar_lut(px + i, n - i, lut);
}

static uint64_t neon_luma_sum(const uint8_t *px, size_t pixels) {
	uint32x4_t sum = vdupq_n_u32(0);
	size_t i = 0;
	for (; i + 16 <= pixels; i += 16) // a view is at most 2^20 pixels: 32 bits hold
		sum = vpadalq_u16(sum, vpaddlq_u8(luma16(vld3q_u8(px + 3 * i))));
	return vaddlvq_u32(sum) + scalar_luma_sum(px + 3 * i, pixels - i);
}

static void neon_grayscale(uint8_t *px, size_t pixels) {
	size_t i = 0;
	for (; i + 16 <= pixels; i += 16) {
		const uint8x16_t l = luma16(vld3q_u8(px + 3 * i));
		const uint8x16x3_t grey = {{l, l, l}};
		vst3q_u8(px + 3 * i, grey);
	}
	scalar_grayscale(px + 3 * i, pixels - i);
}

// blend8 is blend of eight values, factor at most INT16_MAX: l·2^14 + factor·d
// is below 2^24, and after the shift within ±765.
static inline uint8x8_t blend8(uint8x8_t l8, uint8x8_t v, int16_t factor) {
	const int16x8_t d = vreinterpretq_s16_u16(vsubl_u8(v, l8)), l = vreinterpretq_s16_u16(vmovl_u8(l8));
	const int32x4_t lo = vmlal_n_s16(vshll_n_s16(vget_low_s16(l), FACTOR_BITS), vget_low_s16(d), factor);
	const int32x4_t hi = vmlal_high_n_s16(vshll_high_n_s16(l, FACTOR_BITS), d, factor);
	return vqmovun_s16(vshrn_high_n_s32(vshrn_n_s32(lo, FACTOR_BITS), hi, FACTOR_BITS));
}

static void neon_saturation(uint8_t *px, size_t pixels, int32_t factor) {
	size_t i = 0;
	if (factor <= INT16_MAX) {
		for (; i + 16 <= pixels; i += 16) {
			uint8x16x3_t rgb = vld3q_u8(px + 3 * i);
			const uint8x16_t l = luma16(rgb);
			for (int c = 0; c < 3; c++) {
				const uint8x16_t v = rgb.val[c];
				rgb.val[c] = vcombine_u8(blend8(vget_low_u8(l), vget_low_u8(v), (int16_t)factor),
				                         blend8(vget_high_u8(l), vget_high_u8(v), (int16_t)factor));
			}
			vst3q_u8(px + 3 * i, rgb);
		}
	}
	scalar_saturation(px + 3 * i, pixels - i, factor);
}

// narrow8 is the lower bytes of eight words.
static inline uint8x8_t narrow8(uint32x4_t a, uint32x4_t b) { return vmovn_u16(vcombine_u16(vmovn_u32(a), vmovn_u32(b))); }

static inline float32x4_t float_u16(uint16x4_t v) { return vcvtq_f32_u32(vmovl_u16(v)); }
static inline float32x4_t float_s16(int16x4_t v) { return vcvtq_f32_s32(vmovl_s16(v)); }

// hue4 is hue_of four pixels by the same float32 operations: base ± x/c, a sixth
// of it, a turn more where that is negative, 255ths, cut. The division by six
// alone is made otherwise: a product with 1/6 and the share of what remains give
// the quotient rounded once, as a division does (Markstein, 1990).
static inline uint32x4_t hue4(float32x4_t base, float32x4_t x, float32x4_t c) {
	const float32x4_t six = vdupq_n_f32(6), sixth = vdupq_n_f32(1.0f / 6);
	const float32x4_t h6 = vaddq_f32(base, vdivq_f32(x, c));
	const float32x4_t near = vmulq_f32(h6, sixth);
	const float32x4_t h = vfmaq_f32(near, vfmsq_f32(h6, near, six), sixth);
	const float32x4_t turn = vbslq_f32(vcltzq_f32(h), vaddq_f32(h, vdupq_n_f32(1)), h);
	return vcvtq_u32_f32(vmulq_f32(turn, vdupq_n_f32(255)));
}

// saturation4 is ⌊255·c/v⌋. The quotient is a multiple of 1/v, v ≤ 255, so half of
// that more, and any error below 1/510, reach no other integer. Two Newton steps
// from the CPU's estimate (8 bits) leave less than 2^-13.
static inline uint32x4_t saturation4(float32x4_t c, float32x4_t v) {
	float32x4_t inverse = vrecpeq_f32(v);
	inverse = vmulq_f32(inverse, vrecpsq_f32(inverse, v));
	inverse = vmulq_f32(inverse, vrecpsq_f32(inverse, v));
	return vcvtq_u32_f32(vfmaq_f32(vdupq_n_f32(1.0f / 510), vmulq_f32(c, vdupq_n_f32(255)), inverse));
}

// div255 is ⌊n/255⌋ for n < 65535.
static inline uint8x8_t div255(uint16x8_t n) { return vaddhn_u16(vsraq_n_u16(n, n, 8), vdupq_n_u16(1)); }

// middle8 is v·(1 - s·f) of fromHSV, (v·(65025 - s·f) + 32512) / 65025. With n the
// dividend, (n + n/128) >> 16 is that quotient or one less, as n < 2^24.
static inline uint8x8_t middle8(uint8x8_t v8, uint8x8_t s, uint8x8_t f) {
	enum { ONE = 255 * 255 };
	const uint16x8_t v = vmovl_u8(v8), rest = vmlsl_u8(vdupq_n_u16(ONE), s, f);
	const uint32x4_t half = vdupq_n_u32(ONE / 2), one = vdupq_n_u32(ONE);
	const uint32x4_t n0 = vmlal_u16(half, vget_low_u16(v), vget_low_u16(rest)), n1 = vmlal_high_u16(half, v, rest);
	const uint16x8_t x = upper16(vsraq_n_u32(n0, n0, 7), vsraq_n_u32(n1, n1, 7));
	const uint32x4_t left0 = vmlsl_n_u16(n0, vget_low_u16(x), ONE), left1 = vmlsl_high_n_u16(n1, x, ONE);
	return vsub_u8(vmovn_u16(x), narrow8(vcgeq_u32(left0, one), vcgeq_u32(left1, one)));
}

// turned is eight pixels' hue, saturation and the shift applied.
typedef struct {
	uint8x8_t sextant, x, p;
} turned;

static inline turned turn8(int8x8_t base8, uint8x8_t x8, uint8x8_t minus8, uint8x8_t c8, uint8x8_t v8, uint8x8_t shift) {
	const int16x8_t base = vmovl_s8(base8), minus = vmovl_s8(vreinterpret_s8_u8(minus8));
	const int16x8_t x = vsubq_s16(veorq_s16(vreinterpretq_s16_u16(vmovl_u8(x8)), minus), minus);
	const uint16x8_t c = vmovl_u8(c8), v = vmovl_u8(v8);
	const float32x4_t c0 = float_u16(vget_low_u16(c)), c1 = float_u16(vget_high_u16(c));
	const uint32x4_t h0 = hue4(float_s16(vget_low_s16(base)), float_s16(vget_low_s16(x)), c0);
	const uint32x4_t h1 = hue4(float_s16(vget_high_s16(base)), float_s16(vget_high_s16(x)), c1);
	const uint32x4_t s0 = saturation4(c0, float_u16(vget_low_u16(v))), s1 = saturation4(c1, float_u16(vget_high_u16(v)));
	const uint8x8_t h = vadd_u8(narrow8(h0, h1), shift), s = narrow8(s0, s1);
	const uint8x8_t sextant = div255(vmull_u8(h, vdup_n_u8(6)));
	// 6h - 255·sextant, modulo 256.
	const uint8x8_t m = vmla_u8(sextant, h, vdup_n_u8(6));
	const uint8x8_t f = vbsl_u8(vtst_u8(sextant, vdup_n_u8(1)), m, vmvn_u8(m));
	return (turned){sextant, middle8(v8, s, f), div255(vmlal_u8(vdupq_n_u16(127), v8, vmvn_u8(s)))};
}

// neon_hue is scalar_hue without branches: a grey pixel, whose hue is 0/0, gets
// any hue and saturation zero, a black one any of both: both come back as they
// were.
static void neon_hue(uint8_t *px, size_t pixels, int32_t shift) {
	// Where R, G and B of a sextant come from. Sextant 6 is 0 again.
	enum { V = 0, X = 16, P = 32 };
	static const uint8_t from[3][16] = {{V, X, P, P, X, V, V}, {X, V, V, X, P, P, X}, {P, P, X, V, V, X, P}};
	static const uint8_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	const uint8x16_t lane = vld1q_u8(lanes);
	size_t i = 0;
	for (; i + 16 <= pixels; i += 16) {
		uint8x16x3_t rgb = vld3q_u8(px + 3 * i);
		const uint8x16_t r = rgb.val[0], g = rgb.val[1], b = rgb.val[2];
		const uint8x16_t hi = vmaxq_u8(r, vmaxq_u8(g, b)), lo = vminq_u8(r, vminq_u8(g, b));
		// h = base ± x/c, x the distance of the middle value from the maximum.
		const uint8x16_t rmax = vceqq_u8(r, hi), gmax = vbicq_u8(vceqq_u8(g, hi), rmax), rgmax = vorrq_u8(rmax, gmax);
		const uint8x16_t bmin = vceqq_u8(b, lo), rmin = vceqq_u8(r, lo);
		const uint8x16_t r_bmin = vandq_u8(rmax, bmin), g_rmin = vbicq_u8(gmax, bmin);
		const uint8x16_t b_rmin = vbicq_u8(rmin, rgmax), b_gmin = vmvnq_u8(vorrq_u8(rgmax, rmin));
		const uint8x16_t mid = vbslq_u8(vorrq_u8(r_bmin, b_rmin), g, vbslq_u8(vbicq_u8(rgmax, bmin), b, r));
		int8x16_t base = vbslq_s8(vbicq_u8(rmax, bmin), vdupq_n_s8(-1), vdupq_n_s8(1));
		base = vbslq_s8(vorrq_u8(g_rmin, b_rmin), vdupq_n_s8(3), base);
		base = vbslq_s8(b_gmin, vdupq_n_s8(5), base);
		const uint8x16_t minus = vorrq_u8(r_bmin, vorrq_u8(g_rmin, b_gmin));
		const uint8x16_t x = vsubq_u8(hi, mid), c = vsubq_u8(hi, lo);
		const uint8x8_t by = vdup_n_u8((uint8_t)shift);
		const turned t0 = turn8(vget_low_s8(base), vget_low_u8(x), vget_low_u8(minus), vget_low_u8(c), vget_low_u8(hi), by);
		const turned t1 = turn8(vget_high_s8(base), vget_high_u8(x), vget_high_u8(minus), vget_high_u8(c), vget_high_u8(hi), by);
		const uint8x16_t sextant = vcombine_u8(t0.sextant, t1.sextant);
		const uint8x16x3_t all = {{hi, vcombine_u8(t0.x, t1.x), vcombine_u8(t0.p, t1.p)}};
		for (int k = 0; k < 3; k++)
			rgb.val[k] = vqtbl3q_u8(all, vaddq_u8(vqtbl1q_u8(vld1q_u8(from[k]), sextant), lane));
		vst3q_u8(px + 3 * i, rgb);
	}
	scalar_hue(px + 3 * i, pixels - i, shift);
}

const struct kernels kernels_neon = {
	.name = "neon",
	.weigh = weigh_taps,
	.prepare = neon_prepare,
	.mid_bytes = neon_mid_bytes,
	.across = neon_across,
	.gather = scalar_gather,
	.down = neon_down,
	.scatter = scalar_scatter,
	.flip = scalar_flip,
	.lut = neon_lut,
	.lut3 = scalar_lut3,
	.extremes = scalar_extremes,
	.sharpen = scalar_sharpen,
	.luma_sum = neon_luma_sum,
	.saturation = neon_saturation,
	.hue = neon_hue,
	.grayscale = neon_grayscale,
	.blur_bytes = neon_blur_bytes,
	.blur = neon_blur,
};
