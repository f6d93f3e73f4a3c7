//go:build cgo

// The coefficients of the filters: for an axis of the resize and for the blur.
#ifndef RESSLT_COEFFICIENTS_H
#define RESSLT_COEFFICIENTS_H

#include "buffer.h"
#include "kernels.h"

// set_axis computes the coefficients for n → out, of which size outputs are made from the
// one numbered from on, mirrored for a flip, and the tables that the kernels k keep of
// them; down says for which pass. weights is scratch. 0 without memory.
int set_axis(const struct kernels *k, axis *a, buffer *weights, int32_t n, int32_t out, int32_t from, int32_t size, int bicubic, int mirror,
             int down);
void free_axis(axis *a);

// set_blur computes the kernel of σ in Q16, at most 16.
void set_blur(blur_kernel *k, int32_t sigma);

#endif
