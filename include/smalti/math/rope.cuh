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

/// cos and sin of one position, (dim / 2) each.
struct rope_row {
  float const *cos, *sin;
  int half;
};
#if defined(__CUDACC__)
SMALTI_D rope_row row_of(rope_angles const& rope, int position) {
  int const half = rope.cos ? rope.dim / 2 : 0;
  index const at = index(min(max(position, 0), rope.positions - 1)) * half;
  return {rope.cos + at, rope.sin + at, half};
}

/// A head (D), by one warp: columns i and i + half turned, the rest copied, all of it first times factor · weight where there is one.
/// To `to`, which may be `from`, and to `also` unless that is null. Width 2: all in whole words, half and D even.
template <int Width, class T>
SMALTI_D void rotate_head(T* to, T* also, T const* from, int d, rope_row const& row, float const* weight, float factor) {
  auto const get = [&](int i, float (&v)[Width]) {
    if constexpr (Width == 2) {
      float2 const p = ptx::widen<T>(*reinterpret_cast<uint32_t const*>(from + i));
      v[0] = p.x, v[1] = p.y;
    } else {
      v[0] = ptx::widen_one(from[i]);
    }
    if (weight)
      for (int j = 0; j < Width; ++j) v[j] *= factor * weight[i + j];
  };
  auto const put = [&](int i, float const (&v)[Width]) {
    if constexpr (Width == 2) {
      uint32_t const word = ptx::pack<T>(v[0], v[1]);
      *reinterpret_cast<uint32_t*>(to + i) = word;
      if (also) *reinterpret_cast<uint32_t*>(also + i) = word;
    } else {
      to[i] = T(v[0]);
      if (also) also[i] = to[i];
    }
  };
  for (int i = Width * ptx::lane(); i < row.half; i += Width * 32) {
    float u[Width], v[Width], a[Width], b[Width];
    get(i, u), get(i + row.half, v);
    for (int j = 0; j < Width; ++j) {
      float const c = row.cos[i + j], s = row.sin[i + j];
      a[j] = u[j] * c - v[j] * s, b[j] = v[j] * c + u[j] * s;
    }
    put(i, a), put(i + row.half, b);
  }
  for (int i = 2 * row.half + Width * ptx::lane(); i < d; i += Width * 32) {
    float v[Width];
    get(i, v), put(i, v);
  }
}
#endif

template <class T>
__global__ void __launch_bounds__(256) rotate_kernel(view<T, 3> x, int const* positions, rope_angles rope) {
#if defined(__CUDA_ARCH__)
  ptx::launch_dependents();
  ptx::wait_for_previous();
  index const row = blockIdx.x;
  rope_row const angles = row_of(rope, positions[row]);
  for (int head = blockIdx.y * 8 + ptx::warp(); head < int(x.extent[1]); head += 8 * gridDim.y) {
    T* const at = x.at + row * x.stride[0] + head * x.stride[1];
    rotate_head<1>(at, static_cast<T*>(nullptr), at, rope.dim, angles, nullptr, 1.f);
  }
#endif
}

/// Blocks for M rows of so many heads, eight heads at a time: a row has one block where there are many.
inline dim3 heads_grid(index m, index heads) { return dim3(unsigned(m), unsigned(m >= 1024 ? 1 : min(index(65535), ceil_div(heads, index(8))))); }

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
  if (x.stride[2] != 1 || x.extent[0] > INT32_MAX || x.extent[1] > INT32_MAX / 2) return {"math.1", "rope: columns of a head must be contiguous"};
  if (auto s = detail::check_rope(table, x.extent[2]); !s) return s;
  if (x.size() == 0 || table.dim == 0) return {};
  if (!x.at || !positions) return {"math.4", "an operand is null"};
  return detail::launch(where, order, detail::rotate_kernel<T>, detail::heads_grid(x.extent[0], x.extent[1]), 256, 0, x, positions, table.angles());
}

}  // namespace smalti
