// batchnorm.cc: batch norm of a training step with shortcut and ReLU, and the network's
// input, by the kernels of kernels/batchnorm.h and kernels/pixels.h.
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "kernels.h"

namespace resslt {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// blocks_for is how many columns of blocks share M rows: enough for 132 multiprocessors to have
// eight blocks each, of four rows or more for a thread. It depends on the shape alone.
int64_t blocks_for(int64_t rows, int64_t channels) {
  constexpr int64_t kBlocks = 1056, kRowsLeast = 4 * kernels::kNormDown;
  const int64_t across = (channels + kernels::kNormChannels - 1) / kernels::kNormChannels;
  return std::max<int64_t>(1, std::min((kBlocks + across - 1) / across, rows / kRowsLeast));
}

// by_channels reports whether the kernels read t, (N,C) or (N,C,H,W), as rows of channels.
bool by_channels(const at::Tensor& t) {
  const auto format = t.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  return (t.dim() == 2 || t.dim() == 4) && t.is_contiguous(format) && kernels::aligned(t.data_ptr(), 4 * t.element_size());
}

bool normalizes(const at::Tensor& x, const std::vector<at::Tensor>& vectors, const at::Tensor& residual) {
  if (x.scalar_type() != at::kFloat && x.scalar_type() != at::kBFloat16) return false;
  if (!kernels::has(kernels::k_norm_finish_float, x) || x.dim() < 2 || x.size(1) % 4 || x.numel() <= x.size(1) || !by_channels(x))
    return false;
  for (const at::Tensor& v : vectors) {
    if (v.defined() && (v.scalar_type() != at::kFloat || !v.is_contiguous() || v.device() != x.device())) return false;
  }
  return !residual.defined() || (residual.sizes() == x.sizes() && residual.scalar_type() == x.scalar_type() &&
                                 residual.device() == x.device() && by_channels(residual));
}

// RESSLT_BY_TYPE starts the instance for x's type.
#define RESSLT_BY_TYPE(name, x, across, down, a) \
  ((x).scalar_type() == at::kFloat ? kernels::launch_##name##_float(x, across, down, a) : kernels::launch_##name##_bf16(x, across, down, a))

// norm_args are what both passes of a batch norm have in common.
kernels::BatchNormArgs norm_args(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& mean,
                                 const at::Tensor& invstd, bool relu) {
  kernels::BatchNormArgs a{};
  a.x = x.data_ptr();
  a.weight = kernels::pointer<float>(weight);
  a.bias = kernels::pointer<float>(bias);
  a.mean = kernels::pointer<float>(mean);
  a.invstd = kernels::pointer<float>(invstd);
  a.channels = static_cast<int>(x.size(1));
  a.rows = x.numel() / x.size(1);
  a.blocks = static_cast<int>(blocks_for(a.rows, a.channels));
  a.relu = relu;
  return a;
}

int64_t columns(const kernels::BatchNormArgs& a) { return (a.channels + kernels::kNormChannels - 1) / kernels::kNormChannels; }
int64_t warps(const kernels::BatchNormArgs& a) { return (a.channels + kernels::kWarp - 1) / kernels::kWarp; }

struct BatchNormReLU : torch::autograd::Function<BatchNormReLU> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& residual, bool shortcut, const at::Tensor& running_mean, const at::Tensor& running_var,
                            double momentum, double eps, bool relu) {
    const auto vectors = x.options().dtype(at::kFloat).requires_grad(false);
    const at::Tensor mean = at::empty({x.size(1)}, vectors), invstd = at::empty({x.size(1)}, vectors);
    at::Tensor y = at::empty_like(x);
    kernels::BatchNormArgs a = norm_args(x, weight, bias, mean, invstd, relu);
    const at::Tensor partial = at::empty({a.blocks, 2, a.channels}, vectors);
    a.partial = kernels::pointer<float>(partial);
    a.residual = shortcut ? residual.data_ptr() : nullptr;
    a.y = y.data_ptr();
    a.running_mean = kernels::pointer<float>(running_mean);
    a.running_var = kernels::pointer<float>(running_var);
    a.momentum = static_cast<float>(momentum);
    a.eps = static_cast<float>(eps);
    RESSLT_BY_TYPE(norm_sums, x, columns(a), a.blocks, a);
    RESSLT_BY_TYPE(norm_finish, x, warps(a), 1, a);
    RESSLT_BY_TYPE(norm_apply, x, columns(a), a.blocks, a);
    ctx->save_for_backward({x, weight, bias, mean, invstd, relu && shortcut ? y : at::Tensor()});
    ctx->saved_data["relu"] = relu;
    ctx->saved_data["shortcut"] = shortcut && residual.requires_grad();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3], &invstd = saved[4], &y = saved[5];
    const bool relu = ctx->saved_data["relu"].toBool(), shortcut = ctx->saved_data["shortcut"].toBool();
    at::Tensor dy = grads[0].to(x.scalar_type());
    dy = dy.contiguous(x.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
    if (!kernels::aligned(dy.data_ptr(), 4 * dy.element_size())) dy = dy.clone();
    const auto vectors = mean.options();
    const at::Tensor dweight = at::empty_like(mean), dbias = at::empty_like(mean);
    at::Tensor dx = at::empty_like(x), dresidual = shortcut && relu ? at::empty_like(x) : at::Tensor();
    kernels::BatchNormArgs a = norm_args(x, weight, bias, mean, invstd, relu);
    const at::Tensor partial = at::empty({a.blocks, 2, a.channels}, vectors), slope = at::empty({2, a.channels}, vectors);
    a.partial = kernels::pointer<float>(partial);
    a.slope = kernels::pointer<float>(slope);
    a.dy = dy.data_ptr();
    a.y = y.defined() ? y.data_ptr() : nullptr;
    a.dx = dx.data_ptr();
    a.dresidual = dresidual.defined() ? dresidual.data_ptr() : nullptr;
    a.dweight = kernels::pointer<float>(dweight);
    a.dbias = kernels::pointer<float>(dbias);
    RESSLT_BY_TYPE(gradient_sums, x, columns(a), a.blocks, a);
    kernels::launch_gradient_finish(x, warps(a), 1, a);
    RESSLT_BY_TYPE(gradient_apply, x, columns(a), a.blocks, a);
    if (shortcut && !relu) dresidual = dy;
    return {dx, dweight, dbias, dresidual, {}, {}, {}, {}, {}, {}};
  }
};

