#pragma once
// Strided windows on memory that somebody else owns: the argument of every kernel.

#include <type_traits>
#include "config.hpp"

namespace smalti {

/// The rank is static, the sizes are not. Strides may be any sign; nothing is checked on access.
template <class T, int Rank>
struct view {
  T* at = nullptr;
  index extent[Rank] = {}, stride[Rank] = {};  ///< in elements

  template <class... I>
  SMALTI_HD constexpr T& operator()(I... i) const {
    static_assert(sizeof...(I) == Rank, "view.1: one index for each dimension");
    index offset = 0, d = 0;
    ((offset += index(i) * stride[d++]), ...);
    return at[offset];
  }
  SMALTI_HD constexpr explicit operator bool() const { return at; }
  template <class C>
    requires(std::is_same_v<C, T const> && !std::is_const_v<T>)
  constexpr operator view<C, Rank>() const {
    view<C, Rank> v{at};
    for (int d = 0; d < Rank; ++d) v.extent[d] = extent[d], v.stride[d] = stride[d];
    return v;
  }
  SMALTI_HD constexpr index size() const {
    index n = 1;
    for (int d = 0; d < Rank; ++d) n *= extent[d];
    return n;
  }
};

/// The last index runs fastest.
template <class T, class... N>
constexpr view<T, sizeof...(N)> row_major(T* at, N... n) {
  view<T, sizeof...(N)> v{at, {index(n)...}};
  index step = 1;
  for (int d = sizeof...(N); d-- > 0; step *= v.extent[d]) v.stride[d] = step;
  return v;
}

/// Rows first … first + count − 1 of a matrix.
template <class T>
constexpr view<T, 2> rows(view<T, 2> m, index first, index count) {
  return {m.at + first * m.stride[0], {count, m.extent[1]}, {m.stride[0], m.stride[1]}};
}

}  // namespace smalti
