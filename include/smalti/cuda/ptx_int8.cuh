#pragma once
// Products of 8-bit integers with exact 32-bit sums: mma.sync (sm_80) and the warpgroup's (sm_90a). PTX ISA 9.0, §9.7.14 and §9.7.15.

#include "ptx_sm90.cuh"

#if !defined(SMALTI_PTX_EMULATOR)
namespace smalti::ptx {

/// d (16×8) += a (16×32) · b (32×8). With g = lane / 4, q = lane % 4: a[0] is row g, columns 4q … 4q + 3, a[1] row g + 8, a[2] and a[3] 16
/// columns on; b0 and b1 likewise of column g; d as after mma_m16n8k16.
SMALTI_D void mma_s8(int (&d)[4], uint32_t const (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// d (64×N, over a warpgroup) = [d +] a (64×32) · bᵀ, b (N×32), both in shared memory with k contiguous. d as for wgmma.

#define SMALTI_D32 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define SMALTI_D64                                                                                                                     \
  SMALTI_D32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61," \
             "%62,%63"
#define SMALTI_R1(n) "+r"(d[n][0]), "+r"(d[n][1]), "+r"(d[n][2]), "+r"(d[n][3])
#define SMALTI_R4(n) SMALTI_R1(n), SMALTI_R1(n + 1), SMALTI_R1(n + 2), SMALTI_R1(n + 3)
#define SMALTI_R8(n) SMALTI_R4(n), SMALTI_R4(n + 4)
#define SMALTI_ARG(...) __VA_ARGS__

// x0 …: the names of the operands after the N / 2 accumulators
#define SMALTI_WGMMA(N, list, R, x0, x1, x2)                                                                                 \
  SMALTI_D void wgmma_s8(int (&d)[N / 8][4], uint64_t a, uint64_t b, bool accumulate) {                                      \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, " x2 ", 0; wgmma.mma_async.sync.aligned.m64n" #N "k32.s32.s8.s8 {" list     \
                 "}, " x0 ", " x1 ", p; }" : R : "l"(a), "l"(b), "r"(int(accumulate)));                                      \
  }

SMALTI_WGMMA(64, SMALTI_D32, SMALTI_ARG(SMALTI_R8(0)), "%32", "%33", "%34")
SMALTI_WGMMA(128, SMALTI_D64, SMALTI_ARG(SMALTI_R8(0), SMALTI_R8(8)), "%64", "%65", "%66")

#undef SMALTI_WGMMA
#undef SMALTI_ARG
#undef SMALTI_R8
#undef SMALTI_R4
#undef SMALTI_R1
#undef SMALTI_D64
#undef SMALTI_D32

/// As pin for floats.
template <int N>
SMALTI_D void pin(int (&r)[N][4]) {
  SMALTI_UNROLL for (int n = 0; n < N; ++n)
    asm volatile("" : "+r"(r[n][0]), "+r"(r[n][1]), "+r"(r[n][2]), "+r"(r[n][3])::"memory");
}

}  // namespace smalti::ptx
#endif
