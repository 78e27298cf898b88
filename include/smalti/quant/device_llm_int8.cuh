#pragma once
// Activations in 8 bits on the device, as llm_int8.hpp has them: every token's scale and codes, and the outlier columns of x and W side by
// side in 16 bits. Nothing comes back to the host and no order depends on the run. Floor: x read once, a byte of each element written.

#include "../cuda/launch.cuh"
#include "../cuda/ptx_rows.cuh"
#include "../core/view.hpp"
#include "llm_int8.hpp"

namespace smalti::detail {

inline constexpr int int8_gathered = 64;  ///< outlier columns that are gathered: 128 bytes of a row

/// Where a quantised x (m, k) is; all of it scratch.
template <class X>
struct int8_room {
  int8_t* code;       ///< (m, row): rows padded with zeros
  float* scale;       ///< (m)
  uint32_t* flags;    ///< (⌈k/32⌉) bit j % 32 of word j / 32: column j holds an outlier. Zeros before
  int* columns;       ///< count, then the outlier columns, ascending; room for k
  X *x_out, *w_out;   ///< (m, 64) · (n, 64): the first of those columns of x, and of W's codes; zeros up to a multiple of 16
  index row;          ///< a multiple of 16
};

/// The least bits of an |x| that is an outlier; bits of numbers without a sign are in their order, and NaN's come last.
template <class X>
uint32_t int8_least(float threshold) {
  if (!(threshold > 0)) return 0x8000;  // none is
  X const near(threshold);
  return near.bits + uint32_t(float(near) < threshold);
}

#if defined(__CUDACC__)
/// One block a token, of which eight neighbours are in a thread's hands Held times, and further ones are read twice. The host's order of
/// operations, which decides the ties. Budget: 1 instruction an element to find the largest, 5 for its code.
template <class X, int Threads, int Held>
__global__ void __launch_bounds__(Threads) int8_tokens_kernel(X const* x, index row_x, int k, uint32_t least, int8_room<X> const to) {
#if defined(__CUDA_ARCH__)
  __shared__ uint32_t meet[Threads / 32];
  ptx::launch_dependents();
  ptx::wait_for_previous();
  X const* const from = x + blockIdx.x * row_x;
  bool const aligned = reinterpret_cast<uint64_t>(from) % 16 == 0;
  uint32_t top = 0;                                                           // two by two, bits without their signs
  auto const fetch = [&](uint32_t (&w)[4], int c) {
    if (aligned && c + 8 <= k) {
      uint4 const v = *reinterpret_cast<uint4 const*>(from + c);
      w[0] = v.x, w[1] = v.y, w[2] = v.z, w[3] = v.w;
      return;
    }
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
      uint32_t const low = c + 2 * i < k ? from[c + 2 * i].bits : 0, high = c + 2 * i + 1 < k ? from[c + 2 * i + 1].bits : 0;
      w[i] = low | high << 16;
    }
  };
  auto const look = [&](uint32_t (&w)[4], int c) {                            // outliers become zeros
    uint32_t size[4];
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) size[i] = w[i] & 0x7fff7fff;
    uint32_t const most = __vmaxu2(__vmaxu2(size[0], size[1]), __vmaxu2(size[2], size[3]));
    if (max(most & 0xffff, most >> 16) < least) return (void)(top = __vmaxu2(top, most));
    uint32_t found = 0;
    SMALTI_UNROLL for (int i = 0; i < 8; ++i) {
      uint32_t const one = size[i / 2] >> i % 2 * 16 & 0xffff;
      if (one >= least) found |= 1u << i, w[i / 2] &= i % 2 ? 0xffff : 0xffff0000;
      else top = __vmaxu2(top, one);
    }
    atomicOr(to.flags + c / 32, found << c % 32);
  };
  uint32_t held[Held][4];
  SMALTI_UNROLL for (int j = 0; j < Held; ++j)
    if (int const c = 8 * (threadIdx.x + Threads * j); c < k) fetch(held[j], c);
  SMALTI_UNROLL for (int j = 0; j < Held; ++j)
    if (int const c = 8 * (threadIdx.x + Threads * j); c < k) look(held[j], c);
  for (int c = 8 * (threadIdx.x + Threads * Held); c < k; c += 8 * Threads) {
    uint32_t w[4];
    fetch(w, c), look(w, c);
  }
  top = max(top & 0xffff, top >> 16);
  SMALTI_UNROLL for (int d = 16; d; d /= 2) top = max(top, __shfl_xor_sync(~0u, top, d));
  if (threadIdx.x % 32 == 0) meet[threadIdx.x / 32] = top;
  __syncthreads();
  for (uint32_t other : meet) top = max(top, other);
  bool const bad = top >= (std::is_same_v<X, bf16> ? 0x7f80 : 0x7c00);        // infinity or NaN, without a threshold
  float const largest = bad ? __int_as_float(0x7fffffff) : ptx::widen<X>(top).x, steps = __fmul_rn(__frcp_rn(largest), 127.f);
  auto const put = [&](uint32_t const (&w)[4], int c) {
    uint32_t code[8];
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
      float2 const v = ptx::widen<X>(w[i]);
      if (isfinite(steps)) {                                                  // 1.5 · 2^23 rounds to whole numbers, and keeps them in its low bits
        code[2 * i] = __float_as_uint(__fadd_rn(__fmul_rn(v.x, steps), 12582912.f)), code[2 * i + 1] = __float_as_uint(__fadd_rn(__fmul_rn(v.y, steps), 12582912.f));
      } else {                                                                // the reciprocal of a subnormal number
        bool const any = largest > 0;
        code[2 * i] = any ? uint32_t(__double2int_rn(__ddiv_rn(double(v.x) * 127, double(largest)))) : 0;
        code[2 * i + 1] = any ? uint32_t(__double2int_rn(__ddiv_rn(double(v.y) * 127, double(largest)))) : 0;
      }
    }
    auto const four = [&](int i) { return __byte_perm(__byte_perm(code[i], code[i + 1], 0x0040), __byte_perm(code[i + 2], code[i + 3], 0x0040), 0x5410); };
    *reinterpret_cast<uint2*>(to.code + blockIdx.x * to.row + c) = {four(0), four(4)};
  };
  SMALTI_UNROLL for (int j = 0; j < Held; ++j)
    if (int const c = 8 * (threadIdx.x + Threads * j); c < k) put(held[j], c);
  for (int c = 8 * (threadIdx.x + Threads * Held); c < k; c += 8 * Threads) {
    uint32_t w[4];
    fetch(w, c), look(w, c), put(w, c);
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
  __shared__ int column[int8_gathered], of_warp[8];
  ptx::launch_dependents();
  ptx::wait_for_previous();
  int const words = ceil_div(k, 32), each = ceil_div(words, 256), first = threadIdx.x * each, lane = ptx::lane();
  int mine = 0;
  for (int i = first; i < min(first + each, words); ++i) mine += __popc(to.flags[i]);
  if (!__syncthreads_or(mine)) {
    if (blockIdx.x == 0 && threadIdx.x == 0) to.columns[0] = 0;
    return;
  }
  int before = mine;                                                          // with this thread's own
  SMALTI_UNROLL for (int d = 1; d < 32; d *= 2)
    if (int const other = __shfl_up_sync(~0u, before, d); lane >= d) before += other;
  if (lane == 31) of_warp[ptx::warp()] = before;
  __syncthreads();
  int count = 0;
  SMALTI_UNROLL for (int i = 0; i < 8; ++i) before += i < ptx::warp() ? of_warp[i] : 0, count += of_warp[i];
  int at = before - mine;
  for (int i = first; i < min(first + each, words); ++i)
    for (uint32_t left = to.flags[i]; left; left &= left - 1, ++at) {
      int const c = 32 * i + __ffs(int(left)) - 1;
      if (at < int8_gathered) column[at] = c;
      if (blockIdx.x == 0) to.columns[1 + at] = c;
    }
  if (blockIdx.x == 0 && threadIdx.x == 0) to.columns[0] = count;
  __syncthreads();
  int const here = min(count, int8_gathered), padded = round_up(here, 16);
  for (index i = blockIdx.x * index(256) + threadIdx.x; i < (index(m) + n) * padded; i += gridDim.x * index(256)) {
    index const row = i / padded;
    int const j = int(i % padded);
    if (row < m) {
      to.x_out[row * int8_gathered + j] = j < here ? x[row * row_x + column[j]] : X(0.f);
      if (j < here) to.code[row * to.row + column[j]] = 0;
    } else {
      to.w_out[(row - m) * int8_gathered + j] = X(j < here ? float(w[(row - m) * k + column[j]]) : 0.f);
    }
  }
  if (count <= int8_gathered) return;
  for (index row = blockIdx.x * 8 + ptx::warp(); row < m; row += gridDim.x * 8)
    for (int i = lane; i < words; i += 32)
      for (uint32_t left = to.flags[i]; left; left &= left - 1) to.code[row * to.row + 32 * i + __ffs(int(left)) - 1] = 0;
#endif
}
#endif

}  // namespace smalti::detail
