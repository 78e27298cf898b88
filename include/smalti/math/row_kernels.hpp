#pragma once
// The row kernels of norm.inc, chosen by instruction set, and the loop over rows that norm.hpp and activations.hpp share.

#include <type_traits>
#include "../core/dtype.hpp"
#include "../core/status.hpp"
#include "../core/view.hpp"
#include "../core/where.hpp"

namespace smalti::detail {

/// The kernels that `device` runs, from rows of X to rows of Y, each f32, bf16 or f16.
template <class X, class Y>
struct row_kernels {
  static auto rms_norm(arch device) -> void (*)(X const* x, float const* weight, Y* y, index n, float eps);
  static auto layer_norm(arch device) -> void (*)(X const* x, float const* weight, float const* bias, Y* y, index n, float eps);
  static auto softmax(arch device) -> void (*)(X const* x, Y* y, index n);
  static auto silu(arch device) -> void (*)(X const* x, Y* y, index n);
  static auto gelu(arch device) -> void (*)(X const* x, Y* y, index n);
};

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

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_MATH)
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

template <class X, class Y>
auto row_kernels<X, Y>::rms_norm(arch device) -> void (*)(X const* x, float const* weight, Y* y, index n, float eps) {
  return pick(device, &simd_generic::rms_norm_row<X, Y>, &simd_avx2::rms_norm_row<X, Y>, &simd_avx512::rms_norm_row<X, Y>);
}
template <class X, class Y>
auto row_kernels<X, Y>::layer_norm(arch device) -> void (*)(X const* x, float const* weight, float const* bias, Y* y, index n, float eps) {
  return pick(device, &simd_generic::layer_norm_row<X, Y>, &simd_avx2::layer_norm_row<X, Y>, &simd_avx512::layer_norm_row<X, Y>);
}
template <class X, class Y>
auto row_kernels<X, Y>::softmax(arch device) -> void (*)(X const* x, Y* y, index n) {
  return pick(device, &simd_generic::softmax_row<X, Y>, &simd_avx2::softmax_row<X, Y>, &simd_avx512::softmax_row<X, Y>);
}
template <class X, class Y>
auto row_kernels<X, Y>::silu(arch device) -> void (*)(X const* x, Y* y, index n) {
  return pick(device, &simd_generic::silu_row<X, Y>, &simd_avx2::silu_row<X, Y>, &simd_avx512::silu_row<X, Y>);
}
template <class X, class Y>
auto row_kernels<X, Y>::gelu(arch device) -> void (*)(X const* x, Y* y, index n) {
  return pick(device, &simd_generic::gelu_row<X, Y>, &simd_avx2::gelu_row<X, Y>, &simd_avx512::gelu_row<X, Y>);
}

}  // namespace smalti::detail
#endif
