// info.cc: what libtorch this is, which BLAS answers it, and what devices.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <limits.h>
#include <torch/version.h>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "internal.h"
#include "winograd.h"

namespace resslt {
namespace {

std::string quoted(const std::string& s) {
  std::string out = "\"";
  for (const char ch : s) {
    const auto u = static_cast<unsigned char>(ch);
    if (ch == '"' || ch == '\\') {
      out += '\\';
      out += ch;
    } else if (u < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", u);
      out += code;
    } else {
      out += ch;
    }
  }
  return out + '"';
}

// file_of is the real path of the library that holds address, "" if unknown.
std::string file_of(const void* address) {
  Dl_info info;
  if (!dladdr(const_cast<void*>(address), &info) || !info.dli_fname) return "";
  char real[PATH_MAX];
  return realpath(info.dli_fname, real) ? real : info.dli_fname;
}

std::string torch_library() { return file_of(reinterpret_cast<const void*>(static_cast<std::string (*)()>(&at::show_config))); }

// of_torch is the symbol that libtorch itself would get by that name: looked up
// as the loader does for it, through its dependencies in their order.
void* of_torch(const char* symbol) {
  void* lib = dlopen(torch_library().c_str(), RTLD_NOLOAD | RTLD_LAZY);
  if (!lib) return nullptr;
  void* found = dlsym(lib, symbol);
  dlclose(lib);  // gives back this look-up's reference; libtorch stays
  return found;
}

std::string blas_library() {
  void* sgemm = of_torch("sgemm_");
  return sgemm ? file_of(sgemm) : "";
}

// blas_threads is the size of OpenBLAS's own pool of threads; 0 for a BLAS that
// has none or shares OpenMP's.
int blas_threads() {
  auto get = reinterpret_cast<int (*)()>(of_torch("openblas_get_num_threads"));
  return get ? get() : 0;
}

// blas_kernel is the CPU that OpenBLAS chose its kernels for, "Haswell" or "SkylakeX";
// "" for another BLAS.
std::string blas_kernel() {
  auto get = reinterpret_cast<const char* (*)()>(of_torch("openblas_get_corename"));
  return get ? get() : "";
}

// onednn_isa is the instruction set that oneDNN's kernels keep to, as
// ONEDNN_MAX_CPU_ISA spells it: "AVX2", "AVX512_CORE_BF16". "" where oneDNN is a part
// of libtorch that exports no symbols, as in PyTorch's wheels.
std::string onednn_isa() {
  auto effective = reinterpret_cast<int (*)()>(of_torch("dnnl_get_effective_cpu_isa"));
  auto text = reinterpret_cast<const char* (*)(int)>(of_torch("dnnl_cpu_isa2str"));
  if (!effective || !text) return "";
  std::string name = text(effective());
  const std::string prefix = "cpu_isa_";
  if (name.compare(0, prefix.size(), prefix) == 0) name.erase(0, prefix.size());
  for (char& ch : name) ch = static_cast<char>(std::toupper(static_cast<unsigned char>(ch)));
  return name;
}

bool holds(const std::string& s, const char* part) { return s.find(part) != std::string::npos; }

// blas_kind names the library by its path, and one linked into libtorch itself
// by libtorch's account of its build.
std::string blas_kind(const std::string& path, const std::string& library, const std::string& config) {
  if (path.empty() || path == library) {
    if (holds(config, "BLAS_INFO=mkl") || holds(config, "Math Kernel Library")) return "MKL";
    if (holds(config, "BLAS_INFO=open")) return "OpenBLAS";
    return "unknown";
  }
  if (holds(path, "openblas")) return "OpenBLAS";
  if (holds(path, "mkl")) return "MKL";
  if (holds(path, "blis")) return "BLIS";
  if (holds(path, "atlas")) return "ATLAS";
  if (holds(path, "nvpl")) return "NVPL";
  if (holds(path, "libblas")) return "reference";
  return "unknown";
}

// after gives the word that follows label in text.
std::string after(const std::string& text, const std::string& label) {
  const auto at = text.find(label);
  if (at == std::string::npos) return "";
  const auto start = text.find_first_not_of(' ', at + label.size());
  if (start == std::string::npos) return "";
  return text.substr(start, text.find_first_of(" \n", start) - start);
}

// cpu_kernels is libtorch's kernel level by its own account, whose "NO AVX" is what
// ATEN_CPU_CAPABILITY calls default.
std::string cpu_kernels(const std::string& config) {
  const std::string level = after(config, "CPU capability usage:");
  return level == "NO" ? "DEFAULT" : level;
}

bool cpu_bfloat16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");
#elif defined(__aarch64__) && defined(__linux__) && defined(AT_HWCAP2)
  constexpr unsigned long hwcap2_bf16 = 1ul << 14;
  return getauxval(AT_HWCAP2) & hwcap2_bf16;
#else
  return false;
#endif
}

// Driver asks NVIDIA's driver library about the GPUs. Its C ABI is stable and
// needs no header, unlike CUDA's, which pip's libtorch does not bring.
class Driver {
 public:
  Driver() : lib_(dlopen("libcuda.so.1", RTLD_LAZY)) {
    if (!lib_) return;
    auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(lib_, "cuInit"));
    count_ = reinterpret_cast<int (*)(int*)>(dlsym(lib_, "cuDeviceGetCount"));
    get_ = reinterpret_cast<int (*)(int*, int)>(dlsym(lib_, "cuDeviceGet"));
    name_ = reinterpret_cast<int (*)(char*, int, int)>(dlsym(lib_, "cuDeviceGetName"));
    memory_ = reinterpret_cast<int (*)(size_t*, int)>(dlsym(lib_, "cuDeviceTotalMem_v2"));
    attribute_ = reinterpret_cast<int (*)(int*, int, int)>(dlsym(lib_, "cuDeviceGetAttribute"));
    ready_ = init && count_ && get_ && name_ && memory_ && attribute_ && init(0) == 0;
  }
  ~Driver() {
    if (lib_) dlclose(lib_);
  }
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // count is the number of devices that CUDA_VISIBLE_DEVICES leaves.
  int count() const {
    int n = 0;
    return ready_ && count_(&n) == 0 ? n : 0;
  }

