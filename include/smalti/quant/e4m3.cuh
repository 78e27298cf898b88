#pragma once
// Operands of attention in e4m3, made on the device: the twin of e4m3.hpp, code for code.

#include "../cuda/where.cuh"
#include "e4m3.hpp"

#if defined(__CUDACC__)
namespace smalti {
namespace detail {

/// Grid: (blocks of a head, B · H). `scale` holds 0 before, and after it the bits of the largest |x|: non-negative floats order as integers do.
template <class T>
__global__ void e4m3_largest(view<float, 2> scale, view<T const, 4> from) {
  index const b = blockIdx.y / from.extent[1], h = blockIdx.y % from.extent[1], D = from.extent[3], count = from.extent[2] * D;
  float largest = 0;
  for (index i = index(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += index(gridDim.x) * blockDim.x)
    largest = fmaxf(largest, fabsf(float(from(b, h, i / D, i % D))));
  for (int mask = 16; mask; mask /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, mask));
  if (threadIdx.x % 32 == 0) atomicMax(reinterpret_cast<int*>(&scale(b, h)), __float_as_int(largest));
}

/// One thread a code.
template <class T>
__global__ void e4m3_codes(view<e4m3, 4> to, view<float, 2> largest, view<T const, 4> from) {
  index const b = blockIdx.y / from.extent[1], h = blockIdx.y % from.extent[1], D = to.extent[3], count = to.extent[2] * D;
  float const scale = e4m3_scale(largest(b, h));
  for (index i = index(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += index(gridDim.x) * blockDim.x)
    to(b, h, i / D, i % D) = e4m3_scaled(float(from(b, h, i / D, i % D)), scale);
}

/// Vᵀ of 64 rows of keys and 64 columns at a time, through shared memory: both sides are read and written along their rows.
template <class T>
__global__ void e4m3_values(view<e4m3, 4> to, view<float, 2> largest, view<T const, 4> from) {
  __shared__ e4m3 tile[64][64 + 4];  // [column of V][slot]
  index const b = blockIdx.z / from.extent[1], h = blockIdx.z % from.extent[1], first = index(blockIdx.x) * 64, d0 = index(blockIdx.y) * 64;
  float const scale = e4m3_scale(largest(b, h));
  int const t = threadIdx.x;
  for (int n = t / 64; n < 64; n += 4) {
    index const key = first + n, d = d0 + t % 64;
    tile[t % 64][e4m3_slot(n)] = key < from.extent[2] && d < from.extent[3] ? e4m3_scaled(float(from(b, h, key, d)), scale) : e4m3(0.f);
  }
  __syncthreads();
  for (int d = t / 64; d < 64; d += 4)
    if (d0 + d < to.extent[2] && first + t % 64 < to.extent[3]) to(b, h, d0 + d, first + t % 64) = tile[d][t % 64];
}

template <class Scale>
__global__ void e4m3_scales(view<Scale, 2> scale) {
  index const i = index(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < scale.size()) {
    Scale& s = scale(i / scale.extent[1], i % scale.extent[1]);
    s = e4m3_scale(s);
  }
}

template <class T>
status quantise_e4m3(on_cuda const& where, view<e4m3, 4> to, view<float, 2> scale, view<T const, 4> from, bool transposed) {
  if (auto s = check_e4m3(to, scale, from, transposed); !s) return s;
  index const heads = from.extent[0] * from.extent[1];
  if (heads == 0) return {};
  if (heads > 65535) return {"quant.9", "more than 65535 heads in one launch"};
  if (scale.stride[1] != 1 || (scale.extent[0] > 1 && scale.stride[0] != scale.extent[1])) return {"quant.9", "scales must be contiguous"};
  cudaError_t e = cudaMemsetAsync(scale.at, 0, std::size_t(heads) * sizeof(float), where.stream);
  if (e != cudaSuccess) return explain(e);
  auto const blocks = [](index count) { return unsigned(min(max(ceil_div(count, index(2048)), index(1)), index(1024))); };
  dim3 const read(blocks(from.extent[2] * from.extent[3]), unsigned(heads)), write(blocks(to.extent[2] * to.extent[3]), unsigned(heads));
  e4m3_largest<<<read, 256, 0, where.stream>>>(scale, from);
  if (transposed) {
    dim3 const tiles(unsigned(ceil_div(to.extent[3], index(64))), unsigned(ceil_div(to.extent[2], index(64))), unsigned(heads));
    if (to.size()) e4m3_values<<<tiles, 256, 0, where.stream>>>(to, scale, from);
  } else if (to.size()) {
    e4m3_codes<<<write, 256, 0, where.stream>>>(to, scale, from);
  }
  e4m3_scales<<<unsigned(ceil_div(heads, index(256))), 256, 0, where.stream>>>(scale);
  return explain(cudaGetLastError());
}
}  // namespace detail

/// As on the host, the same codes and scales; `scale` (B, H) contiguous. T: float, bf16 or f16. Asynchronous, allocates nothing.
/// Errors: quant.9, cuda.
template <class T>
status quantise_e4m3(on_cuda const& where, view<e4m3, 4> to, view<float, 2> scale, view<T const, 4> from) {
  return detail::quantise_e4m3(where, to, scale, from, false);
}
/// Values: transposed, in the order of e4m3_slot. Errors: quant.9, cuda.
template <class T>
status quantise_values_e4m3(on_cuda const& where, view<e4m3, 4> to, view<float, 2> scale, view<T const, 4> from) {
  return detail::quantise_e4m3(where, to, scale, from, true);
}

}  // namespace smalti
#endif
