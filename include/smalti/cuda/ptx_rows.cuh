#pragma once
// Eight neighbours of a row at a time, between 16-bit or 32-bit memory and fp32 registers. PTX ISA 9.0, §9.7.9.

#include "ptx.cuh"

namespace smalti::ptx {

/// The two 16-bit values of a word, as floats.
template <class T>
SMALTI_D float2 widen(uint32_t pair);
template <>
SMALTI_D float2 widen<bf16>(uint32_t pair) { return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)}; }
template <>
SMALTI_D float2 widen<f16>(uint32_t pair) {
  float2 v;
  asm("{.reg .b16 lo, hi;\nmov.b32 {lo, hi}, %2;\ncvt.f32.f16 %0, lo;\ncvt.f32.f16 %1, hi;}" : "=f"(v.x), "=f"(v.y) : "r"(pair));
  return v;
}
template <class T>
SMALTI_D float widen_one(T const& v) {
  if constexpr (sizeof(T) == 4) return v;
  else return widen<T>(v.bits).x;
}

/// Turns four bytes −127 … 127 into two words of two T each, exactly. f16: 1024 + (byte + 128) shares its bits with the byte; bf16: its
/// low seven bits over 128, less 128, or 256 where the sign is set, which is the same pattern again. The constants are kept in registers
/// that the compiler cannot see through: as immediates they would make two instructions of each (a & b) | c.
template <class T>
struct byte_widener;
template <>
struct byte_widener<bf16> {
  uint32_t low, high, base, minus_one;
  SMALTI_D byte_widener() {
    asm volatile("mov.b32 %0, 0x007f007f;\nmov.b32 %1, 0x00800080;\nmov.b32 %2, 0x43004300;\nmov.b32 %3, 0xbf80bf80;" : "=r"(low), "=r"(high), "=r"(base), "=r"(minus_one));
  }
  static SMALTI_D uint32_t masked(uint32_t a, uint32_t mask, uint32_t over) {
    uint32_t v;
    asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(v) : "r"(a), "r"(mask), "r"(over));
    return v;
  }
  SMALTI_D void operator()(uint32_t (&to)[2], uint32_t bytes) const {
    SMALTI_UNROLL for (int i = 0; i < 2; ++i) {
      uint32_t const pair = __byte_perm(bytes, 0, i ? 0x4342 : 0x4140);
      asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(to[i]) : "r"(masked(pair, high, base)), "r"(minus_one), "r"(masked(pair, low, base)));
    }
  }
};
template <>
struct byte_widener<f16> {
  uint32_t base, offset;
  SMALTI_D byte_widener() { asm volatile("mov.b32 %0, 0x64646464;\nmov.b32 %1, 0x64806480;" : "=r"(base), "=r"(offset)); }
  SMALTI_D void operator()(uint32_t (&to)[2], uint32_t bytes) const {
    uint32_t const shifted = bytes ^ 0x80808080u;
    SMALTI_UNROLL for (int i = 0; i < 2; ++i) {
      uint32_t const pair = __byte_perm(shifted, base, i ? 0x4342 : 0x4140);
      asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(to[i]) : "r"(pair), "r"(offset));
    }
  }
};

/// Brings the line of 16 bytes into L1; nobody waits for it.
SMALTI_D void touch_16(void const* p) {
  asm volatile("{.reg .b32 a, b, c, d;\nld.global.ca.v4.b32 {a, b, c, d}, [%0];}" ::"l"(p) : "memory");
}

/// Eight neighbours; `from` and `to` aligned to 16 bytes.
template <class T>
SMALTI_D void load_eight(float (&v)[8], T const* from) {
  if constexpr (sizeof(T) == 4) {
    float4 const a = reinterpret_cast<float4 const*>(from)[0], b = reinterpret_cast<float4 const*>(from)[1];
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
  } else {
    uint4 const w = *reinterpret_cast<uint4 const*>(from);
    float2 const a = widen<T>(w.x), b = widen<T>(w.y), c = widen<T>(w.z), d = widen<T>(w.w);
    v[0] = a.x, v[1] = a.y, v[2] = b.x, v[3] = b.y, v[4] = c.x, v[5] = c.y, v[6] = d.x, v[7] = d.y;
  }
}
template <class T>
SMALTI_D void store_eight(T* to, float const (&v)[8]) {
  if constexpr (sizeof(T) == 4) {
    reinterpret_cast<float4*>(to)[0] = {v[0], v[1], v[2], v[3]}, reinterpret_cast<float4*>(to)[1] = {v[4], v[5], v[6], v[7]};
  } else {
    *reinterpret_cast<uint4*>(to) = {pack<T>(v[0], v[1]), pack<T>(v[2], v[3]), pack<T>(v[4], v[5]), pack<T>(v[6], v[7])};
  }
}

}  // namespace smalti::ptx
