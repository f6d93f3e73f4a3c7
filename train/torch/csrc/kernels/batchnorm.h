// batchnorm.h: batch norm in training (Ioffe and Szegedy 2015, algorithm 1) over maps in
// channels_last, with what follows it in a residual network:
//
//	y = relu(γ·(x−μ)/σ + β + r)      r, the shortcut, and ReLU where asked for
//
// The gradient takes ReLU's mask from y, or where there is no r from x again, by the very
// operations of the forward pass: no mask is stored, and y need not be kept.
//
// x is (M,C): pixels by channels, C a multiple of 4. A block has 64 channels, 16 threads of
// four, and 16 rows at a time; a column of blocks shares the rows. Sums go through partial
// sums of each block, which norm_finish and gradient_finish add in order.
#pragma once

#include "grid.h"

namespace resslt {
namespace kernels {

constexpr int kNormThreads = 256, kNormAcross = 16, kNormDown = 16;
constexpr int kNormChannels = 4 * kNormAcross;  // of a block

struct BatchNormArgs {
  const void *x, *residual, *dy;      // (M,C) each
  void *y, *dx, *dresidual;           // y: of the backward pass what the forward one gave, or null without residual
  float* partial;                     // (blocks,2,C)
  const float *weight, *bias;         // (C), null for 1 and 0
  float *mean, *invstd;               // (C) of the batch
  float *running_mean, *running_var;  // (C)
  float *dweight, *dbias;             // (C)
  float* slope;                       // (2,C): what dx takes from the sums
  long long rows;                     // M
  int channels, blocks, relu;         // C; blocks that share the rows
  float momentum, eps;
};

// Patch is a thread's place: four channels from c on, and rows from first in steps of step.
struct Patch {
  int c;
  long long first, step;
};
RS_FN Patch patch_of(int blocks) {
  const int across = static_cast<int>(threadIdx.x) % kNormAcross, down = static_cast<int>(threadIdx.x) / kNormAcross;
  return {kNormChannels * static_cast<int>(blockIdx.x) + 4 * across, static_cast<long long>(blockIdx.y) * kNormDown + down,
          static_cast<long long>(blocks) * kNormDown};
}

RS_FN void four_of(const float* v, int c, float otherwise, float (&out)[4]) {
  RS_UNROLL
  for (int i = 0; i < 4; i++) out[i] = v ? v[c + i] : otherwise;
}

// fold adds two sums of four channels over the rows of a block, and writes them to partial.
RS_FN void fold(const BatchNormArgs& a, const float (&one)[4], const float (&two)[4]) {
  RS_SHARED float room[kNormDown][2][kNormChannels];
  const int across = static_cast<int>(threadIdx.x) % kNormAcross, down = static_cast<int>(threadIdx.x) / kNormAcross;
  RS_UNROLL
  for (int i = 0; i < 4; i++) room[down][0][4 * across + i] = one[i], room[down][1][4 * across + i] = two[i];
  block_barrier();
  const int at = static_cast<int>(threadIdx.x) % kNormChannels, which = static_cast<int>(threadIdx.x) / kNormChannels;
  if (which < 2 && kNormChannels * static_cast<int>(blockIdx.x) + at < a.channels) {
    float sum = 0;
    RS_UNROLL
    for (int d = 0; d < kNormDown; d++) sum += room[d][which][at];
    a.partial[(2LL * blockIdx.y + which) * a.channels + kNormChannels * blockIdx.x + at] = sum;
  }
}

// norm_sums adds x and its square, both less the first row, which is no farther from the mean
// than the data: so that the variance does not drown in a large mean.
template <typename T>
RS_FN void norm_sums(const BatchNormArgs& a) {
  const Patch p = patch_of(a.blocks);
  const T* x = static_cast<const T*>(a.x);
  float one[4] = {0, 0, 0, 0}, two[4] = {0, 0, 0, 0};
  if (p.c < a.channels) {
    float shift[4];
    load4(x + p.c, shift);
    for (long long r = p.first; r < a.rows; r += p.step) {
      float v[4];
      load4(x + r * a.channels + p.c, v);
      RS_UNROLL
      for (int i = 0; i < 4; i++) {
        const float d = v[i] - shift[i];
        one[i] += d;
        two[i] += d * d;
      }
    }
  }
  fold(a, one, two);
}

constexpr int kFinishDown = 8;  // threads that share a channel's partial sums

// finish_sums adds the partial sums of a channel, in double: thread (channel, down) its share,
// then in order. The first kWarp threads have the result.
RS_FN void finish_sums(const BatchNormArgs& a, int c, double& one, double& two) {
  RS_SHARED double room[2][kFinishDown][kWarp];
  const int across = static_cast<int>(threadIdx.x) % kWarp, down = static_cast<int>(threadIdx.x) / kWarp;
  one = two = 0;
  if (c < a.channels) {
    for (int b = down; b < a.blocks; b += kFinishDown) {
      one += a.partial[2LL * b * a.channels + c];
      two += a.partial[(2LL * b + 1) * a.channels + c];
    }
  }
  room[0][down][across] = one, room[1][down][across] = two;
  block_barrier();
  one = two = 0;
  for (int d = 0; d < kFinishDown; d++) one += room[0][d][across], two += room[1][d][across];
}

// norm_finish makes mean and 1/σ of the sums, and moves the running statistics; the variance
// kept is the unbiased one.
template <typename T>
RS_FN void norm_finish(const BatchNormArgs& a) {
  const int c = kWarp * static_cast<int>(blockIdx.x) + static_cast<int>(threadIdx.x) % kWarp;
  double one, two;
  finish_sums(a, c, one, two);
  if (static_cast<int>(threadIdx.x) >= kWarp || c >= a.channels) return;
  const double n = static_cast<double>(a.rows), off = one / n;
  const double mean = static_cast<double>(to_float(static_cast<const T*>(a.x)[c])) + off;
  const double squares = two - one * off, var = squares > 0 ? squares / n : squares == squares ? 0 : squares;
  a.mean[c] = static_cast<float>(mean);
  a.invstd[c] = static_cast<float>(1 / sqrt(var + static_cast<double>(a.eps)));
  if (a.running_mean) {
    const double m = static_cast<double>(a.momentum);
    a.running_mean[c] = static_cast<float>((1 - m) * static_cast<double>(a.running_mean[c]) + m * mean);
    a.running_var[c] = static_cast<float>((1 - m) * static_cast<double>(a.running_var[c]) + m * var * n / (n - 1));
  }
}

// Affine is the normalisation of four channels.
struct Affine {
  float mean[4], scale[4], bias[4];  // scale = γ/σ
};
RS_FN Affine affine_of(const BatchNormArgs& a, int c) {
  Affine f;
  float weight[4];
  four_of(a.mean, c, 0, f.mean);
  four_of(a.invstd, c, 0, f.scale);
  four_of(a.weight, c, 1, weight);
  four_of(a.bias, c, 0, f.bias);
  RS_UNROLL
  for (int i = 0; i < 4; i++) f.scale[i] *= weight[i];
  return f;
}
RS_FN float normalized(const Affine& f, int i, float x) { return fma_rounded(add_rounded(x, -f.mean[i]), f.scale[i], f.bias[i]); }

template <typename T>
RS_FN void norm_apply(const BatchNormArgs& a) {
  const Patch p = patch_of(a.blocks);
  if (p.c >= a.channels) return;
  const Affine f = affine_of(a, p.c);
  for (long long r = p.first; r < a.rows; r += p.step) {
    const long long at = r * a.channels + p.c;
    float v[4], add[4];
    load4(static_cast<const T*>(a.x) + at, v);
    RS_UNROLL
    for (int i = 0; i < 4; i++) v[i] = normalized(f, i, v[i]);
    if (a.residual) {
      load4(static_cast<const T*>(a.residual) + at, add);
      RS_UNROLL
      for (int i = 0; i < 4; i++) v[i] += add[i];
    }
    if (a.relu) {
      RS_UNROLL
      for (int i = 0; i < 4; i++) v[i] = v[i] <= 0 ? 0 : v[i];  // NaN stays
    }
    store4(static_cast<T*>(a.y) + at, v);
  }
}

// upstream is dL/dy of four channels where ReLU let them through.
template <typename T>
RS_FN void upstream(const BatchNormArgs& a, const Affine& f, long long at, const float (&x)[4], float (&g)[4]) {
  load4(static_cast<const T*>(a.dy) + at, g);
  if (!a.relu) return;
  float y[4];
  if (a.y) {
    load4(static_cast<const T*>(a.y) + at, y);
  } else {
    RS_UNROLL
    for (int i = 0; i < 4; i++) y[i] = normalized(f, i, x[i]);
  }
  RS_UNROLL
  for (int i = 0; i < 4; i++) g[i] = y[i] <= 0 ? 0 : g[i];
}

// gradient_sums adds g and g·(x−μ).
template <typename T>
RS_FN void gradient_sums(const BatchNormArgs& a) {
  const Patch p = patch_of(a.blocks);
  float one[4] = {0, 0, 0, 0}, two[4] = {0, 0, 0, 0};
  if (p.c < a.channels) {
    const Affine f = affine_of(a, p.c);
    RS_UNROLL_BY(2)
    for (long long r = p.first; r < a.rows; r += p.step) {
      const long long at = r * a.channels + p.c;
      float x[4], g[4];
      load4(static_cast<const T*>(a.x) + at, x);
      upstream<T>(a, f, at, x, g);
      RS_UNROLL
      for (int i = 0; i < 4; i++) {
        one[i] += g[i];
        two[i] += g[i] * (x[i] - f.mean[i]);
      }
    }
  }
  fold(a, one, two);
}

// gradient_finish gives dγ and dβ, and of dx = γ/σ·(g − Σg/M − (x−μ)/σ²·Σg(x−μ)/M) the two factors.
RS_FN void gradient_finish(const BatchNormArgs& a) {
  const int c = kWarp * static_cast<int>(blockIdx.x) + static_cast<int>(threadIdx.x) % kWarp;
  double one, two;
  finish_sums(a, c, one, two);
  if (static_cast<int>(threadIdx.x) >= kWarp || c >= a.channels) return;
  const double invstd = static_cast<double>(a.invstd[c]), n = static_cast<double>(a.rows);
  if (a.dweight) a.dweight[c] = static_cast<float>(two * invstd);
  if (a.dbias) a.dbias[c] = static_cast<float>(one);
  a.slope[c] = static_cast<float>(one / n);
  a.slope[a.channels + c] = static_cast<float>(invstd * invstd * two / n);
}

template <typename T>
RS_FN void gradient_apply(const BatchNormArgs& a) {
  const Patch p = patch_of(a.blocks);
  if (p.c >= a.channels) return;
  const Affine f = affine_of(a, p.c);
  float level[4], slope[4];
  four_of(a.slope, p.c, 0, level);
  four_of(a.slope + a.channels, p.c, 0, slope);
  for (long long r = p.first; r < a.rows; r += p.step) {
    const long long at = r * a.channels + p.c;
    float x[4], g[4];
    load4(static_cast<const T*>(a.x) + at, x);
    upstream<T>(a, f, at, x, g);
    if (a.dresidual) store4(static_cast<T*>(a.dresidual) + at, g);
    RS_UNROLL
    for (int i = 0; i < 4; i++) x[i] = f.scale[i] * (g[i] - level[i] - (x[i] - f.mean[i]) * slope[i]);
    store4(static_cast<T*>(a.dx) + at, x);
  }
}

}  // namespace kernels
}  // namespace resslt
