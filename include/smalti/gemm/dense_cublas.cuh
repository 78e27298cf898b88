#pragma once
// A strategy for tall products with plain 16-bit weights: cuBLAS, by a handle that the caller owns. A header of its own: who does
// not include it does not link cuBLAS.

#include "cublas.cuh"
#include "dense.cuh"

namespace smalti {

/// Chosen by name, as the last argument of gemm: cublas_strategy{handle}, or {{handle}, scratch, size}.
struct cublas_strategy {
  cublas_dense product;
  float* scratch = nullptr;  ///< M · N floats on the device, for epilogues other than s · y + r; may be null without them
  index scratch_size = 0;    ///< in floats
};

namespace detail {

template <class Y, class E>
__global__ void __launch_bounds__(256) finish_kernel(view<Y, 2> y, float const* sums, __grid_constant__ E const out) {
#if defined(__CUDA_ARCH__)
  for (index j = blockIdx.x * index(256) + threadIdx.x; j < y.extent[1]; j += index(gridDim.x) * 256)
    for (index i = blockIdx.y; i < y.extent[0]; i += gridDim.y) y(i, j) = Y(out(sums[i * y.extent[1] + j], i, j));
#endif
}

/// Epilogues that cuBLAS computes itself: y = by · sum, or by · sum + y.
template <class Y> bool as_scale(identity const&, view<Y, 2> const&, float&, float&) { return true; }
template <class Y> bool as_scale(scaled const& e, view<Y, 2> const&, float& by, float&) { return by *= e.by, true; }
template <class Y, class R>
bool as_scale(residual<R> const& e, view<Y, 2> const& y, float&, float& keep) {
  return keep = 1, std::is_same_v<std::remove_const_t<R>, Y> && static_cast<void const*>(e.r.at) == y.at && e.r.stride[0] == y.stride[0] && e.r.stride[1] == y.stride[1];
}
template <class Y, class R>
bool as_scale(composed<scaled, residual<R>> const& e, view<Y, 2> const& y, float& by, float& keep) { return as_scale(e.a, y, by, keep), as_scale(e.b, y, by, keep); }
template <class Y, class E> bool as_scale(E const&, view<Y, 2> const&, float&, float&) { return false; }

}  // namespace detail

/// gemm of dense.cuh by cuBLAS, sums in fp32: for many rows of x. x and W of one type T, y of T or float; no dense terms. Identity, scaled, and a
/// residual that is y itself cost nothing; any other epilogue takes M · N floats of the strategy's scratch and one more pass.
/// Asynchronous. Errors: as gemm's; gemm.16 (types or scratch), gemm.20 (cuBLAS), cuda.
template <class Y, class T, epilogue E = identity>
status gemm(on_cuda const& where, view<Y, 2> y, dense_terms<0, device_dense<T>> const& sum, E const& out, cublas_strategy const& how) {
  static_assert(std::is_same_v<Y, T> || std::is_same_v<Y, float>, "gemm.6: y is of the weight's type, or float");
  index const m = y.extent[0], n = y.extent[1];
  if (m == 0) return {};
  if (!y.at || !sum.w || !how.product.handle) return {"gemm.3", "an operand is null"};
  if (auto s = detail::check_dense(sum, m, n); !s) return s;
  if (sum.x.type != dtype_of<T>) return {"gemm.16", "cuBLAS multiplies x and weights of one type"};
  if ((n > 1 && y.stride[1] != 1) || sum.x.column_stride != 1 || (m > 1 && (y.stride[0] < n || sum.x.row_stride < sum.w->k))) return {"gemm.11", "rows must be contiguous and not overlap"};
  float by = sum.scale, keep = 0;
  bool const direct = detail::as_scale(out, y, by, keep);
  if (!direct) by = sum.scale, keep = 0;
  if (!direct && (!how.scratch || how.scratch_size < m * n)) return {"gemm.16", "this epilogue needs M * N floats of scratch"};
  void* const to = direct ? static_cast<void*>(y.at) : how.scratch;
  index const row = direct && m > 1 ? y.stride[0] : n;
  if (auto s = how.product(where, sum.x, borrow(sum.w->rows()), to, direct ? dtype_of<Y> : dtype::f32, row, by, keep); !s) return s;
  if (direct) return {};
  dim3 const grid(unsigned(min(index(1024), ceil_div(n, index(256)))), unsigned(min(index(65535), m)));
  return detail::launch(where, {}, detail::finish_kernel<Y, E>, grid, 256, 0, y, static_cast<float const*>(how.scratch), out);
}

}  // namespace smalti