// batch_norm_relu is relu(batch norm(x) + residual) in training.
void batch_norm_relu(Call& c) {
  const at::Tensor& x = c.tensor(0);
  const at::Tensor weight = c.optional(1), bias = c.optional(2);
  const at::Tensor &mean = c.tensor(3), &var = c.tensor(4), residual = c.optional(5);
  const double momentum = c.args[6].toDouble(), eps = c.args[7].toDouble();
  const bool relu = c.flag(8);
  if (normalizes(x, {weight, bias, mean, var}, residual)) {
    // An autograd function takes no undefined tensor.
    const auto or_full = [&](const at::Tensor& t, double v) { return t.defined() ? t : at::full_like(mean, v); };
    c.out.tensor(BatchNormReLU::apply(x, or_full(weight, 1), or_full(bias, 0), residual.defined() ? residual : x, residual.defined(), mean,
                                      var, momentum, eps, relu));
    return;
  }
  at::Tensor y = at::batch_norm(x, weight, bias, mean, var, true, momentum, eps, true);
  if (residual.defined()) y = y.add_(residual);
  c.out.tensor(relu ? y.relu_() : y);
}

// normalize_pixels maps (N,S,S,3) uint8 to x·scale + shift by channel, (N,3,S,S) in channels_last,
// float32 or bfloat16. Without kernels the same by libtorch.
void normalize_pixels(Call& c) {
  const at::Tensor& x = c.tensor(0);
  const bool half = c.dtype(7) == at::kBFloat16;
  TORCH_CHECK(x.dim() == 4 && x.size(3) == 3 && x.scalar_type() == at::kByte && (half || c.dtype(7) == at::kFloat),
              "normalize_pixels takes (N,S,S,3) uint8 to float32 or bfloat16, not ", x.sizes(), " to ", c.dtype(7));
  kernels::PixelArgs a{};
  for (size_t i = 0; i < 3; i++) {
    a.scale[i] = static_cast<float>(c.args[1 + i].toDouble());
    a.shift[i] = static_cast<float>(c.args[4 + i].toDouble());
  }
  if (!kernels::has(kernels::k_pixels_float, x) || !x.is_contiguous() || x.numel() == 0) {
    const auto constant = [&](const float* v) { return at::tensor(std::vector<float>(v, v + 3)).to(x.device()).view({1, 3, 1, 1}); };
    at::Tensor y = x.permute({0, 3, 1, 2}).to(at::kFloat);
    c.out.tensor(y.mul_(constant(a.scale)).add_(constant(a.shift)).to(c.dtype(7)));
    return;
  }
  const at::Tensor y = at::empty(x.sizes(), x.options().dtype(c.dtype(7)));
  a.x = kernels::pointer<unsigned char>(x);
  a.y = y.data_ptr();
  a.n = x.numel();
  a.words = kernels::aligned(a.x, 4);
  constexpr int64_t kOfBlock = 4 * kernels::kPixelThreads, kBlocksMost = 4096;
  const int64_t blocks = std::min<int64_t>((a.n + kOfBlock - 1) / kOfBlock, kBlocksMost);
  half ? kernels::launch_pixels_bf16(x, blocks, 1, a) : kernels::launch_pixels_float(x, blocks, 1, a);
  c.out.tensor(y.permute({0, 3, 1, 2}));
}

}  // namespace

const Function batchnorm_functions[] = {
    {"resslt::batch_norm_relu", "input,weight,bias,running_mean,running_var,residual,momentum,eps,relu", batch_norm_relu},
    {"resslt::normalize_pixels", "input,scale0,scale1,scale2,shift0,shift1,shift2,dtype", normalize_pixels},
    {nullptr, nullptr, nullptr},
};

}  // namespace resslt
