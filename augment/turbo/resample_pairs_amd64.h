//go:build cgo

// Resampling by multiply-adds of pairs of taps. A Q22 coefficient is lo + 2^16·hi, lo of 16
// bits with sign, hi of eight. Σ lo·v is made of words in 32 bits (pmaddwd). Σ hi·v is made of
// bytes in 16 (pmaddubsw, whose sums of two stay below 2^15, since no filter has a pair of
// weights that come to 2): it counts from bit 16 on, so what falls out of its 16 bits falls
// out of the sum, which the reference keeps in 32 and which fits them. Then, rounding
// included,
//
//	sum >> 22 = ((Σ lo·v >> 16) + Σ hi·v) >> 6
//
// Across takes sixteen rows at a time, and turns them so that its lanes are rows: then every
// lane has the same taps and nothing is summed across lanes. Its sums are turned back into
// pairs of rows, which are the pairs of taps that down needs.
//
//	strip: 32 bytes for each channel of each pair of pixels: for each row, the two pixels'
//	mid:   pair b holds rows 2b and 2b+1; byte 2·x + r of it is byte x of row 2b+r
//
// Included by each tier that has them.

enum {
	LOW_BITS = 16,
	PIXELS = 8, // across turns back so many outputs at once: 24 columns
};

// The taps of an output as pairs that begin at even source pixels: what is broadcast of each
// are the words of lo, and twice the bytes of hi.
typedef struct {
	int32_t pair, pairs;
	const int32_t (*coef)[2];
} taps;

// pair_bytes is a pair of rows of mid, in whole vectors of down.
static inline size_t pair_bytes(int32_t size) { return ((size_t)size * 3 + 31) / 32 * 64; }

// turn_back writes eight columns, sixteen rows each as words, to eight pairs of rows.
static inline void turn_back(uint8_t *mid, size_t stride, const __m256i *column) {
	const __m256i q0 = _mm256_packus_epi16(column[0], column[1]), q1 = _mm256_packus_epi16(column[2], column[3]);
	const __m256i q2 = _mm256_packus_epi16(column[4], column[5]), q3 = _mm256_packus_epi16(column[6], column[7]);
	const __m256i a0 = _mm256_unpacklo_epi16(q0, q1), a1 = _mm256_unpackhi_epi16(q0, q1);
	const __m256i b0 = _mm256_unpacklo_epi16(q2, q3), b1 = _mm256_unpackhi_epi16(q2, q3);
	const __m256i m0 = _mm256_unpacklo_epi16(a0, a1), m1 = _mm256_unpackhi_epi16(a0, a1);
	const __m256i n0 = _mm256_unpacklo_epi16(b0, b1), n1 = _mm256_unpackhi_epi16(b0, b1);
	const __m256i out[4] = {_mm256_unpacklo_epi64(m0, n0), _mm256_unpackhi_epi64(m0, n0), _mm256_unpacklo_epi64(m1, n1),
	                        _mm256_unpackhi_epi64(m1, n1)};
	for (size_t r = 0; r < 4; r++) {
		_mm_storeu_si128((__m128i *)(mid + stride * r), _mm256_castsi256_si128(out[r]));
		_mm_storeu_si128((__m128i *)(mid + stride * (r + 4)), _mm256_extracti128_si256(out[r], 1));
	}
}

// sums are those of sixteen values: lo·v of the first and the second eight in each 128 bits,
// and hi·v.
typedef struct {
	__m256i lo0, lo1, hi;
} sums;

static inline sums nothing(void) {
	const __m256i half = _mm256_set1_epi32(1 << (RESAMPLE_BITS - 1));
	return (sums){half, half, _mm256_setzero_si256()};
}

// add adds a pair of taps of sixteen values, whose bytes alternate at p.
static inline void add(sums *s, const uint8_t *p, __m256i lo, __m256i hi) {
	const __m256i v = _mm256_loadu_si256((const __m256i *)p), zero = _mm256_setzero_si256();
	s->lo0 = DOT(s->lo0, _mm256_unpacklo_epi8(v, zero), lo);
	s->lo1 = DOT(s->lo1, _mm256_unpackhi_epi8(v, zero), lo);
	s->hi = _mm256_add_epi16(s->hi, _mm256_maddubs_epi16(v, hi));
}

