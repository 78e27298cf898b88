#pragma once
// Storage types of 16 and 8 bits with round-to-nearest-even conversion (IEEE 754-2019 §4.3.1; 8 bits: Micikevicius et al. 2022,
// "FP8 formats for deep learning"), the same on host and device, and run-time names of element types. (The builtin and not std::bit_cast, which device code may not call without a flag.)

#include "config.hpp"

namespace smalti {

namespace detail {
// f16 ↔ f32 by integer arithmetic: exact in both directions' rounding, and constexpr; kernels convert in bulk with
// instructions instead.
SMALTI_HD constexpr float f16_to_f32(uint16_t h) {
  uint32_t const sign = uint32_t(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
  if (exponent == 31) return __builtin_bit_cast(float, sign | 0x7f800000 | mantissa << 13);
  if (exponent) return __builtin_bit_cast(float, sign | (exponent + 112) << 23 | mantissa << 13);
  float const v = float(mantissa) * 5.9604644775390625e-8f;  // subnormal: mantissa · 2^-24
  return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, v) | sign);
}
SMALTI_HD constexpr uint16_t f32_to_f16(float f) {
  uint32_t const bits = __builtin_bit_cast(uint32_t, f), sign = bits >> 16 & 0x8000, x = bits & 0x7fffffff;
  if (x > 0x7f800000) return uint16_t(sign | 0x7e00);   // NaN stays NaN, made quiet
  if (x >= 0x477ff000) return uint16_t(sign | 0x7c00);  // from 65520 on, nearest is infinity
  if (x < 0x38800000) {                                 // below 2^-14: subnormal, the sum rounds for us
    float const shifted = __builtin_bit_cast(float, x) + 0.5f;
    return uint16_t(sign | (__builtin_bit_cast(uint32_t, shifted) - 0x3f000000));
  }
  return uint16_t(sign | (x - 0x38000000 + 0xfff + (x >> 13 & 1)) >> 13);
}
SMALTI_HD constexpr uint16_t f32_to_bf16(float f) {
  uint32_t const x = __builtin_bit_cast(uint32_t, f);
  if ((x & 0x7fffffff) > 0x7f800000) return uint16_t(x >> 16 | 0x40);  // rounding must not turn NaN into infinity
  return uint16_t((x + 0x7fff + (x >> 16 & 1)) >> 16);
}
SMALTI_HD constexpr float e4m3_to_f32(uint8_t b) {
  uint32_t const sign = uint32_t(b & 0x80) << 24, exponent = b >> 3 & 15, mantissa = b & 7;
  if ((b & 0x7f) == 0x7f) return __builtin_bit_cast(float, sign | 0x7fc00000);
  if (exponent) return __builtin_bit_cast(float, sign | (exponent + 120) << 23 | mantissa << 20);
  return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, float(mantissa) * 0.001953125f) | sign);  // subnormal: mantissa · 2^-9
}
SMALTI_HD constexpr uint8_t f32_to_e4m3(float f) {
  uint32_t const bits = __builtin_bit_cast(uint32_t, f), sign = bits >> 24 & 0x80, x = bits & 0x7fffffff;
  if (x > 0x7f800000) return 0x7f;                   // NaN; its sign is lost, as the hardware's conversion loses it
  if (x >= 0x43e00000) return uint8_t(sign | 0x7e);  // from 448 on, infinity too: saturates
  if (x < 0x3c800000) {                              // below 2^-6: subnormal, the sum rounds for us
    float const shifted = __builtin_bit_cast(float, x) + 16384.f;
    return uint8_t(sign | (__builtin_bit_cast(uint32_t, shifted) - 0x46800000));
  }
  return uint8_t(sign | (x - 0x3c000000 + 0x7ffff + (x >> 20 & 1)) >> 20);
}
}  // namespace detail

/// The upper half of a float: 8 exponent bits, 7 of mantissa. Same bits as __nv_bfloat16.
struct bf16 {
  uint16_t bits;
  bf16() = default;
  SMALTI_HD constexpr explicit bf16(float f) : bits(detail::f32_to_bf16(f)) {}
  SMALTI_HD constexpr explicit operator float() const { return __builtin_bit_cast(float, uint32_t(bits) << 16); }
  friend SMALTI_HD constexpr bool operator==(bf16 a, bf16 b) { return float(a) == float(b); }
};

/// IEEE binary16: 5 exponent bits, 10 of mantissa. Same bits as __half.
struct f16 {
  uint16_t bits;
  f16() = default;
  SMALTI_HD constexpr explicit f16(float f) : bits(detail::f32_to_f16(f)) {}
  SMALTI_HD constexpr explicit operator float() const { return detail::f16_to_f32(bits); }
  friend SMALTI_HD constexpr bool operator==(f16 a, f16 b) { return float(a) == float(b); }
};

/// 4 exponent bits and 3 of mantissa: ±448, steps of 2^-9 around 0, one NaN of either sign and no infinity, so what lies beyond
/// saturates. Same bits as __nv_fp8_e4m3, and as F8_E4M3 of safetensors ("e4m3fn").
struct e4m3 {
  uint8_t bits;
  e4m3() = default;
  SMALTI_HD constexpr explicit e4m3(float f) : bits(detail::f32_to_e4m3(f)) {}
  SMALTI_HD constexpr explicit operator float() const { return detail::e4m3_to_f32(bits); }
  friend SMALTI_HD constexpr bool operator==(e4m3 a, e4m3 b) { return float(a) == float(b); }
};
inline constexpr float e4m3_max = 448;
static_assert(sizeof(bf16) == 2 && sizeof(f16) == 2 && sizeof(e4m3) == 1);

/// Element types known at run time: those of safetensors files.
enum class dtype : uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean, f8_e4m3, f8_e5m2, u16, u32, u64 };

constexpr int bytes_of(dtype t) {
  switch (t) {
    case dtype::f64: case dtype::i64: case dtype::u64: return 8;
    case dtype::f32: case dtype::i32: case dtype::u32: return 4;
    case dtype::f16: case dtype::bf16: case dtype::i16: case dtype::u16: return 2;
    default: return 1;
  }
}

constexpr char const* name_of(dtype t) {
  constexpr char const* names[] = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "U16", "U32", "U64"};
  return names[int(t)];
}

template <class T> inline constexpr dtype dtype_of = dtype::u8;
template <> inline constexpr dtype dtype_of<double> = dtype::f64;
template <> inline constexpr dtype dtype_of<float> = dtype::f32;
template <> inline constexpr dtype dtype_of<f16> = dtype::f16;
template <> inline constexpr dtype dtype_of<bf16> = dtype::bf16;
template <> inline constexpr dtype dtype_of<e4m3> = dtype::f8_e4m3;
template <> inline constexpr dtype dtype_of<int64_t> = dtype::i64;
template <> inline constexpr dtype dtype_of<int32_t> = dtype::i32;
template <> inline constexpr dtype dtype_of<int8_t> = dtype::i8;

}  // namespace smalti
