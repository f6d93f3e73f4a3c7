//go:build cgo

// dct_idct.h's transform by vectors, BLOCKS blocks at a time: lane i of 128 bits is of block
// i. A tier's file includes it after vec, V, ZERO, ADD_PRODUCTS, BLOCKS, LOAD_QUANT,
// load_rows and store_rows.

#define ALWAYS static inline __attribute__((always_inline))

// pair is the coefficients of two terms, for vectors in which these alternate.
ALWAYS vec pair(int a, int b) { return V(set1_epi32)((int)((uint32_t)(uint16_t)a | (uint32_t)(uint16_t)b << 16)); }

// half_transform makes eight outputs of four lines, as 32-bit words, of the `terms` first
// terms (the others are zero); high takes lines 4 to 7 instead of 0 to 3.
ALWAYS void half_transform(vec out[8], const vec x[8], int terms, int high, vec round, int shift) {
#define PAIR(a, b) (high ? V(unpackhi_epi16)(x[a], x[b]) : V(unpacklo_epi16)(x[a], x[b]))
	vec e0, e1, e2, e3, o0, o1, o2, o3;
	if (terms == 8) {
		const vec x04 = PAIR(0, 4), x26 = PAIR(2, 6);
		const vec sum = ADD_PRODUCTS(round, x04, pair(IDCT_ONE, IDCT_ONE)),
				  difference = ADD_PRODUCTS(round, x04, pair(IDCT_ONE, -IDCT_ONE));
		const vec a = V(madd_epi16)(x26, pair(E0_2, E0_6)), b = V(madd_epi16)(x26, pair(E1_2, E1_6));
		e0 = V(add_epi32)(sum, a), e3 = V(sub_epi32)(sum, a);
		e1 = V(add_epi32)(difference, b), e2 = V(sub_epi32)(difference, b);
	} else {
		const vec x02 = PAIR(0, 2);
		e0 = ADD_PRODUCTS(round, x02, pair(IDCT_ONE, E0_2)), e3 = ADD_PRODUCTS(round, x02, pair(IDCT_ONE, -E0_2));
		e1 = ADD_PRODUCTS(round, x02, pair(IDCT_ONE, E1_2)), e2 = ADD_PRODUCTS(round, x02, pair(IDCT_ONE, -E1_2));
	}
	const vec x13 = PAIR(1, 3);
	o0 = V(madd_epi16)(x13, pair(O0_1, O0_3)), o1 = V(madd_epi16)(x13, pair(O1_1, O1_3));
	o2 = V(madd_epi16)(x13, pair(O2_1, O2_3)), o3 = V(madd_epi16)(x13, pair(O3_1, O3_3));
	if (terms == 8) {
		const vec x57 = PAIR(5, 7);
		o0 = ADD_PRODUCTS(o0, x57, pair(O0_5, O0_7)), o1 = ADD_PRODUCTS(o1, x57, pair(O1_5, O1_7));
		o2 = ADD_PRODUCTS(o2, x57, pair(O2_5, O2_7)), o3 = ADD_PRODUCTS(o3, x57, pair(O3_5, O3_7));
	}
#undef PAIR
	out[0] = V(srai_epi32)(V(add_epi32)(e0, o0), shift), out[7] = V(srai_epi32)(V(sub_epi32)(e0, o0), shift);
	out[1] = V(srai_epi32)(V(add_epi32)(e1, o1), shift), out[6] = V(srai_epi32)(V(sub_epi32)(e1, o1), shift);
	out[2] = V(srai_epi32)(V(add_epi32)(e2, o2), shift), out[5] = V(srai_epi32)(V(sub_epi32)(e2, o2), shift);
	out[3] = V(srai_epi32)(V(add_epi32)(e3, o3), shift), out[4] = V(srai_epi32)(V(sub_epi32)(e3, o3), shift);
}

