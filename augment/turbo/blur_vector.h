//go:build cgo

// The blur for any width of vector: the including file defines VEC and its
// operations. Pairs of taps are multiplied and added at once (pmaddwd), 16-bit
// values by 16-bit weights: of a row, sums of the bytes left and right; of
// columns, sums of the Q6 values above and below, at most 2·16320 < 2^15.

// lanes16 is the number of 16-bit values in a vector.
enum { LANES16 = sizeof(VEC) / 2 };

// A row of mid is padded to whole vectors.
static inline size_t blur_row(int32_t size) { return ((size_t)size * 3 + LANES16 - 1) / LANES16 * LANES16; }

// blur_rows is how many rows of mid are kept, a power of two: those that a row of the result
// is made of.
static inline size_t blur_rows(int32_t radius) {
	size_t rows = 1;
	while (rows < 2 * (size_t)radius + 1)
		rows *= 2;
	return rows;
}

// blur_room is mid, (blur_rows, blur_row) int16, and a row with its edges repeated.
static inline size_t blur_room(int32_t size, int32_t radius) {
	return 2 * blur_row(size) * blur_rows(radius) + 2 * (blur_row(size) + 6 * (size_t)radius + 2 * LANES16) + 64;
}

// weighted is one vector of sums (two halves, as unpack leaves them) over taps
// at distance ≤ radius: minus[i] and plus[i] are the values i away.
#define WEIGHTED(LO, HI, CENTRE, MINUS, PLUS)                                                 \
	do {                                                                                      \
		VEC w_even = (CENTRE);                                                                \
		for (int32_t i = 0; i <= radius; i += 2) {                                            \
			if (i > 0)                                                                        \
				w_even = ADD16(MINUS(i), PLUS(i));                                            \
			const VEC w_odd = i < radius ? ADD16(MINUS(i + 1), PLUS(i + 1)) : ZERO();         \
			const VEC pair = SET32(k->weight[i] | (i < radius ? k->weight[i + 1] : 0) << 16); \
			LO = MULTIPLY_ADD(LO, UNPACKLO16(w_even, w_odd), pair);                           \
			HI = MULTIPLY_ADD(HI, UNPACKHI16(w_even, w_odd), pair);                           \
		}                                                                                     \
	} while (0)

// blur_across filters a row of n bytes into a row of mid. line is scratch.
static inline void blur_across(int16_t *mid, const uint8_t *row, size_t n, const blur_kernel *k, int16_t *line) {
	const int32_t radius = k->radius;
	const size_t pad = 3 * (size_t)radius;
	for (size_t x = 0; x < n; x++)
		line[pad + x] = row[x];
	for (size_t x = 0; x < pad; x++) {
		line[x] = row[x % 3];
		line[pad + n + x] = row[n - 3 + x % 3];
	}
	for (size_t x = 0; x < n; x += LANES16) {
		VEC lo = SET32(1 << (BLUR_BITS - BLUR_MID_BITS - 1)), hi = lo;
		const int16_t *at = line + pad + x;
#define MINUS(i) LOADU(at - 3 * (i))
#define PLUS(i) LOADU(at + 3 * (i))
		WEIGHTED(lo, hi, LOADU(at), MINUS, PLUS);
#undef MINUS
#undef PLUS
		STOREU(mid + x, PACK32(SRAI32(lo, BLUR_BITS - BLUR_MID_BITS), SRAI32(hi, BLUR_BITS - BLUR_MID_BITS)));
	}
}

// blur_down filters row y of px from the rows of mid.
static inline void blur_down(uint8_t *px, int32_t y, int32_t size, const blur_kernel *k, const int16_t *mid) {
	const size_t n = (size_t)size * 3, stride = blur_row(size), kept = blur_rows(k->radius) - 1;
	const int32_t radius = k->radius;
	const int16_t *above[MAX_RADIUS + 1], *below[MAX_RADIUS + 1];
	for (int32_t i = 0; i <= radius; i++) {
		above[i] = mid + stride * ((size_t)(y - i > 0 ? y - i : 0) & kept);
		below[i] = mid + stride * ((size_t)(y + i < size ? y + i : size - 1) & kept);
	}
	for (size_t x = 0; x < n; x += LANES16) {
		VEC lo = SET32(1 << (BLUR_BITS + BLUR_MID_BITS - 1)), hi = lo;
#define MINUS(i) LOADU(above[i] + x)
#define PLUS(i) LOADU(below[i] + x)
		WEIGHTED(lo, hi, LOADU(above[0] + x), MINUS, PLUS);
#undef MINUS
#undef PLUS
		const VEC out = PACK32(SRAI32(lo, BLUR_BITS + BLUR_MID_BITS), SRAI32(hi, BLUR_BITS + BLUR_MID_BITS));
		uint8_t *to = px + (size_t)y * n + x;
		if (n - x >= LANES16) {
			STORE_BYTES(to, out);
		} else {
			uint8_t end[LANES16];
			STORE_BYTES(end, out);
			memcpy(to, end, n - x);
		}
	}
}

// blur_vector filters a row across just before the first row that needs it goes down, so that
// mid stays in the nearest cache.
static void blur_vector(uint8_t *px, int32_t size, const blur_kernel *k, uint8_t *room) {
	const size_t n = (size_t)size * 3, stride = blur_row(size), rows = blur_rows(k->radius);
	int16_t *mid = (int16_t *)room, *line = mid + stride * rows;
	int32_t next = 0;
	for (int32_t y = 0; y < size; y++) {
		for (; next < size && next <= y + k->radius; next++)
			blur_across(mid + stride * ((size_t)next & (rows - 1)), px + (size_t)next * n, n, k, line);
		blur_down(px, y, size, k, mid);
	}
}
