// winograd.h: 3×3 convolutions of stride 1 on the CPU by Winograd's minimal filtering
// F(2×2,3×3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
// 2015): 16 products where 36 were, for each 2×2 pixels, input and output channel.
//
//	Y = Aᵀ[ U ⊙ V ]A,  U = G·g·Gᵀ,  V = Bᵀ·d·B        d 4×4 pixels, g a filter, Y 2×2
//
// Summed over input channels the ⊙ becomes 16 matrix products. The gradients are the
// same algorithm turned round:
//
//	dx: of dy with the filters turned by half a circle and in and out exchanged
//	dg = Gᵀ[ Σ_tiles (A·dy·Aᵀ) ⊙ V ]G
//
// All transforms but G's halves, which are exact, add and subtract alone, so the error
// is close to that of the plain sum, unlike that of larger tiles.
//
// Tensors are NHWC in memory, float. Results depend neither on the number of threads
// nor on the instruction set: every sum has one order.
#pragma once

#include <cstdint>
#include <string>

namespace resslt {
namespace winograd {

struct Shape {
  int64_t n, h, w;  // of input and output: the padding is 1
  int64_t in, out;  // channels, multiples of kLanesMost
};

constexpr int64_t kLanesMost = 16;

// available reports whether this CPU has one of the tiers.
bool available();
// tier_name is "avx512", "avx2", "neon", or "none": the best that this CPU has, unless
// the environment's RESSLT_TIER names another.
const char* tier_name();
// refused says why RESSLT_TIER cannot be heeded, "" where it can or is not set; "scalar",
// the name that the augmentation engine has for it, is none of these tiers.
std::string refused();
// choose takes the tier called so, "none" included; false where this CPU has it not.
bool choose(const char* name);

// forward writes y (n,h,w,out) of x (n,h,w,in) and w (out,3,3,in).
void forward(const Shape& s, const float* x, const float* w, float* y);
// input_gradient writes dx of dy.
void input_gradient(const Shape& s, const float* dy, const float* w, float* dx);
// weight_gradient writes dw (out,3,3,in).
void weight_gradient(const Shape& s, const float* x, const float* dy, float* dw);

}  // namespace winograd
}  // namespace resslt
