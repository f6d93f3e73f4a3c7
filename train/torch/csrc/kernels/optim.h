// optim.h: an optimiser's step and equation 6 of many tensors at once: every weight, gradient,
// moment and average is read once and written once. Package optim has the equations.
#pragma once

#include "grid.h"

namespace resslt {
namespace kernels {

enum Optimizer : int { kSGD = 0, kAdamW = 1 };

// StepItem is a parameter: n elements each, in one memory order.
struct StepItem {
  float* w;
  const float* g;
  float *v, *second;   // momentum buffer or first moment, null without; AdamW's second moment
  float* teacher;      // its average, null without
  const float* trust;  // LARS's factor of the gradient, null without
  long long n;
  float lr;     // of AdamW lr/(1−β₁ᵗ)
  float decay;  // λ; of AdamW 1−lr·λ
  int fours;    // all six are aligned for accesses of four
};

// The arguments of a launch are at most 4096 bytes.
constexpr int kStepItems = 56;
constexpr int kStepThreads = 256;

// StepArgs are numbers as double precision gives them, rounded once.
struct StepArgs {
  int kind, nesterov;
  float momentum;               // μ, or β₁
  float rest;                   // 1−β₁
  float beta2, rest2;           // β₂, 1−β₂
  float second_root, eps;       // √(1−β₂ᵗ), ε
  float average, rest_average;  // m, 1−m of equation 6
  StepItem items[kStepItems];   // blockIdx.y
};
static_assert(sizeof(StepArgs) <= 4096, "a launch takes no more");

struct Element {
  float w, v, second, teacher;
};

RS_FN void step_element(const StepArgs& a, const StepItem& p, float g, float trust, Element& e) {
  if (a.kind == kAdamW) {
    e.w = mul_rounded(e.w, p.decay);
    e.v = fma_rounded(a.rest, g, mul_rounded(e.v, a.momentum));
    e.second = fma_rounded(a.rest2, mul_rounded(g, g), mul_rounded(e.second, a.beta2));
    const float root = sqrtf(e.second) / a.second_root + a.eps;
    e.w -= p.lr * (e.v / root);
  } else {
    if (p.decay != 0) g = fma_rounded(p.decay, e.w, g);
    if (p.trust) g *= trust;
    if (p.v) {
      e.v = add_rounded(mul_rounded(e.v, a.momentum), g);
      g = a.nesterov ? fma_rounded(a.momentum, e.v, g) : e.v;
    }
    e.w = fma_rounded(-p.lr, g, e.w);
  }
  if (p.teacher) e.teacher = fma_rounded(a.rest_average, e.w, mul_rounded(e.teacher, a.average));
}

RS_FN void step_one(const StepArgs& a, const StepItem& p, float trust, long long i) {
  Element e = {p.w[i], p.v ? p.v[i] : 0, p.second ? p.second[i] : 0, p.teacher ? p.teacher[i] : 0};
  step_element(a, p, p.g[i], trust, e);
  p.w[i] = e.w;
  if (p.v) p.v[i] = e.v;
  if (p.second) p.second[i] = e.second;
  if (p.teacher) p.teacher[i] = e.teacher;
}

RS_FN void step_four(const StepArgs& a, const StepItem& p, float trust, long long i) {
  float w[4], g[4], v[4] = {0, 0, 0, 0}, second[4] = {0, 0, 0, 0}, teacher[4] = {0, 0, 0, 0};
  load4(p.w + i, w);
  load4(p.g + i, g);
  if (p.v) load4(p.v + i, v);
  if (p.second) load4(p.second + i, second);
  if (p.teacher) load4(p.teacher + i, teacher);
  RS_UNROLL
  for (int k = 0; k < 4; k++) {
    Element e = {w[k], v[k], second[k], teacher[k]};
    step_element(a, p, g[k], trust, e);
    w[k] = e.w, v[k] = e.v, second[k] = e.second, teacher[k] = e.teacher;
  }
  store4(p.w + i, w);
  if (p.v) store4(p.v + i, v);
  if (p.second) store4(p.second + i, second);
  if (p.teacher) store4(p.teacher + i, teacher);
}

// step: a column of blocks for each parameter.
RS_FN void step(const StepArgs& a) {
  const StepItem& p = a.items[blockIdx.y];
  const float trust = p.trust ? *p.trust : 1;
  const long long stride = 4LL * kStepThreads * gridDim.x;
  for (long long i = 4LL * (kStepThreads * blockIdx.x + threadIdx.x); i < p.n; i += stride) {
    if (p.fours && i + 4 <= p.n) {
      step_four(a, p, trust, i);
    } else {
      for (long long k = i; k < p.n && k < i + 4; k++) step_one(a, p, trust, k);
    }
  }
}

// NormItem is a parameter that LARS adapts.
struct NormItem {
  const float *w, *g;
  long long n;
};
constexpr int kNormItems = 128;
constexpr int kNormBlocks = 32;  // of each parameter

struct NormArgs {
  float* partial;  // (parameters, kNormBlocks, 2): sums of squares of w and of g + λw
  float* trust;    // (parameters): the result
  float decay, eta;
  int first;  // of the parameters, in this launch
  NormItem items[kNormItems];
};
static_assert(sizeof(NormArgs) <= 4096, "a launch takes no more");

// block_sum adds v over the threads of a block, in the order of a tree; thread 0 has the sum.
RS_FN float block_sum(float v, float* room) {
  RS_UNROLL
  for (int mask = 1; mask < kWarp; mask *= 2) v += from_lane_xor(v, mask);
  if (threadIdx.x % kWarp == 0) room[threadIdx.x / kWarp] = v;
  block_barrier();
  float sum = 0;
  if (threadIdx.x == 0) {
    for (int w = 0; w < kStepThreads / kWarp; w++) sum += room[w];
  }
  block_barrier();
  return sum;
}

RS_FN void norms(const NormArgs& a) {
  RS_SHARED float room[kStepThreads / kWarp];
  const NormItem& p = a.items[blockIdx.y];
  float w = 0, g = 0;
  for (long long i = kStepThreads * blockIdx.x + threadIdx.x; i < p.n; i += kStepThreads * kNormBlocks) {
    const float d = fma_rounded(a.decay, p.w[i], p.g[i]);
    w += p.w[i] * p.w[i];
    g += d * d;
  }
  w = block_sum(w, room);
  g = block_sum(g, room);
  if (threadIdx.x == 0) {
    float* to = a.partial + 2 * (kNormBlocks * (a.first + blockIdx.y) + blockIdx.x);
    to[0] = w, to[1] = g;
  }
}

// trust: a warp for each parameter, whose lanes take a block's sums each.
RS_FN void trust(const NormArgs& a) {
  static_assert(kNormBlocks == kWarp, "a lane for each block's sums");
  const unsigned item = static_cast<unsigned>(a.first) + blockIdx.x;
  const float* from = a.partial + 2 * (kNormBlocks * item + threadIdx.x);
  float w = from[0], g = from[1];
  RS_UNROLL
  for (int mask = 1; mask < kWarp; mask *= 2) {
    w += from_lane_xor(w, mask);
    g += from_lane_xor(g, mask);
  }
  if (threadIdx.x == 0) {
    w = sqrtf(w), g = sqrtf(g);
    a.trust[item] = w * g > 0 ? a.eta * w / g : 1;
  }
}

}  // namespace kernels
}  // namespace resslt
