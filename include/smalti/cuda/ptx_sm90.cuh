#pragma once
// Hopper (sm_90a): one function per instruction we use, named for what it does. PTX ISA 9.0, ch. 9.

#include "ptx.cuh"

#if !defined(SMALTI_PTX_EMULATOR)
  #include <cuda.h>

namespace smalti::ptx {

// ---------------------------------------------------------------- who am I

/// Tells the compiler that the whole warp agrees on x, so that what follows from it may live in uniform registers.
SMALTI_D int uniform(int x) { return __shfl_sync(~0u, x, 0); }
/// The warp, in a uniform register, as what follows from it: the result of a reduction is one.
SMALTI_D int uniform_warp() { return int(__reduce_max_sync(~0u, threadIdx.x / 32)); }
SMALTI_D int warpgroup() { return uniform(int(threadIdx.x) / 128); }

/// Moves registers between warpgroups; every warp of the warpgroup must execute it. Honoured only when the kernel
/// has a register cap at entry: __launch_bounds__(threads, 1), with the 1.
template <int Count> SMALTI_D void registers_raise_to() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count)); }
template <int Count> SMALTI_D void registers_lower_to() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count)); }

// ---------------------------------------------------------------- barriers

/// Named barriers 1 … 15 of the block (0 is __syncthreads). `threads` counts those that sync plus those that arrive.
SMALTI_D void barrier_sync(int id, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
SMALTI_D void barrier_arrive(int id, int threads) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory"); }

/// Makes the inits visible to the copy engine.
SMALTI_D void mbarrier_init_fence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
/// By one lane, without a branch.
SMALTI_D void mbarrier_arrive_if(bool on, uint64_t* bar) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %1, 0; @p mbarrier.arrive.shared::cta.b64 _, [%0]; }" ::"r"(smem_address(bar)), "r"(int(on)) : "memory");
}
/// The same at the barrier that block `rank` of the cluster has where this one has `bar`.
SMALTI_D void mbarrier_arrive_if(bool on, uint64_t* bar, int rank) {
  asm volatile("{ .reg .pred p; .reg .b32 at; setp.ne.b32 p, %2, 0; mapa.shared::cluster.u32 at, %0, %1; @p mbarrier.arrive.shared::cluster.b64 _, [at]; }"
               ::"r"(smem_address(bar)), "r"(rank), "r"(int(on)) : "memory");
}
/// A word to where block `rank` has `to`; its barrier counts the four bytes (PTX ISA 9.0, st.async).
SMALTI_D void mbarrier_send(int* to, int x, uint64_t* bar, int rank) {
  asm volatile("{ .reg .b32 to, bar; mapa.shared::cluster.u32 to, %0, %3; mapa.shared::cluster.u32 bar, %2, %3;\n"
               "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [to], %1, [bar]; }"
               ::"r"(smem_address(to)), "r"(x), "r"(smem_address(bar)), "r"(rank) : "memory");
}
SMALTI_D void mbarrier_arrive_expecting(uint64_t* bar, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(smem_address(bar)), "r"(bytes) : "memory");
}
// ---------------------------------------------------------------- the tensor copy engine (TMA)

/// The inner coordinate comes first: {column, row, head, batch}.
SMALTI_D void tma_prefetch(CUtensorMap const* map) { asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory"); }
SMALTI_D void tma_load(void* smem, CUtensorMap const* map, uint64_t* bar, int c, int r, int h, int b) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3,%4,%5,%6}], [%2];"
               ::"r"(smem_address(smem)), "l"(map), "r"(smem_address(bar)), "r"(c), "r"(r), "r"(h), "r"(b) : "memory");
}
/// For what is read once: it is the first to leave L2.
SMALTI_D uint64_t once_policy() {
  uint64_t p;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(p));
  return p;
}
SMALTI_D void tma_load(void* smem, CUtensorMap const* map, uint64_t* bar, int c, int r, int h, int b, uint64_t policy) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%3,%4,%5,%6}], [%2], %7;"
               ::"r"(smem_address(smem)), "l"(map), "r"(smem_address(bar)), "r"(c), "r"(r), "r"(h), "r"(b), "l"(policy) : "memory");
}
/// The box to the same place in every block of `mask`, whose barriers at the place of `bar` count its bytes.
SMALTI_D void tma_load_multicast(void* smem, CUtensorMap const* map, uint64_t* bar, int c, int r, int h, int b, unsigned short mask) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3,%4,%5,%6}], [%2], %7;"
               ::"r"(smem_address(smem)), "l"(map), "r"(smem_address(bar)), "r"(c), "r"(r), "r"(h), "r"(b), "h"(mask) : "memory");
}
/// Asks for the box in the L2 cache.
SMALTI_D void tma_prefetch(CUtensorMap const* map, int c, int r, int h, int b) {
  asm volatile("cp.async.bulk.prefetch.tensor.4d.L2.global.tile [%0, {%1,%2,%3,%4}];" ::"l"(map), "r"(c), "r"(r), "r"(h), "r"(b) : "memory");
}

SMALTI_D void tma_store_if(bool on, CUtensorMap const* map, void const* smem, int c, int r, int h, int b) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %6, 0; @p cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%2,%3,%4,%5}], [%1]; }"
               ::"l"(map), "r"(smem_address(smem)), "r"(c), "r"(r), "r"(h), "r"(b), "r"(int(on)) : "memory");
}
SMALTI_D void tma_store_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
template <int Pending = 0>  ///< groups that may still be read
SMALTI_D void tma_store_wait_read() { asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(Pending) : "memory"); }  ///< smem is free again

