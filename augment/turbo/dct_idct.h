//go:build cgo

// The accurate integer inverse DCT, libjpeg's islow, as a matrix: what its factors come to
// when they are multiplied out. Sums are modulo 2^32, so that the order of terms makes no
// difference to the bits. Products and sums of honest blocks do not overflow; for others
// every tier wraps and saturates at the same places.
//
//	even[0..3] = (x0 ± x4)·2^13 ± …      odd[0..3] = …
//	out[i] = even[i] + odd[i], out[7-i] = even[i] - odd[i]
//
// The first pass is over columns: out = sat16((sum + 2^10) >> 11). The second is over rows:
// sample = clip(((sum + 2^17) >> 18) + 128).
#ifndef RESSLT_DCT_IDCT_H
#define RESSLT_DCT_IDCT_H

#include <stdint.h>

enum {
	IDCT_ONE = 8192,
	// of x2 and x6 in the even half: even[0] and [3], even[1] and [2]
	E0_2 = 10703,
	E0_6 = 4433,
	E1_2 = 4433,
	E1_6 = -10704,
	// of x1, x3, x5, x7 in odd[0], …, odd[3]
	O0_1 = 11363,
	O0_3 = 9633,
	O0_5 = 6437,
	O0_7 = 2260,
	O1_1 = 9633,
	O1_3 = -2259,
	O1_5 = -11362,
	O1_7 = -6436,
	O2_1 = 6437,
	O2_3 = -11362,
	O2_5 = 2261,
	O2_7 = 9633,
	O3_1 = 2260,
	O3_3 = -6436,
	O3_5 = 9633,
	O3_7 = -11363,

	SHIFT_1 = 11,
	ROUND_1 = 1 << 10,
	SHIFT_2 = 18,
	ROUND_2 = (1 << 17) + (128 << 18), // with the 128 that centres samples
};

// The bits of a block's mask for coefficients in rows and columns 4 to 7. Terms that are
// zero need not be added.
static const uint64_t high_rows = 0x7feff07f807c0200, high_columns = 0x7ffe3fc07f00e000;

// dc_sample is every sample of a block that has only x0 = dc·step, modulo 2^16.
static inline uint8_t dc_sample(int16_t dc, int16_t step) {
	int32_t w = 4 * (int32_t)(int16_t)((uint16_t)dc * (uint32_t)(uint16_t)step);
	w = w > 32767 ? 32767 : w < -32768 ? -32768 : w;
	w = ((w + 16) >> 5) + 128;
	return (uint8_t)(w < 0 ? 0 : w > 255 ? 255 : w);
}

#endif
