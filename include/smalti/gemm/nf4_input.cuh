#pragma once
// x of a product on its way into registers by way of shared memory: as it is, or normalised (Zhang & Sennrich 2019, "Root Mean Square Layer
// Normalization", eq. 4), which spares a launch where a launch takes longer than the norm. Every block normalises all of x for itself.
// By asynchronous copies, for loads into registers would be waited for together with the weights that are on their way.

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

/// Rows of fp32, by all threads of a block: on their way into raw (M, K), and of the norm's weights columns `begin` … `begin + columns` − 1 into gain,
/// zeros beyond K. The latter no kernel ahead may write.
template <class Problem>
SMALTI_D void nf4_fetch_gain(Problem const& p, float* gain, int begin, int columns) {
  for (int c = 4 * ptx::thread(); c < columns; c += 4 * blockDim.x) ptx::cp_async_16(gain + c, p.norm.weight + (begin + c < p.k ? begin + c : 0), begin + c < p.k);
}
template <class Problem>
SMALTI_D void nf4_fetch_raw(Problem const& p, float* raw) {
  SMALTI_ROLLED for (int token = 0; token < p.m; ++token)
    SMALTI_ROLLED for (int c = 4 * ptx::thread(); c < p.k; c += 4 * blockDim.x) ptx::cp_async_16(raw + token * p.k + c, p.raw + token * p.row_x + c, true);
}
/// Σ x² of every token, by all threads, once raw is here: a part of each warp into meet (m, 16), read behind a barrier by nf4_inverse_norm.
template <class Problem>
SMALTI_D void nf4_add_squares(Problem const& p, float const* raw, float* meet) {
  SMALTI_ROLLED for (int token = 0; token < p.m; ++token) {
    float sum = 0;
    _Pragma("unroll 4") for (int c = 4 * ptx::thread(); c < p.k; c += 4 * blockDim.x) sum += square(*reinterpret_cast<float4 const*>(raw + token * p.k + c));
    SMALTI_UNROLL for (int d = 16; d; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
    if (ptx::lane() == 0) meet[token * 16 + ptx::warp()] = sum;
  }
}
/// 1 / √(mean(x²) + eps), and eight columns of a row times that and their weights, rounded.
template <class Problem>
SMALTI_D float nf4_inverse_norm(Problem const& p, int token, float const* meet) {
  float part[16], sum = 0;
  SMALTI_UNROLL for (int w = 0; w < 16; ++w) part[w] = w < int(blockDim.x / 32) ? meet[token * 16 + w] : 0.f;  // all on their way at once
  SMALTI_UNROLL for (int w = 0; w < 16; ++w) sum += part[w];
  return 1.f / sqrtf(sum / float(p.k) + p.norm.eps);
}
template <class X>
SMALTI_D uint4 nf4_normalised(float const* x, float const* gain, float by) {
  uint32_t to[4];
  SMALTI_UNROLL for (int j = 0; j < 4; ++j) {
    float2 const v = *reinterpret_cast<float2 const*>(x + 2 * j), w = *reinterpret_cast<float2 const*>(gain + 2 * j);
    to[j] = ptx::pack<X>(v.x * by * w.x, v.y * by * w.y);
  }
  return {to[0], to[1], to[2], to[3]};
}

}  // namespace detail
}  // namespace smalti
