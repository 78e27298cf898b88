#pragma once
// The distance kernels of the indexes, per instruction set. Several accumulators: with a single one, every addition waits for
// the one before, and an inner product of 384 takes about twice as long.

#include "../simd/lanes.hpp"

#include "../simd/begin_generic.inc"
#include "scores.inc"
#include "../simd/end_generic.inc"
#if defined(__x86_64__)
  #include "../simd/begin_avx2.inc"
  #include "scores.inc"
  #include "../simd/end_avx2.inc"
  #include "../simd/begin_avx512.inc"
  #include "scores.inc"
  #include "../simd/end_avx512.inc"
#endif

namespace smalti::detail {

inline auto* row_products(arch a) { return pick(a, &simd_generic::row_products, &simd_avx2::row_products, &simd_avx512::row_products); }
inline auto* row_products4(arch a) { return pick(a, &simd_generic::row_products4, &simd_avx2::row_products4, &simd_avx512::row_products4); }
inline auto* inner_product_distance(arch a) {
  return pick(a, &simd_generic::inner_product_distance, &simd_avx2::inner_product_distance, &simd_avx512::inner_product_distance);
}

}  // namespace smalti::detail