/// Orders this thread's ordinary writes to shared memory before later reads by the copy engine or the tensor cores.
SMALTI_D void fence_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// Stores under a predicate instead of a branch: a loop around them stays free of divergence, and its addresses in uniform registers.
SMALTI_D void store_if(bool on, float* to, float x) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %2, 0; @p st.global.f32 [%0], %1; }" ::"l"(to), "f"(x), "r"(int(on)) : "memory");
}
SMALTI_D void store_16_if(bool on, void* to, uint4 x) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %5, 0; @p st.global.v4.u32 [%0], {%1,%2,%3,%4}; }"
               ::"l"(to), "r"(x.x), "r"(x.y), "r"(x.z), "r"(x.w), "r"(int(on)) : "memory");
}
/// Four 8×8 b16 matrices, registers → shared; lane i gives the address of row i%8 of matrix i/8.
SMALTI_D void stmatrix_x4(void* row, uint32_t const (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};"
               ::"r"(smem_address(row)), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
}
/// The same, every matrix transposed: lane i gives the address of column i%8 of matrix i/8.
SMALTI_D void stmatrix_x4_trans(void* column, uint32_t const (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1,%2,%3,%4};"
               ::"r"(smem_address(column)), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
}
/// Lane l of every four has x[i], meaning row l and column i; after, row i and column l.
SMALTI_D void transpose_quad(uint32_t (&x)[4]) {
  int const l = threadIdx.x % 4;
  SMALTI_UNROLL for (int step = 1; step < 4; step *= 2)
    SMALTI_UNROLL for (int i = 0; i < 4; ++i)
      if (!(i & step)) {
        uint32_t const got = __shfl_xor_sync(~0u, l & step ? x[i] : x[i + step], step);
        (l & step ? x[i] : x[i + step]) = got;
      }
}

/// Nothing volatile that follows, a wait for products above all, begins before x ≥ 0 is known. The compiler would otherwise move
/// the wait up and the arithmetic that should overlap with the products behind it; it never sleeps.
SMALTI_D void know(float x) { asm volatile("{ .reg .pred p; setp.lt.f32 p, %0, 0f00000000; @p nanosleep.u32 20; }" ::"f"(x) : "memory"); }
/// The same without the branch that a sleep may become, behind any x: nothing is above ∞, and nothing is stored to `smem`.
SMALTI_D void hold(void* smem, float x) {
  asm volatile("{ .reg .pred p; setp.gt.f32 p, %1, 0f7f800000; @p st.shared.f32 [%0], %1; }" ::"r"(smem_address(smem)), "f"(x) : "memory");
}

// ---------------------------------------------------------------- warpgroup matrix multiply (wgmma)

/// A shared-memory operand laid out as TMA's 128-byte swizzle leaves it: panels of rows of 128 bytes (64 bf16), groups of
/// eight rows 1024 bytes apart, `panel` bytes from one panel to the next. The base must be 1024-byte aligned.
/// Only an operand that is read transposed and is wider than one panel uses `panel`.
/// In a cluster an address names its block in bits 24 and up, which an operand must not. Elsewhere Clean = false may leave the address as
/// it is, where that was measured to be worth it.
template <bool Clean = true>
SMALTI_D uint64_t wgmma_operand(void const* smem, int panel = 16) {
  uint32_t const at = smem_address(smem) & (Clean ? 0x3ffff : ~0u);
  return uint64_t(at >> 4) | uint64_t(panel >> 4) << 16 | uint64_t(1024 >> 4) << 32 | uint64_t(1) << 62;
}
/// The same of rows of 64 bytes (32 bf16), by the 64-byte swizzle: groups of eight rows are 512 bytes, at a multiple of which it begins.
SMALTI_D uint64_t wgmma_operand_64(void const* smem) {
  return uint64_t((smem_address(smem) & 0x3ffff) >> 4) | uint64_t(1) << 16 | uint64_t(512 >> 4) << 32 | uint64_t(2) << 62;
}
/// The operand `bytes` further on. Inside a row, steps of 32 bytes (k16) are allowed: the hardware swizzles the address.
SMALTI_D uint64_t wgmma_advance(uint64_t operand, int bytes) {  // the address is in the lower half, and nothing carries out of it
  return operand & 0xffffffff00000000 | uint32_t(uint32_t(operand) + uint32_t(bytes >> 4));
}

SMALTI_D void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
SMALTI_D void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int Pending>  ///< groups that may still be in flight
SMALTI_D void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory"); }

/// Registers of an asynchronous product change behind the compiler's back. This says "they may have changed here", so no
/// use of them is moved across: call it after the wait, and before the fence of the product that reads or accumulates.
template <int N>
SMALTI_D void pin(float (&r)[N][4]) {
  SMALTI_UNROLL for (int n = 0; n < N; ++n)
    asm volatile("" : "+f"(r[n][0]), "+f"(r[n][1]), "+f"(r[n][2]), "+f"(r[n][3])::"memory");
}
template <int N>
SMALTI_D void pin(uint32_t (&r)[N][4]) {
  SMALTI_UNROLL for (int n = 0; n < N; ++n)
    asm volatile("" : "+r"(r[n][0]), "+r"(r[n][1]), "+r"(r[n][2]), "+r"(r[n][3])::"memory");
}
/// x, of which the compiler knows no more: what follows from it stays where it is written.
SMALTI_D int pin(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

}  // namespace smalti::ptx
#endif
