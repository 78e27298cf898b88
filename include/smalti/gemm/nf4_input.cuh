#pragma once
// x of a product on its way into shared memory: as it is, or normalised there (Zhang & Sennrich 2019, "Root Mean Square Layer
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

/// One thread's share of a row: four columns of each run of 128 that its warp has. A row belongs to `warps` of the block's warps.
struct nf4_share {
  static constexpr int held = 4;  ///< runs kept in registers, 4096 columns for eight warps; what is beyond is read twice
  int group, groups, column, stride;

  SMALTI_D nf4_share(int m) {
    int const all = blockDim.x / 32, warps = all / min(m, all);
    groups = all / warps, group = ptx::warp() / warps;
    column = 4 * ptx::lane() + 128 * (ptx::warp() % warps), stride = 128 * warps;
  }
};

SMALTI_D float square(float4 v) { return v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w; }

/// Weights of the norm that a thread keeps: read before the kernel ahead has ended.
struct nf4_gains {
  float4 of[nf4_share::held];
  SMALTI_D nf4_gains(nf4_norm const& norm, nf4_share const& share, int k) {
    SMALTI_UNROLL for (int j = 0; j < nf4_share::held; ++j) {
      int const c = share.column + j * share.stride;
      of[j] = c < k ? __ldg(reinterpret_cast<float4 const*>(norm.weight + c)) : float4{};
    }
  }
};

/// Rows of x (M, K), fp32, normalised into to (M, row): columns begin … begin + count − 1, those beyond K as zeros. meet: 32 floats.
template <class X>
SMALTI_D void nf4_normalise(X* to, int row, float const* x, index row_x, int m, int k, int begin, int count, nf4_norm const& norm, nf4_share const& share,
                            nf4_gains const& gains, float* meet) {
  SMALTI_ROLLED for (int first = 0; first < m; first += share.groups) {
    int const token = first + share.group;
    bool const mine = share.group < share.groups && token < m;
    float const* const from = x + index(token) * row_x;
    auto const read = [&](int c) { return mine && c < k ? *reinterpret_cast<float4 const*>(from + c) : float4{}; };
    float4 v[nf4_share::held];
    SMALTI_UNROLL for (int j = 0; j < nf4_share::held; ++j) v[j] = read(share.column + j * share.stride);
    float sum = 0;
    SMALTI_UNROLL for (int j = 0; j < nf4_share::held; ++j) sum += square(v[j]);
    SMALTI_ROLLED for (int c = share.column + nf4_share::held * share.stride; c < k; c += share.stride) sum += square(read(c));
    SMALTI_UNROLL for (int d = 16; d; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
    if (ptx::lane() == 0) meet[ptx::warp()] = sum;
    ptx::sync_block();
    int const warps = share.stride / 128;
    sum = 0;
    SMALTI_ROLLED for (int w = 0; w < warps; ++w) sum += meet[min(share.group, share.groups - 1) * warps + w];
    float const by = 1.f / sqrtf(sum / float(k) + norm.eps);
    auto const put = [&](int c, float4 a, float4 g) {
      if (mine && c >= begin && c < begin + count)
        *reinterpret_cast<uint2*>(to + token * row + c - begin) = {ptx::pack<X>(a.x * by * g.x, a.y * by * g.y), ptx::pack<X>(a.z * by * g.z, a.w * by * g.w)};
    };
    SMALTI_UNROLL for (int j = 0; j < nf4_share::held; ++j) put(share.column + j * share.stride, v[j], gains.of[j]);
    SMALTI_ROLLED for (int c = share.column + nf4_share::held * share.stride; c < begin + count; c += share.stride)
      put(c, read(c), c < k ? __ldg(reinterpret_cast<float4 const*>(norm.weight + c)) : float4{});
    if (first + share.groups < m) ptx::sync_block();
  }
}

}  // namespace detail
}  // namespace smalti
