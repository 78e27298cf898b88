#pragma once
// Rows of a table by numbers that lie on the device: the first operation of a decoder, and the choice of rows before its head.
// Floor: the rows chosen, read and written once.

#include "rows.cuh"

namespace smalti {

/// A table (rows, columns) on the device that somebody else owns: what `embed` reads. Made by `embedding`.
struct device_embedding {
  void const* at = nullptr;
  dtype type = dtype::f32;  ///< f32, bf16 or f16
  index rows = 0, columns = 0, row_stride = 0;
};

/// Borrows a table, columns contiguous; T float, bf16 or f16.
template <class T>
device_embedding embedding(view<T, 2> table) {
  static_assert(detail::device_element<T>, "gemm.6: a table is float, bf16 or f16");
  return {table.at, dtype_of<std::remove_const_t<T>>, table.extent[0], table.extent[1], table.stride[0]};
}

namespace detail {

/// One block a row of y.
template <class Y, class X>
__global__ void __launch_bounds__(256) take_rows_kernel(view<Y, 2> y, X const* table, index rows, index stride, int const* ids, float by, bool wide) {
#if defined(__CUDA_ARCH__)
  ptx::launch_dependents();
  ptx::wait_for_previous();
  index const r = blockIdx.x, n = y.extent[1];
  int const id = ids[r];
  bool const there = id >= 0 && id < rows;
  Y* const to = y.at + r * y.stride[0];
  X const* const from = table + (there ? id : 0) * stride;
  if (wide) {
    for (index i = 8 * index(threadIdx.x); i < n; i += 8 * 256) {
      float v[8] = {};
      if (there) ptx::load_eight(v, from + i);
      SMALTI_UNROLL for (int j = 0; j < 8; ++j) v[j] *= by;
      ptx::store_eight(to + i, v);
    }
    return;
  }
  for (index i = threadIdx.x; i < n; i += 256) to[i] = there ? Y(ptx::widen_one(from[i]) * by) : Y(0.f);
#endif
}

template <class Y, class X>
status take_rows(on_cuda const& where, view<Y, 2> y, view<X const, 2> table, int const* ids, float by, launch_order order) {
  static_assert(device_element<Y> && device_element<X>, "gemm.6: rows are float, bf16 or f16");
  if (y.extent[1] != table.extent[1] || (y.extent[1] > 1 && (y.stride[1] != 1 || table.stride[1] != 1)) || y.extent[0] > INT32_MAX)
    return {"math.3", "rows: y must have the columns of the table, contiguous"};
  if (y.size() == 0) return {};
  if (missing(y) || missing(table) || !ids) return {"math.4", "an operand is null"};
  return launch(where, order, take_rows_kernel<Y, X>, dim3(unsigned(y.extent[0])), 256, 0, y, table.at, table.extent[0], table.stride[0], ids, by, by_eights(y) && by_eights(table));
}

}  // namespace detail

/// x (M, columns) = multiplier · table[ids]. x: float, bf16 or f16; ids: (M), in device memory, read when the kernel runs; an id outside
/// the table gives a row of zeros. Asynchronous, allocates nothing. Errors: math.3 (shapes, type), math.4 (null), cuda.
template <class X>
status embed(on_cuda const& where, view<X, 2> x, device_embedding const& table, int const* ids, float multiplier = 1.f, launch_order order = {}) {
  auto const typed = [&]<class T>(T) {
    return detail::take_rows(where, x, view<T const, 2>{static_cast<T const*>(table.at), {table.rows, table.columns}, {table.row_stride, 1}}, ids, multiplier, order);
  };
  switch (table.type) {
    case dtype::f32: return typed(float{});
    case dtype::bf16: return typed(bf16{});
    case dtype::f16: return typed(f16{});
    default: return {"math.3", "embed: a table on a device is f32, bf16 or f16"};
  }
}

/// y (M, columns) = x[rows], as embed. y and x: float, bf16 or f16, no overlap; rows: (M), in device memory; one outside x gives zeros.
template <class Y, class X>
status gather_rows(on_cuda const& where, view<Y, 2> y, view<X, 2> x, int const* rows, launch_order order = {}) {
  return detail::take_rows(where, y, view<std::remove_const_t<X> const, 2>(x), rows, 1.f, order);
}

}  // namespace smalti
