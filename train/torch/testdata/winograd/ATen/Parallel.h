// Stands in for libtorch's header, so that winograd.cc can be built for a machine whose
// libtorch is not here: one thread.
#pragma once
#include <cstdint>

namespace at {
inline int get_num_threads() { return 1; }
template <typename F>
void parallel_for(int64_t begin, int64_t end, int64_t, const F& f) {
  f(begin, end);
}
}  // namespace at
