// grid.h: the words that kernels are written in. CUDA has most of them; on the host they
// get a meaning here, so that the same source is the kernels' twin: it runs the threads of
// a block as coroutines, one after the other between two barriers, in an order that tests
// choose. What a missing barrier would break comes out different in another order, and
// threads that wait at different barriers are an error.
//
// A kernel is a function template of one structure of arguments; list.h names the
// instances. Blocks have one dimension, of whole warps. No kernel adds atomically: sums
// have one order, so that results are a function of the arguments.
#pragma once

#if defined(__CUDACC__)
#define RS_FN __device__ __forceinline__
#define RS_SHARED __shared__
#define RS_UNROLL _Pragma("unroll")
#define RS_PRAGMA(x) _Pragma(#x)
#define RS_UNROLL_BY(n) RS_PRAGMA(unroll n)  // a limit, for registers
#else
#include <math.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>
#define RS_FN inline
#define RS_SHARED static  // blocks run one after the other
#define RS_UNROLL
#define RS_UNROLL_BY(n)
#endif

namespace resslt {
namespace kernels {

constexpr int kWarp = 32;

// bf16 is bfloat16 as memory has it: the upper half of a float.
struct bf16 {
  unsigned short bits;
};

#if defined(__CUDACC__)

RS_FN float from_bits(unsigned v) { return __uint_as_float(v); }
RS_FN unsigned to_bits(float v) { return __float_as_uint(v); }
RS_FN float mul_rounded(float a, float b) { return __fmul_rn(a, b); }
RS_FN float add_rounded(float a, float b) { return __fadd_rn(a, b); }
RS_FN float fma_rounded(float a, float b, float c) { return __fmaf_rn(a, b, c); }
RS_FN void block_barrier() { __syncthreads(); }

template <typename T>
RS_FN T from_lane_xor(T v, int mask) {
  return __shfl_xor_sync(0xffffffffu, v, mask);
}

// dynamic_shared is the shared memory that a launch asks for.
RS_FN float* dynamic_shared() {
  extern __shared__ float4 memory[];
  return reinterpret_cast<float*>(memory);
}

// tf32 rounds to 10 bits of mantissa, what tensor cores read.
RS_FN float tf32(float v) {
  unsigned out;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(out) : "f"(v));
  return from_bits(out);
}

// multiply_tile adds the product of a warp's tiles, A (16,8) and B (8,8) in TF32, to D (16,8). Whose
// elements a lane has is PTX's (ISA, "Matrix Fragments for mma.m16n8k8"): with g = lane/4 and
// t = lane%4
//
//	a: A[g][t], A[g+8][t], A[g][t+4], A[g+8][t+4]    b: B[t][g], B[t+4][g]
//	d: D[g][2t], D[g][2t+1], D[g+8][2t], D[g+8][2t+1]
RS_FN void multiply_tile(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(to_bits(a[0])), "r"(to_bits(a[1])), "r"(to_bits(a[2])), "r"(to_bits(a[3])), "r"(to_bits(b[0])), "r"(to_bits(b[1])));
}

#else

struct Place {
  unsigned x = 0, y = 0;
};
inline thread_local Place threadIdx, blockIdx, gridDim, blockDim;

struct alignas(16) float4 {
  float x, y, z, w;
};

inline float from_bits(unsigned v) {
  float out;
  std::memcpy(&out, &v, sizeof out);
  return out;
}
inline unsigned to_bits(float v) {
  unsigned out;
  std::memcpy(&out, &v, sizeof out);
  return out;
}
inline float mul_rounded(float a, float b) { return a * b; }
inline float add_rounded(float a, float b) { return a + b; }
inline float fma_rounded(float a, float b, float c) { return std::fmaf(a, b, c); }

// Team runs the threads of one block.
class Team {
 public:
  // The order in which threads run between two barriers.
  enum Order { kForward, kBackward, kMixed, kOrders };

  void run(unsigned threads, Order order, void (*body)(const void*), const void* args) {
    if (threads % kWarp) throw std::logic_error("a block of a kernel has parts of a warp");
    body_ = body, args_ = args;
    members_.resize(threads);
    for (Member& m : members_) {
      if (!m.stack) m.stack.reset(new char[kStack]);
      m.state = kReady;
      m.turn = 0;
      getcontext(&m.context);
      m.context.uc_stack.ss_sp = m.stack.get();
      m.context.uc_stack.ss_size = kStack;
      m.context.uc_link = &home_;
      makecontext(&m.context, enter, 0);
    }
    exchange_.resize(threads / kWarp);
    now() = this;
    while (pass(order)) release();
  }

  // barrier waits for the block, or for the warp.
  void barrier(bool of_warp) {
    Member& m = members_[current_];
    m.state = of_warp ? kAtWarp : kAtBlock;
    swapcontext(&m.context, &home_);
  }

  // share gives every lane's words to the warp. Of two places in turn: a lane that is ahead writes
  // to the other one.
  struct Words {
    float of[kWarp][8];
  };
  const Words& share(const float* words, int n) {
    Member& m = members_[current_];
    Words& all = exchange_[current_ / kWarp].turn[m.turn++ % 2];
    std::memcpy(all.of[current_ % kWarp], words, static_cast<size_t>(n) * sizeof(float));
    barrier(true);
    return all;
  }

