//go:build cgo

// The table for kernels that spread bytes over the places of a mask's bits by a byte shuffle.
#ifndef RESSLT_DCT_SPREAD_H
#define RESSLT_DCT_SPREAD_H

#include <stdint.h>

// rank[m] spreads bytes that follow each other to the places of the bits of m: for each of
// eight places the number of the byte, 0x80 (zero) where the bit is not set.
#define BIT(m, i) ((m) >> (i) & 1)
#define BELOW(m, i)                                                                                                          \
	(BIT(m, 0) * ((i) > 0) + BIT(m, 1) * ((i) > 1) + BIT(m, 2) * ((i) > 2) + BIT(m, 3) * ((i) > 3) + BIT(m, 4) * ((i) > 4) + \
	 BIT(m, 5) * ((i) > 5) + BIT(m, 6) * ((i) > 6))
#define PLACE_OF(m, i) (BIT(m, i) ? BELOW(m, i) : 0x80)
#define ROW(m) \
	{PLACE_OF(m, 0), PLACE_OF(m, 1), PLACE_OF(m, 2), PLACE_OF(m, 3), PLACE_OF(m, 4), PLACE_OF(m, 5), PLACE_OF(m, 6), PLACE_OF(m, 7)}
#define ROWS4(m) ROW(m), ROW((m) + 1), ROW((m) + 2), ROW((m) + 3)
#define ROWS16(m) ROWS4(m), ROWS4((m) + 4), ROWS4((m) + 8), ROWS4((m) + 12)
#define ROWS64(m) ROWS16(m), ROWS16((m) + 16), ROWS16((m) + 32), ROWS16((m) + 48)
static const uint8_t rank[256][8] __attribute__((aligned(64))) = {ROWS64(0), ROWS64(64), ROWS64(128), ROWS64(192)};

#endif
