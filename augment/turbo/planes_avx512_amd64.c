//go:build cgo

// Steps with AVX-512, 64 pixels at a time, with R, G and B in vectors of their own: a table for
// each channel, and the hue shift. That compares and chooses in bytes, has fixed point in words,
// and only the quotients in float32.
//
// Hue makes the same float32 operations as scalar_hue, which are exact or rounded by IEEE 754
// whatever the width, and the integer divisions of fromHSV as float32 ones: their operands are
// integers below 2^24 and no quotient comes near enough to the next integer, or to a tie, to be
// rounded over it.

#include "avx512_amd64.h"

// The largest value of a pixel, the middle one shifted, and the smallest.
enum { V = 0, X = 1, P = 2 };

// over is a / d for a constant d: a product with its rounded inverse, corrected by what
// that leaves. It is the quotient that IEEE 754 asks for, on all of hue's operands.
static inline __m512 over(__m512 a, float d) {
	const __m512 inverse = _mm512_set1_ps(1 / d), q = _mm512_mul_ps(a, inverse);
	return _mm512_fmadd_ps(_mm512_fnmadd_ps(q, _mm512_set1_ps(d), a), inverse, q);
}

// saturation_of is ⌊255·c/v⌋ for 0 ≤ c ≤ v < 256. (255·c + 1/2)/v is at least 1/510 away
// from every integer, so an inverse good to 17 bits serves: an estimate and one step.
static inline __m512i saturation_of(__m512 c, __m512 v) {
	const __m512 guess = _mm512_rcp14_ps(v);
	const __m512 inverse = _mm512_fmadd_ps(guess, _mm512_fnmadd_ps(v, guess, _mm512_set1_ps(1)), guess);
	return _mm512_cvttps_epi32(_mm512_mul_ps(_mm512_fmadd_ps(c, _mm512_set1_ps(255), _mm512_set1_ps(0.5f)), inverse));
}

// planes are 64 pixels.
typedef struct {
	__m512i r, g, b;
} planes;

// every[c][i] is 3·i + c, where in 192 bytes pixel i has channel c.
static const uint8_t every[3][64] __attribute__((aligned(64))) = {
#define ROW(c, i) 3 * (i) + (c), 3 * (i) + (c) + 3, 3 * (i) + (c) + 6, 3 * (i) + (c) + 9
#define ROWS(c)                                                                                      \
	{ROW(c, 0),  ROW(c, 4),  ROW(c, 8),  ROW(c, 12), ROW(c, 16), ROW(c, 20), ROW(c, 24), ROW(c, 28), \
	 ROW(c, 32), ROW(c, 36), ROW(c, 40), ROW(c, 44), ROW(c, 48), ROW(c, 52), ROW(c, 56), ROW(c, 60)}
	ROWS(0), ROWS(1), ROWS(2)
#undef ROWS
#undef ROW
};

static inline __m512i plane(__m512i a, __m512i b, __m512i c, int channel) {
	const __m512i at = _mm512_load_si512(every[channel]);
	// Those from 128 on are c's; vpermb takes an index modulo 64.
	return _mm512_mask_permutexvar_epi8(_mm512_permutex2var_epi8(a, at, b), _mm512_movepi8_mask(at), at, c);
}

static inline planes load64(const uint8_t *px) {
	const __m512i a = _mm512_loadu_si512(px), b = _mm512_loadu_si512(px + 64), c = _mm512_loadu_si512(px + 128);
	return (planes){plane(a, b, c, 0), plane(a, b, c, 1), plane(a, b, c, 2)};
}

static inline void store64(uint8_t *px, planes p) {
	// Byte i of the k-th vector is of pixel (64·k + i) / 3 and channel (64·k + i) % 3.
	const __mmask64 first = 0x9249249249249249, second = first << 1, third = first << 2;
	static const uint8_t pixel[3][64] __attribute__((aligned(64))) = {
#define THREE(i) (i), (i), (i)
#define TWELVE(i) THREE(i), THREE((i) + 1), THREE((i) + 2), THREE((i) + 3)
		{TWELVE(0), TWELVE(4), TWELVE(8), TWELVE(12), TWELVE(16), 20, 20, 20, 21},
		{21, 21, TWELVE(22), TWELVE(26), TWELVE(30), TWELVE(34), TWELVE(38), 42, 42},
		{42, TWELVE(43), TWELVE(47), TWELVE(51), TWELVE(55), TWELVE(59), 63, 63, 63},
#undef TWELVE
#undef THREE
	};
	const __mmask64 g[3] = {second, first, third}, b[3] = {third, second, first};
	for (int k = 0; k < 3; k++) {
		const __m512i at = _mm512_load_si512(pixel[k]);
		__m512i out = _mm512_permutexvar_epi8(at, p.r);
		out = _mm512_mask_permutexvar_epi8(out, g[k], at, p.g);
		out = _mm512_mask_permutexvar_epi8(out, b[k], at, p.b);
		_mm512_storeu_si512(px + 64 * k, out);
	}
}

