//go:build cgo

// What the NEON files share. Advanced SIMD is part of every arm64 CPU; nothing
// here needs more than Armv8.0 (Cortex-A72, Graviton 2, Ampere Altra, Apple).
#ifndef RESSLT_NEON_H
#define RESSLT_NEON_H

#include <arm_neon.h>

#include "kernels.h"

int neon_prepare(axis *a, int down);
size_t neon_mid_bytes(int32_t h, int32_t size);
void neon_across(uint8_t *mid, uint8_t *room, const uint8_t *src, size_t stride, int32_t from, int32_t count, const axis *a);
void neon_down(uint8_t *dst, const uint8_t *mid, int32_t from, int32_t to, int32_t size, const axis *a);
size_t neon_blur_bytes(int32_t size, int32_t radius);
void neon_blur(uint8_t *px, int32_t size, const blur_kernel *k, uint8_t *room);

// upper16 is the upper halves of eight 32-bit sums.
static inline uint16x8_t upper16(uint32x4_t a, uint32x4_t b) { return vuzp2q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b)); }

#endif
