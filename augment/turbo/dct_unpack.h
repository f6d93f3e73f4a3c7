//go:build cgo

// The parts of unpacking a segment that need no vectors. Each tier's file includes it, so
// that it is compiled for the tier.
#ifndef RESSLT_DCT_UNPACK_H
#define RESSLT_DCT_UNPACK_H

#include <string.h>

#include "dct.h"

// What parse_segment finds: the streams whose lengths depend on those before them.
typedef struct {
	int32_t values, bigs; // N and K
	const uint8_t *sign, *is_big, *nibble, *escape, *end;
} segment_streams;

static inline uint64_t load64(const uint8_t *p) {
	uint64_t v;
	memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

// low_bits is a word with its n lowest bits set, n from 0 on.
static inline uint64_t low_bits(int32_t n) { return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1; }

// Of a mask of n bytes: what is kept of a word that begins with it, and the smallest one.
static const uint64_t mask_bits[16] = {0, 0xff, 0xffff, 0xffffff, 0xffffffff, 0xffffffffff, 0xffffffffffff, 0xffffffffffffff, ~(uint64_t)0};
static const uint64_t mask_least[16] = {
	0, 1, 1 << 8, 1 << 16, 1 << 24, (uint64_t)1 << 32, (uint64_t)1 << 40, (uint64_t)1 << 48, (uint64_t)1 << 56, 1, 1, 1, 1, 1, 1, 1,
};

// mask_total is the sum of the nibbles of n bytes, at most 32.
static inline int32_t mask_total(const uint8_t *p, int32_t n) {
	const uint64_t low = 0x0f0f0f0f0f0f0f0f, even = 0x00ff00ff00ff00ff;
	uint64_t sum = 0; // of bytes, each at most 4·2·15
	for (int32_t i = 0; i < n; i += 8) {
		const uint64_t v = load64(p + i) & low_bits(8 * (n - i));
		sum += (v & low) + (v >> 4 & low);
	}
	return (int32_t)(((sum & even) + (sum >> 8 & even)) * 0x0001000100010001 >> 48);
}

// ZIGZAG_BY_ROWS lists F(j, n) for each place of a block, where n is the place's number in
// the zigzag.
#define ZIGZAG_BY_ROWS(F, j)                                                                                                              \
	F(j, 0), F(j, 1), F(j, 5), F(j, 6), F(j, 14), F(j, 15), F(j, 27), F(j, 28), F(j, 2), F(j, 4), F(j, 7), F(j, 13), F(j, 16), F(j, 26),  \
		F(j, 29), F(j, 42), F(j, 3), F(j, 8), F(j, 12), F(j, 17), F(j, 25), F(j, 30), F(j, 41), F(j, 43), F(j, 9), F(j, 11), F(j, 18),    \
		F(j, 24), F(j, 31), F(j, 40), F(j, 44), F(j, 53), F(j, 10), F(j, 19), F(j, 23), F(j, 32), F(j, 39), F(j, 45), F(j, 52), F(j, 54), \
		F(j, 20), F(j, 22), F(j, 33), F(j, 38), F(j, 46), F(j, 51), F(j, 55), F(j, 60), F(j, 21), F(j, 34), F(j, 37), F(j, 47), F(j, 50), \
		F(j, 56), F(j, 59), F(j, 61), F(j, 35), F(j, 36), F(j, 48), F(j, 49), F(j, 57), F(j, 58), F(j, 62), F(j, 63)

// padded_bits says whether the bits after the first n at p, up to the byte's end, are not 0.
static inline int padded_bits(const uint8_t *p, int32_t n) { return (n & 7) != 0 && p[n >> 3] >> (n & 7) != 0; }

// parse_segment reads the streams of a segment up to the values: lengths, masks and DC;
// 0 if they are corrupt.
static inline int parse_segment(dct_segment *s, segment_streams *t, const uint8_t *p, const uint8_t *end, int32_t blocks) {
	const uint8_t *lengths = p;
	const int32_t length_bytes = (blocks + 1) / 2;
	if (end - p < length_bytes + blocks)
		return 0;
	p += length_bytes;
	if (end - p - blocks < mask_total(lengths, length_bytes))
		return 0;
	uint32_t bad = (blocks & 1) ? lengths[blocks / 2] >> 4 : 0;
	uint64_t all = 0;
	int32_t values = 0;
	// Two at a time: the last one may be of the padding nibble, which is 0.
	for (int32_t b = 0; b < blocks; b += 2) {
		const int32_t both = lengths[b >> 1], n = both & 15, next = both >> 4;
		const uint64_t m = load64(p) & mask_bits[n];
		p += n;
		const uint64_t m2 = load64(p) & mask_bits[next];
		p += next;
		bad |= (m < mask_least[n]) | (m2 < mask_least[next]); // also for n > 8
		all |= m | m2;
		s->mask[b] = m;
		s->mask[b + 1] = m2;
		s->first[b] = (uint16_t)values;
		values += __builtin_popcountll(m);
		s->first[b + 1] = (uint16_t)values;
		values += __builtin_popcountll(m2);
	}
	s->first[blocks] = (uint16_t)values;
	bad |= (uint32_t)(all >> 63);
	const int8_t *delta = (const int8_t *)p;
	p += blocks;
	int32_t dc = 0;
	for (int32_t b = 0; b < blocks; b++) {
		if (delta[b] != -128) {
			dc += delta[b];
		} else {
			if (end - p < 2)
				return 0;
			const int32_t v = (int16_t)(uint16_t)(p[0] | p[1] << 8);
			p += 2;
			bad |= (uint32_t)(v - dc + 127) <= 254;
			dc = v;
		}
		bad |= (uint32_t)(dc + 32768) >> 16;
		s->dc[b] = (int16_t)dc;
	}
	if (bad != 0)
		return 0;
	const int32_t bytes = (values + 7) / 8;
	if (end - p < 2 * bytes)
		return 0;
	t->values = values;
	t->sign = p;
	t->is_big = p + bytes;
	t->nibble = p + 2 * bytes;
	if (padded_bits(t->sign, values) || padded_bits(t->is_big, values))
		return 0;
	int32_t bigs = 0;
	for (int32_t i = 0; i < values; i += 64)
		bigs += __builtin_popcountll(load64(t->is_big + i / 8) & low_bits(values - i));
	t->bigs = bigs;
	if (end - t->nibble < (bigs + 1) / 2 || ((bigs & 1) && t->nibble[bigs / 2] >> 4 != 0))
		return 0;
	t->escape = t->nibble + (bigs + 1) / 2;
	t->end = end;
	s->wides = 0;
	return 1;
}

// ESCAPED is the largest byte of E that is a magnitude less 17; bytes from WIDE on are the
// upper bits of a wide one. PLACE stands in the array of big values for a wide one.
enum { ESCAPED = 110, WIDE = 128, PLACE = 0x80 };

// add_escaped completes *big, of which the nibble is 15 and 17 stands there, by the byte *e of
// E, and makes e the next one; 0 if that is corrupt.
static inline int add_escaped(dct_segment *s, uint8_t *big, const uint8_t **e) {
	const uint8_t more = *(*e)++;
	if (more >= WIDE) {
		*big = PLACE;
		s->wide_high[s->wides++] = more;
		return 1;
	}
	*big = (uint8_t)(*big + more);
	return more <= ESCAPED;
}

// add_wide_values puts the wide values of blocks [from, to) into s->coef, where the first
// block is number `from`; 0 if they are corrupt, or not the segment's end. escape is the
// end of E.
static inline int add_wide_values(dct_segment *s, const segment_streams *t, const uint8_t *escape, int32_t from, int32_t to) {
	if (t->end - escape != s->wides)
		return 0;
	int32_t b = from;
	for (int32_t i = 0; i < s->wides; i++) {
		const int32_t at = s->wide_at[i], magnitude = (s->wide_high[i] & 127) << 8 | escape[i];
		if (magnitude < 128)
			return 0;
		if (at < s->first[from] || at >= s->first[to])
			continue;
		while (at >= s->first[b + 1])
			b++;
		uint64_t m = s->mask[b];
		for (int32_t skip = at - s->first[b]; skip > 0; skip--)
			m &= m - 1;
		const int32_t negative = t->sign[at >> 3] >> (at & 7) & 1;
		s->coef[64 * (b - from) + dct_natural[1 + __builtin_ctzll(m)]] = (int16_t)(negative ? -magnitude : magnitude);
	}
	return 1;
}

#endif
