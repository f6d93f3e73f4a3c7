// kernels.h: launching the GPU's kernels (kernels/), which were compiled when the shim was
// built; or, in tests, their twins on the host.
#pragma once

#include "internal.h"
#include "kernels/attend.h"
#include "kernels/batchnorm.h"
#include "kernels/optim.h"
#include "kernels/pixels.h"

namespace resslt {
namespace kernels {

// Kernel numbers the kernels of list.h.
enum Kernel : int {
#define KERNEL(name, args, threads, memory, function) k_##name,
#include "kernels/list.h"
#undef KERNEL
  kKernels
};

// has reports whether a kernel can take tensors of t's device. It is false for what the
// device has too little shared memory for.
bool has(Kernel k, const at::Tensor& t);

// why says why a GPU has no kernels; "" where it has.
std::string why(c10::DeviceIndex device);

// launch_args starts a kernel of x times y blocks on the current stream of t's device.
void launch_args(Kernel k, const at::Tensor& t, int64_t x, int64_t y, const void* args);

#define KERNEL(name, args, threads, memory, function) \
  inline void launch_##name(const at::Tensor& t, int64_t x, int64_t y, const args& a) { launch_args(k_##name, t, x, y, &a); }
#include "kernels/list.h"
#undef KERNEL

// pointer is a tensor's memory; null of an undefined one.
template <typename T>
T* pointer(const at::Tensor& t) {
  return t.defined() ? static_cast<T*>(t.data_ptr()) : nullptr;
}

// aligned reports whether memory can be accessed by so many bytes at once.
inline bool aligned(const void* p, size_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

}  // namespace kernels
}  // namespace resslt
