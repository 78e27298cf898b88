#pragma once
// The blocks of a cluster as one: ranks, a barrier, each other's shared memory (PTX ISA 9.0, §9.7.13.4). Before sm_90 a block is alone.

#include "ptx.cuh"

#if !defined(SMALTI_PTX_EMULATOR)
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


// Mail: bytes that blocks of a cluster put into each other's shared memory, counted by a barrier of the one that gets them. No fence
// of all memory, as a barrier of the cluster has one, and nobody has to stay until others have read.

/// By one thread, before cluster_open: `bytes` will come, once.
SMALTI_D void expect_mail(uint64_t* bar, int bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;\nfence.mbarrier_init.release.cluster;\nmbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
               ::"r"(smem_address(bar)), "r"(bytes) : "memory");
#endif
}
/// All threads: this block's boxes are ready · those of all blocks are.
SMALTI_D void cluster_open() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
#endif
}
SMALTI_D void cluster_opened() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
#endif
}
/// Sixteen or eight bytes to where block `rank` has what is here `box`; its barrier counts them (PTX ISA 9.0, st.async).
SMALTI_D void send(float4* box, float4 v, uint64_t* bar, int rank) {
#if __CUDA_ARCH__ >= 900
  uint32_t to, at;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(to) : "r"(smem_address(box)), "r"(rank));
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(smem_address(bar)), "r"(rank));
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%2,%3,%4,%5}, [%1];"
               ::"r"(to), "r"(at), "r"(__float_as_uint(v.x)), "r"(__float_as_uint(v.y)), "r"(__float_as_uint(v.z)), "r"(__float_as_uint(v.w)) : "memory");
#endif
}
SMALTI_D void send(float2* box, float2 v, uint64_t* bar, int rank) {
#if __CUDA_ARCH__ >= 900
  uint32_t to, at;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(to) : "r"(smem_address(box)), "r"(rank));
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(smem_address(bar)), "r"(rank));
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.b32 [%0], {%2,%3}, [%1];"
               ::"r"(to), "r"(at), "r"(__float_as_uint(v.x)), "r"(__float_as_uint(v.y)) : "memory");
#endif
}
/// Where block `rank` has what is at the shared address `at` here, for send below.
SMALTI_D uint32_t address_in_block(uint32_t at, int rank) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mapa.shared::cluster.u32 %0, %0, %1;" : "+r"(at) : "r"(rank));
#endif
  return at;
}
/// Four bytes to an address in some block; the barrier at `bar`, in the same one, counts them.
SMALTI_D void send(uint32_t to, float v, uint32_t bar) {
#if __CUDA_ARCH__ >= 900
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(to), "r"(__float_as_uint(v)), "r"(bar) : "memory");
#endif
}
/// Until all that was expected is here.
SMALTI_D void await_mail(uint64_t* bar) {
#if __CUDA_ARCH__ >= 900
  uint32_t done = 0;
  while (!done)
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], 0; selp.u32 %0, 1, 0, p; }"
                 : "=r"(done) : "r"(smem_address(bar)) : "memory");
#endif
}

}  // namespace smalti::ptx
#endif
