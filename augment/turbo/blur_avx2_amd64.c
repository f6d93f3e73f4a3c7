//go:build cgo

// The blur with AVX2.

#include <string.h>

#include "avx2_amd64.h"
#include "blur_256_amd64.h"

size_t avx2_blur_bytes(int32_t size, int32_t radius) { return blur_room(size, radius); }

END_OF_TIER