  static Team*& now() {
    static thread_local Team* team = nullptr;
    return team;
  }

 private:
  enum State { kReady, kAtWarp, kAtBlock, kDone };
  struct Member {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    State state = kReady;
    unsigned turn = 0;
  };
  struct Exchange {
    Words turn[2];
  };
  static constexpr size_t kStack = 64 << 10;

  static void enter() {
    Team* team = now();
    team->body_(team->args_);
    team->members_[team->current_].state = kDone;
  }

  // pass lets each warp run as far as the block lets it, ahead of those behind it, and reports
  // whether any has moved.
  bool pass(Order order) {
    bool any = false;
    const auto warps = static_cast<unsigned>(members_.size() / kWarp);
    for (unsigned i = 0; i < warps; i++) {
      const unsigned first = kWarp * in_order(order, i, warps);
      bool moved = true;
      while (moved) {
        moved = false;
        for (unsigned lane = 0; lane < kWarp; lane++) moved = resume(first + in_order(order, lane, kWarp)) || moved;
        any = any || moved;
        release_warp(first);
      }
    }
    return any;
  }

  // in_order is the i-th of n warps or lanes, which 5 does not divide.
  static unsigned in_order(Order order, unsigned i, unsigned n) {
    return order == kForward ? i : order == kBackward ? n - 1 - i : (i * 5 + n / 3) % n;
  }

  bool resume(unsigned at) {
    if (members_[at].state != kReady) return false;
    current_ = at;
    threadIdx.x = at;
    swapcontext(&home_, &members_[at].context);
    return true;
  }

  void release_warp(unsigned first) {
    for (unsigned i = first; i < first + kWarp; i++) {
      if (members_[i].state != kAtWarp) return;
    }
    for (unsigned i = first; i < first + kWarp; i++) members_[i].state = kReady;
  }

  // release lets the block go on when all of it waits.
  void release() {
    bool all_at_block = true, all_done = true;
    for (const Member& m : members_) {
      all_at_block = all_at_block && m.state == kAtBlock;
      all_done = all_done && m.state == kDone;
    }
    if (!all_at_block && !all_done) throw std::logic_error("threads of a kernel wait at different barriers");
    for (Member& m : members_) m.state = all_done ? kDone : kReady;
  }

  ucontext_t home_;
  std::vector<Member> members_;
  std::vector<Exchange> exchange_;
  unsigned current_ = 0;
  void (*body_)(const void*) = nullptr;
  const void* args_ = nullptr;
};

inline void block_barrier() { Team::now()->barrier(false); }

template <typename T>
T from_lane_xor(T v, int mask) {
  static_assert(sizeof(T) == sizeof(float), "a lane gives one word");
  float word;
  std::memcpy(&word, &v, sizeof word);
  const unsigned lane = threadIdx.x % kWarp;
  const Team::Words& all = Team::now()->share(&word, 1);
  T out;
  std::memcpy(&out, &all.of[lane ^ static_cast<unsigned>(mask)][0], sizeof out);
  return out;
}

// The most that any GPU since Ampere gives a block.
inline float* dynamic_shared() {
  alignas(16) static float memory[(227 << 10) / sizeof(float)];
  return memory;
}

inline float tf32(float v) { return std::isfinite(v) ? from_bits((to_bits(v) + 0x1000u) & 0xffffe000u) : v; }

inline void multiply_tile(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
  const float mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  const unsigned lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  const Team::Words& all = Team::now()->share(mine, 6);
  for (unsigned i = 0; i < 4; i++) {
    const unsigned col = 2 * t + i % 2;
    for (unsigned k = 0; k < 8; k++) {
      const float x = all.of[4 * g + k % 4][i / 2 + 2 * (k / 4)], y = all.of[4 * col + k % 4][4 + k / 4];
      d[i] += x * y;
    }
  }
}

#endif

RS_FN float minus_infinity() { return from_bits(0xff800000u); }

// to_float and round_to convert between memory's types and float, to the nearest, ties to even.
RS_FN float to_float(float v) { return v; }
RS_FN float to_float(bf16 v) { return from_bits(static_cast<unsigned>(v.bits) << 16); }
RS_FN void round_to(float v, float& out) { out = v; }
RS_FN void round_to(float v, bf16& out) {
  const unsigned b = to_bits(v);
  const bool nan = (b & 0x7fffffffu) > 0x7f800000u;
  out.bits = static_cast<unsigned short>(nan ? 0x7fc0u : (b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
}

// Four holds four neighbours, which one access reads or writes.
template <typename T>
struct alignas(4 * sizeof(T)) Four {
  T v[4];
};
template <typename T>
RS_FN void load4(const T* p, float (&out)[4]) {
  const Four<T> four = *reinterpret_cast<const Four<T>*>(p);
  RS_UNROLL
  for (int i = 0; i < 4; i++) out[i] = to_float(four.v[i]);
}
template <typename T>
RS_FN void store4(T* p, const float (&v)[4]) {
  Four<T> four;
  RS_UNROLL
  for (int i = 0; i < 4; i++) round_to(v[i], four.v[i]);
  *reinterpret_cast<Four<T>*>(p) = four;
}

}  // namespace kernels
}  // namespace resslt
