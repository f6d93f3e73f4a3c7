// cuda.cc: what a GPU has that a CPU has not: its allocator's figures, streams,
// events, pinned memory and graphs. Streams and events go through c10's interface
// of devices, which needs none of CUDA's headers.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/version.h>

#if defined(RESSLT_CUDA_HEADERS)
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 11)
#include <ATen/core/CachingHostAllocator.h>
#endif
#endif

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "internal.h"

namespace resslt {

c10::DeviceIndex cuda_index(Call& c) {
  const c10::Device d = c.device(0);
  if (!d.is_cuda()) unsupported("a matter of CUDA, asked of " + d.str());
  if (!at::hasCUDA()) unsupported("no CUDA device, or a libtorch built without CUDA");
  return d.index() < 0 ? static_cast<c10::DeviceIndex>(0) : d.index();
}

namespace {

c10::Device cuda_device(Call& c) { return c10::Device(c10::DeviceType::CUDA, cuda_index(c)); }

// gpu is c10's view of CUDA. Only where cuda_index has found a device.
c10::impl::VirtualGuardImpl gpu() { return c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA); }

c10::Stream stream_of(c10::Device d, int64_t id) { return c10::Stream(c10::Stream::UNSAFE, d, id); }

// set_device makes a GPU the thread's current one: that of pinned memory, of
// libraries' handles and of whatever names no device.
void set_device(Call& c) {
  const c10::Device d = cuda_device(c);
  gpu().setDevice(d);
}

// new_stream takes one of libtorch's pool, which never shrinks: nothing is to be
// freed. It does not wait for the default stream, nor that for it.
void new_stream(Call& c) {
  const c10::Device d = cuda_device(c);
  c.out.integer(gpu().getStreamFromGlobalPool(d).id());
}

// set_stream makes a stream the thread's current one, and gives the one before.
void set_stream(Call& c) {
  const c10::Device d = cuda_device(c);
  c.out.integer(gpu().exchangeStream(stream_of(d, c.integer(1))).id());
}

c10::Event& event_at(Call& c, size_t i) {
  const auto handle = static_cast<uint64_t>(c.integer(i));
  if (handle <= RS_FREED) usage("a nil or freed event");
  return *reinterpret_cast<c10::Event*>(handle);
}

void new_event(Call& c) {
  cuda_index(c);
  const auto flag = c.flag(1) ? c10::EventFlag::BACKEND_DEFAULT : c10::EventFlag::PYTORCH_DEFAULT;
  c.out.word(reinterpret_cast<uint64_t>(new c10::Event(c10::DeviceType::CUDA, flag)));
}

void free_event(Call& c) { delete &event_at(c, 0); }

c10::Stream current_stream(Call& c) {
  const c10::Device d = cuda_device(c);
  return gpu().getStream(d);
}

void event_record(Call& c) { event_at(c, 1).record(current_stream(c)); }
void event_wait(Call& c) { event_at(c, 1).block(current_stream(c)); }
void event_query(Call& c) { c.out.word(event_at(c, 0).query()); }

#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
void event_elapsed(Call& c) { c.out.real(event_at(c, 0).elapsedTime(event_at(c, 1))); }
#else
[[noreturn]] void old_events(Call&) { unsupported("events of a GPU need libtorch 2.4 or newer"); }
void event_elapsed(Call& c) { old_events(c); }
#endif

// host_buffer is memory of the host; pinned, a GPU copies from it while it computes.
void host_buffer(Call& c) {
  const int64_t bytes = c.integer(0);
  TORCH_CHECK(bytes >= 0, "a negative size ", bytes);
  at::Tensor t = at::empty({bytes}, at::TensorOptions().dtype(at::kByte).pinned_memory(c.flag(1)));
  const auto address = reinterpret_cast<uint64_t>(t.data_ptr());
  c.out.tensor(std::move(t));
  c.out.word(address);
}

#if defined(RESSLT_CUDA_HEADERS)
constexpr size_t all_pools = 0;  // StatType::AGGREGATE, whose namespace differs between versions

void cuda_memory(Call& c) {
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(cuda_index(c));
  c.out.integer(stats.allocated_bytes[all_pools].current);
  c.out.integer(stats.allocated_bytes[all_pools].peak);
  c.out.integer(stats.reserved_bytes[all_pools].current);
}

using Pool = std::pair<unsigned long long, unsigned long long>;  // MempoolId_t, whose namespace differs too

// call_off takes a capture that has failed out of the allocators, which know nothing
// of failure: they would go on giving from the graph's pool, and ask a graph that is
// freed whether a stream is its own. One that is out already has its graph release
// the pool.
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
void call_off(c10::DeviceIndex device, Pool pool) {
  try {
    c10::cuda::CUDACachingAllocator::endAllocateToPool(device, pool);
    c10::cuda::CUDACachingAllocator::releasePool(device, pool);
  } catch (const std::exception&) {
  }
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 11  // before, pinned memory has no pools
  try {
    at::getHostAllocator(at::kCUDA)->end_allocate_to_pool(pool);
    at::getHostAllocator(at::kCUDA)->release_pool(pool);
  } catch (const std::exception&) {
  }
#endif
}
#else
void call_off(c10::DeviceIndex, Pool) {}  // no events, so nothing is captured
#endif

// Graph is a CUDAGraph and the pool that it allocates from, with room behind it: its
// members are libtorch's, who may have been built with other headers of CUDA than
// this file.
class Graph {
 public:
  explicit Graph(Pool pool) : pool_(pool), graph_(new (room_) at::cuda::CUDAGraph()) {}
  ~Graph() { graph_->~CUDAGraph(); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  at::cuda::CUDAGraph* operator->() { return graph_; }

  // begin and end are the capture's; one that throws leaves no capture behind.
  void begin(c10::DeviceIndex device) {
    try {
      graph_->capture_begin(pool_);
    } catch (...) {
      call_off(device, pool_);
      throw;
    }
  }
  void end(c10::DeviceIndex device) {
    try {
      graph_->capture_end();
    } catch (...) {
      call_off(device, pool_);
      throw;
    }
  }

 private:
  Pool pool_;
  alignas(std::max_align_t) unsigned char room_[sizeof(at::cuda::CUDAGraph) + 4096] = {};
  at::cuda::CUDAGraph* graph_;
};

Graph& graph_at(Call& c, size_t i) {
  const auto handle = static_cast<uint64_t>(c.integer(i));
  if (handle <= RS_FREED) usage("a nil or freed graph");
  return *reinterpret_cast<Graph*>(handle);
}

void graph_pool(Call& c) {
  cuda_index(c);
  const auto pool = at::cuda::graph_pool_handle();
  c.out.word(pool.first);
  c.out.word(pool.second);
}

// graph_begin starts to capture the current stream, which must not be the default one
// and has nothing left to do. What the allocator holds in reserve goes back first: the
// capture has a pool of its own.
void graph_begin(Call& c) {
  const c10::Device device = cuda_device(c);
  const c10::DeviceGuard guard(device);
  c10::cuda::CUDACachingAllocator::emptyCache();
  auto graph = std::make_unique<Graph>(Pool{static_cast<unsigned long long>(c.integer(1)), static_cast<unsigned long long>(c.integer(2))});
  graph->begin(device.index());
  c.out.word(reinterpret_cast<uint64_t>(graph.release()));
}

void graph_end(Call& c) {
  const c10::Device device = cuda_device(c);
  const c10::DeviceGuard guard(device);
  graph_at(c, 1).end(device.index());
}

void graph_replay(Call& c) { graph_at(c, 0)->replay(); }
void free_graph(Call& c) { delete &graph_at(c, 0); }
#else
[[noreturn]] void no_headers(Call& c) {
  if (!c.args.empty() && c.args[0].isDevice()) cuda_index(c);
  unsupported("this shim was built without CUDA's headers; `make shim` says what is missing for them");
}
void cuda_memory(Call& c) { no_headers(c); }
void graph_pool(Call& c) { no_headers(c); }
void graph_begin(Call& c) { no_headers(c); }
void graph_end(Call& c) { no_headers(c); }
void graph_replay(Call& c) { no_headers(c); }
void free_graph(Call& c) { no_headers(c); }
#endif

}  // namespace

const Function cuda_functions[] = {
    {"resslt::cuda_memory", "device", cuda_memory},
    {"resslt::host_buffer", "bytes,pinned", host_buffer},
    {"resslt::set_device", "device", set_device},
    {"resslt::new_stream", "device", new_stream},
    {"resslt::set_stream", "device,stream", set_stream},
    {"resslt::new_event", "device,timed", new_event},
    {"resslt::free_event", "event", free_event},
    {"resslt::event_record", "device,event", event_record},
    {"resslt::event_wait", "device,event", event_wait},
    {"resslt::event_query", "event", event_query},
    {"resslt::event_elapsed", "start,end", event_elapsed},
    {"resslt::graph_pool", "device", graph_pool},
    {"resslt::graph_begin", "device,pool,pool_part", graph_begin},
    {"resslt::graph_end", "device,graph", graph_end},
    {"resslt::graph_replay", "graph", graph_replay},
    {"resslt::free_graph", "graph", free_graph},
    {nullptr, nullptr, nullptr},
};

}  // namespace resslt
