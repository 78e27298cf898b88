#pragma once
// The inner loops of products, once per host instruction set: few rows of x (decode) at the speed of reading W, many rows
// (prefill) as an outer product of a decoded panel of W and a packed tile of x (Goto & van de Geijn 2008).

#include "../core/arch.hpp"
#include "weight.hpp"

namespace smalti {

inline constexpr int tile_rows = 6;       ///< rows of x in an outer product: 6 × 16 sums fill AVX2's registers, 6 × 64 AVX-512's
inline constexpr int few_rows_limit = 4;  ///< up to here W is decoded in registers, beyond into a panel
inline constexpr int panel_depth = 256;   ///< columns of W decoded at a time: 16 KiB for 16 rows, half of L1

/// Asks for acc (m, 16) += scale · x (m, k) · Wᵀ of one group, m ≤ few_rows_limit.
struct few_rows_task {
  weight_view w;
  index group;
  float const* x;  ///< fp32, contiguous rows
  index row_x;
  int m;
  float scale;
  float* acc;
  index row_acc;
};

/// Asks for acc (rows, 16 · groups) += x · Wᵀ of a run of groups. acc has rows to fill the last tile.
struct panel_task {
  weight_view w;
  index group;
  int groups;
  float const* x;  ///< blocks of panel_depth columns (the last may be shorter), each (tiles, depth, tile_rows): contiguous in cache
  index rows;
  float* acc;
  index row_acc;
  float* panel;  ///< working memory, (4, panel_depth, 16)
};

/// What the products call, as one value per instruction set.
struct gemm_kernels {
  void (*few_rows)(few_rows_task const&);
  void (*panel_product)(panel_task const&);
  // to (count, at distance `step`) = factor · from (count)
  void (*widen_f32)(float* to, index step, float const* from, index count, float factor);
  void (*widen_bf16)(float* to, index step, bf16 const* from, index count, float factor);
  void (*widen_f16)(float* to, index step, f16 const* from, index count, float factor);
};

/// The ones that `device` runs.
gemm_kernels const& gemm_kernels_for(arch device);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_GEMM)
  #include "../simd/lanes.hpp"
  #include "../simd/begin_generic.inc"
  #include "nf4_scales.inc"
  #include "nf4_words.inc"
  #include "few_rows.inc"
  #include "panel.inc"
  #include "functions.inc"
  #include "../simd/end_generic.inc"

  #if defined(__x86_64__)
    #include "../simd/begin_avx2.inc"
    #include "nf4_scales.inc"
    #include "nf4_planes.inc"
    #include "few_rows.inc"
    #include "panel.inc"
    #include "functions.inc"
    #include "../simd/end_avx2.inc"

    #include "../simd/begin_avx512.inc"
    #include "nf4_scales.inc"
    #include "nf4_words.inc"
    #include "few_rows.inc"
    #include "panel.inc"
    #include "functions.inc"
    #include "../simd/end_avx512.inc"
  #endif

namespace smalti {

SMALTI_INLINE gemm_kernels const& gemm_kernels_for(arch device) {
  return *pick(device, &simd_generic::gemm_functions, &simd_avx2::gemm_functions, &simd_avx512::gemm_functions);
}

}  // namespace smalti
#endif
