#pragma once
// The board that tests run on.

#include <smalti/cuda/where.cuh>

namespace smalti::test {

/// Hopper's engines where the board has them.
inline on_cuda board() {
  int major = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  return on_cuda{nullptr, major == 9 ? sm_90a : sm_80};
}

}  // namespace smalti::test
