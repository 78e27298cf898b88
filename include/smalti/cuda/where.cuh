#pragma once
// The device as a place to run: a stream that the caller owns, and the architecture whose code will run there.

#include <cuda_runtime.h>
#include "../core/arch.hpp"
#include "../core/status.hpp"

namespace smalti {

/// Passing one is the only difference between backends. Calls are asynchronous: operands must outlive the stream's work.
struct on_cuda {
  cudaStream_t stream = nullptr;
  arch device = sm_80;         ///< the engine to use: sm_90a only where the program holds code for it (compute_90a)
  unsigned* ticket = nullptr;  ///< one word of device memory, 0 between calls, for each stream: lets blocks draw work as they
                               ///< become free (sm_90a: +20 to +35 % under a causal mask)
};

#if defined(__CUDACC__) && !defined(__CUDACC_RTC__)
namespace detail {
/// Never launched: the bound of its launches says which architecture the code was compiled for that this board runs.
template <int First = 79>
__global__ void __launch_bounds__(32 * (this_arch().level - First < 1 ? 1 : this_arch().level - First)) code_probe() {}

/// The architecture of the program's code that the current board runs, as kernels see it in this_arch(): where kernel and launch must agree
/// about a tile, on_cuda's `device`, which is the caller's word, is not enough. Without such code, or after an error, `otherwise`.
inline arch code_arch(arch otherwise) {
  cudaFuncAttributes code{};
  if (cudaFuncGetAttributes(&code, code_probe<>) != cudaSuccess) return otherwise;
  for (arch a : {sm_80, sm_86, sm_89, sm_90a})
    if (code.maxThreadsPerBlock == 32 * (a.level - 79)) return a;
  return otherwise;
}
}  // namespace detail
#endif

inline status explain(cudaError_t e) { return e == cudaSuccess ? status{} : status{"cuda", cudaGetErrorString(e)}; }

}  // namespace smalti
