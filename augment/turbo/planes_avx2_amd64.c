//go:build cgo

// The hue shift with AVX2, 32 pixels at a time, with R, G and B in vectors of their own.
// planes_avx512_amd64.c has the arithmetic explained.

#include "avx2_amd64.h"

enum { V = 0, X = 1, P = 2 };

static inline __m256 over(__m256 a, float d) {
	const __m256 inverse = _mm256_set1_ps(1 / d), q = _mm256_mul_ps(a, inverse);
	return _mm256_fmadd_ps(_mm256_fnmadd_ps(q, _mm256_set1_ps(d), a), inverse, q);
}

static inline __m256i saturation_of(__m256 c, __m256 v) {
	const __m256 guess = _mm256_rcp_ps(v);
	const __m256 inverse = _mm256_fmadd_ps(guess, _mm256_fnmadd_ps(v, guess, _mm256_set1_ps(1)), guess);
	return _mm256_cvttps_epi32(_mm256_mul_ps(_mm256_fmadd_ps(c, _mm256_set1_ps(255), _mm256_set1_ps(0.5f)), inverse));
}

// planes are 32 pixels, sixteen in each half.
typedef struct {
	__m256i r, g, b;
} planes;

// select3 has the bytes of a, b and c that three patterns ask for; -1 is none.
static inline __m256i select3(__m256i a, __m128i of_a, __m256i b, __m128i of_b, __m256i c, __m128i of_c) {
	const __m256i x = _mm256_shuffle_epi8(a, _mm256_broadcastsi128_si256(of_a)),
				  y = _mm256_shuffle_epi8(b, _mm256_broadcastsi128_si256(of_b));
	return _mm256_or_si256(_mm256_or_si256(x, y), _mm256_shuffle_epi8(c, _mm256_broadcastsi128_si256(of_c)));
}

#define BYTES(...) _mm_setr_epi8(__VA_ARGS__)

static inline __m256i halves(const uint8_t *lo, const uint8_t *hi) {
	return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)lo)), _mm_loadu_si128((const __m128i *)hi), 1);
}

static inline planes load32px(const uint8_t *px) {
	const __m256i a = halves(px, px + 48), b = halves(px + 16, px + 64), c = halves(px + 32, px + 80);
	return (planes){
		select3(a, BYTES(0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1), b,
		        BYTES(-1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14, -1, -1, -1, -1, -1), c,
		        BYTES(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1, 4, 7, 10, 13)),
		select3(a, BYTES(1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1), b,
		        BYTES(-1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1), c,
		        BYTES(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14)),
		select3(a, BYTES(2, 5, 8, 11, 14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1), b,
		        BYTES(-1, -1, -1, -1, -1, 1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1), c,
		        BYTES(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15)),
	};
}

static inline void store_halves(uint8_t *lo, uint8_t *hi, __m256i v) {
	_mm_storeu_si128((__m128i *)lo, _mm256_castsi256_si128(v));
	_mm_storeu_si128((__m128i *)hi, _mm256_extracti128_si256(v, 1));
}

static inline void store32px(uint8_t *px, planes p) {
	store_halves(px, px + 48,
	             select3(p.r, BYTES(0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5), p.g,
	                     BYTES(-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1), p.b,
	                     BYTES(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1)));
	store_halves(px + 16, px + 64,
	             select3(p.r, BYTES(-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1), p.g,
	                     BYTES(5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10), p.b,
	                     BYTES(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1)));
	store_halves(px + 32, px + 80,
	             select3(p.r, BYTES(-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1), p.g,
	                     BYTES(-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1), p.b,
	                     BYTES(10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15)));
}

typedef struct {
	__m256i lo, hi;
} words;

static inline words widen(__m256i bytes) {
	const __m256i zero = _mm256_setzero_si256();
	return (words){_mm256_unpacklo_epi8(bytes, zero), _mm256_unpackhi_epi8(bytes, zero)};
}

static inline __m256i quarter(words w, int q) {
	const __m256i half = q < 2 ? w.lo : w.hi, zero = _mm256_setzero_si256();
	return q % 2 == 0 ? _mm256_unpacklo_epi16(half, zero) : _mm256_unpackhi_epi16(half, zero);
}

static inline words join(const __m256i quarters[4]) {
	return (words){_mm256_packs_epi32(quarters[0], quarters[1]), _mm256_packs_epi32(quarters[2], quarters[3])};
}

static inline __m256i narrow(words w) { return _mm256_packus_epi16(w.lo, w.hi); }

static inline void turned(__m256i h8, int32_t shift, __m256i *sextant, __m256i *f) {
	const __m256i byte = _mm256_set1_epi16(0xff), one = _mm256_set1_epi16(1);
	const __m256i h = _mm256_and_si256(_mm256_add_epi16(h8, _mm256_set1_epi16((int16_t)shift)), byte);
	const __m256i six = _mm256_mullo_epi16(h, _mm256_set1_epi16(6));
	*sextant = _mm256_mulhi_epu16(_mm256_add_epi16(six, one), _mm256_set1_epi16(257));
	const __m256i m = _mm256_sub_epi16(six, _mm256_mullo_epi16(*sextant, byte));
	const __m256i odd = _mm256_cmpeq_epi16(_mm256_and_si256(*sextant, one), one);
	*f = _mm256_blendv_epi8(_mm256_sub_epi16(byte, m), m, odd);
}

static inline __m256i smallest(__m256i v, __m256i s) {
	const __m256i p = _mm256_mullo_epi16(v, _mm256_sub_epi16(_mm256_set1_epi16(0xff), s));
	const __m256i p255 = _mm256_add_epi16(p, _mm256_set1_epi16(127));
	const __m256i sum = _mm256_add_epi16(_mm256_add_epi16(p255, _mm256_set1_epi16(1)), _mm256_srli_epi16(p255, 8));
	return _mm256_srli_epi16(sum, 8);
}

