// winograd.cc: the loops over tiles, channels and threads of winograd.h.
#include "winograd.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace resslt {
namespace winograd {
namespace {

// Tier is winograd_tier.h's functions for an instruction set.
struct Tier {
  int lanes;
  void (*product)(float* c, int64_t c_row, int64_t rows, int64_t width, const float* a, int64_t a_row, int64_t a_k, const float* b,
                  int64_t depth, bool add);
  void (*input_tile)(const float* const p[16], int64_t channels, float* v, int64_t element, int64_t row, int64_t rows);
  void (*input_panel)(const float* const p[16], int64_t channels, float* v, int64_t element, int64_t row, int64_t rows);
  void (*output_tile)(const float* m, int64_t m_element, int64_t channels, float* const p[4]);
  void (*gradient_tile)(const float* const p[4], int64_t channels, float* z, int64_t element);
  void (*weights_forward)(const float* w, int64_t in, int64_t outs, int64_t out, float* u);
  void (*weights_backward)(const float* w, int64_t in, int64_t outs, int64_t out, float* u);
  void (*weights_gradient)(const float* du, int64_t in, int64_t outs, int64_t out, float* dw);
};

// TIER and END_OF_TIER enclose functions that are compiled for an instruction set,
// whatever the build's target is. They run only where tiers() found it.
#define PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TIER(set) PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define END_OF_TIER PRAGMA(clang attribute pop)
#else
#define TIER(set) PRAGMA(GCC push_options) PRAGMA(GCC optimize("O3")) PRAGMA(GCC target(set))
#define END_OF_TIER PRAGMA(GCC pop_options)
#endif

#if defined(__x86_64__)
TIER("avx512f,avx512vl,avx512dq,avx512bw,fma")
namespace avx512 {
#define LANES 16
#define ROWS 12
#include "winograd_tier.h"
#undef LANES
#undef ROWS
}  // namespace avx512
END_OF_TIER
TIER("avx2,fma")
namespace avx2 {
#define LANES 8
#define ROWS 6
#include "winograd_tier.h"
#undef LANES
#undef ROWS
}  // namespace avx2
END_OF_TIER
#elif defined(__aarch64__)
namespace neon {
#define LANES 4
#define ROWS 8
#include "winograd_tier.h"
#undef LANES
#undef ROWS
}  // namespace neon
#endif

struct Named {
  const char* name;
  const Tier* tier;
  bool here;
};

// tiers are those of this build, the best first.
const std::vector<Named>& tiers() {
  static const std::vector<Named> all = [] {
    std::vector<Named> out;
#if defined(__x86_64__)
    const bool fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw");
    out.push_back({"avx512", &avx512::tier, wide});
    out.push_back({"avx2", &avx2::tier, fma});
#elif defined(__aarch64__)
    out.push_back({"neon", &neon::tier, true});
#endif
    return out;
  }();
  return all;
}

// named is the tier called so, nullptr where this CPU has it not.
const Named* named(const char* name) {
  for (const Named& t : tiers()) {
    if (t.here && !std::strcmp(t.name, name)) return &t;
  }
  return nullptr;
}

// wanted is the environment's RESSLT_TIER, nullptr where it names none. The augmentation's
// "avxvnni" has integers only, so that it means AVX2 here.
const char* wanted() {
  const char* name = std::getenv("RESSLT_TIER");
  if (name && !std::strcmp(name, "avxvnni")) return "avx2";
  return name && *name ? name : nullptr;
}

const Named* best() {
  if (wanted()) return named(wanted());
  for (const Named& t : tiers()) {
    if (t.here) return &t;
  }
  return nullptr;
}

const Named* current = best();

// Tiles cover the output, 2×2 pixels each; a side that is odd has a half tile at its end.
struct Tiles {
  explicit Tiles(const Shape& s) : n(s.n), h(s.h), w(s.w), rows((s.h + 1) / 2), columns((s.w + 1) / 2) {}
  int64_t count() const { return n * rows * columns; }

