#pragma once
// Normalisations over the last dimension. RMSNorm: Zhang & Sennrich 2019, eq. 4. LayerNorm: Ba, Kiros & Hinton 2016, eq. 3.
// Softmax: Bridle 1990.

#include <span>
#include "row_kernels.hpp"

namespace smalti {

/// y = x · weight / √(mean(x²) + eps) for every row, computed in f32.
/// y, x: (rows, columns), each f32, bf16 or f16, columns contiguous; y may be x. weight: (columns), f32. Errors: math.3.
template <class Y, class X>
status rms_norm(on_cpu const& where, view<Y, 2> y, view<X, 2> x, std::span<float const> weight, float eps) {
  using T = std::remove_const_t<X>;
  if (!detail::same_rows(y, x) || index(weight.size()) != x.extent[1])
    return {"math.3", "rms_norm: x and y must agree, with one weight per contiguous column"};
  auto* const row = detail::row_kernels<T, Y>::rms_norm(where.device);
  detail::each_row(where, y, x, [&](T const* from, Y* to) { row(from, weight.data(), to, x.extent[1], eps); });
  return {};
}

/// y = (x − mean) / √(variance + eps) · weight + bias for every row, computed in f32.
/// y, x: (rows, columns), each f32, bf16 or f16, columns contiguous; y may be x. weight, bias: (columns), f32. Errors: math.3.
template <class Y, class X>
status layer_norm(on_cpu const& where, view<Y, 2> y, view<X, 2> x, std::span<float const> weight, std::span<float const> bias, float eps) {
  using T = std::remove_const_t<X>;
  if (!detail::same_rows(y, x) || index(weight.size()) != x.extent[1] || bias.size() != weight.size())
    return {"math.3", "layer_norm: x and y must agree, with one weight and bias per contiguous column"};
  auto* const row = detail::row_kernels<T, Y>::layer_norm(where.device);
  detail::each_row(where, y, x, [&](T const* from, Y* to) { row(from, weight.data(), bias.data(), to, x.extent[1], eps); });
  return {};
}

/// y = exp(x) / Σ exp(x) for every row; a row of −inf gives 0.
/// y, x: (rows, columns), each f32, bf16 or f16, columns contiguous; y may be x. Errors: math.3.
template <class Y, class X>
status softmax(on_cpu const& where, view<Y, 2> y, view<X, 2> x) {
  using T = std::remove_const_t<X>;
  if (!detail::same_rows(y, x)) return {"math.3", "softmax: x and y must agree, columns contiguous"};
  if (x.extent[1] == 0) return {};
  auto* const row = detail::row_kernels<T, Y>::softmax(where.device);
  detail::each_row(where, y, x, [&](T const* from, Y* to) { row(from, to, x.extent[1]); });
  return {};
}

}  // namespace smalti
