#pragma once
// Elementwise non-linearities of whole matrices (inside a product, use the epilogues silu{} and gelu{}). GELU: Hendrycks &
// Gimpel 2016, with the exact normal distribution. SiLU: Elfwing et al. 2017.

#include "row_kernels.hpp"

namespace smalti {

/// y = x / (1 + e^−x). y, x: (rows, columns), each f32, bf16 or f16, columns contiguous; y may be x. Errors: math.3.
template <class Y, class X>
status apply_silu(on_cpu const& where, view<Y, 2> y, view<X, 2> x) {
  using T = std::remove_const_t<X>;
  if (!detail::same_rows(y, x)) return {"math.3", "apply_silu: x and y must agree, columns contiguous"};
  auto* const row = detail::row_kernels<T, Y>::silu(where.device);
  detail::each_row(where, y, x, [&](T const* from, Y* to) { row(from, to, x.extent[1]); });
  return {};
}

/// y = x · Φ(x). y, x: (rows, columns), each f32, bf16 or f16, columns contiguous; y may be x. Errors: math.3.
template <class Y, class X>
status apply_gelu(on_cpu const& where, view<Y, 2> y, view<X, 2> x) {
  using T = std::remove_const_t<X>;
  if (!detail::same_rows(y, x)) return {"math.3", "apply_gelu: x and y must agree, columns contiguous"};
  auto* const row = detail::row_kernels<T, Y>::gelu(where.device);
  detail::each_row(where, y, x, [&](T const* from, Y* to) { row(from, to, x.extent[1]); });
  return {};
}

}  // namespace smalti