// choose is a channel: of v, x and p the one that from says for the sextant.
static inline __m256i choose(__m256i sextant, __m128i from, __m256i v, __m256i x, __m256i p) {
	const __m256i which = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(from), sextant);
	const __m256i vx = _mm256_blendv_epi8(v, x, _mm256_cmpeq_epi8(which, _mm256_set1_epi8(X)));
	return _mm256_blendv_epi8(vx, p, _mm256_cmpeq_epi8(which, _mm256_set1_epi8(P)));
}

static inline __m256i both(__m256i a, __m256i b) { return _mm256_and_si256(a, b); }
static inline __m256i but_not(__m256i a, __m256i b) { return _mm256_andnot_si256(b, a); }

static inline planes shifted(planes px, int32_t shift) {
	const __m256i r = px.r, g = px.g, b = px.b;
	const __m256i hi = _mm256_max_epu8(r, _mm256_max_epu8(g, b)), lo = _mm256_min_epu8(r, _mm256_min_epu8(g, b));
	const __m256i grey = _mm256_cmpeq_epi8(hi, lo);
	const __m256i rmax = _mm256_cmpeq_epi8(r, hi), gmax = but_not(_mm256_cmpeq_epi8(g, hi), rmax), rgmax = _mm256_or_si256(rmax, gmax);
	const __m256i bmin = _mm256_cmpeq_epi8(b, lo), rmin = _mm256_cmpeq_epi8(r, lo), b_rmin = but_not(rmin, rgmax);
	__m256i mid = _mm256_blendv_epi8(r, g, _mm256_or_si256(both(rmax, bmin), b_rmin));
	mid = _mm256_blendv_epi8(mid, b, but_not(rgmax, bmin));
	// The six cases: R max, B min 0, else 1; G max 2 or 3; B max, R min 4, else 5.
	__m256i which = _mm256_blendv_epi8(_mm256_set1_epi8(5), _mm256_set1_epi8(4), rmin);
	which = _mm256_blendv_epi8(which, _mm256_add_epi8(_mm256_set1_epi8(3), bmin), gmax);
	which = _mm256_blendv_epi8(which, _mm256_add_epi8(_mm256_set1_epi8(1), bmin), rmax);
	const __m256 base = _mm256_setr_ps(1, -1, 1, 3, 3, 5, 0, 0), sign = _mm256_setr_ps(-1, 1, 1, -1, 1, -1, 0, 0);

	const words d16 = widen(_mm256_sub_epi8(hi, mid)), c16 = widen(_mm256_sub_epi8(hi, lo)), v16 = widen(hi), w16 = widen(which);
	__m256 v[4];
	__m256i h4[4], s4[4], x4[4];
	for (int q = 0; q < 4; q++) {
		const __m256 c = _mm256_cvtepi32_ps(quarter(c16, q));
		const __m256 ratio = _mm256_div_ps(_mm256_cvtepi32_ps(quarter(d16, q)), c);
		const __m256i at = quarter(w16, q);
		__m256 h = over(_mm256_fmadd_ps(_mm256_permutevar8x32_ps(sign, at), ratio, _mm256_permutevar8x32_ps(base, at)), 6);
		h = _mm256_add_ps(h, _mm256_and_ps(_mm256_cmp_ps(h, _mm256_setzero_ps(), _CMP_LT_OQ), _mm256_set1_ps(1)));
		h4[q] = _mm256_cvttps_epi32(_mm256_mul_ps(h, _mm256_set1_ps(255)));
		v[q] = _mm256_cvtepi32_ps(quarter(v16, q));
		s4[q] = saturation_of(c, v[q]);
	}
	const words h8 = join(h4), s = join(s4);
	words sextant, f, rest;
	turned(h8.lo, shift, &sextant.lo, &f.lo);
	turned(h8.hi, shift, &sextant.hi, &f.hi);
	const __m256i all = _mm256_set1_epi16((int16_t)65025);
	rest.lo = _mm256_sub_epi16(all, _mm256_mullo_epi16(s.lo, f.lo));
	rest.hi = _mm256_sub_epi16(all, _mm256_mullo_epi16(s.hi, f.hi));
	for (int q = 0; q < 4; q++)
		x4[q] = _mm256_cvtps_epi32(over(_mm256_mul_ps(v[q], _mm256_cvtepi32_ps(quarter(rest, q))), 65025));
	const __m256i x = narrow(join(x4)), six = narrow(sextant);
	const __m256i p = narrow((words){smallest(v16.lo, s.lo), smallest(v16.hi, s.hi)});
	const planes out = {
		choose(six, BYTES(V, X, P, P, X, V, V, 0, 0, 0, 0, 0, 0, 0, 0, 0), hi, x, p),
		choose(six, BYTES(X, V, V, X, P, P, X, 0, 0, 0, 0, 0, 0, 0, 0, 0), hi, x, p),
		choose(six, BYTES(P, P, X, V, V, X, P, 0, 0, 0, 0, 0, 0, 0, 0, 0), hi, x, p),
	};
	return (planes){_mm256_blendv_epi8(out.r, r, grey), _mm256_blendv_epi8(out.g, g, grey), _mm256_blendv_epi8(out.b, b, grey)};
}

void avx2_hue(uint8_t *px, size_t pixels, int32_t shift) {
	size_t i = 0;
	for (; i + 32 <= pixels; i += 32)
		store32px(px + 3 * i, shifted(load32px(px + 3 * i), shift));
	scalar_hue(px + 3 * i, pixels - i, shift);
}

END_OF_TIER
