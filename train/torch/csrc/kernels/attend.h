// attend.h: the similarities of embeddings to the queue, which are never written to memory.
//
// For unit rows z (B,D), a queue Q (K,D) and a temperature τ, with s_k = z·q_k and
// p_k = exp(s_k/τ) / Σ_j exp(s_j/τ),
//
//	lse  = log Σ_k exp(s_k/τ)                (B)
//	mean = Σ_k p_k·q_k                       (B,D)
//	best = argmax_k s_k                      (B), the first of equals
//
// are all that ReSSL's equations need of the similarities: H(p², p¹) = lse¹ − z¹·mean²/τ_s,
// since Σ_k p²_k·s¹_k = z¹·Σ_k p²_k·q_k; and the gradient of lse is mean/τ. So no pass for
// the gradient is needed, and none reads p back.
//
// It is the online softmax of Milakov and Gimelshein (arXiv 1805.02867) over tiles, as in
// FlashAttention (Dao et al., arXiv 2205.14135, algorithm 1), where the queue is keys and
// values: a block has 32 rows of z in shared memory and goes through its part of the queue by
// 32 keys. attend leaves one partial result for each part; attend_join joins them in order.
#pragma once

#include "grid.h"

namespace resslt {
namespace kernels {

struct AttendArgs {
  const float *z, *queue;   // (B,D), (K,D)
  float *part, *top, *sum;  // of each part of the queue: (P,B,D), the sum of exp((s−top)/τ)·q; (P,B) the largest s; (P,B), the sum of exp
  int* arg;                 // (P,B) whose similarity is the largest
  float *lse, *mean;        // results
  long long* best;
  int rows, keys, dim;
  int parts, keys_of_part;  // P; a multiple of kKeys
  float scale;              // 1/τ
};

constexpr int kRows = 32, kKeys = 32;   // of a tile
constexpr int kAttendThreads = 128;     // four warps
constexpr int kTileStride = kKeys + 4;  // of rows of similarities: four lanes of eight rows are in 32 banks

// attend_memory is the shared memory of a block, in bytes, for D up to W.
template <int W>
constexpr int attend_memory = static_cast<int>(sizeof(float)) * ((kRows + kKeys) * (W + 4) + kRows * kTileStride + 4 * kRows);

// multiply_add multiplies by TF32's tensor cores: operands rounded (exact = false), or each as
// the sum of two roundings, of which the product of the small ones is left out. That keeps
// 21 of 24 bits (Ootomo and Yokota, arXiv 2203.03341).
template <bool exact>
RS_FN void multiply_add(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
  float big_a[4], big_b[2];
  RS_UNROLL
  for (int i = 0; i < 4; i++) big_a[i] = tf32(a[i]);
  RS_UNROLL
  for (int i = 0; i < 2; i++) big_b[i] = tf32(b[i]);
  if (exact) {
    float small_a[4], small_b[2];
    RS_UNROLL
    for (int i = 0; i < 4; i++) small_a[i] = tf32(a[i] - big_a[i]);
    RS_UNROLL
    for (int i = 0; i < 2; i++) small_b[i] = tf32(b[i] - big_b[i]);
    multiply_tile(d, small_a, big_b);
    multiply_tile(d, big_a, small_b);
  }
  multiply_tile(d, big_a, big_b);
}

// load_rows fills rows of W floats, W+4 apart, from (n,dim); what is not there becomes zero.
template <int W>
RS_FN void load_rows(float* to, const float* from, int first, int n, int dim) {
  constexpr int kFours = W / 4;
  for (int i = static_cast<int>(threadIdx.x); i < 32 * kFours; i += kAttendThreads) {
    const int r = i / kFours, c = 4 * (i % kFours);
    float v[4] = {0, 0, 0, 0};
    if (first + r < n && c < dim) load4(from + static_cast<long long>(first + r) * dim + c, v);
    store4(to + r * (W + 4) + c, v);
  }
}

// output_column is the column of a warp's share of mean that column n of its tile j stands for.
// Any order is right; this one reads eight columns of four keys from 32 banks.
RS_FN int output_column(int j, int n) { return 32 * (j / 4) + 4 * (j % 4) + n % 4 + 16 * (n / 4); }

// similarities puts z·Qᵀ of a tile into s (32,32): each warp 16 rows of z by 16 keys.
template <int W, bool exact>
RS_FN void tile_similarities(const float* z, const float* q, float* s, int dim) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp, g = lane / 4, t = lane % 4;
  const int row = 16 * (warp % 2) + g, key = 16 * (warp / 2);
  float acc[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
  for (int k = 0; k < dim; k += 8) {
    const float *upper = z + row * (W + 4) + k + t, *lower = upper + 8 * (W + 4);
    const float a[4] = {upper[0], lower[0], upper[4], lower[4]};
    RS_UNROLL
    for (int j = 0; j < 2; j++) {
      const float* at = q + (key + 8 * j + g) * (W + 4) + k + t;
      const float b[2] = {at[0], at[4]};
      multiply_add<exact>(acc[j], a, b);
    }
  }
  RS_UNROLL
  for (int j = 0; j < 2; j++) {
    float* at = s + row * kTileStride + key + 8 * j + 2 * t;
    at[0] = acc[j][0], at[1] = acc[j][1];
    at[8 * kTileStride] = acc[j][2], at[8 * kTileStride + 1] = acc[j][3];
  }
}

// Running is what a block keeps of each of its rows.
struct Running {
  float *top, *sum, *factor;  // the largest s so far; the sum of exp((s−top)/τ); exp of how much top has grown by, negative
  int* arg;
};

// tile_softmax turns s (32,32) into exp((s−top)/τ): four threads a row. Keys from n on are none.
RS_FN void tile_softmax(float* s, const Running& run, int first, int n, float scale) {
  const int row = static_cast<int>(threadIdx.x) / 4, lane = static_cast<int>(threadIdx.x) % 4;
  float* at = s + row * kTileStride;
  const float before = run.top[row];
  float top = before;
  int arg = run.arg[row];
  float v[kKeys / 4];
  RS_UNROLL
  for (int i = 0; i < kKeys / 4; i++) {
    const int key = 4 * i + lane;
    v[i] = first + key < n ? at[key] : minus_infinity();
    if (v[i] > top) top = v[i], arg = first + key;
  }
  RS_UNROLL
  for (int mask = 1; mask < 4; mask *= 2) {
    const float other = from_lane_xor(top, mask);
    const int its = from_lane_xor(arg, mask);
    if (other > top || (other == top && its < arg)) top = other, arg = its;
  }
  float sum = 0;
  RS_UNROLL
  for (int i = 0; i < kKeys / 4; i++) {
    const float p = expf((v[i] - top) * scale);
    at[4 * i + lane] = p;
    sum += p;
  }
  RS_UNROLL
  for (int mask = 1; mask < 4; mask *= 2) sum += from_lane_xor(sum, mask);
  if (lane == 0) {
    const float factor = expf((before - top) * scale);
    run.factor[row] = factor;
    run.sum[row] = run.sum[row] * factor + sum;
    run.top[row] = top;
    run.arg[row] = arg;
  }
}

template <int W, bool exact>
RS_FN void attend(const AttendArgs& a) {
  constexpr int kShare = W / 4, kTiles = kShare / 8;  // columns of mean, of each warp
  float* z = dynamic_shared();
  float *q = z + kRows * (W + 4), *s = q + kKeys * (W + 4), *top = s + kRows * kTileStride;
  const Running run = {top, top + kRows, top + 2 * kRows, reinterpret_cast<int*>(top + 3 * kRows)};
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp, g = lane / 4, t = lane % 4;
  const int first_row = static_cast<int>(blockIdx.x) * kRows, part = static_cast<int>(blockIdx.y);
  const int begin = part * a.keys_of_part, end = begin + a.keys_of_part < a.keys ? begin + a.keys_of_part : a.keys;

  if (thread < kRows) run.top[thread] = minus_infinity(), run.sum[thread] = 0, run.arg[thread] = begin;
  load_rows<W>(z, a.z, first_row, a.rows, a.dim);
  float acc[2][kTiles][4];
  RS_UNROLL
  for (int half = 0; half < 2; half++) {
    RS_UNROLL
    for (int j = 0; j < kTiles; j++) {
      RS_UNROLL
      for (int i = 0; i < 4; i++) acc[half][j][i] = 0;
    }
  }
  for (int key = begin; key < end; key += kKeys) {
    load_rows<W>(q, a.queue, key, end, a.dim);
    block_barrier();
    tile_similarities<W, exact>(z, q, s, a.dim);
    block_barrier();
    tile_softmax(s, run, key, end, a.scale);
    block_barrier();
    RS_UNROLL
    for (int half = 0; half < 2; half++) {
      const float upper = run.factor[16 * half + g], lower = run.factor[16 * half + g + 8];
      RS_UNROLL
      for (int j = 0; j < kTiles; j++) {
        acc[half][j][0] *= upper, acc[half][j][1] *= upper;
        acc[half][j][2] *= lower, acc[half][j][3] *= lower;
      }
    }
    for (int k = 0; k < kKeys; k += 8) {
      float p[2][4];
      RS_UNROLL
      for (int half = 0; half < 2; half++) {
        const float *upper = s + (16 * half + g) * kTileStride + k + t, *lower = upper + 8 * kTileStride;
        p[half][0] = upper[0], p[half][1] = lower[0], p[half][2] = upper[4], p[half][3] = lower[4];
      }
      RS_UNROLL
      for (int j = 0; j < kTiles; j++) {
        const float* at = q + (k + t) * (W + 4) + warp * kShare + output_column(j, g);
        const float b[2] = {at[0], at[4 * (W + 4)]};
        RS_UNROLL
        for (int half = 0; half < 2; half++) multiply_add<exact>(acc[half][j], p[half], b);
      }
    }
    block_barrier();
  }
  RS_UNROLL
  for (int half = 0; half < 2; half++) {
    RS_UNROLL
    for (int j = 0; j < kTiles; j++) {
      RS_UNROLL
      for (int i = 0; i < 4; i++) {
        const int row = first_row + 16 * half + g + 8 * (i / 2), col = warp * kShare + output_column(j, 2 * t + i % 2);
        if (row < a.rows && col < a.dim) a.part[(static_cast<long long>(part) * a.rows + row) * a.dim + col] = acc[half][j][i];
      }
    }
  }
  if (thread < kRows && first_row + thread < a.rows) {
    const long long at = static_cast<long long>(part) * a.rows + first_row + thread;
    a.top[at] = run.top[thread];
    a.sum[at] = run.sum[thread];
    a.arg[at] = run.arg[thread];
  }
}

constexpr int kPartsMost = 256;

// attend_join joins the parts of one row.
RS_FN void attend_join(const AttendArgs& a) {
  RS_SHARED float weight[kPartsMost];
  const int thread = static_cast<int>(threadIdx.x);
  const long long row = blockIdx.x;
  float top = a.top[row];
  int best = a.arg[row];
  for (int p = 1; p < a.parts; p++) {
    const float its = a.top[static_cast<long long>(p) * a.rows + row];
    if (its > top) top = its, best = a.arg[static_cast<long long>(p) * a.rows + row];
  }
  for (int p = thread; p < a.parts; p += kAttendThreads)
    weight[p] = expf((a.top[static_cast<long long>(p) * a.rows + row] - top) * a.scale);
  block_barrier();
  float sum = 0;
  RS_UNROLL_BY(4)
  for (int p = 0; p < a.parts; p++) sum += weight[p] * a.sum[static_cast<long long>(p) * a.rows + row];
  for (int c = thread; c < a.dim; c += kAttendThreads) {
    float mean = 0;
    RS_UNROLL_BY(4)
    for (int p = 0; p < a.parts; p++) mean += weight[p] * a.part[(static_cast<long long>(p) * a.rows + row) * a.dim + c];
    a.mean[row * a.dim + c] = mean / sum;
  }
  if (thread == 0) {
    a.lse[row] = top * a.scale + logf(sum);
    a.best[row] = best;
  }
}

}  // namespace kernels
}  // namespace resslt
