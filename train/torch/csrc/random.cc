// random.cc: generators. A new one is a clone of the device's default, which
// makes a generator of the right kind on any device, seeded afresh.
#include "internal.h"

namespace resslt {
namespace {

at::Generator generator(Call& c, size_t i) { return c.args[i].toGenerator(); }

void manual_seed(Call& c) { at::manual_seed(static_cast<uint64_t>(c.integer(0))); }

void new_generator(Call& c) {
  at::Generator g = at::globalContext().defaultGenerator(c.device(0)).clone();
  g.set_current_seed(static_cast<uint64_t>(c.integer(1)));
  c.out.word(new_generator_handle(std::move(g)));
}

void default_generator(Call& c) { c.out.word(new_generator_handle(at::globalContext().defaultGenerator(c.device(0)))); }

// free_generator takes the handle as an int: decoded as a generator it would be
// copied, and the original never reached.
void free_generator(Call& c) { delete reinterpret_cast<at::Generator*>(c.integer(0)); }

void generator_state(Call& c) { c.out.tensor(generator(c, 0).get_state()); }

void set_generator_state(Call& c) { generator(c, 0).set_state(c.tensor(1)); }

}  // namespace

const Function random_functions[] = {
    {"resslt::manual_seed", "seed", manual_seed},
    {"resslt::new_generator", "device,seed", new_generator},
    {"resslt::default_generator", "device", default_generator},
    {"resslt::free_generator", "handle", free_generator},
    {"resslt::generator_state", "generator", generator_state},
    {"resslt::set_generator_state", "generator,state", set_generator_state},
    {nullptr, nullptr, nullptr},
};

}  // namespace resslt