// looked_up is the table's bytes at v.
static inline __m512i looked_up(const uint8_t lut[256], __m512i v) {
	const __m512i low = _mm512_permutex2var_epi8(_mm512_loadu_si512(lut), v, _mm512_loadu_si512(lut + 64));
	const __m512i high = _mm512_permutex2var_epi8(_mm512_loadu_si512(lut + 128), v, _mm512_loadu_si512(lut + 192));
	return _mm512_mask_blend_epi8(_mm512_movepi8_mask(v), low, high);
}

void avx512_lut3(uint8_t *px, size_t pixels, const uint8_t lut[3][256]) {
	size_t i = 0;
	for (; i + 64 <= pixels; i += 64) {
		const planes p = load64(px + 3 * i);
		store64(px + 3 * i, (planes){looked_up(lut[0], p.r), looked_up(lut[1], p.g), looked_up(lut[2], p.b)});
	}
	scalar_lut3(px + 3 * i, pixels - i, lut);
}

// words are 64 bytes as words, and quarters as 32 bits, in the order in which unpacking leaves
// them and packing restores it.
typedef struct {
	__m512i lo, hi;
} words;

static inline words widen(__m512i bytes) {
	const __m512i zero = _mm512_setzero_si512();
	return (words){_mm512_unpacklo_epi8(bytes, zero), _mm512_unpackhi_epi8(bytes, zero)};
}

static inline __m512i quarter(words w, int q) {
	const __m512i half = q < 2 ? w.lo : w.hi, zero = _mm512_setzero_si512();
	return q % 2 == 0 ? _mm512_unpacklo_epi16(half, zero) : _mm512_unpackhi_epi16(half, zero);
}

static inline words join(const __m512i quarters[4]) {
	return (words){_mm512_packs_epi32(quarters[0], quarters[1]), _mm512_packs_epi32(quarters[2], quarters[3])};
}

static inline __m512i narrow(words w) { return _mm512_packus_epi16(w.lo, w.hi); }

// turned is the hue of hue_of, h8, shifted and divided: the sextant, and what f of fromHSV
// multiplies s by.
static inline void turned(__m512i h8, int32_t shift, __m512i *sextant, __m512i *f) {
	const __m512i byte = _mm512_set1_epi16(0xff), one = _mm512_set1_epi16(1);
	const __m512i h = _mm512_and_si512(_mm512_add_epi16(h8, _mm512_set1_epi16((int16_t)shift)), byte);
	const __m512i six = _mm512_mullo_epi16(h, _mm512_set1_epi16(6));
	// ⌊six/255⌋, since six < 6·255 + 1.
	*sextant = _mm512_mulhi_epu16(_mm512_add_epi16(six, one), _mm512_set1_epi16(257));
	const __m512i m = _mm512_sub_epi16(six, _mm512_mullo_epi16(*sextant, byte));
	*f = _mm512_mask_sub_epi16(m, _mm512_testn_epi16_mask(*sextant, one), byte, m);
}

// smallest is v·(255-s)/255, rounded.
static inline __m512i smallest(__m512i v, __m512i s) {
	const __m512i p = _mm512_mullo_epi16(v, _mm512_sub_epi16(_mm512_set1_epi16(0xff), s));
	const __m512i p255 = _mm512_add_epi16(p, _mm512_set1_epi16(127));
	const __m512i sum = _mm512_add_epi16(_mm512_add_epi16(p255, _mm512_set1_epi16(1)), _mm512_srli_epi16(p255, 8));
	return _mm512_srli_epi16(sum, 8);
}

// choose is a channel: of v, x and p the one that from says for the sextant.
static inline __m512i choose(__m512i sextant, __m128i from, __m512i v, __m512i x, __m512i p) {
	const __m512i which = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(from), sextant);
	const __m512i vx = _mm512_mask_mov_epi8(v, _mm512_test_epi8_mask(which, _mm512_set1_epi8(X)), x);
	return _mm512_mask_mov_epi8(vx, _mm512_test_epi8_mask(which, _mm512_set1_epi8(P)), p);
}

