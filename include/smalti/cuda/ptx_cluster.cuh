#pragma once
// The blocks of a cluster as one: ranks, a barrier, each other's shared memory (PTX ISA 9.0, §9.7.13.4). Before sm_90 a block is alone.

#include "ptx.cuh"

namespace smalti::ptx {

SMALTI_D int cluster_rank() {
#if __CUDA_ARCH__ >= 900
  uint32_t v;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(v));
  return int(v);
#else
  return 0;
#endif
}
SMALTI_D int cluster_blocks() {
#if __CUDA_ARCH__ >= 900
  uint32_t v;
  asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(v));
  return int(v);
#else
  return 1;
#endif
}
/// All threads of all blocks meet; what they wrote before, to shared or device memory, is visible to all of them after.
SMALTI_D void cluster_meet() {
#if __CUDA_ARCH__ >= 900
  cluster_sync();
#else
  __syncthreads();
#endif
}
/// The value of 4 or 8 bytes that block `rank` has where this one has `mine`, in shared memory.
template <class T>
SMALTI_D T load_of_block(T const* mine, int rank) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
#if __CUDA_ARCH__ >= 900
  uint32_t at;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(smem_address(mine)), "r"(rank));
  if constexpr (sizeof(T) == 4) {
    uint32_t v;
    asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(v) : "r"(at) : "memory");
    return __builtin_bit_cast(T, v);
  } else {
    uint64_t v;
    asm volatile("ld.shared::cluster.u64 %0, [%1];" : "=l"(v) : "r"(at) : "memory");
    return __builtin_bit_cast(T, v);
  }
#else
  return *mine;
#endif
}

}  // namespace smalti::ptx
