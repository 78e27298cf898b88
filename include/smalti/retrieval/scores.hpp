#pragma once
// The distance kernels of the indexes, per instruction set. Several accumulators: with a single one, every addition waits for
// the one before, and an inner product of 384 takes about twice as long.

#include "../core/arch.hpp"
#include "../core/config.hpp"

namespace smalti::detail {

/// out (count) = inner products of `count` rows of n floats, `stride` apart, with a query (n); or of four queries (4, n): out (4, count).
using row_kernel = void (*)(float const* row, index stride, index count, float const* query, index n, float* out);
row_kernel row_products(arch a);
row_kernel row_products4(arch a);
/// 1 − inner product, in the shape that hnswlib calls.
using distance_kernel = float (*)(void const* a, void const* b, void const* n);
distance_kernel inner_product_distance(arch a);

}  // namespace smalti::detail

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RETRIEVAL)
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

SMALTI_INLINE row_kernel row_products(arch a) { return pick(a, &simd_generic::row_products, &simd_avx2::row_products, &simd_avx512::row_products); }
SMALTI_INLINE row_kernel row_products4(arch a) { return pick(a, &simd_generic::row_products4, &simd_avx2::row_products4, &simd_avx512::row_products4); }
SMALTI_INLINE distance_kernel inner_product_distance(arch a) {
  return pick(a, &simd_generic::inner_product_distance, &simd_avx2::inner_product_distance, &simd_avx512::inner_product_distance);
}

}  // namespace smalti::detail
#endif
