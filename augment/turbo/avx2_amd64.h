//go:build cgo

// What the AVX2 files share: any x86-64 server of the last ten years. AVX-VNNI, which recent
// CPUs without AVX-512 have, multiplies and adds in one instruction: avxvnni_amd64.c includes
// the kernels that gain by it once more.
#ifndef RESSLT_AVX2_H
#define RESSLT_AVX2_H

#include <immintrin.h>

#include "kernels.h"

// Everything after this header is compiled for the tier, whatever the build's
// target; it runs only where turbo_best_tier found the instructions.
// TIER names its functions; DOT adds to sums of 32 bits the products of their pairs of words.
#ifdef AVX_VNNI
#define TIER(name) avxvnni_##name
#define DOT(sum, a, b) _mm256_dpwssd_avx_epi32(sum, a, b)
#else
#define TIER(name) avx2_##name
#define DOT(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#endif
#if defined(__clang__)
#ifdef AVX_VNNI
#pragma clang attribute push(__attribute__((target("avx2,fma,avxvnni"))), apply_to = function)
#else
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#endif
#define END_OF_TIER _Pragma("clang attribute pop")
#else
#ifdef AVX_VNNI
#pragma GCC target("avx2,fma,avxvnni")
#else
#pragma GCC target("avx2,fma")
#endif
#define END_OF_TIER
#endif

int avx2_prepare(axis *a, int down);
size_t avx2_mid_bytes(int32_t h, int32_t size);
size_t avx2_room_bytes(int32_t span);
void avx2_turn(uint8_t *strip, const uint8_t *const row[STRIP], int32_t span);
void avx2_across(uint8_t *mid, uint8_t *room, const uint8_t *src, size_t stride, int32_t y, int32_t n, const axis *a);
void avx2_gather(uint8_t *mid, const uint8_t *src, size_t stride, int32_t y, int32_t n, int32_t size);
void avx2_down(uint8_t *dst, const uint8_t *mid, int32_t from, int32_t to, int32_t size, const axis *a);
void avx2_scatter(uint8_t *dst, const uint8_t *mid, int32_t size);
void avx2_hue(uint8_t *px, size_t pixels, int32_t shift);
size_t avx2_blur_bytes(int32_t size, int32_t radius);
void avx2_blur(uint8_t *px, int32_t size, const blur_kernel *k, uint8_t *room);

void avxvnni_across(uint8_t *mid, uint8_t *room, const uint8_t *src, size_t stride, int32_t y, int32_t n, const axis *a);
void avxvnni_down(uint8_t *dst, const uint8_t *mid, int32_t from, int32_t to, int32_t size, const axis *a);
void avxvnni_blur(uint8_t *px, int32_t size, const blur_kernel *k, uint8_t *room);

#endif
