#pragma once
// Rotary position embedding on a device, rotate-half order, with the tables of rope.hpp. RoFormer (Su et al. 2021), §3.4.
// Floor: q and k read and written once: 4 · M · (H + Hkv) · D bytes in 16 bits; for a few rows one launch, ~2 µs.

#include "../cuda/device_buffer.cuh"
#include "rope.hpp"
#include "rows.cuh"

namespace smalti {

/// cos and sin of a rope_table in device memory. Positions beyond the table turn as its last does, negative ones as its first.
struct rope_angles {
  float const *cos = nullptr, *sin = nullptr;  ///< (positions, dim / 2); null: nothing turns
  int dim = 0;                                 ///< columns that turn; a multiple of 4, at most D; the rest stay
  int positions = 0;
};

/// A rope_table on the device.
struct device_rope_table {
  device_buffer<float> cos = {}, sin = {};  ///< (positions, dim / 2)
  int dim = 0, positions = 0;

  rope_angles angles() const { return {cos.data(), sin.data(), dim, positions}; }
};

/// Asynchronous: `table` must stay until the stream has come to it. Throws quant.5, cuda.
inline device_rope_table upload(on_cuda const& where, rope_table const& table) {
  return {upload(where, table.cos), upload(where, table.sin), table.dim, table.positions};
}

namespace detail {

/// A head (D), by one warp: columns i and i + dim/2 of `from` turned into `to`, the rest copied; `to` may be `from`.
template <class T, class F>
SMALTI_D void rotate_head(T* to, T const* from, int d, int position, rope_angles const& rope, F value) {
  int const half = rope.cos ? rope.dim / 2 : 0;
  index const at = index(min(max(position, 0), rope.positions - 1)) * half;
  for (int i = ptx::lane(); i < half; i += 32) {
    float const c = rope.cos[at + i], s = rope.sin[at + i], u = value(from, i), v = value(from, i + half);
    to[i] = T(u * c - v * s), to[i + half] = T(v * c + u * s);
  }
  for (int i = 2 * half + ptx::lane(); i < d; i += 32) to[i] = T(value(from, i));
}

template <class T>
__global__ void __launch_bounds__(256) rotate_kernel(view<T, 3> x, int const* positions, rope_angles rope) {
#if defined(__CUDA_ARCH__)
  ptx::launch_dependents();
  ptx::wait_for_previous();
  index const at = blockIdx.x * index(8) + ptx::warp(), row = at / x.extent[1];
  if (row >= x.extent[0]) return;
  T* const head = x.at + row * x.stride[0] + at % x.extent[1] * x.stride[1];
  rotate_head(head, head, rope.dim, positions[row], rope, [](T const* from, int i) { return ptx::widen_one(from[i]); });
#endif
}

inline status check_rope(device_rope_table const& t, index d) {
  if (t.dim % 2 != 0 || t.dim > d || (t.dim > 0 && (t.positions < 1 || t.cos.empty() || t.sin.empty())))
    return {"math.1", "rope: table.dim is even and at most the head dimension, and the table has a row"};
  return {};
}

}  // namespace detail

/// Rotates (x_i, x_{i + dim/2}) of every head by its row's position, in place; columns from table.dim on stay. x: (M, H, D), f32, bf16
/// or f16, columns contiguous; positions: (M), in device memory, read when the kernel runs; those outside the table turn as its nearest
/// does. Asynchronous, allocates nothing. Errors: math.1 (shapes), math.4 (null), cuda; x is then untouched.
template <class T>
status rotate(on_cuda const& where, view<T, 3> x, int const* positions, device_rope_table const& table, launch_order order = {}) {
  static_assert(detail::device_element<T>, "gemm.6: heads are float, bf16 or f16");
  index const heads = x.extent[0] * x.extent[1];
  if (x.stride[2] != 1 || heads > index(INT32_MAX) * 8) return {"math.1", "rope: columns of a head must be contiguous"};
  if (auto s = detail::check_rope(table, x.extent[2]); !s) return s;
  if (x.size() == 0 || table.dim == 0) return {};
  if (!x.at || !positions) return {"math.4", "an operand is null"};
  return detail::launch(where, order, detail::rotate_kernel<T>, dim3(unsigned(ceil_div(heads, index(8)))), 256, 0, x, positions, table.angles());
}

}  // namespace smalti
