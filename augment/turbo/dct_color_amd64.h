//go:build cgo

// YCbCr to RGB, as libjpeg's tables do it, on a whole vector of pixels. A tier's file
// includes it after vec, V, ZERO and ADD_PRODUCTS. The coefficients over 1 are taken apart, so that
// they fit 16 bits: 1.402 = 1 + 26345/2^16, 1.772 = 2 - 14942/2^16, -0.714 = -1 + 18734/2^16.

// ycc_half converts words; Cb and Cr are less 128. (2·k·x >> 16) + 1 >> 1 is k·x rounded.
static inline void ycc_half(vec y, vec cb, vec cr, vec *r, vec *g, vec *b) {
	const vec one = V(set1_epi16)(1), half = V(set1_epi32)(1 << 15);
	const vec cb2 = V(add_epi16)(cb, cb), cr2 = V(add_epi16)(cr, cr);
	const vec red = V(srai_epi16)(V(add_epi16)(V(mulhi_epi16)(cr2, V(set1_epi16)(26345)), one), 1);
	const vec blue = V(srai_epi16)(V(add_epi16)(V(mulhi_epi16)(cb2, V(set1_epi16)(-14942)), one), 1);
	const vec k = V(set1_epi32)((uint16_t)-22554 | 18734 << 16);
	const vec low = V(srai_epi32)(ADD_PRODUCTS(half, V(unpacklo_epi16)(cb, cr), k), 16);
	const vec high = V(srai_epi32)(ADD_PRODUCTS(half, V(unpackhi_epi16)(cb, cr), k), 16);
	*r = V(add_epi16)(y, V(add_epi16)(cr, red));
	*g = V(add_epi16)(y, V(sub_epi16)(V(packs_epi32)(low, high), cr));
	*b = V(add_epi16)(y, V(add_epi16)(cb2, blue));
}

static inline void ycc_pixels(vec y, vec cb, vec cr, vec *r, vec *g, vec *b) {
	const vec middle = V(set1_epi16)(128);
	vec r0, g0, b0, r1, g1, b1;
	ycc_half(V(unpacklo_epi8)(y, ZERO), V(sub_epi16)(V(unpacklo_epi8)(cb, ZERO), middle), V(sub_epi16)(V(unpacklo_epi8)(cr, ZERO), middle),
	         &r0, &g0, &b0);
	ycc_half(V(unpackhi_epi8)(y, ZERO), V(sub_epi16)(V(unpackhi_epi8)(cb, ZERO), middle), V(sub_epi16)(V(unpackhi_epi8)(cr, ZERO), middle),
	         &r1, &g1, &b1);
	*r = V(packus_epi16)(r0, r1);
	*g = V(packus_epi16)(g0, g1);
	*b = V(packus_epi16)(b0, b1);
}
