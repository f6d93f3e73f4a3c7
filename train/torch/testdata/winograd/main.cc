// Convolves numbers that are the same on every machine and prints a digest of each
// result: main TIER.
#include <cstdio>
#include <cstring>

#include "../../csrc/winograd.cc"

namespace {

// fill gives floats of 24 random bits in (-1, 1), by a generator of integers.
std::vector<float> fill(int64_t n, uint64_t seed) {
  std::vector<float> out(static_cast<size_t>(n));
  for (float& v : out) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    v = static_cast<float>(static_cast<int32_t>(seed >> 40) - (1 << 23)) / (1 << 23);
  }
  return out;
}

// digest is FNV-1a of the bits.
uint64_t digest(const std::vector<float>& v) {
  uint64_t h = 14695981039346656037u;
  for (const float f : v) {
    uint32_t bits;
    std::memcpy(&bits, &f, sizeof bits);
    h = (h ^ bits) * 1099511628211u;
  }
  return h;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace resslt::winograd;
  if (argc != 2 || !choose(argv[1])) {
    std::printf("not here\n");
    return 0;
  }
  const Shape shapes[] = {{2, 8, 8, 32, 32}, {3, 5, 6, 32, 48}, {1, 11, 13, 48, 32}, {2, 16, 16, 64, 64}, {1, 7, 7, 160, 96}};
  for (const Shape& s : shapes) {
    const auto x = fill(s.n * s.h * s.w * s.in, 1), w = fill(s.out * 9 * s.in, 2), dy = fill(s.n * s.h * s.w * s.out, 3);
    std::vector<float> y(dy.size()), dx(x.size()), dw(w.size());
    forward(s, x.data(), w.data(), y.data());
    input_gradient(s, dy.data(), w.data(), dx.data());
    weight_gradient(s, x.data(), dy.data(), dw.data());
    std::printf("%016llx %016llx %016llx\n", static_cast<unsigned long long>(digest(y)), static_cast<unsigned long long>(digest(dx)),
                static_cast<unsigned long long>(digest(dw)));
  }
}
