#pragma once
// RMSNorm on a device (Zhang & Sennrich 2019, eq. 4), alone, after a residual sum, and over heads (Qwen3); semantics of norm.hpp.
// Floor: M · columns · (bytes of x + bytes of y), each once, and the weight; for a few rows the latency of two passes, ~2 µs.

#include "rows.cuh"

namespace smalti {
namespace detail {

/// One block a row. Wide: eight columns at a time, of which each thread keeps its first eight from the first pass to the second.
template <bool Wide, bool Add, class Y, class X, class D>
__global__ void __launch_bounds__(1024) rms_norm_kernel(view<Y, 2> y, view<X, 2> x, view<D const, 2> delta, float by, float const* weight, float eps) {
#if defined(__CUDA_ARCH__)
  __shared__ float meet[32];
  index const n = x.extent[1], row = blockIdx.x, step = index(blockDim.x) * (Wide ? 8 : 1), first = threadIdx.x * (Wide ? 8 : 1);
  constexpr int width = Wide ? 8 : 1;
  ptx::launch_dependents();
  float w[width] = {}, kept[width] = {};
  if (first < n) load_some(w, weight + first);                         // nobody writes it: before the wait
  ptx::wait_for_previous();
  X* const from = x.at + row * x.stride[0];
  D const* const extra = Add ? delta.at + row * delta.stride[0] : nullptr;
  float sum = 0;
  for (index i = first; i < n; i += step) {
    float v[width];
    load_some(v, from + i);
    if constexpr (Add) {
      float d[width];
      load_some(d, extra + i);
      SMALTI_UNROLL for (int j = 0; j < width; ++j) v[j] = float(X(fmaf(by, d[j], v[j])));
      if constexpr (Wide) ptx::store_eight(from + i, v);
      else from[i] = X(v[0]);
    }
    SMALTI_UNROLL for (int j = 0; j < width; ++j) sum = fmaf(v[j], v[j], sum);
    SMALTI_UNROLL for (int j = 0; j < width; ++j) kept[j] = i == first ? v[j] : kept[j];
  }
  float const factor = 1.f / sqrtf(block_sum(sum, meet) / float(n) + eps);
  Y* const to = y.at + row * y.stride[0];
  for (index i = first; i < n; i += step) {
    float v[width];
    if (i != first) load_some(v, from + i), load_some(w, weight + i);
    SMALTI_UNROLL for (int j = 0; j < width; ++j) v[j] = (i == first ? kept[j] : v[j]) * factor * w[j];
    if constexpr (Wide) ptx::store_eight(to + i, v);
    else to[i] = Y(v[0]);
  }
#endif
}

/// One warp a head, in place. T: the heads'.
template <class T>
__global__ void __launch_bounds__(256) normalise_heads_kernel(view<T, 3> x, float const* weight, float eps) {
#if defined(__CUDA_ARCH__)
  ptx::launch_dependents();
  ptx::wait_for_previous();
  index const at = blockIdx.x * index(8) + ptx::warp(), n = x.extent[2];
  if (at >= x.extent[0] * x.extent[1]) return;
  T* const head = x.at + at / x.extent[1] * x.stride[0] + at % x.extent[1] * x.stride[1];
  float sum = 0;
  for (index i = ptx::lane(); i < n; i += 32) {
    float const v = ptx::widen_one(head[i]);
    sum = fmaf(v, v, sum);
  }
  SMALTI_UNROLL for (int d = 16; d; d /= 2) sum += ptx::shfl_xor(sum, d);
  float const factor = 1.f / sqrtf(sum / float(n) + eps);
  for (index i = ptx::lane(); i < n; i += 32) head[i] = T(ptx::widen_one(head[i]) * factor * weight[i]);
#endif
}

template <bool Add, class Y, class X, class D>
status run_rms_norm(on_cuda const& where, view<Y, 2> y, view<X, 2> x, view<D const, 2> delta, float by, float const* weight, float eps, launch_order order) {
  static_assert(device_element<Y> && device_element<X> && device_element<D>, "gemm.6: rows are float, bf16 or f16");
  if (!rows_agree(y, x) || (Add && !rows_agree(x, delta))) return {"math.3", "rms_norm: x, y and what is added must agree, columns contiguous"};
  if (y.size() == 0) return {};
  if (missing(y) || missing(x) || (Add && missing(delta)) || !weight) return {"math.4", "an operand is null"};
  if (y.extent[0] > INT32_MAX) return {"math.3", "rms_norm: more than 2^31 rows"};
  bool const wide = by_eights(y) && by_eights(x) && (!Add || by_eights(delta)) && by_eights(weight);
  auto* const kernel = wide ? rms_norm_kernel<true, Add, Y, X, D> : rms_norm_kernel<false, Add, Y, X, D>;
  return launch(where, order, kernel, dim3(unsigned(y.extent[0])), threads_for(x.extent[1]), 0, y, x, delta, by, weight, eps);
}

}  // namespace detail

/// y = x · weight / √(mean(x²) + eps) for every row, statistics in f32. y, x: (rows, columns), each f32, bf16 or f16, columns
/// contiguous; y may be x. weight: (columns), f32. All on the device, the weight never written by work in flight.
/// Asynchronous, allocates nothing. Errors: math.3 (shapes), math.4 (null), cuda; y is then untouched.
template <class Y, class X>
status rms_norm(on_cuda const& where, view<Y, 2> y, view<X, 2> x, float const* weight, float eps, launch_order order = {}) {
  using plain = std::remove_const_t<X>;
  return detail::run_rms_norm<false>(where, y, view<plain, 2>{const_cast<plain*>(x.at), {x.extent[0], x.extent[1]}, {x.stride[0], x.stride[1]}},
                                     view<plain const, 2>{}, 0.f, weight, eps, order);
}

/// x ← x + by · delta, rounded to x's type, then y = rms_norm(x): the residual sum and the norm that follows it in one pass. delta:
/// (rows, columns), of any element type; it may alias neither. Otherwise as rms_norm.
template <class Y, class X, class D>
status add_rms_norm(on_cuda const& where, view<Y, 2> y, view<X, 2> x, view<D, 2> delta, float by, float const* weight, float eps, launch_order order = {}) {
  return detail::run_rms_norm<true>(where, y, x, view<std::remove_const_t<D> const, 2>(delta), by, weight, eps, order);
}

/// RMSNorm over each head of x (M, H, D) in place, D contiguous; T float, bf16 or f16. weight: (D), f32. Errors: math.3, math.4, cuda.
template <class T>
status normalise_heads(on_cuda const& where, view<T, 3> x, float const* weight, float eps, launch_order order = {}) {
  static_assert(detail::device_element<T>, "gemm.6: heads are float, bf16 or f16");
  index const heads = x.extent[0] * x.extent[1];
  if (x.stride[2] != 1 || heads > index(INT32_MAX) * 8) return {"math.3", "normalise_heads: columns of a head must be contiguous"};
  if (x.size() == 0) return {};
  if (!x.at || !weight) return {"math.4", "an operand is null"};
  return detail::launch(where, order, detail::normalise_heads_kernel<T>, dim3(unsigned(ceil_div(heads, index(8)))), 256, 0, x, weight, eps);
}

}  // namespace smalti
