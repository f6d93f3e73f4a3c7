// dist.cc: groups of processes over c10d: they meet at a TCP store, and talk by
// gloo on the CPU and NCCL on GPUs, of which a build has what its libtorch's
// headers have. csrc/build.sh decides (RESSLT_DIST, USE_C10D_GLOO, USE_C10D_NCCL).
#include "dist.h"

#include <torch/version.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#if defined(RESSLT_DIST)
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#if defined(USE_C10D_GLOO)
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif
#if defined(USE_C10D_NCCL)
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif
#endif

#include "internal.h"

namespace resslt {
namespace {

#if defined(RESSLT_DIST)

// From 2.0 on what talks is a Backend; before, it was a ProcessGroup.
#if TORCH_VERSION_MAJOR >= 2
using Backend = c10d::Backend;
#else
using Backend = c10d::ProcessGroup;
#endif

using std::chrono::milliseconds;

// guarded runs body; what c10d throws in it is a peer's end, not a mistake here. What
// this process' own memory or GPU has to say stays what it is.
template <typename Body>
void guarded(const char* what, const Body& body) {
  try {
    body();
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error& e) {
    if (std::strstr(e.what_without_backtrace(), "CUDA error")) throw;
    lost(std::string(what) + ": " + e.what_without_backtrace());
  } catch (const std::exception& e) {
    lost(std::string(what) + ": " + e.what());
  }
}

// without_libuv has the store served by a thread of its own, which every build of
// libtorch can: the option came in 2.2, and asks for what some lack.
template <typename Options>
auto without_libuv(Options& o, int) -> decltype(static_cast<void>(o.useLibUV)) {
  o.useLibUV = false;
}
template <typename Options>
void without_libuv(Options&, long) {}

#if defined(USE_C10D_NCCL) && (TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4))
#define RESSLT_NCCL_ENDS  // groups can be aborted and shut down
#endif

// Watch meets the other ranks' some times a second, on a thread of its own: one that
// waits for a GPU, whose kernels wait for a rank that is gone, does not hear of it.
// It ends for all with the first that stops. That thread is not joined: its last round
// may have to wait for a rank that is silent.
class Watch {
 public:
  explicit Watch(c10::intrusive_ptr<Backend> group) : state_(std::make_shared<State>()) {
    state_->group = std::move(group);
    std::thread([state = state_] { run(*state); }).detach();
  }
  ~Watch() { state_->stop = true; }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  bool gone() const { return state_->gone; }

 private:
  struct State {
    c10::intrusive_ptr<Backend> group;
    std::atomic<bool> stop{false}, gone{false};
  };

  static void run(State& s) {
    try {
      for (;;) {
        std::vector<at::Tensor> stops{at::zeros({1}, at::kInt)};
        stops[0].data_ptr<int32_t>()[0] = s.stop;
        s.group->allreduce(stops)->wait();
        if (stops[0].data_ptr<int32_t>()[0] != 0) break;
        std::this_thread::sleep_for(milliseconds(200));
      }
    } catch (const std::exception&) {
    }
    s.gone = true;
  }

  std::shared_ptr<State> state_;
};

struct Place {
  std::string host;
  int64_t port;
  int64_t rank, world;
  bool serves;  // this rank holds the store
  std::string prefix;
  milliseconds timeout;
};

class Joined final : public Group {
 public:
  Joined(const Place& p, c10::Device device) : rank_(p.rank), world_(p.world), serves_(p.serves) {
    guarded("meeting", [&] {
      c10d::TCPStoreOptions o;
      o.port = static_cast<uint16_t>(p.port);
      o.isServer = p.serves;
      o.numWorkers = static_cast<size_t>(p.world);
      o.waitWorkers = false;  // the backends wait for the ranks that they need
      o.timeout = p.timeout;
      without_libuv(o, 0);
      store_ = c10::make_intrusive<c10d::PrefixStore>(p.prefix, c10::make_intrusive<c10d::TCPStore>(p.host, o));
      // (PrefixStore passes this on; before 2.0 its own wait would have the default.)
      store_->setTimeout(p.timeout);
      // Everybody is here, before the backends begin to look for each other.
      exchange_by_store(at::zeros({1}, at::kByte));
    });
#if defined(USE_C10D_GLOO)
    guarded("gloo", [&] {
      host_ = gloo("gloo", p.timeout, 2);
      watch_ = std::make_unique<Watch>(gloo("watch", p.timeout, 1));
    });
#endif
#if defined(USE_C10D_NCCL)
    if (device.is_cuda()) {
      guarded("nccl", [&] {
        auto o = c10d::ProcessGroupNCCL::Options::create();
        o->timeout = p.timeout;
        nccl_ = c10::make_intrusive<c10d::ProcessGroupNCCL>(c10::make_intrusive<c10d::PrefixStore>("nccl", store_), static_cast<int>(rank_),
                                                            static_cast<int>(world_), o);
        device_ = nccl_;
      });
    }
#endif
    backend(device);
  }

