// api.cc: the table of the C ABI: finding and calling ops, and turning every
// C++ exception into a message.
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "internal.h"

namespace resslt {

void release(const uint64_t* handles, int64_t n);
int64_t live();

namespace {

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct UnsupportedError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct LostError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// on_device_thread marks the thread that torch.Do runs on.
thread_local bool on_device_thread = false;

// Op is what find gives: an operator of libtorch or a function of the shim. It
// lives for ever, as do the dispatcher's own entries.
struct Op {
  std::unique_ptr<c10::OperatorHandle> handle;  // null for a function of the shim
  const Function* function = nullptr;           // null for an operator
  std::vector<std::string> names;               // of the arguments that the caller passes
  std::vector<c10::IValue> defaults;            // of those that it does not
  std::vector<bool> dropped;                    // results that are arguments, changed in place
};

std::vector<std::string> split(const char* list) {
  std::vector<std::string> parts;
  for (const char* at = list; *at;) {
    const char* end = std::strchr(at, ',');
    if (!end) end = at + std::strlen(at);
    parts.emplace_back(at, end);
    at = *end ? end + 1 : end;
  }
  return parts;
}

// message makes the caller's copy of text: kind first, one line, capped.
char* message(char kind, const char* text) {
  size_t n = std::min<size_t>(std::strlen(text), RS_MESSAGE_MAX - 2);
  while (n > 0 && text[n] != 0 && (text[n] & 0xc0) == 0x80) n--;  // not inside a UTF-8 character
  auto* out = static_cast<char*>(std::malloc(n + 2));
  if (!out) std::abort();  // not even a kilobyte for the reason: nothing can be reported
  out[0] = kind;
  std::memcpy(out + 1, text, n);
  out[n + 1] = 0;
  for (char* c = out; *c; c++) {
    if (*c == '\n' || *c == '\r') *c = ' ';
  }
  return out;
}

// kind_of tells the failures that c10 has no class for by their text.
char kind_of(const char* text) {
  static const char* const memory[] = {"not enough memory", "can't allocate memory", "out of memory",
                                       "STATUS_ALLOC_FAILED"};  // cuBLAS's and cuDNN's
  for (const char* part : memory) {
    if (std::strstr(text, part)) return RS_KIND_TOO_LARGE;
  }
  static const char* const device[] = {"CUDA error", "CUDA driver error", "cuDNN error", "NCCL error"};
  for (const char* part : device) {
    if (std::strstr(text, part)) return RS_KIND_DEVICE;
  }
  static const char* const form[] = {"not implemented for", "does not have a deterministic implementation",
                                     "Deterministic behavior was enabled"};
  for (const char* part : form) {
    if (std::strstr(text, part)) return RS_KIND_UNSUPPORTED;
  }
  return RS_KIND_MISMATCH;
}

// guard runs body and gives NULL, or the message of what it threw. A backtrace
// is left out: it is of C++ frames, and making it costs milliseconds.
template <typename Body>
char* guard(const Body& body) {
  try {
    body();
    return nullptr;
  } catch (const UsageError& e) {
    return message(RS_KIND_USAGE, e.what());
  } catch (const UnsupportedError& e) {
    return message(RS_KIND_UNSUPPORTED, e.what());
  } catch (const LostError& e) {
    return message(RS_KIND_LOST, e.what());
  } catch (const c10::OutOfMemoryError& e) {
    return message(RS_KIND_TOO_LARGE, e.what_without_backtrace());
  } catch (const c10::NotImplementedError& e) {
    return message(RS_KIND_UNSUPPORTED, e.what_without_backtrace());
  } catch (const c10::Error& e) {
    return message(kind_of(e.what_without_backtrace()), e.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return message(RS_KIND_TOO_LARGE, "out of memory");
  } catch (const std::exception& e) {
    return message(kind_of(e.what()), e.what());
  } catch (...) {
    return message(RS_KIND_MISMATCH, "libtorch threw something that is no std::exception");
  }
}

const Function* find_function(const char* name) {
  for (const Function* table : {tensor_functions, mode_functions, info_functions, cuda_functions, dist_functions, syncbn_functions,
                                fused_functions, kernel_functions, attend_functions, batchnorm_functions, optim_functions}) {
    for (const Function* f = table; f->name; f++) {
      if (!std::strcmp(f->name, name)) return f;
    }
  }
  unsupported(std::string(name) + " is no function of this shim; rebuild it with `make shim`");
}

std::unique_ptr<Op> make_op(const char* name, const char* overload, const char* args) {
  auto op = std::make_unique<Op>();
  op->names = split(args);
  if (!std::strncmp(name, "resslt::", 8)) {
    op->function = find_function(name);
    if (std::strcmp(op->function->args, args)) {
      unsupported(std::string(name) + " takes (" + op->function->args + ") in this shim, not (" + args + ")");
    }
    return op;
  }
  auto handle = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!handle) unsupported("this libtorch has no such operator");
  op->handle = std::make_unique<c10::OperatorHandle>(*handle);
  const auto& schema = op->handle->schema();
  const auto& formal = schema.arguments();
  for (size_t i = 0; i < std::max(op->names.size(), formal.size()); i++) {
    if (i < op->names.size()) {
      if (i < formal.size() && formal[i].name() == op->names[i]) continue;
      unsupported("argument " + op->names[i] + " is not where ops.txt has it; this libtorch has " + c10::toString(schema));
    }
    if (!formal[i].default_value()) {
      unsupported("argument " + formal[i].name() + " is not in ops.txt and has no default; this libtorch has " + c10::toString(schema));
    }
    op->defaults.push_back(*formal[i].default_value());
  }
  for (const auto& r : schema.returns()) op->dropped.push_back(r.alias_info() && r.alias_info()->isWrite());
  return op;
}

void collect(const c10::IValue& v, Results& out) {
  if (v.isTensor()) {
    out.tensor(v.toTensor());
  } else if (v.isTensorList()) {
    for (const at::Tensor& t : v.toTensorVector()) out.tensor(t);
  } else if (v.isBool()) {
    out.word(v.toBool());
  } else if (v.isInt()) {
    out.integer(v.toInt());
  } else if (v.isDouble()) {
    out.real(v.toDouble());
  } else {
    unsupported("a result of type " + v.tagKind() + " is not handled");
  }
}

char* api_find(const char* name, const char* overload, const char* args, uint64_t* out) {
  return guard([&] { *out = reinterpret_cast<uint64_t>(make_op(name, overload, args).release()); });
}

char* api_invoke(uint64_t handle, const uint64_t* words, int64_t nwords, void* data, int64_t ndata, rs_result* out) {
  return guard([&] {
    if (!on_device_thread) usage("called outside torch.Do");
    const Op* op = reinterpret_cast<const Op*>(handle);
    torch::jit::Stack stack;
    stack.reserve(op->names.size() + op->defaults.size());
    decode(words, nwords, op->names, stack);
    Results results;
    if (op->function) {
      Call call{stack, data, ndata, results};
      op->function->run(call);
    } else {
      stack.insert(stack.end(), op->defaults.begin(), op->defaults.end());
      op->handle->callBoxed(&stack);
      for (size_t i = 0; i < stack.size(); i++) {
        if (!op->dropped[i]) collect(stack[i], results);
      }
    }
    results.take(out);
  });
}

void api_enter() {
  on_device_thread = true;
  enter_modes();
}

void api_leave() { on_device_thread = false; }
int32_t api_inside() { return on_device_thread; }
void api_free_message(char* m) { std::free(m); }
void api_free_words(uint64_t words) { std::free(reinterpret_cast<void*>(words)); }

const rs_api table = {RS_ABI,    sizeof(rs_api), api_find,   api_invoke,       release,       live,
                      api_enter, api_leave,      api_inside, api_free_message, api_free_words};

}  // namespace

void usage(const std::string& text) { throw UsageError(text); }
void unsupported(const std::string& text) { throw UnsupportedError(text); }
void lost(const std::string& text) { throw LostError(text); }

}  // namespace resslt

extern "C" __attribute__((visibility("default"))) const rs_api* resslt_torch_api(void) { return &resslt::table; }
