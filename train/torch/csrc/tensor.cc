// tensor.cc: data in and out, gradients, devices.
#include <cstring>

#include "internal.h"

namespace resslt {
namespace {

void meta(Call& c) {
  const at::Tensor& t = c.tensor(0);
  c.out.integer(static_cast<int64_t>(t.scalar_type()));
  c.out.integer(static_cast<int64_t>(t.device().type()));
  c.out.integer(t.device().is_cpu() ? 0 : t.device().index());
  c.out.integer(t.requires_grad());
  c.out.integer(t.dim());
  c.out.integer(t.numel());
}

void shape(Call& c) {
  for (int64_t s : c.tensor(0).sizes()) c.out.integer(s);
}

void item(Call& c) {
  const at::Tensor& t = c.tensor(0);
  TORCH_CHECK(t.numel() == 1, "a tensor of ", t.numel(), " elements has no single value");
  const at::Scalar s = t.item();
  TORCH_CHECK(!s.isComplex(), "a complex value");
  c.out.real(s.to<double>());
}

// from_bytes checks that shape and data agree before it allocates.
void from_bytes(Call& c) {
  const auto dtype = c.dtype(0);
  const auto sizes = c.args[1].toIntVector();
  int64_t bytes = static_cast<int64_t>(c10::elementSize(dtype));
  for (int64_t s : sizes) {
    TORCH_CHECK(s >= 0, "a negative size ", s);
    TORCH_CHECK(!__builtin_mul_overflow(bytes, s, &bytes), "a shape too large for memory");
  }
  TORCH_CHECK(bytes == c.ndata, "a shape of ", bytes, " bytes and ", c.ndata, " bytes of data");
  at::Tensor t = at::empty(sizes, at::TensorOptions().dtype(dtype));
  if (bytes > 0) std::memcpy(t.data_ptr(), c.data, static_cast<size_t>(bytes));
  c.out.tensor(std::move(t));
}

void read(Call& c) {
  const at::NoGradGuard quiet;
  const at::Tensor t = c.tensor(0).detach().to(at::kCPU, c.dtype(1)).contiguous();
  const int64_t bytes = t.numel() * static_cast<int64_t>(t.element_size());
  TORCH_CHECK(bytes == c.ndata, "a tensor of ", bytes, " bytes and room for ", c.ndata);
  if (bytes > 0) std::memcpy(c.data, t.data_ptr(), static_cast<size_t>(bytes));
}

// write goes through copy_, which counts the change, so that a backward that
// would need the old values fails and does not use the new ones.
void write(Call& c) {
  const at::NoGradGuard quiet;
  at::Tensor t = c.tensor(0);
  const int64_t bytes = t.numel() * static_cast<int64_t>(t.element_size());
  TORCH_CHECK(bytes == c.ndata, "a tensor of ", bytes, " bytes and ", c.ndata, " bytes of data");
  if (bytes == 0) return;
  t.copy_(at::from_blob(c.data, t.sizes(), at::TensorOptions().dtype(t.scalar_type())));
}

void backward(Call& c) { c.tensor(0).backward(c.optional(1), c.flag(2)); }

void grad(Call& c) {
  const at::Tensor& g = c.tensor(0).grad();
  if (g.defined()) c.out.tensor(g);
}

void set_grad(Call& c) {
  at::Tensor t = c.tensor(0);
  if (c.args[1].isNone()) {
    t.mutable_grad().reset();
    return;
  }
  const at::Tensor& g = c.tensor(1);
  TORCH_CHECK(g.sizes() == t.sizes() && g.scalar_type() == t.scalar_type() && g.device() == t.device(),
              "a gradient must have the shape, dtype and device of its tensor");
  t.mutable_grad() = g;
}

void set_requires_grad(Call& c) {
  at::Tensor t = c.tensor(0);
  const bool on = c.flag(1);
  TORCH_CHECK(t.is_leaf() || on, "only a leaf can stop requiring gradients; use Detach");
  TORCH_CHECK(!on || at::isFloatingType(t.scalar_type()), "only floating-point tensors can require gradients");
  t.set_requires_grad(on);
}

void to(Call& c) {
  const at::Tensor& t = c.tensor(0);
  const auto dtype = c.args[2].isNone() ? t.scalar_type() : c.dtype(2);
  c.out.tensor(t.to(c.device(1), dtype, c.flag(3)));
}

void is_contiguous(Call& c) { c.out.word(c.tensor(0).is_contiguous(static_cast<c10::MemoryFormat>(c.integer(1)))); }

void alias(Call& c) { c.out.tensor(c.tensor(0)); }
void same(Call& c) { c.out.word(c.tensor(0).is_same(c.tensor(1))); }

}  // namespace

const Function tensor_functions[] = {
    {"resslt::meta", "self", meta},
    {"resslt::shape", "self", shape},
    {"resslt::item", "self", item},
    {"resslt::from_bytes", "dtype,shape", from_bytes},
    {"resslt::read", "self,dtype", read},
    {"resslt::write", "self", write},
    {"resslt::backward", "self,gradient,retain_graph", backward},
    {"resslt::grad", "self", grad},
    {"resslt::set_grad", "self,grad", set_grad},
    {"resslt::set_requires_grad", "self,requires_grad", set_requires_grad},
    {"resslt::to", "self,device,dtype,non_blocking", to},
    {"resslt::is_contiguous", "self,memory_format", is_contiguous},
    {"resslt::alias", "self", alias},
    {"resslt::same", "self,other", same},
    {nullptr, nullptr, nullptr},
};

}  // namespace resslt