  // A group that was left is shut down, as NCCL wants it; the others' end is not waited
  // for by one that has failed.
  ~Joined() override {
#if defined(RESSLT_NCCL_ENDS)
    try {
      if (nccl_ && left_) nccl_->shutdown();
    } catch (const std::exception&) {  // it is over either way
    }
#endif
    if (!left_) Joined::abort();
  }

  int64_t world() const override { return world_; }

  bool gone() const override { return watch_ && watch_->gone(); }

  void abort() override {
#if defined(RESSLT_NCCL_ENDS)
    if (!nccl_ || aborted_) return;
    aborted_ = true;
    try {
      nccl_->abort();
    } catch (const std::exception&) {  // what it had on the GPU has ended by itself
    }
#endif
  }

  at::Tensor gather(const at::Tensor& t) override {
    const at::NoGradGuard quiet;
    auto sizes = t.sizes().vec();
    TORCH_CHECK(!sizes.empty(), "a tensor without rows cannot be gathered");
    const int64_t rows = sizes[0];
    sizes[0] = rows * world_;
    at::Tensor all = at::empty(sizes, t.options());
    std::vector<at::Tensor> in{t.detach().contiguous()};
    std::vector<std::vector<at::Tensor>> out(1);
    for (int64_t r = 0; r < world_; r++) out[0].push_back(all.narrow(0, r * rows, rows));
    Backend& b = backend(t.device());
    guarded("all-gather", [&] { b.allgather(out, in)->wait(); });
    return all;
  }

  void sum(at::Tensor flat) override {
    const auto work = reduce(flat);
    guarded("all-reduce", [&] { work->wait(); });
  }

  void mean(std::vector<at::Tensor> tensors, int64_t bucket_bytes) override {
    const at::NoGradGuard quiet;
    struct Bucket {
      size_t from, to;  // of tensors
      at::Tensor flat;
      c10::intrusive_ptr<Work> work;
    };
    std::vector<Bucket> buckets;
    for (size_t i = 0; i < tensors.size();) {
      size_t j = i;
      int64_t bytes = 0;
      std::vector<at::Tensor> parts;
      while (j < tensors.size() && (j == i || bytes < bucket_bytes) && tensors[j].scalar_type() == tensors[i].scalar_type() &&
             tensors[j].device() == tensors[i].device()) {
        bytes += tensors[j].numel() * static_cast<int64_t>(tensors[j].element_size());
        parts.push_back(tensors[j].reshape({-1}));
        j++;
      }
      at::Tensor flat = at::cat(parts);
      buckets.push_back({i, j, flat, reduce(flat)});
      i = j;
    }
    for (Bucket& b : buckets) {
      guarded("all-reduce", [&] { b.work->wait(); });
      b.flat.div_(world_);
      int64_t at = 0;
      for (size_t i = b.from; i < b.to; i++) {
        const int64_t n = tensors[i].numel();
        tensors[i].copy_(b.flat.narrow(0, at, n).view(tensors[i].sizes()));
        at += n;
      }
    }
  }

  at::Tensor exchange(const at::Tensor& bytes) override {
    TORCH_CHECK(bytes.device().is_cpu() && bytes.scalar_type() == at::kByte && bytes.dim() == 1, "bytes of the CPU are exchanged");
    if (host_) return gather(bytes.unsqueeze(0));
    at::Tensor all;
    guarded("exchange", [&] { all = exchange_by_store(bytes); });
    return all;
  }

  void leave() override {
    left_ = true;
    if (!serves_) {
      guarded("leaving", [&] { store_->add("left", 1); });
      return;
    }
    using clock = std::chrono::steady_clock;
    guarded("leaving", [&] {
      store_->add("left", 1);
      for (const auto end = clock::now() + std::chrono::seconds(5); clock::now() < end;) {
        if (store_->add("left", 0) >= world_) return;
        std::this_thread::sleep_for(milliseconds(2));
      }
    });
  }

 private:
  using Work = c10d::Work;

#if defined(USE_C10D_GLOO)
  c10::intrusive_ptr<Backend> gloo(const char* prefix, milliseconds timeout, int threads) {
    auto o = c10d::ProcessGroupGloo::Options::create(timeout);
    const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
    o->devices.push_back(interface && *interface ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                                                 : c10d::ProcessGroupGloo::createDefaultDevice());
    o->threads = threads;
    return c10::make_intrusive<c10d::ProcessGroupGloo>(c10::make_intrusive<c10d::PrefixStore>(prefix, store_), static_cast<int>(rank_),
                                                       static_cast<int>(world_), o);
  }
#endif

  // reduce starts a sum in place, which NCCL may refuse at once.
  c10::intrusive_ptr<Work> reduce(at::Tensor flat) {
    TORCH_CHECK(flat.is_contiguous(), "only a contiguous tensor is summed in place");
    std::vector<at::Tensor> in{flat};
    Backend& b = backend(flat.device());
    c10::intrusive_ptr<Work> work;
    guarded("all-reduce", [&] { work = b.allreduce(in); });
    return work;
  }

