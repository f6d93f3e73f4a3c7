// dist.h: a group of processes, as the shim's own files see it.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace resslt {

// Group is one process's membership. Its methods are collectives: every rank
// calls them in one order, with tensors of one shape and type. Tensors of the
// CPU go over gloo, those of a GPU over NCCL. A peer that is gone, or silent for
// longer than the group's timeout, ends a call by lost().
class Group {
 public:
  virtual ~Group() = default;
  virtual int64_t world() const = 0;

  // gather joins every rank's t (n, ...) along rows in order of rank: (W·n, ...).
  virtual at::Tensor gather(const at::Tensor& t) = 0;
  // sum adds up flat, a contiguous tensor, over the ranks, in place. Every rank
  // ends with the same bits.
  virtual void sum(at::Tensor flat) = 0;
  // mean makes each tensor its mean over the ranks, in place, in flat buckets.
  virtual void mean(std::vector<at::Tensor> tensors, int64_t bucket_bytes) = 0;
  // exchange gives every rank's bytes (n) uint8 of the CPU as (W,n). It never
  // waits for a GPU.
  virtual at::Tensor exchange(const at::Tensor& bytes) = 0;
  // leave waits a moment for the others, so that the rank which holds the store
  // does not take it from under them.
  virtual void leave() = 0;
  // gone says whether another rank has ended, without a collective of this thread.
  virtual bool gone() const = 0;
  // abort ends what NCCL has on the GPU, which waits for ranks that are gone.
  virtual void abort() = 0;
};

// group_of is the group of a handle that dist_join gave.
Group& group_of(int64_t handle);

}  // namespace resslt
