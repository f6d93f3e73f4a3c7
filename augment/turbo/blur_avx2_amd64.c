//go:build cgo

// The blur with AVX2: blur_vector.h at 256 bits.

#include <string.h>

#include "avx2_amd64.h"

#define VEC __m256i
#define ZERO() _mm256_setzero_si256()
#define SET32(v) _mm256_set1_epi32(v)
#define LOADU(p) _mm256_loadu_si256((const __m256i *)(p))
#define STOREU(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define ADD16(a, b) _mm256_add_epi16(a, b)
#define MULTIPLY_ADD(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#define UNPACKLO16(a, b) _mm256_unpacklo_epi16(a, b)
#define UNPACKHI16(a, b) _mm256_unpackhi_epi16(a, b)
#define SRAI32(v, n) _mm256_srai_epi32(v, n)
#define PACK32(lo, hi) _mm256_packs_epi32(lo, hi)
#define STORE_BYTES(p, v) \
	_mm_storeu_si128((__m128i *)(p), _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi16(v, v), 0x08)))

#include "blur_vector.h"

size_t avx2_blur_bytes(int32_t size, int32_t radius) { return blur_room(size, radius); }

void avx2_blur(uint8_t *px, int32_t size, const blur_kernel *k, uint8_t *room) { blur_vector(px, size, k, room); }

END_OF_TIER
