#pragma once
// Activations in 8 bits on the device, as llm_int8.hpp has them: every token's scale and codes, and the outlier columns of x and W side by
// side in 16 bits. Nothing comes back to the host and no order depends on the run. Floor: x read once, a byte of each element written.

#include "../cuda/launch.cuh"
#include "../cuda/ptx_rows.cuh"
#include "../core/view.hpp"
#include "llm_int8.hpp"

namespace smalti::detail {

/// Where a quantised x (m, k) is; all of it scratch.
template <class X>
struct int8_room {
  int8_t* code;       ///< (m, row): rows padded with zeros
  float* scale;       ///< (m)
  uint32_t* flags;    ///< (⌈k/32⌉) bit j % 32 of word j / 32: column j holds an outlier. Zeros before
  int* columns;       ///< count, then the outlier columns, ascending; room for k
  X *x_out, *w_out;   ///< (m, room) · (n, room): the first `room` of those columns of x, and of W's codes; zeros up to a multiple of 16
  index row;          ///< a multiple of 16
  int room;           ///< a multiple of 16
};

#if defined(__CUDACC__)
/// One block a token. The host's order of operations, which decides the ties.
template <class X>
__global__ void __launch_bounds__(256) int8_tokens_kernel(X const* x, index row_x, int k, float threshold, int8_room<X> const to) {
#if defined(__CUDA_ARCH__)
  constexpr int held = 8;                                                     // times eight elements of a thread stay in registers
  __shared__ float meet[8];
  ptx::launch_dependents();
  ptx::wait_for_previous();
  X const* const from = x + blockIdx.x * row_x;
  bool const aligned = reinterpret_cast<uint64_t>(from) % 16 == 0;
  auto const fetch = [&](float (&v)[8], int c) {
    if (aligned && c + 8 <= k) return ptx::load_eight(v, from + c);
    SMALTI_UNROLL for (int i = 0; i < 8; ++i) v[i] = c + i < k ? ptx::widen_one(from[c + i]) : 0.f;
  };
  float kept[held][8], largest = 0;
  bool bad = false;
  auto const look = [&](float const (&v)[8], int c) {
    uint32_t found = 0;
    SMALTI_UNROLL for (int i = 0; i < 8; ++i) {
      float const size = fabsf(v[i]);
      if (threshold > 0 && !(size < threshold)) found |= 1u << i;
      else largest = fmaxf(largest, size), bad |= !(size <= 3.402823466e38f);
    }
    if (found) atomicOr(to.flags + c / 32, found << c % 32);
  };
  SMALTI_UNROLL for (int j = 0; j < held; ++j)
    if (int const c = 8 * (threadIdx.x + 256 * j); c < k) fetch(kept[j], c), look(kept[j], c);
  for (int c = 8 * (threadIdx.x + 256 * held); c < k; c += 8 * 256) {
    float v[8];
    fetch(v, c), look(v, c);
  }
  if (bad) largest = __int_as_float(0x7fffffff);
  SMALTI_UNROLL for (int d = 16; d; d /= 2) {
    float const other = __shfl_xor_sync(~0u, largest, d);
    largest = largest >= other || largest != largest ? largest : other;       // NaN stays
  }
  if (threadIdx.x % 32 == 0) meet[threadIdx.x / 32] = largest;
  __syncthreads();
  for (float other : meet) largest = largest >= other || largest != largest ? largest : other;
  float const steps = __fmul_rn(__frcp_rn(largest), 127.f);
  auto const put = [&](float const (&v)[8], int c) {
    uint32_t code[2] = {};
    SMALTI_UNROLL for (int i = 0; i < 8; ++i) {
      int one = 0;
      if (largest > 0 && !(threshold > 0 && !(fabsf(v[i]) < threshold)))      // not for NaN
        one = isfinite(steps) ? __float2int_rn(__fmul_rn(v[i], steps)) : __double2int_rn(__ddiv_rn(double(v[i]) * 127, double(largest)));
      code[i / 4] |= uint32_t(uint8_t(one)) << i % 4 * 8;
    }
    *reinterpret_cast<uint2*>(to.code + blockIdx.x * to.row + c) = {code[0], code[1]};
  };
  SMALTI_UNROLL for (int j = 0; j < held; ++j)
    if (int const c = 8 * (threadIdx.x + 256 * j); c < k) put(kept[j], c);
  for (int c = 8 * (threadIdx.x + 256 * held); c < k; c += 8 * 256) {
    float v[8];
    fetch(v, c), put(v, c);
  }
  if (threadIdx.x == 0) {
    to.scale[blockIdx.x] = largest;
    if (to.row - k >= 8) *reinterpret_cast<uint2*>(to.code + blockIdx.x * to.row + to.row - 8) = {};
  }
#endif
}

/// Lists the outlier columns, clears their codes, and gathers the first of them. Each block lists for itself.
template <class X>
__global__ void __launch_bounds__(256) int8_outliers_kernel(X const* x, index row_x, int8_t const* w, int m, int n, int k, int8_room<X> const to) {
#if defined(__CUDA_ARCH__)
  extern __shared__ int column[];                                             // (room)
  __shared__ int before[257];
  ptx::launch_dependents();
  ptx::wait_for_previous();
  int const words = ceil_div(k, 32), each = ceil_div(words, 256), first = threadIdx.x * each;
  int mine = 0;
  for (int i = first; i < min(first + each, words); ++i) mine += __popc(to.flags[i]);
  if (!__syncthreads_or(mine)) {
    if (blockIdx.x == 0 && threadIdx.x == 0) to.columns[0] = 0;
    return;
  }
  before[threadIdx.x + 1] = mine;
  if (threadIdx.x == 0) before[0] = 0;
  __syncthreads();
  for (int d = 1; d < 256; d *= 2) {                                          // Hillis & Steele 1986
    int const add = int(threadIdx.x) >= d ? before[threadIdx.x + 1 - d] : 0;
    __syncthreads();
    before[threadIdx.x + 1] += add;
    __syncthreads();
  }
  int at = before[threadIdx.x];
  int const count = before[256];
  for (int i = first; i < min(first + each, words); ++i)
    for (uint32_t left = to.flags[i]; left; left &= left - 1, ++at) {
      int const c = 32 * i + __ffs(int(left)) - 1;
      if (at < to.room) column[at] = c;
      if (blockIdx.x == 0) to.columns[1 + at] = c;
    }
  if (blockIdx.x == 0 && threadIdx.x == 0) to.columns[0] = count;
  __syncthreads();
  int const here = min(count, to.room), padded = min(to.room, round_up(here, 16));
  for (index i = blockIdx.x * index(256) + threadIdx.x; i < (index(m) + n) * padded; i += gridDim.x * index(256)) {
    index const row = i / padded;
    int const j = int(i % padded);
    if (row < m) to.x_out[row * to.room + j] = j < here ? x[row * row_x + column[j]] : X(0.f);
    else to.w_out[(row - m) * to.room + j] = X(j < here ? float(w[(row - m) * k + column[j]]) : 0.f);
  }
  for (index row = blockIdx.x * 8 + ptx::warp(); row < m; row += gridDim.x * 8)
    for (int i = ptx::lane(); i < words; i += 32)
      for (uint32_t left = to.flags[i]; left; left &= left - 1) to.code[row * to.row + 32 * i + __ffs(int(left)) - 1] = 0;
#endif
}
#endif

}  // namespace smalti::detail
