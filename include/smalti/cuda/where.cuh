#pragma once
// The device as a place to run: a stream that the caller owns, and the architecture whose code will run there.

#include <cuda_runtime.h>
#include "../core/arch.hpp"
#include "../core/status.hpp"

namespace smalti {

/// Passing one is the only difference between backends. Calls are asynchronous: operands must outlive the stream's work.
struct on_cuda {
  cudaStream_t stream = nullptr;
  arch device = sm_80;         ///< of the code in the program, not of the board: sm_90a only where compute_90a was compiled
  unsigned* ticket = nullptr;  ///< one word of device memory, 0 between calls, for each stream: lets blocks draw work as they
                               ///< become free (sm_90a: +20 to +35 % under a causal mask)
};

inline status explain(cudaError_t e) { return e == cudaSuccess ? status{} : status{"cuda", cudaGetErrorString(e)}; }

}  // namespace smalti
