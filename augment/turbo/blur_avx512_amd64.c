//go:build cgo

// The blur with AVX-512: blur_vector.h at 512 bits.

#include <string.h>

#include "avx512_amd64.h"

#define VEC __m512i
#define ZERO() _mm512_setzero_si512()
#define SET32(v) _mm512_set1_epi32(v)
#define LOADU(p) _mm512_loadu_si512(p)
#define STOREU(p, v) _mm512_storeu_si512(p, v)
#define ADD16(a, b) _mm512_add_epi16(a, b)
#define MULTIPLY_ADD(sum, a, b) _mm512_dpwssd_epi32(sum, a, b)
#define UNPACKLO16(a, b) _mm512_unpacklo_epi16(a, b)
#define UNPACKHI16(a, b) _mm512_unpackhi_epi16(a, b)
#define SRAI32(v, n) _mm512_srai_epi32(v, n)
#define PACK32(lo, hi) _mm512_packs_epi32(lo, hi)
// The weights sum to one, so nothing needs clipping.
#define STORE_BYTES(p, v) _mm256_storeu_si256((__m256i *)(p), _mm512_cvtepi16_epi8(v))

#include "blur_vector.h"

size_t avx512_blur_bytes(int32_t size, int32_t radius) { return blur_room(size, radius); }

void avx512_blur(uint8_t *px, int32_t size, const blur_kernel *k, uint8_t *room) { blur_vector(px, size, k, room); }

END_OF_TIER
