#pragma once
// One function per instruction we use, named for what it does; only the ptx files contain `asm`. PTX ISA 9.0, ch. 9.

#include <cstdint>
#include "../core/config.hpp"
#include "../core/dtype.hpp"

#if defined(SMALTI_PTX_EMULATOR)
  #include SMALTI_PTX_EMULATOR  // tests: the same functions over host threads, so fragments are checked without a GPU
#else
namespace smalti::ptx {

SMALTI_D uint32_t smem_address(void const* p) { return uint32_t(__cvta_generic_to_shared(p)); }
SMALTI_D int thread() { return threadIdx.x; }
SMALTI_D int lane() { return threadIdx.x % 32; }
SMALTI_D int warp() { return threadIdx.x / 32; }
SMALTI_D void sync_block() { __syncthreads(); }
SMALTI_D void sync_warp() { __syncwarp(); }
SMALTI_D bool any(bool x) { return __any_sync(~0u, x); }  ///< over the warp
SMALTI_D float shfl_xor(float v, int mask) { return __shfl_xor_sync(~0u, v, mask); }
SMALTI_D uint4 shfl(uint4 v, int lane) {  ///< of another lane
  return {__shfl_sync(~0u, v.x, lane), __shfl_sync(~0u, v.y, lane), __shfl_sync(~0u, v.z, lane), __shfl_sync(~0u, v.w, lane)};
}
SMALTI_D float exp2_approx(float x) {  // not exp2f: that spends two more instructions on denormal results
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
SMALTI_D float divide_approx(float a, float b) { return __fdividef(a, b); }  ///< b below 2^126
/// 16 bytes in one access each.
SMALTI_D void copy_16(void* to, void const* from) { *static_cast<uint4*>(to) = *static_cast<uint4 const*>(from); }

/// 16 bytes, global → shared, asynchronously; zeros when !valid (gmem must still be a valid address).
SMALTI_D void cp_async_16(void* smem, void const* gmem, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(smem_address(smem)), "l"(gmem), "r"(valid ? 16 : 0));
}
/// Likewise 4 bytes.
SMALTI_D void cp_async_4(void* smem, void const* gmem, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(smem_address(smem)), "l"(gmem), "r"(valid ? 4 : 0));
}
SMALTI_D void cp_async_commit() { asm volatile("cp.async.commit_group;"); }
template <int Pending>  ///< groups that may still be in flight
SMALTI_D void cp_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory"); }

/// A phase of an mbarrier completes when `arrivals` have arrived and all expected bytes have landed.
SMALTI_D void mbarrier_init(uint64_t* bar, int arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(smem_address(bar)), "r"(arrivals) : "memory");
}
SMALTI_D void mbarrier_arrive(uint64_t* bar) {
  asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(smem_address(bar)) : "memory");
}
/// Waits until the phase of this parity has completed. A fresh barrier counts as having completed parity 1.
SMALTI_D void mbarrier_wait(uint64_t* bar, int parity) {
  uint32_t const at = smem_address(bar);
  for (uint32_t done = 0; !done;)
#if __CUDA_ARCH__ >= 900  // may suspend the thread for a while
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                 : "=r"(done) : "r"(at), "r"(parity) : "memory");
#else
    asm volatile("{ .reg .pred p; mbarrier.test_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }" : "=r"(done) : "r"(at), "r"(parity) : "memory");
#endif
}
/// Arrives when all that this thread has requested by cp_async_16 has landed: one of the barrier's arrivals.
SMALTI_D void cp_async_arrive(uint64_t* bar) { asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(smem_address(bar)) : "memory"); }

