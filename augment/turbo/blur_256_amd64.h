//go:build cgo

// The blur at 256 bits, for each tier that has them.

#define VEC __m256i
#define ZERO() _mm256_setzero_si256()
#define SET32(v) _mm256_set1_epi32(v)
#define LOADU(p) _mm256_loadu_si256((const __m256i *)(p))
#define STOREU(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define ADD16(a, b) _mm256_add_epi16(a, b)
#define MULTIPLY_ADD(sum, a, b) DOT(sum, a, b)
#define UNPACKLO16(a, b) _mm256_unpacklo_epi16(a, b)
#define UNPACKHI16(a, b) _mm256_unpackhi_epi16(a, b)
#define SRAI32(v, n) _mm256_srai_epi32(v, n)
#define PACK32(lo, hi) _mm256_packs_epi32(lo, hi)
#define STORE_BYTES(p, v) \
	_mm_storeu_si128((__m128i *)(p), _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi16(v, v), 0x08)))

#include "blur_vector.h"

void TIER(blur)(uint8_t *px, int32_t size, const blur_kernel *k, uint8_t *room) { blur_vector(px, size, k, room); }