// columns_pass makes w[j] column j of the blocks after the pass over columns, of which the
// `columns` first have something in the `rows` first rows.
ALWAYS void columns_pass(vec w[8], const vec x[8], int rows, int columns) {
	const vec round = V(set1_epi32)(ROUND_1);
	vec low[8], high[8], t[8], u[8];
	half_transform(low, x, rows, 0, round, SHIFT_1);
	if (columns == 4) {
		// Rows i and i+4, of four columns each, share a vector.
		for (int i = 0; i < 4; i++)
			t[i] = V(packs_epi32)(low[i], low[i + 4]);
		for (int i = 0; i < 2; i++) {
			u[i] = V(unpacklo_epi16)(t[2 * i], t[2 * i + 1]);
			u[2 + i] = V(unpackhi_epi16)(t[2 * i], t[2 * i + 1]);
		}
		for (int i = 0; i < 2; i++) {
			t[2 * i] = V(unpacklo_epi32)(u[2 * i], u[2 * i + 1]);
			t[2 * i + 1] = V(unpackhi_epi32)(u[2 * i], u[2 * i + 1]);
		}
		for (int i = 0; i < 2; i++) {
			w[2 * i] = V(unpacklo_epi64)(t[i], t[2 + i]);
			w[2 * i + 1] = V(unpackhi_epi64)(t[i], t[2 + i]);
		}
		return;
	}
	half_transform(high, x, rows, 1, round, SHIFT_1);
	for (int i = 0; i < 8; i++)
		t[i] = V(packs_epi32)(low[i], high[i]);
	// Transpose.
	for (int i = 0; i < 4; i++) {
		u[i] = V(unpacklo_epi16)(t[2 * i], t[2 * i + 1]);
		u[4 + i] = V(unpackhi_epi16)(t[2 * i], t[2 * i + 1]);
	}
	for (int i = 0; i < 4; i++) {
		t[2 * i] = V(unpacklo_epi32)(u[2 * i], u[2 * i + 1]);
		t[2 * i + 1] = V(unpackhi_epi32)(u[2 * i], u[2 * i + 1]);
	}
	for (int i = 0; i < 2; i++) {
		w[4 * i] = V(unpacklo_epi64)(t[4 * i], t[4 * i + 2]);
		w[4 * i + 1] = V(unpackhi_epi64)(t[4 * i], t[4 * i + 2]);
		w[4 * i + 2] = V(unpacklo_epi64)(t[4 * i + 1], t[4 * i + 3]);
		w[4 * i + 3] = V(unpackhi_epi64)(t[4 * i + 1], t[4 * i + 3]);
	}
}

// rows_pass makes the samples of w and stores them.
ALWAYS void rows_pass(uint8_t *dst, size_t stride, const vec w[8], int columns) {
	const vec round = V(set1_epi32)(ROUND_2);
	vec low[8], high[8], c[8];
	half_transform(low, w, columns, 0, round, SHIFT_2);
	half_transform(high, w, columns, 1, round, SHIFT_2);
	for (int i = 0; i < 8; i++)
		c[i] = V(packs_epi32)(low[i], high[i]);
	for (int i = 0; i < 8; i += 4) {
		const vec a = V(packus_epi16)(c[i], c[i + 2]), b = V(packus_epi16)(c[i + 1], c[i + 3]);
		low[i] = V(unpacklo_epi8)(a, b);     // columns i and i+1 of every row
		low[i + 1] = V(unpackhi_epi8)(a, b); // i+2 and i+3
	}
	for (int half = 0; half < 2; half++) {
		const vec a = half ? V(unpackhi_epi16)(low[0], low[1]) : V(unpacklo_epi16)(low[0], low[1]);
		const vec b = half ? V(unpackhi_epi16)(low[4], low[5]) : V(unpacklo_epi16)(low[4], low[5]);
		store_rows(dst, stride, V(unpacklo_epi32)(a, b));
		store_rows(dst + 2 * stride, stride, V(unpackhi_epi32)(a, b));
		dst += 4 * stride;
	}
}

ALWAYS void idct_blocks(uint8_t *dst, size_t stride, const int16_t *coef, const int16_t quant[64], int rows, int columns) {
	vec x[8], w[8];
	load_rows(x, coef, rows);
	for (int i = 0; i < rows; i++)
		x[i] = V(mullo_epi16)(x[i], LOAD_QUANT(quant + 8 * i));
	columns_pass(w, x, rows, columns);
	rows_pass(dst, stride, w, columns);
}

static void flat_blocks(uint8_t *dst, size_t stride, const int16_t *coef, int16_t step) {
	uint8_t row[8 * BLOCKS];
	for (int b = 0; b < BLOCKS; b++)
		memset(row + 8 * b, dc_sample(coef[64 * b], step), 8);
	for (int r = 0; r < 8; r++)
		memcpy(dst + (size_t)r * stride, row, sizeof row);
}

static void idct(uint8_t *dst, size_t stride, const int16_t *coef, const uint64_t *mask, int32_t n, const int16_t quant[64]) {
	for (int32_t b = 0; b < n; b += BLOCKS, coef += 64 * BLOCKS, dst += 8 * BLOCKS) {
		uint64_t any = 0;
		for (int i = 0; i < BLOCKS; i++)
			any |= mask[b + i];
		if (any == 0)
			flat_blocks(dst, stride, coef, quant[0]);
		else if (!(any & (high_rows | high_columns)))
			idct_blocks(dst, stride, coef, quant, 4, 4);
		else if (!(any & high_rows))
			idct_blocks(dst, stride, coef, quant, 4, 8);
		else if (!(any & high_columns))
			idct_blocks(dst, stride, coef, quant, 8, 4);
		else
			idct_blocks(dst, stride, coef, quant, 8, 8);
	}
}
