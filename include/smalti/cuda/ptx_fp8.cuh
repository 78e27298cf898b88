#pragma once
// Warpgroup matrix multiply (wgmma) of e4m3 with f32 sums, and conversion to e4m3. PTX ISA 9.0, §9.7.15 and §9.7.9.21. As in
// ptx_wgmma.cuh each width is its own string; the macros that spell them end with this file.

#include "ptx_sm90.cuh"

#if !defined(SMALTI_PTX_EMULATOR)
namespace smalti::ptx {

/// Four floats, rounded to nearest even and saturated, side by side: x0 in the lowest byte.
SMALTI_D uint32_t pack_e4m3(float x0, float x1, float x2, float x3) {
  uint16_t lo, hi;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %2, %1;" : "=h"(lo) : "f"(x0), "f"(x1));
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %2, %1;" : "=h"(hi) : "f"(x2), "f"(x3));
  return lo | uint32_t(hi) << 16;
}

// d (64×N, f32, over a warpgroup) = [d +] a (64×32) · b (32×N), k contiguous in both. A lane holds d as after mma.m16n8k16; of a in
// registers, with r = lane / 4 and t = lane % 4, a[0] is row r, columns 4t … 4t + 3, a[1] row r + 8, and a[2], a[3] the same 16
// columns on. The sums keep about 14 bits inside an instruction and of what they are added to: long sums need a second level.

#define SMALTI_D32 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define SMALTI_D64                                                                                                                     \
  SMALTI_D32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61," \
             "%62,%63"
#define SMALTI_R2(n) "+f"(d[n][0]), "+f"(d[n][1]), "+f"(d[n][2]), "+f"(d[n][3]), "+f"(d[n + 1][0]), "+f"(d[n + 1][1]), "+f"(d[n + 1][2]), "+f"(d[n + 1][3])
#define SMALTI_R8(n) SMALTI_R2(n), SMALTI_R2(n + 2), SMALTI_R2(n + 4), SMALTI_R2(n + 6)
#define SMALTI_ARG(...) __VA_ARGS__

// x0 …: the names of the operands after the N / 2 accumulators
#define SMALTI_WGMMA(N, list, R, x0, x1, x2, x3, x4, x5)                                                                               \
  SMALTI_D void wgmma_e4m3(float (&d)[N / 8][4], uint64_t a, uint64_t b, bool accumulate) {                                            \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, " x2 ", 0; wgmma.mma_async.sync.aligned.m64n" #N "k32.f32.e4m3.e4m3 {" list           \
                 "}, " x0 ", " x1 ", p, 1, 1; }" : R : "l"(a), "l"(b), "r"(int(accumulate)));                                          \
  }                                                                                                                                    \
  SMALTI_D void wgmma_e4m3(float (&d)[N / 8][4], uint32_t const (&a)[4], uint64_t b, bool accumulate) {                                \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, " x5 ", 0; wgmma.mma_async.sync.aligned.m64n" #N "k32.f32.e4m3.e4m3 {" list           \
                 "}, {" x0 "," x1 "," x2 "," x3 "}, " x4 ", p, 1, 1; }"                                                                \
                 : R : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(accumulate)));                                      \
  }

SMALTI_WGMMA(64, SMALTI_D32, SMALTI_ARG(SMALTI_R8(0)), "%32", "%33", "%34", "%35", "%36", "%37")
SMALTI_WGMMA(128, SMALTI_D64, SMALTI_ARG(SMALTI_R8(0), SMALTI_R8(8)), "%64", "%65", "%66", "%67", "%68", "%69")

#undef SMALTI_WGMMA
#undef SMALTI_ARG
#undef SMALTI_R8
#undef SMALTI_R2
#undef SMALTI_D64
#undef SMALTI_D32

}  // namespace smalti::ptx
#endif
