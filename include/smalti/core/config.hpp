#pragma once
// Decorations that let one function serve host and device, and the integer helpers everything uses.
// The only macros of the library; all begin with SMALTI_ and a test holds that.

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
  #define SMALTI_HD __host__ __device__ __forceinline__
  #define SMALTI_D __device__ __forceinline__
  #define SMALTI_UNROLL _Pragma("unroll")
  #define SMALTI_ROLLED _Pragma("unroll 1")
#else
  #define SMALTI_HD inline
  #define SMALTI_D inline
  #define SMALTI_UNROLL
  #define SMALTI_ROLLED
#endif

// The library is header-only. A program of many translation units may define SMALTI_COMPILED instead and link smalti::compiled:
// then headers only declare what does not depend on the program's own types, and src/<folder>.cpp holds those bodies, once.
// A header keeps them at its end, behind `#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_<FOLDER>)`, marked SMALTI_INLINE.
#if defined(SMALTI_COMPILED)
  #define SMALTI_HEADER_ONLY 0
  #define SMALTI_INLINE
#else
  #define SMALTI_HEADER_ONLY 1
  #define SMALTI_INLINE inline
#endif

namespace smalti {

using index = long long;  // extents and strides, in elements

template <class T>
SMALTI_HD constexpr T ceil_div(T a, T b) { return (a + b - 1) / b; }
template <class T>
SMALTI_HD constexpr T round_up(T a, T b) { return ceil_div(a, b) * b; }
template <class T>
SMALTI_HD constexpr T min(T a, T b) { return b < a ? b : a; }
template <class T>
SMALTI_HD constexpr T max(T a, T b) { return a < b ? b : a; }

}  // namespace smalti
