// kernels.cu: every kernel as CUDA launches it. nvrtc compiles this file; it includes
// nothing of CUDA's.
#include "attend.h"
#include "batchnorm.h"
#include "optim.h"
#include "pixels.h"

using namespace resslt::kernels;

#define KERNEL(name, args, threads, memory, function) \
  extern "C" __global__ void __launch_bounds__(threads) rs_##name(const __grid_constant__ args a) { function(a); }
#include "list.h"
