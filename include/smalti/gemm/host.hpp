#pragma once
// y = e(Σ s · x · Wᵀ) on the host: checks, the cut into tiles, and the way out; the inner loops are in kernels.inc.

#include <span>
#include "epilogue.hpp"
#include "run.hpp"
#include "terms.hpp"

namespace smalti {

namespace detail {
inline status check_sum(std::span<term const> sum, index m, index n) {
  if (sum.empty()) return {"gemm.3", "a sum needs at least one term"};
  for (term const& t : sum) {
    if (t.x.columns != t.w.k) return {"gemm.1", "x must have as many columns as the weight"};
    if (t.x.rows != m || t.w.n != n) return {"gemm.2", "y must have the rows of x and, as columns, the rows of the weight"};
    if (m > 0 && (!t.x.at || !t.w.at)) return {"gemm.3", "an operand is null"};
  }
  return {};
}
}  // namespace detail

/// y (M, N) = e(Σ s · x (M, K) · Wᵀ). Y and x are float, bf16 or f16, any strides; sums are fp32, y is rounded once.
/// y may alias the residual of the epilogue, never an x. M = 0 does nothing. Takes scratch from thread_scratch().
/// Errors: gemm.1 (x against W), gemm.2 (y against x or W), gemm.3 (null operand, no term); then y is untouched.
template <class Y, epilogue E = identity>
status gemm(on_cpu const& where, view<Y, 2> y, std::span<term const> sum, E const& out = {}) {
  if (status s = detail::check_sum(sum, y.extent[0], y.extent[1]); !s) return s;
  if (y.extent[0] > 0 && !y.at) return {"gemm.3", "y is null"};
  std::span<term const> const sums[] = {sum};
  detail::run_tiles<1>(where, sums, y.extent[0], y.extent[1], [&](detail::tile<1> const& t) {
    for (index i = 0; i < t.rows; ++i)
      for (index j = 0; j < t.columns; ++j) y(t.row + i, t.column + j) = Y(out(t.at[0][i * t.stride + j], t.row + i, t.column + j));
  });
  return {};
}
template <class Y, int Count, epilogue E = identity>
status gemm(on_cpu const& where, view<Y, 2> y, terms<Count> const& sum, E const& out = {}) {
  return gemm(where, y, std::span<term const>(sum.all), out);
}

/// y (M, N) = silu(gate) ⊙ up (Shazeer 2020, "GLU Variants", eq. 6), both sums in one pass over x. As gemm otherwise.
template <class Y>
status gemm_swiglu(on_cpu const& where, view<Y, 2> y, std::span<term const> gate, std::span<term const> up) {
  for (auto sum : {gate, up})
    if (status s = detail::check_sum(sum, y.extent[0], y.extent[1]); !s) return s;
  if (y.extent[0] > 0 && !y.at) return {"gemm.3", "y is null"};
  std::span<term const> const sums[] = {gate, up};
  detail::run_tiles<2>(where, sums, y.extent[0], y.extent[1], [&](detail::tile<2> const& t) {
    for (index i = 0; i < t.rows; ++i)
      for (index j = 0; j < t.columns; ++j) {
        index const at = i * t.stride + j;
        y(t.row + i, t.column + j) = Y(silu{}(t.at[0][at], 0, 0) * t.at[1][at]);
      }
  });
  return {};
}
template <class Y, int A, int B>
status gemm_swiglu(on_cpu const& where, view<Y, 2> y, terms<A> const& gate, terms<B> const& up) {
  return gemm_swiglu(where, y, std::span<term const>(gate.all), std::span<term const>(up.all));
}
template <class Y, class X, class G, class U>
status gemm_swiglu(on_cpu const& where, view<Y, 2> y, view<X, 2> x, G const& gate, U const& up) {
  return gemm_swiglu(where, y, product(x, gate), product(x, up));
}

}  // namespace smalti
