//go:build cgo

// The kernels of AVX2 that multiply and add pairs of words, with AVX-VNNI's instruction for it.

#include <stddef.h>
#include <string.h>

#define AVX_VNNI
#include "avx2_amd64.h"
#include "blur_256_amd64.h"
#include "resample_pairs_amd64.h"

END_OF_TIER