  // describe appends the i-th device as a JSON object; false if it can't be asked.
  bool describe(int i, std::ostringstream& out) const {
    constexpr int capability_major = 75, capability_minor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
    int device = 0, major = 0, minor = 0;
    char name[256] = "";
    size_t bytes = 0;
    if (get_(&device, i) || name_(name, sizeof name, device) || memory_(&bytes, device) || attribute_(&major, capability_major, device) ||
        attribute_(&minor, capability_minor, device)) {
      return false;
    }
    out << "{\"name\":" << quoted(name) << ",\"memory_bytes\":" << bytes << ",\"capability\":\"" << major << '.' << minor
        << "\",\"bfloat16\":" << (major >= 8 ? "true" : "false") << '}';
    return true;
  }

 private:
  void* lib_;
  bool ready_ = false;
  int (*count_)(int*) = nullptr;
  int (*get_)(int*, int) = nullptr;
  int (*name_)(char*, int, int) = nullptr;
  int (*memory_)(size_t*, int) = nullptr;
  int (*attribute_)(int*, int, int) = nullptr;
};

std::string cuda_devices() {
  if (!at::hasCUDA()) return "";
  std::ostringstream out;
  const Driver driver;
  for (int i = 0; i < driver.count(); i++) {
    std::ostringstream one;
    if (!driver.describe(i, one)) one.str("{\"name\":\"unknown\"}");
    out << (i ? "," : "") << one.str();
  }
  return out.str();
}

