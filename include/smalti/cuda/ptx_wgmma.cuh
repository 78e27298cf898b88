#pragma once
// Warpgroup matrix multiply (wgmma) of bf16 and f16 with f32 sums. PTX ISA 9.0, §9.7.15. The instruction lists every accumulator
// register, so each width is its own string; the macros that spell them end with this file.

#include <type_traits>
#include "ptx_sm90.cuh"

#if !defined(SMALTI_PTX_EMULATOR)
namespace smalti::ptx {

// d (64×N, f32, over a warpgroup) = [d +] a (64×16) · b (16×N). A lane holds d as after mma.m16n8k16, warp w the rows 16w….
//   wgmma<E>        a in shared memory or in registers (a lane's share as for mma.m16n8k16), b in shared memory, k contiguous (S = Q Kᵀ)
//   wgmma_across<E> a in registers, b in shared memory with n contiguous (O = P V)
// The array bound picks N.

#define SMALTI_D8 "%0,%1,%2,%3"
#define SMALTI_D16 "%0,%1,%2,%3,%4,%5,%6,%7"
#define SMALTI_D32 SMALTI_D16 "," "%8,%9,%10,%11,%12,%13,%14,%15"
#define SMALTI_D48 SMALTI_D32 "," "%16,%17,%18,%19,%20,%21,%22,%23"
#define SMALTI_D64 SMALTI_D48 "," "%24,%25,%26,%27,%28,%29,%30,%31"
#define SMALTI_D80 SMALTI_D64 "," "%32,%33,%34,%35,%36,%37,%38,%39"
#define SMALTI_D96 SMALTI_D80 "," "%40,%41,%42,%43,%44,%45,%46,%47"
#define SMALTI_D112 SMALTI_D96 "," "%48,%49,%50,%51,%52,%53,%54,%55"
#define SMALTI_D128 SMALTI_D112 "," "%56,%57,%58,%59,%60,%61,%62,%63"
#define SMALTI_D144 SMALTI_D128 "," "%64,%65,%66,%67,%68,%69,%70,%71"
#define SMALTI_D160 SMALTI_D144 "," "%72,%73,%74,%75,%76,%77,%78,%79"
#define SMALTI_D176 SMALTI_D160 "," "%80,%81,%82,%83,%84,%85,%86,%87"
#define SMALTI_D192 SMALTI_D176 "," "%88,%89,%90,%91,%92,%93,%94,%95"
#define SMALTI_D208 SMALTI_D192 "," "%96,%97,%98,%99,%100,%101,%102,%103"
#define SMALTI_D224 SMALTI_D208 "," "%104,%105,%106,%107,%108,%109,%110,%111"
#define SMALTI_D240 SMALTI_D224 "," "%112,%113,%114,%115,%116,%117,%118,%119"
#define SMALTI_D256 SMALTI_D240 "," "%120,%121,%122,%123,%124,%125,%126,%127"
#define SMALTI_R1(n) "+f"(d[n][0]), "+f"(d[n][1]), "+f"(d[n][2]), "+f"(d[n][3])
#define SMALTI_R2(n) SMALTI_R1(n), SMALTI_R1(n + 1)
#define SMALTI_R4(n) SMALTI_R2(n), SMALTI_R2(n + 2)
#define SMALTI_R8(n) SMALTI_R4(n), SMALTI_R4(n + 4)
#define SMALTI_ARG(...) __VA_ARGS__

// x0 …: the names of the operands after the accumulators
#define SMALTI_SHARED(N, R, type, x0, x1, x2)                                                                                      \
  asm volatile("{ .reg .pred p; setp.ne.b32 p, " x2 ", 0; wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." type "." type " {" SMALTI_D##N \
               "}, " x0 ", " x1 ", p, 1, 1, 0, 0; }" : R : "l"(a), "l"(b), "r"(int(accumulate)))
#define SMALTI_HELD(N, R, type, across, x0, x1, x2, x3, x4, x5)                                                                    \
  asm volatile("{ .reg .pred p; setp.ne.b32 p, " x5 ", 0; wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." type "." type " {" SMALTI_D##N \
               "}, {" x0 "," x1 "," x2 "," x3 "}, " x4 ", p, 1, 1, " across "; }"                                                  \
               : R : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(accumulate)))