  // input points to the 4×4 pixels of tile i, those beyond the image to zero.
  void input(int64_t i, const float* x, int64_t channels, const float* zero, const float* p[16]) const {
    int64_t image, y, left;
    place(i, image, y, left);
    for (int64_t dy = 0; dy < 4; dy++) {
      for (int64_t dx = 0; dx < 4; dx++) {
        const int64_t py = y - 1 + dy, px = left - 1 + dx;
        const bool inside = py >= 0 && py < h && px >= 0 && px < w;
        p[4 * dy + dx] = inside ? x + ((image * h + py) * w + px) * channels : zero;
      }
    }
  }

  // output points to the 2×2 pixels of tile i, those beyond the image to outside.
  template <typename T>
  void output(int64_t i, T* x, int64_t channels, T* outside, T* p[4]) const {
    int64_t image, y, left;
    place(i, image, y, left);
    for (int64_t dy = 0; dy < 2; dy++) {
      for (int64_t dx = 0; dx < 2; dx++) {
        const bool inside = y + dy < h && left + dx < w;
        p[2 * dy + dx] = inside ? x + ((image * h + y + dy) * w + left + dx) * channels : outside;
      }
    }
  }

  int64_t n, h, w, rows, columns;

 private:
  void place(int64_t i, int64_t& image, int64_t& y, int64_t& x) const {
    image = i / (rows * columns);
    y = i / columns % rows * 2;
    x = i % columns * 2;
  }
};

// Buffer is floats from an allocator that need not be filled, on a line of the cache.
class Buffer {
 public:
  explicit Buffer(int64_t n) : memory_(new float[static_cast<size_t>(n) + kLine]) {
    const auto at = reinterpret_cast<uintptr_t>(memory_.get());
    start_ = memory_.get() + (-at & (4 * kLine - 1)) / 4;
  }
  float* get() { return start_; }