/// Four 8×8 b16 matrices; lane i gives the address of row i%8 of matrix i/8.
SMALTI_D void ldmatrix_x4(uint32_t (&r)[4], void const* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(smem_address(row)) : "memory");
}
SMALTI_D void ldmatrix_x4_trans(uint32_t (&r)[4], void const* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(smem_address(row)) : "memory");
}
/// c (16×8, f32) += a (16×16) · b (16×8), both of T.
template <class T>
SMALTI_D void mma_m16n8k16(float (&c)[4], uint32_t const (&a)[4], uint32_t b0, uint32_t b1);
template <>
SMALTI_D void mma_m16n8k16<bf16>(float (&c)[4], uint32_t const (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
SMALTI_D void mma_m16n8k16<f16>(float (&c)[4], uint32_t const (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Two floats rounded to nearest even, side by side: lo in the lower half.
template <class T>
SMALTI_D uint32_t pack(float lo, float hi);
template <>
SMALTI_D uint32_t pack<bf16>(float lo, float hi) {
  uint32_t v;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(hi), "f"(lo));
  return v;
}
template <>
SMALTI_D uint32_t pack<f16>(float lo, float hi) {
  uint32_t v;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(hi), "f"(lo));
  return v;
}

/// 16 or 8 bytes that are read once: past L1, and kept from displacing what is there.
SMALTI_D uint4 load_once_16(void const* p) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
}
/// The same for a warp that reads whole lines, which L2 need not guess at.
SMALTI_D uint4 load_lines_16(void const* p) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
}
/// load_once_16 under a predicate instead of a branch; v stays what it is otherwise.
SMALTI_D void load_once_16_if(bool on, uint4& v, void const* p) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %5, 0; @p ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4]; }"
               : "+r"(v.x), "+r"(v.y), "+r"(v.z), "+r"(v.w) : "l"(p), "r"(int(on)));
}
SMALTI_D uint2 load_once_8(void const* p) {
  uint2 v;
  asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p));
  return v;
}
/// The line of 128 bytes at p on its way into L2, where later writes of others are seen.
SMALTI_D void prefetch(void const* p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(p)); }
/// Likewise, into L1: for what nobody writes.
SMALTI_D void prefetch_near(void const* p) { asm volatile("prefetch.global.L1 [%0];" ::"l"(p)); }
/// A word of shared memory at a fixed distance from `address`: the distance costs no instruction.
template <int Distance>
SMALTI_D uint32_t load_shared(uint32_t address) {
  uint32_t v;
  asm volatile("ld.shared.u32 %0, [%1+%2];" : "=r"(v) : "r"(address), "n"(Distance));
  return v;
}
/// A word of shared memory, read or written, across which the compiler moves no other access to memory.
SMALTI_D uint32_t load_shared_now(uint32_t address) {
  uint32_t v;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v) : "r"(address) : "memory");
  return v;
}
SMALTI_D void store_shared(uint32_t address, float v) { asm volatile("st.shared.f32 [%0], %1;" ::"r"(address), "f"(v) : "memory"); }
/// Byte i of the result is byte (selector >> 4i) % 8 of b:a, or, where bit 3 of that nibble is set, eight copies of its top bit.
SMALTI_D uint32_t select_bytes(uint32_t a, uint32_t b, uint32_t selector) {
  uint32_t v;  // not __byte_perm, which clears bit 3
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(v) : "r"(a), "r"(b), "r"(selector));
  return v;
}

// From sm_90 on; before it a grid has no clusters, and kernels of a stream do not overlap.

/// Blocks of a cluster meet; what they wrote before is visible to all of them after.
SMALTI_D void cluster_sync() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
#endif
}
/// 16 bytes of another block's shared memory, at the place that `mine` has in this one's.
SMALTI_D float4 load_cluster_16(void const* mine, uint32_t block) {
  float4 v = {};
#if __CUDA_ARCH__ >= 900
  uint32_t at;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(smem_address(mine)), "r"(block));
  asm volatile("ld.shared::cluster.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(at) : "memory");
#endif
  return v;
}
/// Programmatic dependent launch: the next kernel of the stream may start · wait until the one before has finished.
SMALTI_D void launch_dependents() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
SMALTI_D void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/// A word of device memory by which a kernel tells the next, which may have started, that all kernels ahead of itself have ended: taken down before that one can
/// start (launch_dependents is part of it) · raised · waited for, by all threads of a block.
SMALTI_D void take_down_and_launch_dependents(unsigned* flag) {
#if __CUDA_ARCH__ >= 900
  asm volatile("st.relaxed.gpu.global.u32 [%0], 0;\nfence.acq_rel.gpu;\ngriddepcontrol.launch_dependents;" ::"l"(flag) : "memory");
#else
  *flag = 0;
#endif
}
SMALTI_D void raise_flag(unsigned* flag) {
  unsigned const up = 1;
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(up) : "memory");
}
SMALTI_D void await_flag_alone(unsigned const* flag) {  ///< by one thread
  for (unsigned up = 0; !up;) asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(up) : "l"(flag) : "memory");
}
SMALTI_D void await_flag(unsigned const* flag) {
  if (threadIdx.x == 0) await_flag_alone(flag);
  __syncthreads();
}
/// Adds 1 and returns what was there. What the block wrote before its last barrier is visible to whoever draws a later number,
/// and to the block that it shares a barrier with.
SMALTI_D unsigned draw_ticket(unsigned* at) {
  unsigned n;
  asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], 1;" : "=r"(n) : "l"(at) : "memory");
  return n;
}
/// Orders this thread's ordinary writes to device memory before later reads by the copy engine.
SMALTI_D void fence_async_proxy_global() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.global;" ::: "memory");
#endif
}

}  // namespace smalti::ptx
#endif
