//go:build cgo

// What the AVX2 files share: any x86-64 server of the last ten years.
#ifndef RESSLT_AVX2_H
#define RESSLT_AVX2_H

#include <immintrin.h>

#include "kernels.h"

// Everything after this header is compiled for the tier, whatever the build's
// target; it runs only where turbo_best_tier found the instructions.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define END_OF_TIER _Pragma("clang attribute pop")
#else
#pragma GCC target("avx2,fma")
#define END_OF_TIER
#endif

int avx2_prepare(axis *a, int down);
size_t avx2_mid_bytes(int32_t h, int32_t size);
size_t avx2_room_bytes(int32_t span);
void avx2_across(uint8_t *mid, uint8_t *room, const uint8_t *src, size_t stride, int32_t y, int32_t n, const axis *a);
void avx2_gather(uint8_t *mid, const uint8_t *src, size_t stride, int32_t y, int32_t n, int32_t size);
void avx2_down(uint8_t *dst, const uint8_t *mid, int32_t from, int32_t to, int32_t size, const axis *a);
void avx2_scatter(uint8_t *dst, const uint8_t *mid, int32_t size);
void avx2_hue(uint8_t *px, size_t pixels, int32_t shift);
size_t avx2_blur_bytes(int32_t size, int32_t radius);
void avx2_blur(uint8_t *px, int32_t size, const blur_kernel *k, uint8_t *room);

#endif
