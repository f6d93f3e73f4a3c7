// kernels.cc: the machine code of the kernels, loaded by the driver at the first use on a
// device; and their twins, which tests use on the CPU.
#include "kernels.h"

#if defined(RESSLT_KERNELS)
#include <c10/core/DeviceGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <dlfcn.h>
#endif

#include <map>
#include <mutex>

#if defined(RESSLT_KERNELS)
// The code that compile.cc has made.
asm(".section .rodata\n"
    ".balign 64\n"
    ".globl resslt_kernels_code\n"
    ".hidden resslt_kernels_code\n"
    "resslt_kernels_code:\n"
    ".incbin \"kernels_code.bin\"\n"
    ".previous\n");
extern "C" __attribute__((visibility("hidden"))) const char resslt_kernels_code[];
#endif

namespace resslt {
namespace kernels {
namespace {

// Entry is what a kernel is launched with.
struct Entry {
  const char* name;
  unsigned threads, memory;
  void (*twin)(const void*);
};
const Entry entries[] = {
#define KERNEL(name, args, threads, memory, function) \
  {"rs_" #name, threads, memory, [](const void* a) { function(*static_cast<const args*>(a)); }},
#include "kernels/list.h"
#undef KERNEL
};

// twin is the order of the twins' threads, or kOrders: then the CPU has none.
int twin = Team::kOrders;

void run_twin(const Entry& e, int64_t x, int64_t y, const void* args) {
  static Team team;
  gridDim = {static_cast<unsigned>(x), static_cast<unsigned>(y)};
  blockDim = {e.threads, 1};
  for (unsigned j = 0; j < gridDim.y; j++) {
    for (unsigned i = 0; i < gridDim.x; i++) {
      blockIdx = {i, j};
      team.run(e.threads, static_cast<Team::Order>(twin), e.twin, args);
    }
  }
}

#if defined(RESSLT_KERNELS)

struct Code {
  int architecture;  // 0: PTX, which the driver compiles
  size_t offset;
};
const Code codes[] = {
#include "kernels_code.h"
};

// Driver is CUDA's driver, by the names and numbers of cuda.h, which do not change. It is not
// linked: the shim is also built and opened where there is none.
struct Driver {
  int (*get_device)(int*);
  int (*device_attribute)(int*, int, int);
  int (*load)(void**, const void*);
  int (*function)(void**, void*, const char*);
  int (*set_attribute)(void*, int, int);
  int (*launch)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
  int (*text)(int, const char**);

  std::string message(int error) const {
    const char* t = nullptr;
    return text(error, &t) == 0 && t ? t : "error " + std::to_string(error);
  }
};
constexpr int kMajor = 75, kMinor = 76, kDynamicSharedMost = 8;

const Driver* driver() {
  static const Driver* found = []() -> const Driver* {
    void* library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) return nullptr;
    static Driver d;
    const auto get = [&](auto& to, const char* name) {
      to = reinterpret_cast<std::decay_t<decltype(to)>>(dlsym(library, name));
      return to != nullptr;
    };
    return get(d.get_device, "cuCtxGetDevice") && get(d.device_attribute, "cuDeviceGetAttribute") && get(d.load, "cuModuleLoadData") &&
                   get(d.function, "cuModuleGetFunction") && get(d.set_attribute, "cuFuncSetAttribute") &&
                   get(d.launch, "cuLaunchKernel") && get(d.text, "cuGetErrorString")
               ? &d
               : nullptr;
  }();
  return found;
}

// Loaded is the code on one device. It stays there as long as the process.
struct Loaded {
  std::string why;                 // there is none
  void* functions[kKernels] = {};  // null of one that the device has no room for
};

// code_for is the machine code for a GPU of that architecture, or PTX for a newer one.
const Code* code_for(int major, int minor) {
  const Code* best = nullptr;
  for (const Code& c : codes) {
    if (c.architecture / 10 == major && c.architecture % 10 <= minor && c.architecture != 0) best = &c;
  }
  if (!best && major >= 8 && codes[std::size(codes) - 1].architecture == 0) best = &codes[std::size(codes) - 1];
  return best;
}

// load takes all functions at once: a capture as a CUDA graph must not load any.
Loaded load() {
  Loaded l;
  const Driver* d = driver();
  if (!d) return l.why = "no CUDA driver", l;
  int device = 0, major = 0, minor = 0;
  int error = d->get_device(&device);
  if (!error) error = d->device_attribute(&major, kMajor, device);
  if (!error) error = d->device_attribute(&minor, kMinor, device);
  if (error) return l.why = d->message(error), l;
  const Code* code = code_for(major, minor);
  if (!code) return l.why = "they need a GPU of compute capability 8.0 or newer", l;
  void* module = nullptr;
  error = d->load(&module, resslt_kernels_code + code->offset);
  for (int k = 0; k < kKernels && !error; k++) {
    void* f = nullptr;
    error = d->function(&f, module, entries[k].name);
    // More than a GPU has is refused; that kernel is missing then.
    if (!error && entries[k].memory && d->set_attribute(f, kDynamicSharedMost, static_cast<int>(entries[k].memory))) continue;
    l.functions[k] = f;
  }
  if (error) return l.why = d->message(error), l;
  return l;
}

const Loaded& loaded(c10::DeviceIndex device) {
  static std::mutex mutex;
  static std::map<int, Loaded> all;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto at = all.find(device);
  if (at != all.end()) return at->second;
  const c10::DeviceGuard guard(c10::Device(c10::DeviceType::CUDA, device));
  return all.emplace(device, load()).first->second;
}

void run(Kernel k, const at::Tensor& t, int64_t x, int64_t y, const void* args) {
  const Entry& e = entries[k];
  const c10::DeviceGuard guard(t.device());
  const auto stream = c10::cuda::getCurrentCUDAStream(t.device().index()).stream();
  void* params[] = {const_cast<void*>(args)};
  const int error = driver()->launch(loaded(t.device().index()).functions[k], static_cast<unsigned>(x), static_cast<unsigned>(y), 1,
                                     e.threads, 1, 1, e.memory, static_cast<void*>(stream), params, nullptr);
  TORCH_CHECK(error == 0, "CUDA driver error: ", e.name, ": ", driver()->message(error));
}

#endif

}  // namespace

bool has([[maybe_unused]] Kernel k, const at::Tensor& t) {
  if (t.is_cpu()) return twin != Team::kOrders;
#if defined(RESSLT_KERNELS)
  if (t.is_cuda()) {
    const Loaded& l = loaded(t.device().index());
    return l.why.empty() && l.functions[k];
  }
#endif
  return false;
}

std::string why(c10::DeviceIndex device) {
#if defined(RESSLT_KERNELS)
  at::empty({1}, at::TensorOptions().device(c10::Device(c10::DeviceType::CUDA, device)));  // a context
  return loaded(device).why;
#else
  (void)device;
  return "this shim was built without them; `make shim` says what is missing for them";
#endif
}

void launch_args(Kernel k, const at::Tensor& t, int64_t x, int64_t y, const void* args) {
  if (t.is_cpu()) return run_twin(entries[k], x, y, args);
#if defined(RESSLT_KERNELS)
  run(k, t, x, y, args);
#endif
}

}  // namespace kernels

namespace {

// kernels_of says whether a device has kernels.
void kernels_of(Call& c) {
  c.out.word(c.device(0).is_cpu() ? kernels::twin != kernels::Team::kOrders : kernels::why(cuda_index(c)).empty());
}

// kernel_twin gives the CPU the twins, whose threads run in that order, or takes them away: for tests.
void kernel_twin(Call& c) {
  const int64_t order = c.integer(0);
  TORCH_CHECK(order >= 0 && order <= kernels::Team::kOrders, "no order ", order);
  kernels::twin = static_cast<int>(order);
}

}  // namespace

const Function kernel_functions[] = {
    {"resslt::kernels", "device", kernels_of},
    {"resslt::kernel_twin", "order", kernel_twin},
    {nullptr, nullptr, nullptr},
};

}  // namespace resslt
