// attend.cc: what the relational loss needs of the similarities to the queue, by the
// kernels of kernels/attend.h.
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "kernels.h"

namespace resslt {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// attend_kernel is the one for rows of D floats, in TF32 or exact; −1 for none.
int attend_kernel(int64_t dim, bool exact) {
  if (dim % 4 || dim > 512) return -1;
  if (dim <= 128) return exact ? kernels::k_attend_128_exact : kernels::k_attend_128;
  if (dim <= 256) return exact ? kernels::k_attend_256_exact : kernels::k_attend_256;
  return exact ? kernels::k_attend_512_exact : kernels::k_attend_512;
}

bool attends(const at::Tensor& z, const at::Tensor& queue, int kernel) {
  const auto good = [](const at::Tensor& t) {
    return t.scalar_type() == at::kFloat && t.is_contiguous() && kernels::aligned(t.data_ptr(), 16) && t.numel() > 0 &&
           t.size(0) < (1LL << 30);
  };
  return kernel >= 0 && kernels::has(static_cast<kernels::Kernel>(kernel), z) && z.device() == queue.device() && good(z) && good(queue);
}

// Attended is lse (B), mean (B,D) and best (B) of kernels/attend.h.
struct Attended {
  at::Tensor lse, mean, best;
};

Attended attend_by_kernels(const at::Tensor& z, const at::Tensor& queue, double tau, kernels::Kernel kernel) {
  const int64_t rows = z.size(0), dim = z.size(1), keys = queue.size(0);
  // Of a batch's few blocks of rows each part of the queue makes as many more, until there
  // are two for each of a large GPU's 132 multiprocessors; a part has four tiles or more. The
  // number depends on the shapes alone, and with it the order of sums.
  constexpr int64_t kBlocks = 264;
  const int64_t row_blocks = (rows + kernels::kRows - 1) / kernels::kRows, tiles = (keys + kernels::kKeys - 1) / kernels::kKeys;
  int64_t parts =
      std::min(std::min<int64_t>((kBlocks + row_blocks - 1) / row_blocks, kernels::kPartsMost), std::max<int64_t>(1, tiles / 4));
  const int64_t tiles_of_part = (tiles + parts - 1) / parts;
  parts = (tiles + tiles_of_part - 1) / tiles_of_part;

  const auto wide = z.options().requires_grad(false);
  const at::Tensor part = at::empty({parts, rows, dim}, wide), sums = at::empty({2, parts, rows}, wide);
  const at::Tensor arg = at::empty({parts, rows}, wide.dtype(at::kInt));
  const Attended out{at::empty({rows}, wide), at::empty({rows, dim}, wide), at::empty({rows}, wide.dtype(at::kLong))};
  kernels::AttendArgs a{};
  a.z = kernels::pointer<float>(z);
  a.queue = kernels::pointer<float>(queue);
  a.part = kernels::pointer<float>(part);
  a.top = kernels::pointer<float>(sums);
  a.sum = a.top + parts * rows;
  a.arg = kernels::pointer<int>(arg);
  a.lse = kernels::pointer<float>(out.lse);
  a.mean = kernels::pointer<float>(out.mean);
  a.best = static_cast<long long*>(out.best.data_ptr());
  a.rows = static_cast<int>(rows);
  a.keys = static_cast<int>(keys);
  a.dim = static_cast<int>(dim);
  a.parts = static_cast<int>(parts);
  a.keys_of_part = static_cast<int>(tiles_of_part) * kernels::kKeys;
  a.scale = static_cast<float>(1 / tau);
  kernels::launch_args(kernel, z, row_blocks, parts, &a);
  kernels::launch_attend_join(z, rows, 1, a);
  return out;
}

Attended attend_by_libtorch(const at::Tensor& z, const at::Tensor& queue, double tau) {
  const at::Tensor s = at::mm(z, queue.t()), scaled = s.div(tau);
  return {at::logsumexp(scaled, {1}), at::mm(at::softmax(scaled, 1), queue), at::argmax(s, 1)};
}

struct Attend : torch::autograd::Function<Attend> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& z, const at::Tensor& queue, double tau, int64_t kernel) {
    const Attended a =
        kernel >= 0 ? attend_by_kernels(z, queue, tau, static_cast<kernels::Kernel>(kernel)) : attend_by_libtorch(z, queue, tau);
    ctx->mark_non_differentiable({a.mean, a.best});
    ctx->save_for_backward({a.mean});
    ctx->saved_data["tau"] = tau;
    return {a.lse, a.mean, a.best};
  }

  // backward: d lse / d z = mean/τ.
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor mean = ctx->get_saved_variables()[0];
    return {mean * grads[0].div(ctx->saved_data["tau"].toDouble()).unsqueeze(1), {}, {}, {}};
  }
};

void attend(Call& c) {
  const at::Tensor &z = c.tensor(0), &queue = c.tensor(1);
  const double tau = c.args[2].toDouble();
  TORCH_CHECK(z.dim() == 2 && queue.dim() == 2 && z.size(1) == queue.size(1) && queue.size(0) > 0 && tau > 0,
              "attend takes (B,D), (K,D) and a temperature, not ", z.sizes(), ", ", queue.sizes(), " and ", tau);
  const int kernel = attend_kernel(z.size(1), !at::globalContext().allowTF32CuBLAS());
  for (at::Tensor& t : Attend::apply(z, queue, tau, static_cast<int64_t>(attends(z, queue, kernel) ? kernel : -1))) c.out.tensor(t);
}

}  // namespace

const Function attend_functions[] = {
    {"resslt::attend", "z,queue,tau", attend},
    {nullptr, nullptr, nullptr},
};

}  // namespace resslt
