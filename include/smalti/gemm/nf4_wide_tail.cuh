#pragma once
// Terms (LoRA: Hu et al. 2021, eq. 3) of the NF4 product for many tokens on Hopper: a few more columns of K behind those of W, through the same ring. t and B come by the copy engine and are both
// operands of wgmma in shared memory, so a step waits for nothing but the copies, which were asked for a ring ahead: rank 128 is four more steps, whatever rows pass which adapter.

#include <cmath>
#include "../cuda/ptx_wgmma.cuh"
#include "../cuda/tensor_map.cuh"
#include "nf4_wide_tile.hpp"
#include "nf4_sm80.cuh"

#if defined(__CUDACC__)
namespace smalti::detail {

/// One term of each sum, in steps of `columns`: those of sum[0], then those of sum[1]. A stage holds t (tokens, 32), then B (64 · warpgroups, 32), rows of 64 bytes, swizzled.
struct nf4_wide_tail {
  static constexpr int columns = 32, row = 2 * columns;  ///< of a step · bytes
  CUtensorMap t[2], b[2];
  int steps[2];  ///< 0, 0: no terms, or such as nf4_wide_terms adds

  SMALTI_HD int all() const { return steps[0] + steps[1]; }
  /// One step on its way into a stage, by one thread. token, row0: the first of x and of W, `rows` of these.
  template <int Tokens>
  SMALTI_D void fetch(unsigned char* stage, uint64_t* full, int step, int token, int row0, int rows) const {
    int const which = step >= steps[0], column = columns * (step - (which ? steps[0] : 0));
    ptx::mbarrier_arrive_expecting(full, row * (Tokens + rows));
    ptx::tma_load(stage, &t[which], full, column, token, 0, 0);
    ptx::tma_load(stage + row * Tokens, &b[which], full, column, row0, 0, 0);
  }
};
/// Where a plan has it.
template <bool There>
struct nf4_wide_tail_part {};
template <>
struct nf4_wide_tail_part<true> { nf4_wide_tail tail; };

/// Whether there is a kernel with such steps. Not for 256 tokens, whose products the compiler would then no longer keep in flight (C7515).
template <class Config>
inline constexpr bool nf4_wide_has_tails = Config::tokens < 256 && nf4_wide_tail::row * (Config::tokens + 64 * Config::groups) <= nf4_wide_memory<Config>::stage;

/// For the copy engine: `rows` rows by 32 columns at a time of (height, width); what is beyond comes as zeros. False: it cannot express rows that lie so.
template <class X>
bool nf4_wide_tail_map(CUtensorMap& map, X const* at, index height, int width, index row, int rows) {
  constexpr auto type = std::is_same_v<X, f16> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  cuuint64_t const extent[] = {cuuint64_t(width), cuuint64_t(height), 1, 1}, along = height > 1 ? cuuint64_t(row) * 2 : 16;
  cuuint64_t const stride[] = {along, 16, 16};
  cuuint32_t const box[] = {nf4_wide_tail::columns, cuuint32_t(rows), 1, 1}, step[] = {1, 1, 1, 1};
  return tensor_map_encoder() && along % 16 == 0 && reinterpret_cast<std::uintptr_t>(at) % 16 == 0 &&
         tensor_map_encoder()(&map, type, 4, const_cast<X*>(at), extent, stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_64B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                              CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

/// The terms of a launch, where there is at most one in each sum and its scale can be that of the whole sum for a while.
template <class Config, class X, class Y, class Scales>
nf4_wide_tail nf4_wide_tail_of(nf4_problem<X, Y, Scales> const& p, int groups) {
  nf4_wide_tail tail{};
  for (int half = 0; half <= p.pair; ++half) {
    auto const& sum = p.sum[half];
    if (sum.terms == 0) continue;
    dense_term<X> const& l = sum.dense[0];
    bool const scales = l.scale != 0 && std::abs(l.scale) < 1e18f && std::abs(sum.scale / l.scale) < 1e18f;
    if (sum.terms > 1 || !scales || !nf4_wide_tail_map(tail.t[half], l.t, p.m, l.rank, l.row_t, Config::tokens) || !nf4_wide_tail_map(tail.b[half], l.b, p.n, l.rank, l.row_b, 64 * groups >> p.pair))
      return {};
    tail.steps[half] = ceil_div(l.rank, nf4_wide_tail::columns);
  }
  return tail;
}

/// Sums += B · tᵀ, one step. stage: as fetched; row: the warpgroup's first in it.                      (64, tokens)
template <class X, int Tiles>
SMALTI_D void nf4_wide_add_tail(float (&acc)[Tiles][4], unsigned char const* stage, int row) {
  constexpr int bytes = nf4_wide_tail::row;
  uint64_t const t = ptx::wgmma_operand_64(stage), b = ptx::wgmma_operand_64(stage + (8 * Tiles + row) * bytes);
  ptx::pin(acc);
  ptx::wgmma_fence();
  SMALTI_UNROLL for (int i = 0; i < nf4_wide_tail::columns / 16; ++i) ptx::wgmma<X>(acc, ptx::wgmma_advance(b, 32 * i), ptx::wgmma_advance(t, 32 * i), true);
  ptx::wgmma_commit();
  ptx::wgmma_wait<0>(), ptx::pin(acc);
}

}  // namespace smalti::detail
#endif
