#pragma once
// Hopper: arithmetic on two 16-bit numbers at a time, and what keeps the compiler from moving it. PTX ISA 9.0, §9.7.4.

#include "ptx_sm90.cuh"

namespace smalti::ptx {

/// a · b and a · b + c, element by element, rounded once.
template <class T>
SMALTI_D uint32_t mul2(uint32_t a, uint32_t b);
template <class T>
SMALTI_D uint32_t fma2(uint32_t a, uint32_t b, uint32_t c);
template <>
SMALTI_D uint32_t mul2<bf16>(uint32_t a, uint32_t b) {
  uint32_t v;
  asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(v) : "r"(a), "r"(b));
  return v;
}
template <>
SMALTI_D uint32_t mul2<f16>(uint32_t a, uint32_t b) {
  uint32_t v;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(v) : "r"(a), "r"(b));
  return v;
}
template <>
SMALTI_D uint32_t fma2<bf16>(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t v;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(v) : "r"(a), "r"(b), "r"(c));
  return v;
}
template <>
SMALTI_D uint32_t fma2<f16>(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t v;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(v) : "r"(a), "r"(b), "r"(c));
  return v;
}

/// The number in the lower half.
template <class T>
SMALTI_D float widen_low(uint32_t v);
template <>
SMALTI_D float widen_low<bf16>(uint32_t v) { return __uint_as_float(v << 16); }
template <>
SMALTI_D float widen_low<f16>(uint32_t v) {
  float f;
  asm("{ .reg .b16 l, h; mov.b32 {l, h}, %1; cvt.f32.f16 %0, l; }" : "=f"(f) : "r"(v));
  return f;
}

/// x, but nothing that follows from it is computed before this point: what only the end of a loop needs stays out of its registers.
SMALTI_D int here(int x) {
  asm volatile("" : "+r"(x));
  return x;
}
/// Likewise an address.
template <class T>
SMALTI_D T const* here(T const* x) {
  asm volatile("" : "+l"(x));
  return x;
}

/// Loads written above this are issued above it: the assembler puts those whose results are wanted late at the end of a block of instructions, and here one ends.
/// never: false, which the compiler must not know.
SMALTI_D void hold_loads(bool never) {
  if (never) __trap();
}

/// As pin, for one left operand.
SMALTI_D void pin(uint32_t (&r)[4]) { asm volatile("" : "+r"(r[0]), "+r"(r[1]), "+r"(r[2]), "+r"(r[3])::"memory"); }

/// 16 bytes of this block's shared memory.
SMALTI_D uint4 load_shared_16(void const* smem) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(smem_address(smem)) : "memory");
  return v;
}

}  // namespace smalti::ptx