 private:
  static constexpr size_t kLine = 16;
  std::unique_ptr<float[]> memory_;
  float* start_;
};

// kElements are those of a transformed tile, 4×4.
constexpr int64_t kElements = 16;

// block_tiles is how many tiles are transformed before the products take them: so many
// that V and M stay in a core's cache of the second level (kCache bytes of it) with few
// channels, and that U is not read too often with many; and no fewer blocks than
// threads, of whole register blocks.
int64_t block_tiles(int64_t tiles, int64_t in, int64_t out) {
  constexpr int64_t kCache = 768 << 10, kLeast = 48, kStep = 12;
  int64_t n = std::max(kLeast, kCache / (4 * kElements * (in + out)));
  n = std::min(n, (tiles + at::get_num_threads() - 1) / at::get_num_threads());
  return std::max(kStep, n / kStep * kStep);
}

// convolve writes y (n,h,w,out) of x (n,h,w,in) with U, 16 matrices (in,out) in panels.
void convolve(const Tier& tier, const Shape& s, const float* x, const float* u, float* y) {
  const Tiles tiles(s);
  const int64_t count = tiles.count(), step = block_tiles(count, s.in, s.out), blocks = (count + step - 1) / step;
  const std::vector<float> zero(static_cast<size_t>(s.in), 0.0f);
  at::parallel_for(0, blocks, 1, [&](int64_t from, int64_t to) {
    Buffer v(kElements * step * s.in), m(kElements * step * s.out);
    for (int64_t b = from; b < to; b++) {
      const int64_t first = b * step, n = std::min(step, count - first);
      for (int64_t i = 0; i < n; i++) {
        const float* p[16];
        tiles.input(first + i, x, s.in, zero.data(), p);
        tier.input_tile(p, s.in, v.get(), step * s.in, i, step);
      }
      for (int64_t e = 0; e < kElements; e++) {
        tier.product(m.get() + e * step * s.out, s.out, n, s.out, v.get() + e * step * s.in, s.in, 1, u + e * s.in * s.out, s.in, false);
      }
      for (int64_t i = 0; i < n; i++) {
        float* p[4];
        tiles.output<float>(first + i, y, s.out, nullptr, p);
        tier.output_tile(m.get() + i * s.out, step * s.out, s.out, p);
      }
    }
  });
}

}  // namespace

bool available() { return current != nullptr; }
const char* tier_name() { return current ? current->name : "none"; }

std::string refused() {
  const char* name = wanted();
  if (!name || !std::strcmp(name, "scalar") || named(name)) return "";
  std::string have = "scalar";
  for (const Named& t : tiers()) have += t.here ? std::string(", ") + t.name : "";
  return std::string("RESSLT_TIER is \"") + name + "\", and this CPU has " + have;
}

bool choose(const char* name) {
  const Named* t = named(name);
  if (!t && std::strcmp(name, "none")) return false;
  current = t;
  return true;
}

void forward(const Shape& s, const float* x, const float* w, float* y) {
  const Tier& tier = *current->tier;
  Buffer u(kElements * s.in * s.out);
  at::parallel_for(0, s.out / tier.lanes, 1, [&](int64_t from, int64_t to) {
    for (int64_t o = from; o < to; o++) tier.weights_forward(w, s.in, s.out, o * tier.lanes, u.get());
  });
  convolve(tier, s, x, u.get(), y);
}

void input_gradient(const Shape& s, const float* dy, const float* w, float* dx) {
  const Tier& tier = *current->tier;
  Buffer u(kElements * s.in * s.out);
  at::parallel_for(0, s.out, 16, [&](int64_t from, int64_t to) {
    for (int64_t o = from; o < to; o++) tier.weights_backward(w, s.in, s.out, o, u.get());
  });
  convolve(tier, {s.n, s.h, s.w, s.out, s.in}, dy, u.get(), dx);
}

// weight_gradient goes over the tiles by chunks; of each it transforms x and dy, then
// adds to the 16 products, each thread to rows of its own.
void weight_gradient(const Shape& s, const float* x, const float* dy, float* dw) {
  constexpr int64_t kChunk = 8 << 20, kLeast = 256, kRows = 48;
  const Tier& tier = *current->tier;
  const Tiles tiles(s);
  const int64_t count = tiles.count();
  const int64_t step = std::min(count, std::max(kLeast, kChunk / (4 * kElements * (s.in + s.out))));
  const std::vector<float> zero(static_cast<size_t>(std::max(s.in, s.out)), 0.0f);
  Buffer v(kElements * step * s.in), z(kElements * step * s.out), du(kElements * s.in * s.out);
  const int64_t strips = (s.out + kRows - 1) / kRows;
  for (int64_t first = 0; first < count; first += step) {
    const int64_t n = std::min(step, count - first);
    at::parallel_for(0, n, 16, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; i++) {
        const float *p[16], *q[4];
        tiles.input(first + i, x, s.in, zero.data(), p);
        tier.input_panel(p, s.in, v.get(), n * s.in, i, n);
        tiles.output<const float>(first + i, dy, s.out, zero.data(), q);
        tier.gradient_tile(q, s.out, z.get() + i * s.out, n * s.out);
      }
    });
    at::parallel_for(0, kElements * strips, 1, [&](int64_t from, int64_t to) {
      for (int64_t j = from; j < to; j++) {
        const int64_t e = j / strips, row = j % strips * kRows, rows = std::min(kRows, s.out - row);
        tier.product(du.get() + (e * s.out + row) * s.in, s.in, rows, s.in, z.get() + e * n * s.out + row, 1, s.out, v.get() + e * n * s.in,
                     n, first > 0);
      }
    });
  }
  at::parallel_for(0, s.out, 16, [&](int64_t from, int64_t to) {
    for (int64_t o = from; o < to; o++) tier.weights_gradient(du.get(), s.in, s.out, o, dw);
  });
}

}  // namespace winograd
}  // namespace resslt