// cuda_why says why a shim that is built for CUDA sees no GPU, "" where it sees one,
// as CUDA's runtime has it, which libtorch brings along.
std::string cuda_why() {
#if defined(RESSLT_CUDA)
  if (at::hasCUDA()) return "";
  void* lib = dlopen("libc10_cuda.so", RTLD_NOLOAD | RTLD_LAZY);
  if (!lib) return "libc10_cuda.so is not loaded";
  const auto count = reinterpret_cast<int (*)(int*)>(dlsym(lib, "cudaGetDeviceCount"));
  const auto text = reinterpret_cast<const char* (*)(int)>(dlsym(lib, "cudaGetErrorString"));
  const auto runtime = reinterpret_cast<int (*)(int*)>(dlsym(lib, "cudaRuntimeGetVersion"));
  const auto driver = reinterpret_cast<int (*)(int*)>(dlsym(lib, "cudaDriverGetVersion"));
  std::string why = "CUDA's runtime is not there";
  if (count && text && runtime && driver) {
    int n = 0, has = 0, needs = 0;
    const int error = count(&n);
    runtime(&needs);
    driver(&has);
    const auto version = [](int v) { return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10); };
    why = (error ? text(error) : "no device is visible") + std::string("; libtorch is built for CUDA ") + version(needs) +
          (has ? ", the driver is for CUDA " + version(has) : ", and there is no NVIDIA driver");
  }
  dlclose(lib);
  return why;
#else
  return "";
#endif
}

std::string cudnn() {
  if (!at::hasCUDA() || !at::detail::getCUDAHooks().hasCuDNN()) return "";
  return std::to_string(at::detail::getCUDAHooks().versionCuDNN());
}

// info gives a JSON object, as bytes in a uint8 tensor.
void info(Call& c) {
  const std::string config = at::show_config(), library = torch_library(), blas = blas_library();
  std::ostringstream out;
  out << "{\"torch_version\":" << quoted(TORCH_VERSION) << ",\"library\":" << quoted(library)
      << ",\"cxx11_abi\":" << (_GLIBCXX_USE_CXX11_ABI ? "true" : "false") << ",\"blas\":" << quoted(blas_kind(blas, library, config))
      << ",\"blas_path\":" << quoted(blas) << ",\"blas_threads\":" << blas_threads() << ",\"blas_kernel\":" << quoted(blas_kernel())
      << ",\"onednn_isa\":" << quoted(onednn_isa()) << ",\"cpu\":" << quoted(cpu_kernels(config))
      << ",\"threads\":" << at::get_num_threads() << ",\"interop_threads\":" << at::get_num_interop_threads()
#if defined(RESSLT_CUDA)
      << ",\"cuda_build\":true"
#endif
#if defined(RESSLT_CUDA_HEADERS)
      << ",\"cuda_graphs\":true"
#endif
#if defined(RESSLT_KERNELS)
      << ",\"cuda_kernels\":true"
#endif
      << ",\"cuda_why\":" << quoted(cuda_why()) << ",\"cuda\":[" << cuda_devices() << "],\"cudnn\":" << quoted(cudnn())
      << ",\"fused\":" << quoted(winograd::tier_name()) << ",\"cpu_bfloat16\":" << (cpu_bfloat16() ? "true" : "false")
      << ",\"config\":" << quoted(config) << '}';
  const std::string text = out.str();
  at::Tensor t = at::empty({static_cast<int64_t>(text.size())}, at::TensorOptions().dtype(at::kByte));
  std::memcpy(t.data_ptr(), text.data(), text.size());
  c.out.tensor(std::move(t));
}

void num_threads(Call& c) { c.out.integer(at::get_num_threads()); }

// set_num_threads sets OpenBLAS's pool too, which libtorch leaves at the number
// of cores: a product's time, and how its sums are split, must follow the recipe
// and not the machine.
void set_num_threads(Call& c) {
  const int n = static_cast<int>(c.integer(0));
  at::set_num_threads(n);
  static const auto set = reinterpret_cast<void (*)(int)>(of_torch("openblas_set_num_threads"));
  if (set) set(n);
}

}  // namespace

const Function info_functions[] = {
    {"resslt::info", "", info},
    {"resslt::num_threads", "", num_threads},
    {"resslt::set_num_threads", "n", set_num_threads},
    {nullptr, nullptr, nullptr},
};

}  // namespace resslt
