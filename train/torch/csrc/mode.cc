// mode.cc: what the next op does besides its arguments: gradients, autocast,
// determinism, and what a device has pending.
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <torch/version.h>

#include "internal.h"

namespace resslt {
namespace {

// From 2.4 on one setter serves every device; before, each had its own.
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
bool autocast_on(c10::DeviceType d) { return at::autocast::is_autocast_enabled(d); }
c10::ScalarType autocast_dtype(c10::DeviceType d) { return at::autocast::get_autocast_dtype(d); }
void autocast_set(c10::DeviceType d, bool on) { at::autocast::set_autocast_enabled(d, on); }
void autocast_set_dtype(c10::DeviceType d, c10::ScalarType t) { at::autocast::set_autocast_dtype(d, t); }
#else
bool autocast_on(c10::DeviceType d) { return d == c10::DeviceType::CPU ? at::autocast::is_cpu_enabled() : at::autocast::is_enabled(); }
c10::ScalarType autocast_dtype(c10::DeviceType d) {
  return d == c10::DeviceType::CPU ? at::autocast::get_autocast_cpu_dtype() : at::autocast::get_autocast_gpu_dtype();
}
void autocast_set(c10::DeviceType d, bool on) {
  d == c10::DeviceType::CPU ? at::autocast::set_cpu_enabled(on) : at::autocast::set_enabled(on);
}
void autocast_set_dtype(c10::DeviceType d, c10::ScalarType t) {
  d == c10::DeviceType::CPU ? at::autocast::set_autocast_cpu_dtype(t) : at::autocast::set_autocast_gpu_dtype(t);
}
#endif

c10::DeviceType device_type(int64_t v) {
  const auto d = static_cast<c10::DeviceType>(v);
  if (d != c10::DeviceType::CPU && d != c10::DeviceType::CUDA) unsupported("autocast knows cpu and cuda only");
  return d;
}

void set_grad_enabled(Call& c) {
  c.out.word(at::GradMode::is_enabled());
  at::GradMode::set_enabled(c.flag(0));
}

void autocast(Call& c) {
  const auto d = device_type(c.integer(0));
  c.out.word(autocast_on(d));
  c.out.integer(static_cast<int64_t>(autocast_dtype(d)));
}

// set_autocast: depth is +1 on the way in and -1 on the way out. The cache of
// cast weights lives until the outermost way out, as in PyTorch.
void set_autocast(Call& c) {
  const auto d = device_type(c.integer(0));
  const auto dtype = c.dtype(1);
  const bool half = dtype == c10::ScalarType::Half, brain = dtype == c10::ScalarType::BFloat16;
  TORCH_CHECK(c.integer(3) < 0 || brain || (half && d == c10::DeviceType::CUDA), "autocast to ", dtype, " on ", d);
  autocast_set_dtype(d, dtype);
  autocast_set(d, c.flag(2));
  if (c.integer(3) > 0) {
    at::autocast::increment_nesting();
  } else if (at::autocast::decrement_nesting() == 0) {
    at::autocast::clear_cache();
  }
}

void set_deterministic(Call& c) {
  const bool on = c.flag(0);
  at::globalContext().setDeterministicAlgorithms(on, false);
  at::globalContext().setDeterministicCuDNN(on);
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 2)
  // By default every empty tensor is then filled with NaN first, to catch reads of what
  // nobody wrote: a kernel for each.
  at::globalContext().setDeterministicFillUninitializedMemory(false);
#endif
  if (on) at::globalContext().setBenchmarkCuDNN(false);
}

void set_allow_tf32(Call& c) {
  at::globalContext().setAllowTF32CuBLAS(c.flag(0));
  at::globalContext().setAllowTF32CuDNN(c.flag(0));
}

void set_cudnn_benchmark(Call& c) { at::globalContext().setBenchmarkCuDNN(c.flag(0)); }

// NNPACK takes over convolutions of 16 samples and more where oneDNN is off, by a
// Winograd transform that costs fp32 two digits. Versions before 2.2 cannot turn it off.
template <typename Context>
auto set_nnpack(Context& context, bool on, int) -> decltype(context.setUserEnabledNNPACK(on)) {
  context.setUserEnabledNNPACK(on);
}
template <typename Context>
void set_nnpack(Context&, bool, long) {}

// set_onednn gives what it was. Off, convolutions and products are libtorch's own, over
// BLAS.
void set_onednn(Call& c) {
  c.out.word(at::globalContext().userEnabledMkldnn());
  at::globalContext().setUserEnabledMkldnn(c.flag(0));
  set_nnpack(at::globalContext(), c.flag(0), 0);
}

void synchronize(Call& c) {
  if (c.device(0).is_cpu()) return;
  at::detail::getCUDAHooks().deviceSynchronize(cuda_index(c));
}

}  // namespace

bool cpu_autocast() { return autocast_on(c10::DeviceType::CPU); }

void enter_modes() {
  at::GradMode::set_enabled(true);
  autocast_set(c10::DeviceType::CPU, false);
  autocast_set(c10::DeviceType::CUDA, false);
  at::autocast::clear_cache();
}

const Function mode_functions[] = {
    {"resslt::set_grad_enabled", "enabled", set_grad_enabled},
    {"resslt::autocast", "device_type", autocast},
    {"resslt::set_autocast", "device_type,dtype,enabled,depth", set_autocast},
    {"resslt::set_deterministic", "enabled", set_deterministic},
    {"resslt::set_allow_tf32", "enabled", set_allow_tf32},
    {"resslt::set_cudnn_benchmark", "enabled", set_cudnn_benchmark},
    {"resslt::set_onednn", "enabled", set_onednn},
    {"resslt::synchronize", "device", synchronize},
    {nullptr, nullptr, nullptr},
};

}  // namespace resslt
