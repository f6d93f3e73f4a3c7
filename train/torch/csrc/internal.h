// internal.h: what the shim's own files share. Nothing here crosses the C ABI.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <string>
#include <vector>

#include "shim.h"

namespace resslt {

// Results collects what a call returns; it owns the handles until taken.
class Results {
 public:
  Results() = default;
  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;
  ~Results();

  void tensor(at::Tensor t);
  void integer(int64_t v) { words_.push_back(static_cast<uint64_t>(v)); }
  void real(double v);
  void word(uint64_t v) { words_.push_back(v); }

  // take moves the words, and the handles among them, to out.
  void take(rs_result* out);

 private:
  std::vector<uint64_t> words_;
  std::vector<uint64_t> handles_;
};

// Call is one call of a function of the shim: its arguments, and raw bytes in
// or out. The arguments' number and order are those of its table entry.
struct Call {
  torch::jit::Stack& args;
  void* data;
  int64_t ndata;
  Results& out;

  const at::Tensor& tensor(size_t i) const { return args[i].toTensor(); }
  at::Tensor optional(size_t i) const { return args[i].isNone() ? at::Tensor() : tensor(i); }
  int64_t integer(size_t i) const { return args[i].toInt(); }
  bool flag(size_t i) const { return args[i].toBool(); }
  c10::Device device(size_t i) const { return args[i].toDevice(); }
  c10::ScalarType dtype(size_t i) const { return static_cast<c10::ScalarType>(args[i].toInt()); }
};

// Function is a function of the shim, named "resslt::...".
struct Function {
  const char* name;
  const char* args;  // the names of its arguments, joined by commas
  void (*run)(Call&);
};

// The tables, one a file; each ends with a Function whose name is null.
extern const Function tensor_functions[];
extern const Function mode_functions[];
extern const Function info_functions[];
extern const Function cuda_functions[];
extern const Function dist_functions[];
extern const Function syncbn_functions[];
extern const Function fused_functions[];
extern const Function kernel_functions[];
extern const Function attend_functions[];
extern const Function batchnorm_functions[];
extern const Function optim_functions[];

// decode appends the arguments of the C call to stack. names are for messages.
void decode(const uint64_t* words, int64_t nwords, const std::vector<std::string>& names, torch::jit::Stack& stack);

// usage throws an error of kind RS_KIND_USAGE.
[[noreturn]] void usage(const std::string& text);
// unsupported throws an error of kind RS_KIND_UNSUPPORTED.
[[noreturn]] void unsupported(const std::string& text);
// lost throws an error of kind RS_KIND_LOST.
[[noreturn]] void lost(const std::string& text);

// cuda_index is the number of a GPU that is there, of the call's first argument.
c10::DeviceIndex cuda_index(Call& c);

// enter_modes puts the thread's grad mode and autocast to their defaults.
void enter_modes();

// cpu_autocast reports whether autocast is on for the CPU.
bool cpu_autocast();

}  // namespace resslt
