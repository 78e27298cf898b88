#pragma once
// What the row operations of a device share: which element types, which rows allow 16 bytes at a time, sums of a block in an order
// that does not change.

#include "../core/view.hpp"
#include "../cuda/launch.cuh"
#include "../cuda/ptx_rows.cuh"

namespace smalti::detail {

template <class T>
concept device_element = std::is_same_v<std::remove_const_t<T>, float> || std::is_same_v<std::remove_const_t<T>, bf16> || std::is_same_v<std::remove_const_t<T>, f16>;

/// Whether every row of v begins at a multiple of 16 bytes and ends after a whole number of eights.
template <class T>
bool by_eights(view<T, 2> const& v) {
  return reinterpret_cast<std::uintptr_t>(v.at) % 16 == 0 && v.extent[1] % 8 == 0 && (v.extent[0] <= 1 || v.stride[0] * index(sizeof(T)) % 16 == 0);
}
inline bool by_eights(float const* v) { return reinterpret_cast<std::uintptr_t>(v) % 16 == 0; }

/// Rows and columns as the host's row operations want them, too: see same_rows in row_kernels.hpp.
template <class Y, class X>
bool rows_agree(view<Y, 2> const& y, view<X, 2> const& x) {
  return y.extent[0] == x.extent[0] && y.extent[1] == x.extent[1] && (y.extent[1] <= 1 || (y.stride[1] == 1 && x.stride[1] == 1));
}
template <class T>
bool missing(view<T, 2> const& v) { return v.size() > 0 && !v.at; }

/// Threads for rows of so many columns, eight to a thread: whole warps.
inline int threads_for(index columns) { return int(min(index(1024), max(index(32), round_up(ceil_div(columns, index(8)), index(32))))); }

#if defined(__CUDACC__)
/// One element, or eight at once.
template <int Width, class T>
SMALTI_D void load_some(float (&to)[Width], T const* from) {
  if constexpr (Width == 8) ptx::load_eight(to, from);
  else to[0] = ptx::widen_one(*from);
}

/// Σ v over the block, in every thread. `meet`: 33 floats of shared memory; blockDim.x is a multiple of 32.
SMALTI_D float block_sum(float v, float* meet) {
  SMALTI_UNROLL for (int d = 16; d; d /= 2) v += __shfl_xor_sync(~0u, v, d);
  if (blockDim.x == 32) return v;
  if (ptx::lane() == 0) meet[ptx::warp()] = v;
  __syncthreads();
  v = ptx::lane() < int(blockDim.x / 32) ? meet[ptx::lane()] : 0.f;
  SMALTI_UNROLL for (int d = 16; d; d /= 2) v += __shfl_xor_sync(~0u, v, d);
  return v;
}
#endif

}  // namespace smalti::detail
