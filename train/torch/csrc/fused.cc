// fused.cc: what the shim computes by loops of its own on the CPU, where libtorch's ops
// would take longer; each falls back to those ops where its loops do not apply.
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "internal.h"
#include "winograd.h"

namespace resslt {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const float* floats(const at::Tensor& t) { return static_cast<const float*>(t.data_ptr()); }
float* floats(at::Tensor& t) { return static_cast<float*>(t.data_ptr()); }

winograd::Shape shape_of(const at::Tensor& x, const at::Tensor& w) { return {x.size(0), x.size(2), x.size(3), x.size(1), w.size(0)}; }

// fits reports whether winograd.cc convolves x (N,C,H,W) with w (O,C,3,3), and gains by
// it: maps that fill their tiles, channels that fill vectors, and no fewer tiles to
// transform than filters.
bool fits(const at::Tensor& x, const at::Tensor& w) {
  if (!winograd::available() || !x.is_cpu() || x.scalar_type() != at::kFloat || w.scalar_type() != at::kFloat) return false;
  if (cpu_autocast() || x.numel() == 0) return false;
  if (!x.is_contiguous(at::MemoryFormat::ChannelsLast) || !w.is_contiguous(at::MemoryFormat::ChannelsLast)) return false;
  constexpr int64_t kLeastChannels = 32;
  const winograd::Shape s = shape_of(x, w);
  if (s.in % winograd::kLanesMost || s.out % winograd::kLanesMost || std::min(s.in, s.out) < kLeastChannels) return false;
  const int64_t tiles = (s.h + 1) / 2 * ((s.w + 1) / 2);
  return s.h * s.w >= 3 * tiles && s.n * tiles * (s.in + s.out) >= s.in * s.out;
}

struct Conv3x3 : torch::autograd::Function<Conv3x3> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& w) {
    at::Tensor y = at::empty({x.size(0), w.size(0), x.size(2), x.size(3)}, x.options(), at::MemoryFormat::ChannelsLast);
    winograd::forward(shape_of(x, w), floats(x), floats(w), floats(y));
    ctx->save_for_backward({x, w});
    ctx->saved_data["dx"] = x.requires_grad();
    ctx->saved_data["dw"] = w.requires_grad();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &w = saved[1];
    const at::Tensor dy = grads[0].contiguous(at::MemoryFormat::ChannelsLast);
    const winograd::Shape s = shape_of(x, w);
    at::Tensor dx, dw;
    if (ctx->saved_data["dx"].toBool()) {
      dx = at::empty_like(x);
      winograd::input_gradient(s, floats(dy), floats(w), floats(dx));
    }
    if (ctx->saved_data["dw"].toBool()) {
      dw = at::empty_like(w);
      winograd::weight_gradient(s, floats(x), floats(dy), floats(dw));
    }
    return {dx, dw};
  }
};

void conv3x3(Call& c) {
  const at::Tensor &x = c.tensor(0), &w = c.tensor(1);
  TORCH_CHECK(x.dim() == 4 && w.dim() == 4 && w.size(2) == 3 && w.size(3) == 3 && x.size(1) == w.size(1),
              "conv3x3 takes (N,C,H,W) and (O,C,3,3), not ", x.sizes(), " and ", w.sizes());
  static const std::string refused = winograd::refused();
  if (!refused.empty()) unsupported(refused);
  c.out.tensor(fits(x, w) ? Conv3x3::apply(x, w) : at::conv2d(x, w, {}, 1, 1));
}

// fused_tier reports whether this CPU has the instruction set called so, and takes it for
// what is computed from now on: for tests.
void fused_tier(Call& c) { c.out.word(winograd::choose(c.args[0].toStringRef().c_str())); }

// fused_threads gives on how many threads a loop of this file runs.
void fused_threads(Call& c) {
  std::vector<char> seen(static_cast<size_t>(at::get_num_threads()), 0);
  at::parallel_for(0, static_cast<int64_t>(seen.size()), 1, [&](int64_t, int64_t) { seen[static_cast<size_t>(at::get_thread_num())] = 1; });
  c.out.integer(std::count(seen.begin(), seen.end(), 1));
}

}  // namespace

const Function fused_functions[] = {
    {"resslt::conv3x3", "input,weight", conv3x3},
    {"resslt::fused_tier", "tier", fused_tier},
    {"resslt::fused_threads", "", fused_threads},
    {nullptr, nullptr, nullptr},
};

}  // namespace resslt
