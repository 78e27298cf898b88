#pragma once
// Products with many rows as two steps: the weight dequantised into a buffer of the caller's, then a dense product of the caller's
// choice, cuBLAS above all (cublas.cuh). A named strategy: nothing picks it by itself, and nothing is allocated.

#include "cuda.cuh"
#include "nf4_dequantise.cuh"

#if defined(__CUDACC__)
namespace smalti {

/// `dense(where, x (m, k), w (n, k), y, its type, its row stride, alpha, beta)` enqueues y (m, n) = alpha · x · wᵀ + beta · y with
/// fp32 sums and returns a status; x: activations, w: weight_view of the same type, y of that type or float.
/// scratch: device memory of scratch_bytes, 256-byte aligned, which all calls of a stream may share.
template <class Dense>
struct dequantise_first {
  Dense dense;
  void* scratch;
  std::size_t bytes;
};
template <class Dense>
dequantise_first(Dense, void*, std::size_t) -> dequantise_first<Dense>;

/// For a bare product, whatever its rows: y takes the sums itself.
inline std::size_t scratch_bytes(device_nf4 const& w) { return std::size_t(round_up(index(w.n) * w.k * 2, index(256))); }
/// For a product with terms, an epilogue or a pair (halves 2): fp32 sums of `rows` rows at a time. One is enough, more are faster.
inline std::size_t scratch_bytes(device_nf4 const& w, index rows, int halves = 1) { return scratch_bytes(w) + std::size_t(rows * w.n) * 4 * halves; }

namespace detail {

/// y = e(sum), or e(silu(gate) ⊙ up). sums: (halves, rows, n).
template <class Y, epilogue E>
__global__ void finish_sums_kernel(view<Y, 2> const y, float const* sums, index rows, index row0, bool pair, __grid_constant__ E const out) {
#if defined(__CUDA_ARCH__)
  index const n = y.extent[1], all = rows * n;
  for (index i = blockIdx.x * index(blockDim.x) + threadIdx.x; i < all; i += index(gridDim.x) * blockDim.x) {
    float v = sums[i];
    if (pair) v = silu{}(v, 0, 0) * sums[all + i];
    y(row0 + i / n, i % n) = Y(out(v, row0 + i / n, i % n));
  }
#endif
}

/// Whether all rows are still to come, in which case the weight must be decoded, too.
template <class X, int Count, class Dense>
status dense_sum(on_cuda const& where, nf4_terms<Count> const& sum, bool decode, index begin, index count, void* to, dtype type, index row_to, dequantise_first<Dense> const& how) {
  device_nf4 const& w = *sum.w;
  auto const plain = row_major(static_cast<X*>(how.scratch), w.n, w.k);
  if (decode)
    if (auto s = dequantise(where, w, plain); !s) return s;
  if (auto s = how.dense(where, rows(sum.x, begin, count), borrow(plain), to, type, row_to, sum.scale, 0.f); !s) return s;
  for (int i = 0; i < Count; ++i)
    if (auto s = how.dense(where, rows(sum.dense[i].x, begin, count), sum.dense[i].w, to, type, row_to, sum.dense[i].scale, 1.f); !s) return s;
  return {};
}

template <class X, class Y, int A, int B, epilogue E, class Dense>
status dense_run(on_cuda const& where, view<Y, 2> y, nf4_terms<A> const& first, nf4_terms<B> const* second, E const& out, dequantise_first<Dense> const& how) {
  index const m = y.extent[0], n = y.extent[1];
  if (first.norm.weight) return {"gemm.35", "a product whose weights are dequantised first takes x normalised"};
  if (auto s = nf4_check<X>(first, m, n); !s) return s;
  if (second)
    if (auto s = nf4_check<X>(*second, m, n); !s) return s;
  if (m > 1 && y.stride[0] < n) return {"gemm.11", "rows of y must not overlap"};
  bool const direct = A == 0 && !second && std::is_same_v<E, identity>;
  std::size_t const weight = scratch_bytes(*first.w), sums_row = direct ? 0 : std::size_t(n) * 4 * (second ? 2 : 1);
  if (!how.scratch || reinterpret_cast<std::uintptr_t>(how.scratch) % 256 || how.bytes < weight + sums_row)
    return {"gemm.21", "the scratch memory is null, smaller than scratch_bytes, or not aligned to 256 bytes"};
  if (direct) return dense_sum<X>(where, first, true, 0, m, y.at, dtype_of<Y>, m > 1 ? y.stride[0] : n, how);

  auto* const sums = reinterpret_cast<float*>(static_cast<char*>(how.scratch) + weight);
  index const room = min(m, index((how.bytes - weight) / sums_row));
  for (index begin = 0; begin < m; begin += room) {
    index const count = min(room, m - begin);
    if (auto s = dense_sum<X>(where, first, begin == 0 || second, begin, count, sums, dtype::f32, n, how); !s) return s;
    if (second)
      if (auto s = dense_sum<X>(where, *second, true, begin, count, sums + count * n, dtype::f32, n, how); !s) return s;
    finish_sums_kernel<<<unsigned(min(index(2112), ceil_div(count * n, index(256)))), 256, 0, where.stream>>>(y, sums, count, begin, second != nullptr, out);
    if (auto s = explain(cudaGetLastError()); !s) return s;
  }
  return {};
}

template <class Y, int A, int B, epilogue E, class Dense>
status dense_dispatch(on_cuda const& where, view<Y, 2> y, nf4_terms<A> const& first, nf4_terms<B> const* second, E const& out, dequantise_first<Dense> const& how) {
  if (y.extent[0] == 0) return {};
  if (!y.at || !first.w || (second && !second->w)) return {"gemm.3", "an operand is null"};
  if (y.stride[1] != 1 && y.extent[1] > 1) return {"gemm.11", "rows of y must be contiguous"};
  if constexpr (std::is_same_v<Y, bf16> || std::is_same_v<Y, f16>) return dense_run<Y>(where, y, first, second, out, how);
  else return first.x.type == dtype::f16 ? dense_run<f16>(where, y, first, second, out, how) : dense_run<bf16>(where, y, first, second, out, how);
}

}  // namespace detail

/// gemm with its weight dequantised first, into how.scratch: any M. Ŵ is rounded to x's type; sums are fp32 and y is rounded once, as
/// ever. Errors: those of gemm, gemm.21 (scratch), and what the dense product reports; a failure of that one may leave y half written.
template <class Y, int Count, class Dense, epilogue E = identity>
status gemm(on_cuda const& where, view<Y, 2> y, nf4_terms<Count> const& sum, E const& out, dequantise_first<Dense> const& how) {
  return detail::dense_dispatch(where, y, sum, static_cast<nf4_terms<0> const*>(nullptr), out, how);
}
/// gemm_swiglu likewise.
template <class Y, int A, int B, class Dense, epilogue E = identity>
status gemm_swiglu(on_cuda const& where, view<Y, 2> y, nf4_terms<A> const& gate, nf4_terms<B> const& up, E const& out, dequantise_first<Dense> const& how) {
  return detail::dense_dispatch(where, y, gate, &up, out, how);
}

}  // namespace smalti
#endif
