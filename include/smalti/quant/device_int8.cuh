#pragma once
// Weights in 8 bits with one scale per row on the device (Dettmers et al. 2022, "LLM.int8()", §2.2): quantised there, or brought there,
// with the bytes that the host would produce. Floor of quantising: W read once from memory, once from L2, and a byte each written.

#include "../cuda/device_buffer.cuh"
#include "../cuda/launch.cuh"
#include "int8.hpp"

namespace smalti {

/// int8_data, on the device: Ŵ[i, j] = code[i, j] · scale[i] / 127.
struct device_int8 {
  int n = 0, k = 0;
  device_buffer<int8_t> code = {};  ///< (n, k)
  device_buffer<float> scale = {};  ///< (n): the absmax of the row
};

/// Bytes of memory that a product with this weight reads.
inline std::size_t bytes_of(device_int8 const& w) { return w.code.bytes() + w.scale.bytes(); }

/// Asynchronous: `w` must stay until the stream has come to it. Throws quant.5, cuda.
inline device_int8 upload(on_cuda const& where, int8_data const& w) { return {w.n, w.k, upload(where, w.code), upload(where, w.scale)}; }
/// Waits for the stream.
inline int8_data download(on_cuda const& where, device_int8 const& w) { return {w.n, w.k, download(where, w.code), download(where, w.scale)}; }

namespace detail {

/// One block a row. The host's order of operations, which decides the ties: see quantise_int8 in int8.hpp.
template <class T>
__global__ void __launch_bounds__(256) int8_quantise_kernel(view<T const, 2> w, int8_t* code, float* scale, int* poison) {
#if defined(__CUDA_ARCH__)
  __shared__ float meet[8];
  index const row = blockIdx.x, k = w.extent[1];
  float largest = 0;
  bool bad = false;
  for (index j = threadIdx.x; j < k; j += 256) {
    float const v = float(w(row, j));
    largest = fmaxf(largest, fabsf(v)), bad |= !(fabsf(v) <= 3.402823466e38f);
  }
  if (bad) *poison = int(row) + 1;
  SMALTI_UNROLL for (int d = 16; d; d /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, d));
  if (threadIdx.x % 32 == 0) meet[threadIdx.x / 32] = largest;
  __syncthreads();
  for (float other : meet) largest = fmaxf(largest, other);
  float const steps = __fmul_rn(__frcp_rn(largest), 127.f);
  for (index j = threadIdx.x; j < k; j += 256) {
    float const v = float(w(row, j));
    int8_t c = 0;
    if (largest > 0 && isfinite(steps)) c = int8_t(__float2int_rn(__fmul_rn(v, steps)));
    else if (largest > 0) c = int8_t(__double2int_rn(__ddiv_rn(double(v) * 127, double(largest))));
    code[row * k + j] = c;
  }
  if (threadIdx.x == 0) scale[row] = largest;
#endif
}

template <class T>
__global__ void int8_dequantise_kernel(int8_t const* code, float const* scale, view<T, 2> out) {
#if defined(__CUDA_ARCH__)
  index const k = out.extent[1], all = out.extent[0] * k;
  for (index i = blockIdx.x * index(blockDim.x) + threadIdx.x; i < all; i += index(gridDim.x) * blockDim.x)
    out(i / k, i % k) = T(__fmul_rn(float(code[i]), __fmul_rn(scale[i / k], int8_step)));
#endif
}

}  // namespace detail

/// W (n, k) on the device, T float, bf16 or f16, any strides → INT8 there, byte for byte what quantise_int8 gives on the host. Waits for the
/// stream. Throws quant.1 (NaN or infinity), quant.3 (empty), quant.5, cuda.
template <class T>
device_int8 quantise_int8(on_cuda const& where, view<T, 2> w) {
  using element = std::remove_const_t<T>;
  index const n = w.extent[0], k = w.extent[1];
  if (n < 1 || k < 1 || n > INT32_MAX || k > INT32_MAX)
    throw error("quant.3", "INT8 weight is (" + std::to_string(n) + ", " + std::to_string(k) + "), expected at least one row and column");
  device_int8 q{int(n), int(k), device_buffer<int8_t>(std::size_t(n * k)), device_buffer<float>(std::size_t(n))};
  device_buffer<int> poison(1);
  detail::require_cuda(cudaMemsetAsync(poison.data(), 0, poison.bytes(), where.stream), "quantise INT8");
  require(detail::launch(where, {}, detail::int8_quantise_kernel<element>, dim3(unsigned(n)), 256, 0, view<element const, 2>(w), q.code.data(), q.scale.data(), poison.data()));
  if (int const row = download(where, poison)[0]) throw error("quant.1", "row " + std::to_string(row - 1) + " holds NaN or infinity");
  return q;
}

/// Ŵ (n, k) → out on the device, T float, bf16 or f16, any strides, rounded once: the bits that the host gives. Asynchronous.
/// Errors: quant.4 (out has another shape), cuda; nothing is written then.
template <class T>
status dequantise(on_cuda const& where, device_int8 const& w, view<T, 2> out) {
  if (out.extent[0] != w.n || out.extent[1] != w.k) return {"quant.4", "the output must have the shape of the weight"};
  unsigned const grid = unsigned(min(index(8192), ceil_div(index(w.n) * w.k, index(256))));
  return detail::launch(where, {}, detail::int8_dequantise_kernel<T>, dim3(grid), 256, 0, w.code.data(), w.scale.data(), out);
}

}  // namespace smalti
