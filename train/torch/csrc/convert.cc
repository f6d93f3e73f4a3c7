// convert.cc: words of the C ABI to libtorch's values and back.
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "internal.h"

namespace resslt {

static_assert(sizeof(double) == 8, "float64 travels in a word");
static_assert(static_cast<int>(c10::ScalarType::Byte) == 0 && static_cast<int>(c10::ScalarType::Long) == 4 &&
                  static_cast<int>(c10::ScalarType::Float) == 6 && static_cast<int>(c10::ScalarType::Bool) == 11 &&
                  static_cast<int>(c10::ScalarType::BFloat16) == 15,
              "Go's DType has libtorch's numbers");
static_assert(static_cast<int>(c10::DeviceType::CPU) == 0 && static_cast<int>(c10::DeviceType::CUDA) == 1,
              "Go's DeviceType has libtorch's numbers");
static_assert(static_cast<int>(c10::MemoryFormat::ChannelsLast) == 2, "Go's MemoryFormat has libtorch's numbers");

namespace {

std::atomic<int64_t> live_handles{0};

double bits_to_double(uint64_t w) {
  double d;
  std::memcpy(&d, &w, sizeof d);
  return d;
}

// scalar gives an integral value as an integer, which changes no result of a
// floating-point tensor and keeps an integer tensor's type.
at::Scalar scalar(uint64_t w) {
  const double d = bits_to_double(w);
  constexpr double exact = 9007199254740992.0;  // 2^53: above it, not every integer is a double
  if (d == std::floor(d) && std::abs(d) <= exact && !(d == 0 && std::signbit(d))) {
    return at::Scalar(static_cast<int64_t>(d));
  }
  return at::Scalar(d);
}

const at::Tensor& tensor(uint64_t handle, const std::string& name) {
  if (handle == RS_NIL) usage("argument " + name + " is nil");
  if (handle == RS_FREED) usage("argument " + name + " is a freed tensor: its scope has ended or Free was called");
  return *reinterpret_cast<const at::Tensor*>(handle);
}

// Reader walks the words and refuses to pass their end.
class Reader {
 public:
  Reader(const uint64_t* words, int64_t n) : at_(words), end_(words + n) {}
  bool done() const { return at_ == end_; }
  uint64_t next() {
    need(1);
    return *at_++;
  }
  // need is asked before anything of n words' size is made.
  void need(uint64_t n) const {
    if (n > static_cast<uint64_t>(end_ - at_)) usage("arguments are cut short");
  }

 private:
  const uint64_t* at_;
  const uint64_t* end_;
};

c10::IValue value(Reader& in, const std::string& name) {
  const uint64_t head = in.next();
  const uint64_t count = head >> 8;
  switch (head & 0xff) {
    case RS_NONE:
      return c10::IValue();
    case RS_TENSOR:
      return c10::IValue(tensor(in.next(), name));
    case RS_INT:
      return c10::IValue(static_cast<int64_t>(in.next()));
    case RS_DOUBLE:
      return c10::IValue(bits_to_double(in.next()));
    case RS_BOOL:
      return c10::IValue(in.next() != 0);
    case RS_SCALAR:
      return c10::IValue(scalar(in.next()));
    case RS_INTS: {
      in.need(count);
      c10::List<int64_t> list;
      list.reserve(count);
      for (uint64_t i = 0; i < count; i++) list.push_back(static_cast<int64_t>(in.next()));
      return c10::IValue(std::move(list));
    }
    case RS_DOUBLES: {
      in.need(count);
      c10::List<double> list;
      list.reserve(count);
      for (uint64_t i = 0; i < count; i++) list.push_back(bits_to_double(in.next()));
      return c10::IValue(std::move(list));
    }
    case RS_SCALARS: {
      in.need(count);
      c10::List<at::Scalar> list;
      list.reserve(count);
      for (uint64_t i = 0; i < count; i++) list.push_back(scalar(in.next()));
      return c10::IValue(std::move(list));
    }
    case RS_TENSORS: {
      in.need(count);
      c10::List<at::Tensor> list;
      list.reserve(count);
      for (uint64_t i = 0; i < count; i++) {
        const uint64_t handle = in.next();
        if (handle <= RS_FREED) tensor(handle, name + "[" + std::to_string(i) + "]");  // throws
        list.push_back(*reinterpret_cast<const at::Tensor*>(handle));
      }
      return c10::IValue(std::move(list));
    }
    case RS_STRING: {
      const uint64_t length = in.next();
      in.need(count);
      if (length > count * 8) usage("argument " + name + " is cut short");
      std::string s;
      s.reserve(length);
      for (uint64_t i = 0; i < count; i++) {
        const uint64_t w = in.next();
        for (uint64_t j = 0; j < 8 && s.size() < length; j++) s.push_back(static_cast<char>(w >> (8 * j)));
      }
      return c10::IValue(std::move(s));
    }
    case RS_DEVICE: {
      const uint64_t w = in.next();
      return c10::IValue(
          c10::Device(static_cast<c10::DeviceType>(w >> 8), static_cast<c10::DeviceIndex>(static_cast<int64_t>(w & 0xff) - 1)));
    }
  }
  usage("argument " + name + " has an unknown tag");
}

}  // namespace

void decode(const uint64_t* words, int64_t nwords, const std::vector<std::string>& names, torch::jit::Stack& stack) {
  Reader in(words, nwords);
  for (const auto& name : names) stack.push_back(value(in, name));
  if (!in.done()) usage("more arguments than the " + std::to_string(names.size()) + " that were announced");
}

void Results::tensor(at::Tensor t) {
  if (!t.defined()) {
    words_.push_back(RS_NIL);
    return;
  }
  words_.reserve(words_.size() + 1);
  handles_.reserve(handles_.size() + 1);
  const auto handle = reinterpret_cast<uint64_t>(new at::Tensor(std::move(t)));
  live_handles.fetch_add(1, std::memory_order_relaxed);
  words_.push_back(handle);
  handles_.push_back(handle);
}

void Results::real(double v) {
  uint64_t w;
  std::memcpy(&w, &v, sizeof w);
  words_.push_back(w);
}

void Results::take(rs_result* out) {
  uint64_t* to = out->v;
  uint64_t more = 0;
  if (words_.size() > RS_INLINE_RESULTS) {
    to = static_cast<uint64_t*>(std::malloc(words_.size() * sizeof(uint64_t)));
    if (!to) throw std::bad_alloc();
    more = reinterpret_cast<uint64_t>(to);
  }
  if (!words_.empty()) std::memcpy(to, words_.data(), words_.size() * sizeof(uint64_t));
  out->n = static_cast<int64_t>(words_.size());
  out->more = more;
  handles_.clear();
}

void release(const uint64_t* handles, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    if (handles[i] <= RS_FREED) continue;
    delete reinterpret_cast<at::Tensor*>(handles[i]);
    live_handles.fetch_sub(1, std::memory_order_relaxed);
  }
}

int64_t live() { return live_handles.load(std::memory_order_relaxed); }

Results::~Results() { release(handles_.data(), static_cast<int64_t>(handles_.size())); }

}  // namespace resslt