static inline planes shifted(planes px, int32_t shift) {
	const __m512i r = px.r, g = px.g, b = px.b;
	const __m512i hi = _mm512_max_epu8(r, _mm512_max_epu8(g, b)), lo = _mm512_min_epu8(r, _mm512_min_epu8(g, b));
	const __mmask64 grey = _mm512_cmpeq_epi8_mask(hi, lo);

	// h = base ± x/c, x the distance of the middle value from the maximum: six cases.
	const __mmask64 rmax = _mm512_cmpeq_epi8_mask(r, hi), gmax = _mm512_mask_cmpeq_epi8_mask(~rmax, g, hi), bmax = ~(rmax | gmax);
	const __mmask64 bmin = _mm512_cmpeq_epi8_mask(b, lo), rmin = _mm512_cmpeq_epi8_mask(r, lo);
	__m512i mid = _mm512_mask_mov_epi8(r, (rmax & bmin) | (bmax & rmin), g);
	mid = _mm512_mask_mov_epi8(mid, (rmax | gmax) & ~bmin, b);
	__m512i which = _mm512_maskz_mov_epi8(rmax & ~bmin, _mm512_set1_epi8(1));
	which = _mm512_mask_mov_epi8(which, gmax & bmin, _mm512_set1_epi8(2));
	which = _mm512_mask_mov_epi8(which, gmax & ~bmin, _mm512_set1_epi8(3));
	which = _mm512_mask_mov_epi8(which, bmax & rmin, _mm512_set1_epi8(4));
	which = _mm512_mask_mov_epi8(which, bmax & ~rmin, _mm512_set1_epi8(5));
	const __m512 base = _mm512_setr_ps(1, -1, 1, 3, 3, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	const __m512 sign = _mm512_setr_ps(-1, 1, 1, -1, 1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

	const words d16 = widen(_mm512_sub_epi8(hi, mid)), c16 = widen(_mm512_sub_epi8(hi, lo)), v16 = widen(hi), w16 = widen(which);
	__m512 v[4];
	__m512i h4[4], s4[4], x4[4];
	for (int q = 0; q < 4; q++) {
		const __m512 c = _mm512_cvtepi32_ps(quarter(c16, q));
		const __m512 ratio = _mm512_div_ps(_mm512_cvtepi32_ps(quarter(d16, q)), c);
		const __m512i at = quarter(w16, q);
		__m512 h = over(_mm512_fmadd_ps(_mm512_permutexvar_ps(at, sign), ratio, _mm512_permutexvar_ps(at, base)), 6);
		h = _mm512_mask_add_ps(h, _mm512_cmp_ps_mask(h, _mm512_setzero_ps(), _CMP_LT_OQ), h, _mm512_set1_ps(1));
		h4[q] = _mm512_cvttps_epi32(_mm512_mul_ps(h, _mm512_set1_ps(255)));
		v[q] = _mm512_cvtepi32_ps(quarter(v16, q));
		s4[q] = saturation_of(c, v[q]);
	}
	const words h8 = join(h4), s = join(s4);
	words sextant, f, rest;
	turned(h8.lo, shift, &sextant.lo, &f.lo);
	turned(h8.hi, shift, &sextant.hi, &f.hi);
	const __m512i all = _mm512_set1_epi16((int16_t)65025);
	rest.lo = _mm512_sub_epi16(all, _mm512_mullo_epi16(s.lo, f.lo));
	rest.hi = _mm512_sub_epi16(all, _mm512_mullo_epi16(s.hi, f.hi));
	for (int q = 0; q < 4; q++)
		x4[q] = _mm512_cvtps_epi32(over(_mm512_mul_ps(v[q], _mm512_cvtepi32_ps(quarter(rest, q))), 65025));
	const __m512i x = narrow(join(x4)), six = narrow(sextant);
	const __m512i p = narrow((words){smallest(v16.lo, s.lo), smallest(v16.hi, s.hi)});

	// Where R, G and B of a sextant come from; sextant 6 is 0 again.
	const planes out = {
		choose(six, _mm_setr_epi8(V, X, P, P, X, V, V, 0, 0, 0, 0, 0, 0, 0, 0, 0), hi, x, p),
		choose(six, _mm_setr_epi8(X, V, V, X, P, P, X, 0, 0, 0, 0, 0, 0, 0, 0, 0), hi, x, p),
		choose(six, _mm_setr_epi8(P, P, X, V, V, X, P, 0, 0, 0, 0, 0, 0, 0, 0, 0), hi, x, p),
	};
	return (planes){_mm512_mask_mov_epi8(out.r, grey, r), _mm512_mask_mov_epi8(out.g, grey, g), _mm512_mask_mov_epi8(out.b, grey, b)};
}

void avx512_hue(uint8_t *px, size_t pixels, int32_t shift) {
	size_t i = 0;
	for (; i + 64 <= pixels; i += 64)
		store64(px + 3 * i, shifted(load64(px + 3 * i), shift));
	scalar_hue(px + 3 * i, pixels - i, shift);
}

END_OF_TIER
