// syncbn.cc: batch norm whose statistics are those of every rank's rows together
// (SyncBatchNorm), forward and backward. On the CPU of plain ATen, on CUDA of
// PyTorch's own kernels for it.
#include <torch/csrc/autograd/custom_function.h>

#include "dist.h"
#include "internal.h"

namespace resslt {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// per_channel shapes v (C) to broadcast over x (N,C) or (N,C,H,W).
at::Tensor per_channel(const at::Tensor& v, const at::Tensor& x) {
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[1] = v.numel();
  return v.view(shape);
}

// Statistics are of the whole batch over all ranks.
struct Statistics {
  at::Tensor mean, var, invstd;  // (C); var is the CPU's alone
  at::Tensor counts;             // (W) rows times places of each rank, float
};

// cpu_statistics joins the ranks' means and biased variances in double, in order
// of rank, and folds them into the running ones as one process with all the rows
// would: the variance unbiased.
Statistics cpu_statistics(Group& g, const at::Tensor& x, at::Tensor& running_mean, at::Tensor& running_var, double momentum, double eps) {
  const int64_t channels = x.size(1);
  at::Tensor mean, var;
  std::tie(mean, var) = at::batch_norm_update_stats(x, {}, {}, 0.0);
  const at::Tensor count = at::full({1}, static_cast<double>(x.numel() / channels), mean.options().dtype(at::kDouble));
  const at::Tensor all = g.gather(at::cat({mean.to(at::kDouble), var.to(at::kDouble), count}).unsqueeze(0));  // (W,2C+1)
  const at::Tensor means = all.narrow(1, 0, channels), vars = all.narrow(1, channels, channels), n = all.narrow(1, 2 * channels, 1);
  const double total = n.sum().item<double>();
  TORCH_CHECK(total > 1, "batch norm needs more than one value for a channel over all ranks");
  mean = means.mul(n).sum(0).div_(total);
  var = means.sub(mean).square_().add_(vars).mul_(n).sum(0).div_(total);
  running_mean.mul_(1 - momentum).add_(mean.to(running_mean.scalar_type()), momentum);
  running_var.mul_(1 - momentum).add_(var.mul(total / (total - 1)).to(running_var.scalar_type()), momentum);
  const auto as = x.scalar_type();
  return {mean.to(as), var.to(as), var.add(eps).rsqrt_().to(as), n.reshape({-1}).to(as)};
}

Statistics cuda_statistics(Group& g, const at::Tensor& x, at::Tensor& running_mean, at::Tensor& running_var, double momentum, double eps) {
  const int64_t channels = x.size(1);
  at::Tensor mean, invstd;
  std::tie(mean, invstd) = at::batch_norm_stats(x, eps);
  const at::Tensor count = at::full({1}, static_cast<double>(x.numel() / channels), mean.options());
  const at::Tensor all = g.gather(at::cat({mean, invstd, count}).unsqueeze(0));  // (W,2C+1)
  at::Tensor counts = all.narrow(1, 2 * channels, 1).reshape({-1});
  std::tie(mean, invstd) =
      at::batch_norm_gather_stats_with_counts(x, all.narrow(1, 0, channels).contiguous(), all.narrow(1, channels, channels).contiguous(),
                                              running_mean, running_var, momentum, eps, counts.to(running_mean.scalar_type()));
  return {mean, {}, invstd, counts};
}

struct SyncBatchNorm : torch::autograd::Function<SyncBatchNorm> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                            at::Tensor running_mean, at::Tensor running_var, double momentum, double eps, int64_t group) {
    Group& g = group_of(group);
    const at::Tensor x = input.contiguous(input.suggest_memory_format());
    at::Tensor y;
    Statistics s;
    if (x.is_cuda()) {
      s = cuda_statistics(g, x, running_mean, running_var, momentum, eps);
      y = at::batch_norm_elemt(x, weight, bias, s.mean, s.invstd, eps);
    } else {
      const at::Tensor wide = x.to(running_mean.scalar_type());
      s = cpu_statistics(g, wide, running_mean, running_var, momentum, eps);
      y = std::get<0>(at::native_batch_norm(wide, weight, bias, s.mean, s.var, false, 0.0, eps)).to(x.scalar_type());
    }
    ctx->save_for_backward({x, weight, s.mean, s.invstd, s.counts});
    ctx->saved_data["group"] = group;
    ctx->saved_data["eps"] = eps;
    return y;
  }

  // backward, with Σ over all ranks' rows and N their number:
  //
  //	dx = γ/σ · (dy − Σdy/N − (x−μ)/σ² · Σ(dy·(x−μ))/N)
  //	dγ = Σ dy·(x−μ)/σ, dβ = Σ dy, of this rank's rows: gradients are summed later
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &invstd = saved[3], &counts = saved[4];
    Group& g = group_of(ctx->saved_data["group"].toInt());
    const at::Tensor dy = grads[0].contiguous(x.suggest_memory_format());
    const int64_t channels = x.size(1);
    at::Tensor dx, dweight, dbias;
    if (x.is_cuda()) {
      at::Tensor sum_dy, sum_dy_xmu;
      std::tie(sum_dy, sum_dy_xmu, dweight, dbias) = at::batch_norm_backward_reduce(dy, x, mean, invstd, weight, true, true, true);
      at::Tensor both = at::cat({sum_dy, sum_dy_xmu});
      g.sum(both);
      dx = at::batch_norm_backward_elemt(dy, x, mean, invstd, weight, both.narrow(0, 0, channels), both.narrow(0, channels, channels),
                                         counts.to(at::kInt));
    } else {
      const at::Tensor wide = x.to(mean.scalar_type()), dwide = dy.to(mean.scalar_type());
      std::tie(std::ignore, dweight, dbias) = at::native_batch_norm_backward(dwide, wide, weight, {}, {}, mean, invstd, true,
                                                                             ctx->saved_data["eps"].toDouble(), {false, true, true});
      at::Tensor both = at::cat({dbias, dweight.div(invstd)}).to(at::kDouble);
      g.sum(both);
      both.div_(counts.to(at::kDouble).sum());
      both = both.to(mean.scalar_type());
      const at::Tensor scale = invstd * weight;
      const at::Tensor slope = both.narrow(0, channels, channels) * invstd.square() * scale;
      dx = wide.sub(per_channel(mean, x)).mul_(per_channel(slope.neg(), x));
      dx.addcmul_(dwide, per_channel(scale, x)).sub_(per_channel(both.narrow(0, 0, channels) * scale, x));
      dx = dx.to(x.scalar_type());
    }
    return {dx, dweight, dbias, {}, {}, {}, {}, {}};
  }
};

void sync_batch_norm(Call& c) {
  TORCH_CHECK(c.tensor(1).dim() >= 2, "batch norm takes (N,C) or (N,C,H,W)");
  // An autograd function takes no undefined tensor.
  const auto or_full = [&](size_t i, double v) { return c.args[i].isNone() ? at::full_like(c.tensor(4), v) : c.tensor(i); };
  c.out.tensor(SyncBatchNorm::apply(c.tensor(1), or_full(2, 1), or_full(3, 0), c.tensor(4), c.tensor(5), c.args[6].toDouble(),
                                    c.args[7].toDouble(), c.integer(0)));
}

}  // namespace

const Function syncbn_functions[] = {
    {"resslt::sync_batch_norm", "group,input,weight,bias,running_mean,running_var,momentum,eps", sync_batch_norm},
    {nullptr, nullptr, nullptr},
};

}  // namespace resslt
