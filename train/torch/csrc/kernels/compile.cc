// compile.cc: compiles kernels.cu by nvrtc, without a GPU and without CUDA's headers:
//
//	compile NVRTC FOLDER OUT [--table]
//
// NVRTC is the library, FOLDER has kernels.cu. OUT.bin becomes the machine code for every
// architecture of kArchitectures that this nvrtc knows, with PTX for newer ones behind; OUT.h
// says what is where. --table prints what ptxas says of registers, shared memory and spills.
// Any warning of the compiler is an error.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

// Machine code of one runs on its major version from its minor version on. Tensor cores
// for TF32 came with 8.0; the last one's code is compiled by the driver for GPUs newer than all.
const int kArchitectures[] = {80, 90, 100, 120};
constexpr int kPTX = 80;

using Program = void*;
struct Nvrtc {
  void* library;
  template <typename F>
  F* get(const char* name) const {
    void* at = dlsym(library, name);
    if (!at) {
      std::fprintf(stderr, "compile: nvrtc has no %s\n", name);
      std::exit(1);
    }
    return reinterpret_cast<F*>(at);
  }
};

std::string read(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// compile gives machine code, or PTX, and the compiler's log.
bool compile(const Nvrtc& n, const std::string& folder, int arch, bool ptx, std::string& code, std::string& log) {
  const std::string source = read(folder + "/kernels.cu");
  const std::string target = std::string("--gpu-architecture=") + (ptx ? "compute_" : "sm_") + std::to_string(arch);
  const std::string include = "-I" + folder;
  const char* options[] = {target.c_str(), include.c_str(), "--std=c++17", "--ptxas-options=-v"};
  Program program = nullptr;
  const auto create = n.get<int(Program*, const char*, const char*, int, const char* const*, const char* const*)>("nvrtcCreateProgram");
  if (source.empty() || create(&program, source.c_str(), "kernels.cu", 0, nullptr, nullptr) != 0) {
    log = "no " + folder + "/kernels.cu";
    return false;
  }
  const bool done = n.get<int(Program, int, const char* const*)>("nvrtcCompileProgram")(program, ptx ? 3 : 4, options) == 0;
  size_t size = 0;
  n.get<int(Program, size_t*)>("nvrtcGetProgramLogSize")(program, &size);
  log.assign(size, 0);
  n.get<int(Program, char*)>("nvrtcGetProgramLog")(program, &log[0]);
  log.resize(std::strlen(log.c_str()));
  if (!done) return false;
  n.get<int(Program, size_t*)>(ptx ? "nvrtcGetPTXSize" : "nvrtcGetCUBINSize")(program, &size);
  code.assign(size, 0);
  n.get<int(Program, char*)>(ptx ? "nvrtcGetPTX" : "nvrtcGetCUBIN")(program, &code[0]);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: compile NVRTC FOLDER OUT [--table]\n");
    return 2;
  }
  const bool table = argc > 4 && !std::strcmp(argv[4], "--table");
  const Nvrtc n{dlopen(argv[1], RTLD_NOW)};
  if (!n.library) {
    std::fprintf(stderr, "compile: %s\n", dlerror());
    return 1;
  }
  int count = 0;
  n.get<int(int*)>("nvrtcGetNumSupportedArchs")(&count);
  std::vector<int> known(static_cast<size_t>(count));
  n.get<int(int*)>("nvrtcGetSupportedArchs")(known.data());

  std::ofstream bin(std::string(argv[3]) + ".bin", std::ios::binary), header(std::string(argv[3]) + ".h");
  size_t offset = 0;
  const auto add = [&](int arch, bool ptx) {
    std::string code, log;
    if (!compile(n, argv[2], arch, ptx, code, log)) {
      std::fprintf(stderr, "%s\ncompile: kernels.cu does not compile for %d\n", log.c_str(), arch);
      return false;
    }
    if (log.find("warning") != std::string::npos) {
      std::fprintf(stderr, "%s\n", log.c_str());
      return false;
    }
    if (table && !ptx) std::printf("%s\n", log.c_str());
    header << "{" << (ptx ? 0 : arch) << ", " << offset << "},\n";
    code.resize((code.size() + 63) / 64 * 64);  // each is aligned, and PTX ends in a zero
    bin << code;
    offset += code.size();
    return true;
  };
  for (const int arch : kArchitectures) {
    if (std::find(known.begin(), known.end(), arch) != known.end() && !add(arch, false)) return 1;
  }
  if (!add(kPTX, true)) return 1;
  bin.close();
  header.close();
  return bin && header ? 0 : 1;
}