  // exchange_by_store is for builds without gloo: no collective of a GPU's, for
  // which its stream would have to be waited for.
  at::Tensor exchange_by_store(const at::Tensor& bytes) {
    const auto key = [&](int64_t seq, int64_t rank) { return "exchange/" + std::to_string(seq) + "/" + std::to_string(rank); };
    const at::Tensor mine = bytes.contiguous();
    const auto* data = mine.data_ptr<uint8_t>();
    store_->set(key(seq_, rank_), std::vector<uint8_t>(data, data + mine.numel()));
    at::Tensor all = at::empty({world_, mine.numel()}, at::kByte);
    for (int64_t r = 0; r < world_; r++) {
      const auto theirs = store_->get(key(seq_, r));
      TORCH_CHECK(static_cast<int64_t>(theirs.size()) == mine.numel(), "rank ", r, " gave ", theirs.size(), " bytes, this one ",
                  mine.numel());
      std::memcpy(all.data_ptr<uint8_t>() + r * mine.numel(), theirs.data(), theirs.size());
    }
    // Who gave its part of this round has read all of the last.
    if (seq_ > 0) store_->deleteKey(key(seq_ - 1, rank_));
    seq_++;
    return all;
  }

  Backend& backend(c10::Device d) {
    if (d.is_cuda()) {
      if (!device_)
        unsupported(
            "this shim was built without NCCL, which several GPUs need; `make shim` with a libtorch with CUDA says what is missing for it");
      return *device_;
    }
    if (!host_)
      unsupported(
          "this shim was built without gloo, which several processes on CPUs need; Debian's libgloo-dev has the headers that its libtorch was built with, PyTorch's wheels bring none");
    return *host_;
  }

  const int64_t rank_, world_;
  const bool serves_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<Backend> host_, device_;  // gloo, NCCL; null where there is none
#if defined(USE_C10D_NCCL)
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> nccl_;  // device_
#endif
  std::unique_ptr<Watch> watch_;  // null without gloo
  bool left_ = false, aborted_ = false;
  int64_t seq_ = 0;  // of exchanges by the store
};

void dist_join(Call& c) {
  Place p;
  p.host = c.args[0].toStringRef();
  p.port = c.integer(1);
  p.rank = c.integer(2);
  p.world = c.integer(3);
  p.serves = c.flag(4);
  p.prefix = c.args[5].toStringRef();
  p.timeout = milliseconds(c.integer(6));
  c.out.word(reinterpret_cast<uint64_t>(static_cast<Group*>(new Joined(p, c.device(7)))));
}

#else

void dist_join(Call&) {
  unsupported("this shim was built with a libtorch that has no c10d; give TORCH_HOME one that has, then `make shim`");
}

#endif  // RESSLT_DIST

// dist_backends is a bit for each: 1 gloo, 2 NCCL.
void dist_backends(Call& c) {
  int64_t have = 0;
#if defined(RESSLT_DIST) && defined(USE_C10D_GLOO)
  have |= 1;
#endif
#if defined(RESSLT_DIST) && defined(USE_C10D_NCCL)
  have |= 2;
#endif
  c.out.integer(have);
}

void dist_gather(Call& c) { c.out.tensor(group_of(c.integer(0)).gather(c.tensor(1))); }

void dist_sum(Call& c) { group_of(c.integer(0)).sum(c.tensor(1)); }

void dist_mean(Call& c) { group_of(c.integer(0)).mean(c.args[1].toTensorVector(), c.integer(2)); }

void dist_exchange(Call& c) { c.out.tensor(group_of(c.integer(0)).exchange(c.tensor(1))); }

void dist_leave(Call& c) { group_of(c.integer(0)).leave(); }

void dist_gone(Call& c) { c.out.word(group_of(c.integer(0)).gone()); }

void dist_abort(Call& c) { group_of(c.integer(0)).abort(); }

void dist_free(Call& c) { delete &group_of(c.integer(0)); }

}  // namespace

Group& group_of(int64_t handle) {
  if (handle == 0) usage("a group that was left");
  return *reinterpret_cast<Group*>(handle);
}

const Function dist_functions[] = {
    {"resslt::dist_backends", "", dist_backends},
    {"resslt::dist_join", "host,port,rank,world,serves,prefix,timeout_ms,device", dist_join},
    {"resslt::dist_gather", "group,self", dist_gather},
    {"resslt::dist_sum", "group,self", dist_sum},
    {"resslt::dist_mean", "group,tensors,bucket_bytes", dist_mean},
    {"resslt::dist_exchange", "group,self", dist_exchange},
    {"resslt::dist_leave", "group", dist_leave},
    {"resslt::dist_gone", "group", dist_gone},
    {"resslt::dist_abort", "group", dist_abort},
    {"resslt::dist_free", "group", dist_free},
    {nullptr, nullptr, nullptr},
};

}  // namespace resslt