// total is the sums without their fraction, as words.
static inline __m256i total(const sums *s) {
	const __m256i lo = _mm256_packs_epi32(_mm256_srai_epi32(s->lo0, LOW_BITS), _mm256_srai_epi32(s->lo1, LOW_BITS));
	return _mm256_srai_epi16(_mm256_add_epi16(lo, s->hi), RESAMPLE_BITS - LOW_BITS);
}

// output is one of across: three columns of sixteen rows.
static inline void output(__m256i column[3], const uint8_t *strip, const taps *t) {
	sums r = nothing(), g = r, b = r;
	const uint8_t *at = strip + 96 * (size_t)t->pair;
	for (int32_t j = 0; j < t->pairs; j++, at += 96) {
		const __m256i lo = _mm256_set1_epi32(t->coef[j][0]), hi = _mm256_set1_epi32(t->coef[j][1]);
		add(&r, at, lo, hi);
		add(&g, at + 32, lo, hi);
		add(&b, at + 64, lo, hi);
	}
	column[0] = total(&r), column[1] = total(&g), column[2] = total(&b);
}

void TIER(across)(uint8_t *mid, uint8_t *room, const uint8_t *src, size_t stride, int32_t y, int32_t n, const axis *a) {
	const size_t pair = pair_bytes(a->size);
	mid += pair * (size_t)(y / 2);
	src += stride * (size_t)y;
	for (int32_t top = 0; top < n; top += STRIP, mid += pair * (STRIP / 2)) {
		const uint8_t *row[STRIP];
		for (int32_t r = 0; r < STRIP; r++)
			row[r] = src + stride * (size_t)(top + r < n ? top + r : n - 1);
		avx2_turn(room, row, a->span);
		const taps *t = a->table;
		for (int32_t i = 0; i < a->size; i += PIXELS) {
			__m256i column[3 * PIXELS];
			const int32_t m = a->size - i < PIXELS ? a->size - i : PIXELS;
			for (int32_t o = 0; o < m; o++, t++)
				output(column + 3 * o, room, t);
			for (int32_t c = 3 * m; c < 3 * PIXELS; c++)
				column[c] = _mm256_setzero_si256();
			for (int32_t c = 0; c < 3 * m; c += 8)
				turn_back(mid + 6 * (size_t)i + 2 * (size_t)c, pair, column + c);
		}
	}
}

// store writes the first of 32 bytes that a row of n has from x on.
static inline void store(uint8_t *dst, size_t x, size_t n, __m256i out) {
	if (n - x >= 32) {
		_mm256_storeu_si256((__m256i *)(dst + x), out);
		return;
	}
	uint8_t end[32];
	_mm256_storeu_si256((__m256i *)end, out);
	memcpy(dst + x, end, n - x);
}

void TIER(down)(uint8_t *dst, const uint8_t *mid, int32_t from, int32_t to, int32_t size, const axis *a) {
	const size_t n = (size_t)size * 3, pair = pair_bytes(size);
	const taps *t = (const taps *)a->table + from;
	for (int32_t i = from; i < to; i++, t++) {
		const uint8_t *top = mid + pair * (size_t)t->pair;
		uint8_t *out = dst + n * (size_t)i;
		for (size_t x = 0; x < n; x += 32) {
			sums left = nothing(), right = left;
			const uint8_t *at = top + 2 * x;
			for (int32_t j = 0; j < t->pairs; j++, at += pair) {
				const __m256i lo = _mm256_set1_epi32(t->coef[j][0]), hi = _mm256_set1_epi32(t->coef[j][1]);
				add(&left, at, lo, hi);
				add(&right, at + 32, lo, hi);
			}
			store(out, x, n, _mm256_permute4x64_epi64(_mm256_packus_epi16(total(&left), total(&right)), 0xd8));
		}
	}
}