#define SMALTI_WGMMA(N, R, x0, x1, x2, x3, x4, x5)                                               \
  template <class E>                                                                             \
  SMALTI_D void wgmma(float (&d)[N / 8][4], uint64_t a, uint64_t b, bool accumulate) {           \
    if constexpr (std::is_same_v<E, f16>) SMALTI_SHARED(N, SMALTI_ARG(R), "f16", x0, x1, x2);    \
    else SMALTI_SHARED(N, SMALTI_ARG(R), "bf16", x0, x1, x2);                                    \
  }                                                                                              \
  template <class E>                                                                             \
  SMALTI_D void wgmma(float (&d)[N / 8][4], uint32_t const (&a)[4], uint64_t b, bool accumulate) { \
    if constexpr (std::is_same_v<E, f16>) SMALTI_HELD(N, SMALTI_ARG(R), "f16", "0", x0, x1, x2, x3, x4, x5); \
    else SMALTI_HELD(N, SMALTI_ARG(R), "bf16", "0", x0, x1, x2, x3, x4, x5);                     \
  }                                                                                              \
  template <class E>                                                                             \
  SMALTI_D void wgmma_across(float (&d)[N / 8][4], uint32_t const (&a)[4], uint64_t b, bool accumulate) { \
    if constexpr (std::is_same_v<E, f16>) SMALTI_HELD(N, SMALTI_ARG(R), "f16", "1", x0, x1, x2, x3, x4, x5); \
    else SMALTI_HELD(N, SMALTI_ARG(R), "bf16", "1", x0, x1, x2, x3, x4, x5);                     \
  }

SMALTI_WGMMA(8, SMALTI_ARG(SMALTI_R1(0)), "%4", "%5", "%6", "%7", "%8", "%9")
SMALTI_WGMMA(16, SMALTI_ARG(SMALTI_R2(0)), "%8", "%9", "%10", "%11", "%12", "%13")
SMALTI_WGMMA(32, SMALTI_ARG(SMALTI_R4(0)), "%16", "%17", "%18", "%19", "%20", "%21")
SMALTI_WGMMA(64, SMALTI_ARG(SMALTI_R8(0)), "%32", "%33", "%34", "%35", "%36", "%37")
SMALTI_WGMMA(80, SMALTI_ARG(SMALTI_R8(0), SMALTI_R2(8)), "%40", "%41", "%42", "%43", "%44", "%45")
SMALTI_WGMMA(96, SMALTI_ARG(SMALTI_R8(0), SMALTI_R4(8)), "%48", "%49", "%50", "%51", "%52", "%53")
SMALTI_WGMMA(112, SMALTI_ARG(SMALTI_R8(0), SMALTI_R4(8), SMALTI_R2(12)), "%56", "%57", "%58", "%59", "%60", "%61")
SMALTI_WGMMA(128, SMALTI_ARG(SMALTI_R8(0), SMALTI_R8(8)), "%64", "%65", "%66", "%67", "%68", "%69")
SMALTI_WGMMA(144, SMALTI_ARG(SMALTI_R8(0), SMALTI_R8(8), SMALTI_R2(16)), "%72", "%73", "%74", "%75", "%76", "%77")
SMALTI_WGMMA(160, SMALTI_ARG(SMALTI_R8(0), SMALTI_R8(8), SMALTI_R4(16)), "%80", "%81", "%82", "%83", "%84", "%85")
SMALTI_WGMMA(176, SMALTI_ARG(SMALTI_R8(0), SMALTI_R8(8), SMALTI_R4(16), SMALTI_R2(20)), "%88", "%89", "%90", "%91", "%92", "%93")
SMALTI_WGMMA(192, SMALTI_ARG(SMALTI_R8(0), SMALTI_R8(8), SMALTI_R8(16)), "%96", "%97", "%98", "%99", "%100", "%101")
SMALTI_WGMMA(256, SMALTI_ARG(SMALTI_R8(0), SMALTI_R8(8), SMALTI_R8(16), SMALTI_R8(24)), "%128", "%129", "%130", "%131", "%132", "%133")

#undef SMALTI_WGMMA
#undef SMALTI_HELD
#undef SMALTI_SHARED
#undef SMALTI_ARG
#undef SMALTI_R8
#undef SMALTI_R4
#undef SMALTI_R2
#undef SMALTI_R1
#undef SMALTI_D256
#undef SMALTI_D240
#undef SMALTI_D224
#undef SMALTI_D208
#undef SMALTI_D192
#undef SMALTI_D176
#undef SMALTI_D160
#undef SMALTI_D144
#undef SMALTI_D128
#undef SMALTI_D112
#undef SMALTI_D96
#undef SMALTI_D80
#undef SMALTI_D64
#undef SMALTI_D48
#undef SMALTI_D32
#undef SMALTI_D16
#undef SMALTI_D8

}  // namespace smalti::ptx
#endif
