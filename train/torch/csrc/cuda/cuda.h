/* cuda.h: libtorch's headers name the driver's beside the runtime's, and use nothing
 * of it (cuda_runtime_api.h says what this is for). */
#ifndef RESSLT_CUDA_H
#define RESSLT_CUDA_H
#include "cuda_runtime_api.h"
#endif
