// optim.cc: an optimiser's step over all parameters and equation 6, by the kernels of
// kernels/optim.h.
#include <algorithm>
#include <cmath>

#include "kernels.h"

namespace resslt {
namespace {

// Numbers of the step, as optim_step gets them.
struct StepNumbers {
  double lr, decay, momentum, beta2, first_bias, second_root, eps, eta, average;
  bool nesterov, adam, lars;
};

// StepTensors are a step's tensors by parameter; undefined ones are not there.
struct StepTensors {
  std::vector<at::Tensor> w, g, v, second, teacher;
  std::vector<bool> decays;
  std::vector<double> scales;  // of the learning rate
};

// same_memory reports whether t has its elements in w's order. The stride of a dimension of one
// element says nothing: of 1×1 filters it differs between gradients and weights.
bool same_memory(const at::Tensor& w, const at::Tensor& t) {
  if (!t.defined()) return true;
  if (t.scalar_type() != at::kFloat || t.device() != w.device() || t.sizes() != w.sizes()) return false;
  for (int64_t d = 0; d < w.dim(); d++) {
    if (w.size(d) > 1 && t.stride(d) != w.stride(d)) return false;
  }
  return true;
}

// settle reports whether the kernels can take the tensors, and puts gradients into the order of
// their weights.
bool settle(StepTensors& s) {
  for (size_t i = 0; i < s.w.size(); i++) {
    const at::Tensor& w = s.w[i];
    if (!kernels::has(kernels::k_step, w) || w.scalar_type() != at::kFloat || !w.is_non_overlapping_and_dense()) return false;
    if (!same_memory(w, s.v[i]) || !same_memory(w, s.second[i]) || !same_memory(w, s.teacher[i])) return false;
    if (!s.g[i].defined() || s.g[i].sizes() != w.sizes() || s.g[i].device() != w.device()) return false;
  }
  for (size_t i = 0; i < s.w.size(); i++) {
    if (!same_memory(s.w[i], s.g[i])) s.g[i] = at::empty_like(s.w[i]).copy_(s.g[i]);
  }
  return true;
}

// trust_of gives LARS's factor of each gradient that decays: a vector on the device.
at::Tensor trust_of(const StepTensors& s, const std::vector<size_t>& which, const StepNumbers& n) {
  if (which.empty()) return {};
  const auto count = static_cast<int64_t>(which.size());
  const auto options = s.w[0].options().requires_grad(false);
  const at::Tensor partial = at::empty({count, kernels::kNormBlocks, 2}, options);
  at::Tensor trust = at::empty({count}, options);
  kernels::NormArgs a{};
  a.partial = kernels::pointer<float>(partial);
  a.trust = kernels::pointer<float>(trust);
  a.decay = static_cast<float>(n.decay);
  a.eta = static_cast<float>(n.eta);
  for (int64_t first = 0; first < count; first += kernels::kNormItems) {
    const int64_t items = std::min<int64_t>(count - first, kernels::kNormItems);
    a.first = static_cast<int>(first);
    for (int64_t i = 0; i < items; i++) {
      const size_t p = which[static_cast<size_t>(first + i)];
      a.items[i] = {kernels::pointer<float>(s.w[p]), kernels::pointer<float>(s.g[p]), s.w[p].numel()};
    }
    kernels::launch_norms(trust, kernels::kNormBlocks, items, a);
    kernels::launch_trust(trust, items, 1, a);
  }
  return trust;
}

kernels::StepItem item_of(const StepTensors& s, size_t i, const float* trust, const StepNumbers& n) {
  kernels::StepItem p{};
  p.w = kernels::pointer<float>(s.w[i]);
  p.g = kernels::pointer<float>(s.g[i]);
  p.v = kernels::pointer<float>(s.v[i]);
  p.second = kernels::pointer<float>(s.second[i]);
  p.teacher = kernels::pointer<float>(s.teacher[i]);
  p.trust = trust;
  p.n = s.w[i].numel();
  const double decay = s.decays[i] ? n.decay : 0, lr = n.lr * s.scales[i];
  p.decay = static_cast<float>(n.adam ? 1 - lr * decay : decay);
  p.lr = static_cast<float>(n.adam ? lr / n.first_bias : lr);
  p.fours = 1;
  for (const void* at : {static_cast<const void*>(p.w), static_cast<const void*>(p.g), static_cast<const void*>(p.v),
                         static_cast<const void*>(p.second), static_cast<const void*>(p.teacher)}) {
    if (!kernels::aligned(at, 16)) p.fours = 0;
  }
  return p;
}

void run_step(const StepTensors& s, const StepNumbers& n) {
  std::vector<size_t> adapted;
  for (size_t i = 0; i < s.w.size(); i++) {
    if (n.lars && s.decays[i]) adapted.push_back(i);
  }
  const at::Tensor trust = trust_of(s, adapted, n);
  kernels::StepArgs a{};
  a.kind = n.adam ? kernels::kAdamW : kernels::kSGD;
  a.nesterov = n.nesterov;
  a.momentum = static_cast<float>(n.momentum);
  a.rest = static_cast<float>(1 - n.momentum);
  a.beta2 = static_cast<float>(n.beta2);
  a.rest2 = static_cast<float>(1 - n.beta2);
  a.second_root = static_cast<float>(n.second_root);
  a.eps = static_cast<float>(n.eps);
  a.average = static_cast<float>(n.average);
  a.rest_average = static_cast<float>(1 - n.average);
  size_t at = 0;  // in adapted
  for (size_t first = 0; first < s.w.size(); first += kernels::kStepItems) {
    const size_t items = std::min<size_t>(s.w.size() - first, kernels::kStepItems);
    int64_t most = 1;
    for (size_t i = 0; i < items; i++) {
      const size_t p = first + i;
      const bool adapts = at < adapted.size() && adapted[at] == p;
      a.items[i] = item_of(s, p, adapts ? kernels::pointer<float>(trust) + at : nullptr, n);
      at += adapts;
      most = std::max<int64_t>(most, a.items[i].n);
    }
    // A block of the largest parameter has 4,096 elements or more.
    constexpr int64_t kOfBlock = 4 * 4 * kernels::kStepThreads, kBlocksMost = 1024;
    kernels::launch_step(s.w[first], std::min((most + kOfBlock - 1) / kOfBlock, kBlocksMost), static_cast<int64_t>(items), a);
  }
}

// optim_step moves params and the averages of some, or nothing and says so with 0. Moments and
// seconds have one tensor a parameter, or none; scales one number, or none. places are the
// parameters' numbers: of averages, then of those that decay, and that LARS adapts.
void optim_step(Call& c) {
  const auto number = [&](size_t i) { return c.args[8 + i].toDouble(); };
  const StepNumbers n{number(0), number(1), number(2), number(3),  number(4),         number(5),
                      number(6), number(7), number(8), c.flag(17), c.integer(0) == 2, c.integer(0) == 1};
  StepTensors s;
  s.w = c.args[1].toTensorVector();
  s.g = c.args[2].toTensorVector();
  s.v = c.args[3].toTensorVector();
  s.second = c.args[4].toTensorVector();
  const auto averages = c.args[5].toTensorVector();
  const auto places = c.args[6].toIntVector();
  s.scales = c.args[7].toDoubleVector();
  TORCH_CHECK(s.g.size() == s.w.size() && (s.v.empty() || s.v.size() == s.w.size()) &&
                  (s.second.empty() || s.second.size() == s.w.size()) && (s.scales.empty() || s.scales.size() == s.w.size()) &&
                  places.size() >= averages.size() && (!n.adam || (!s.second.empty() && !s.v.empty())),
              "optim_step takes lists of one length");
  s.v.resize(s.w.size());
  s.second.resize(s.w.size());
  s.teacher.resize(s.w.size());
  s.decays.resize(s.w.size());
  if (s.scales.empty()) s.scales.assign(s.w.size(), 1);
  for (size_t i = 0; i < places.size(); i++) {
    const auto p = static_cast<size_t>(places[i]);
    TORCH_CHECK(p < s.w.size(), "optim_step has no parameter ", p);
    if (i < averages.size()) {
      s.teacher[p] = averages[i];
    } else {
      s.decays[p] = true;
    }
  }
  const bool can = !s.w.empty() && settle(s);
  if (can) run_step(s, n);
  c.out.word(can);
}

}  // namespace

const Function optim_functions[] = {
    {"resslt::optim_step",
     "kind,params,grads,moments,seconds,averages,places,scales,lr,decay,momentum,beta2,first_bias,second_root,eps,eta,average,nesterov",
     optim_step},
    {nullptr, nullptr, nullptr},
};

}  // namespace resslt
