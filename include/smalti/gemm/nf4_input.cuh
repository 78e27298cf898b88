#pragma once
// x of a product on its way into registers: as it is, or normalised on the way (Zhang & Sennrich 2019, "Root Mean Square Layer
// Normalization", eq. 4), which spares a launch where a launch takes longer than the norm. Every block normalises all of x for itself.

#include "../cuda/ptx.cuh"
#include "nf4_tile.hpp"

namespace smalti {

/// x is to be multiplied by weight / √(mean(x²) + eps) first, row by row, and rounded; weight (K), fp32. Null: x as it is.
struct nf4_norm {
  float const* weight = nullptr;
  float eps = 0;
};

namespace detail {

SMALTI_D float square(float4 v) { return v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w; }

/// 1 / √(mean(x²) + eps) of token `mine`, by the whole block. meet: (m, 16) floats. One barrier.
template <class Problem>
SMALTI_D float nf4_inverse_norm(Problem const& p, int mine, float* meet) {
  SMALTI_ROLLED for (int token = 0; token < p.m; ++token) {
    float sum = 0;
    float const* const row = p.raw + token * p.row_x;
    _Pragma("unroll 4") for (int c = 4 * ptx::thread(); c < p.k; c += 4 * blockDim.x) sum += square(*reinterpret_cast<float4 const*>(row + c));
    SMALTI_UNROLL for (int d = 16; d; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
    if (ptx::lane() == 0) meet[token * 16 + ptx::warp()] = sum;
  }
  ptx::sync_block();
  float sum = 0;
  SMALTI_ROLLED for (int w = 0; w < blockDim.x / 32; ++w) sum += meet[mine * 16 + w];
  return 1.f / sqrtf(sum / float(p.k) + p.norm.eps);
}

/// A lane's part of xᵀ (64, 8): eight words of `token`, from `column` on; zeros where that is beyond K.
template <class X, class Problem>
SMALTI_D void nf4_fragments(uint32_t (&x)[8], Problem const& p, int token, int column, float by) {
  SMALTI_UNROLL for (int j = 0; j < 8; ++j) x[j] = 0;
  if (column >= p.k) return;
  index const at = token * p.row_x + column;
  if (p.norm.weight) {
    float2 v[8], w[8];
    SMALTI_UNROLL for (int j = 0; j < 8; ++j) {
      v[j] = *reinterpret_cast<float2 const*>(p.raw + at + 8 * j);
      w[j] = __ldg(reinterpret_cast<float2 const*>(p.norm.weight + column + 8 * j));
    }
    SMALTI_UNROLL for (int j = 0; j < 8; ++j) x[j] = ptx::pack<X>(v[j].x * by * w[j].x, v[j].y * by * w[j].y);
  } else {
    SMALTI_UNROLL for (int j = 0; j < 8; ++j) x[j] = *reinterpret_cast<uint32_t const*>(p.x + at + 8 * j);
  }
}

}  // namespace detail
}  // namespace smalti
