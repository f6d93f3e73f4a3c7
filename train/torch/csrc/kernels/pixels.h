// pixels.h: stored pixels to the network's input: (N,S,S,3) uint8, as (x·scale + shift) by
// channel, in the same order (NHWC), in float or bf16. The product and the sum are rounded
// each, as libtorch's two operators do it: the bits are theirs.
#pragma once

#include "grid.h"

namespace resslt {
namespace kernels {

struct PixelArgs {
  const unsigned char* x;
  void* y;
  long long n;  // elements
  int words;    // x is aligned for reads of four
  float scale[3], shift[3];
};
constexpr int kPixelThreads = 256;

template <typename T>
RS_FN void pixels(const PixelArgs& a) {
  T* y = static_cast<T*>(a.y);
  const long long stride = 4LL * kPixelThreads * gridDim.x;
  for (long long i = 4LL * (kPixelThreads * blockIdx.x + threadIdx.x); i < a.n; i += stride) {
    const bool whole = i + 4 <= a.n;
    Four<unsigned char> x = {{0, 0, 0, 0}};
    if (whole && a.words) {
      x = *reinterpret_cast<const Four<unsigned char>*>(a.x + i);
    } else {
      for (int k = 0; k < 4 && i + k < a.n; k++) x.v[k] = a.x[i + k];
    }
    const int first = static_cast<int>(i % 3);
    float v[4];
    RS_UNROLL
    for (int k = 0; k < 4; k++) {
      const int sum = first + k, c = sum % 3;
      // Not by index: the numbers stay where the launch has put them.
      const float scale = c == 0 ? a.scale[0] : c == 1 ? a.scale[1] : a.scale[2];
      const float shift = c == 0 ? a.shift[0] : c == 1 ? a.shift[1] : a.shift[2];
      v[k] = add_rounded(mul_rounded(static_cast<float>(x.v[k]), scale), shift);
    }
    if (whole) {
      store4(y + i, v);
    } else {
      for (int k = 0; k < 4 && i + k < a.n; k++) round_to(v[k], y[i + k]);
    }
  }
}

}  // namespace kernels
}  // namespace resslt
