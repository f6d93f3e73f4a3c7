//go:build cgo

// What the AVX-512 files share. The tier needs F, BW, VL, VBMI (byte permutes)
// and VNNI (dot products of bytes): Ice Lake and Zen 4 on.
#ifndef RESSLT_AVX512_H
#define RESSLT_AVX512_H

#include <immintrin.h>

#include "kernels.h"

// Everything after this header is compiled for the tier, whatever the build's
// target; it runs only where turbo_best_tier found the instructions.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni"))), apply_to = function)
#define END_OF_TIER _Pragma("clang attribute pop")
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni")
#define END_OF_TIER
#endif

int avx512_prepare(axis *a, int down);
size_t avx512_mid_bytes(int32_t h, int32_t size);
void avx512_across(uint8_t *mid, uint8_t *room, const uint8_t *src, size_t stride, int32_t y, int32_t n, const axis *a);
void avx512_gather(uint8_t *mid, const uint8_t *src, size_t stride, int32_t y, int32_t n, int32_t size);
void avx512_down(uint8_t *dst, const uint8_t *mid, int32_t from, int32_t to, int32_t size, const axis *a);
void avx512_scatter(uint8_t *dst, const uint8_t *mid, int32_t size);
void avx512_lut3(uint8_t *px, size_t pixels, const uint8_t lut[3][256]);
void avx512_hue(uint8_t *px, size_t pixels, int32_t shift);
size_t avx512_blur_bytes(int32_t size, int32_t radius);
void avx512_blur(uint8_t *px, int32_t size, const blur_kernel *k, uint8_t *room);

#endif
