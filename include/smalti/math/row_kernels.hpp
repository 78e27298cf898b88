#pragma once
// The row kernels of norm.inc for every instruction set, and the loop over rows that norm.hpp and activations.hpp share.

#include <type_traits>
#include "../core/status.hpp"
#include "../core/view.hpp"
#include "../core/where.hpp"
#include "../simd/lanes.hpp"

#include "../simd/begin_generic.inc"
#include "norm.inc"
#include "../simd/end_generic.inc"
#if defined(__x86_64__)
  #include "../simd/begin_avx2.inc"
  #include "norm.inc"
  #include "../simd/end_avx2.inc"
  #include "../simd/begin_avx512.inc"
  #include "norm.inc"
  #include "../simd/end_avx512.inc"
#endif

namespace smalti::detail {

template <class Y, class X>
bool same_rows(view<Y, 2> const& y, view<X, 2> const& x) {
  return y.extent[0] == x.extent[0] && y.extent[1] == x.extent[1] && y.stride[1] == 1 && x.stride[1] == 1;
}

/// row(x, y) for every row, in chunks that are worth a thread's while.
template <class Y, class X, class F>
void each_row(on_cpu const& where, view<Y, 2> y, view<X, 2> x, F&& row) {
  index const chunk = max(index(1), index(1 << 14) / max(x.extent[1], index(1)));  // about 16 k elements
  parallel_for(where, ceil_div(x.extent[0], chunk), [&](index c) {
    for (index r = c * chunk; r < min((c + 1) * chunk, x.extent[0]); ++r) row(&x(r, 0), &y(r, 0));
  });
}

}  // namespace smalti::detail
