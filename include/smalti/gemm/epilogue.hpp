#pragma once
// What happens to an accumulator on its way out: small functions of (value, row, column), composed with `|`.

#include <cmath>
#include <concepts>
#include "../core/view.hpp"

namespace smalti {

/// Pure in its arguments; called once per output, by any thread. `a | b` is b after a.
template <class E>
concept epilogue = requires(E const e, float v, index i) { { e(v, i, i) } -> std::same_as<float>; };

struct identity {
  SMALTI_HD constexpr float operator()(float v, index, index) const { return v; }
};
struct scaled {
  float by;
  SMALTI_HD constexpr float operator()(float v, index, index) const { return v * by; }
};
struct bias {
  float const* at;  ///< (N)
  SMALTI_HD float operator()(float v, index, index column) const { return v + at[column]; }
};
/// x · σ(x) (Elfwing et al. 2018).
struct silu {
  SMALTI_HD float operator()(float v, index, index) const { return v / (1.f + std::exp(-v)); }
};
/// x · Φ(x), exact (Hendrycks & Gimpel 2016).
struct gelu {
  SMALTI_HD float operator()(float v, index, index) const { return 0.5f * v * (1.f + std::erf(v * 0.70710678118654752f)); }
};
/// Adds r (M, N); r may be y itself.
template <class T>
struct residual {
  view<T, 2> r;
  SMALTI_HD float operator()(float v, index row, index column) const { return v + float(r(row, column)); }
};
template <class T>
residual(view<T, 2>) -> residual<T>;

template <epilogue A, epilogue B>
struct composed {
  A a;
  B b;
  SMALTI_HD constexpr float operator()(float v, index row, index column) const { return b(a(v, row, column), row, column); }
};
template <epilogue A, epilogue B>
SMALTI_HD constexpr composed<A, B> operator|(A a, B b) { return {a, b}; }

}  // namespace smalti
