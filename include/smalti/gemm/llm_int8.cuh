#pragma once
// LLM.int8 on a device (Dettmers et al. 2022, "LLM.int8()", §3), by name: x quantised token by token, the product in integers, columns of
// outliers in 16 bits. For many rows of x; for few, the product of dense.cuh reads as many bytes and leaves x as it is.

#include "dense.cuh"
#include "int8_sm80.cuh"
#include "int8_wide.cuh"

namespace smalti {

namespace detail {
/// The parts of the scratch memory; bytes: of all.
template <class X>
int8_room<X> int8_rooms(void* at, index m, index n, index k, std::size_t& bytes) {
  char* const from = static_cast<char*>(at);
  bytes = 0;
  auto const take = [&](index size) { return from + std::exchange(bytes, bytes + std::size_t(round_up(size, index(256)))); };
  int8_room<X> r{};
  r.row = round_up(k, index(16));
  r.code = reinterpret_cast<int8_t*>(take(m * r.row)), r.scale = reinterpret_cast<float*>(take(4 * m));
  r.flags = reinterpret_cast<uint32_t*>(take(ceil_div(k, index(32)) * 4)), r.columns = reinterpret_cast<int*>(take(4 * (k + 1)));
  r.x_out = reinterpret_cast<X*>(take(2 * m * int8_gathered)), r.w_out = reinterpret_cast<X*>(take(2 * n * int8_gathered));
  return r;
}
}  // namespace detail

/// Scratch memory of a product x (m, k) · Wᵀ, W (n, k).
inline std::size_t llm_int8_bytes(index m, index n, index k) {
  std::size_t bytes;
  (void)detail::int8_rooms<bf16>(nullptr, m, n, k, bytes);
  return bytes;
}

#if defined(__CUDACC__)
namespace detail {

/// x → codes, scales and outliers in p.room.
template <class X, class Y>
status int8_quantise(on_cuda const& where, int8_problem<X, Y> const& p, float threshold) {
  if (auto s = explain(cudaMemsetAsync(p.room.flags, 0, std::size_t(ceil_div(p.k, 32)) * 4, where.stream)); !s) return s;
  auto const tokens = [&](auto kernel, int threads) { return launch(where, {}, kernel, dim3(unsigned(p.m)), threads, 0, p.x, p.row_x, p.k, int8_least<X>(threshold), p.room); };
  status s = p.k <= 4096 ? tokens(int8_tokens_kernel<X, 128, 4>, 128) : p.k <= 8192 ? tokens(int8_tokens_kernel<X, 256, 4>, 256) : tokens(int8_tokens_kernel<X, 256, 8>, 256);
  if (!s) return s;
  unsigned const blocks = unsigned(min(index(8 * multiprocessors()), ceil_div(index(p.m) + p.n, index(16))));
  return launch(where, {.programmatic = true}, int8_outliers_kernel<X>, dim3(blocks), 256, 0, p.x, p.row_x, p.w, p.m, p.n, p.k, p.room);
}

/// The engine for sums that are there: Hopper's with the tile that wastes least, or mma.sync.
template <class X, class Y, epilogue E>
status int8_product(on_cuda const& where, int8_problem<X, Y> const& p, E const& out) {
  if (!(where.device >= sm_90a) || p.k % 16 || reinterpret_cast<std::uintptr_t>(p.w) % 16) return int8_block_launch(where, p, out);
  // µs of a wave of tiles, for each 128 columns of K and beside them (H200 · CUDA 13.0 · 2026-11 · int8_cuda parts).
  int const processors = multiprocessors();
  auto const cost = [&](int width, float step, float rest) { return float(ceil_div(ceil_div(p.m, 128) * ceil_div(p.n, width), processors)) * (step * float(ceil_div(p.k, 128)) + rest); };
  return cost(128, 0.30f, 2.5f) <= cost(64, 0.26f, 1.5f) ? int8_wide_launch<128>(where, p, processors, out) : int8_wide_launch<64>(where, p, processors, out);
}

/// Everything that can be told before a kernel starts, and the problem. Errors: gemm.1, 2, 3, 10, 11, 13, 30, 31.
template <class X, class Y, int Count>
status int8_prepare(int8_problem<X, Y>& p, view<Y, 2> y, dense_terms<Count, device_int8> const& sum, llm_int8 const& how) {
  index const m = y.extent[0], n = y.extent[1];
  if (!y.at || !sum.w) return {"gemm.3", "an operand is null"};
  if (auto s = check_dense(sum, m, n); !s) return s;
  if (sum.x.type != dtype_of<X>) return {"gemm.10", "x is bf16 or f16, y of that type or float"};
  if (n > INT32_MAX || m > INT32_MAX || (y.stride[1] != 1 && n > 1) || (sum.x.column_stride != 1 && sum.w->k > 1)) return {"gemm.11", "rows of x and y must be contiguous"};
  if (m > 1 && y.stride[0] < n) return {"gemm.11", "rows of y must not overlap"};
  if (sum.w->k > 131072) return {"gemm.31", "more than 131072 products of 127 by 127 may pass 32 bits"};
  std::size_t bytes;
  auto const room = int8_rooms<X>(how.scratch, m, n, sum.w->k, bytes);
  if (!how.scratch || reinterpret_cast<std::uintptr_t>(how.scratch) % 256 || how.bytes < bytes)
    return {"gemm.30", "the scratch memory is null, smaller than llm_int8_bytes, or not aligned to 256 bytes"};
  p = {room, static_cast<X const*>(sum.x.at), sum.w->code.data(), sum.w->scale.data(), y.at, sum.x.row_stride, y.stride[0], int(m), int(n), sum.w->k, sum.scale * int8_step, Count, {}};
  for (int i = 0; i < Count; ++i) {
    term const& t = sum.dense[i];
    if (t.x.type != dtype_of<X> || type_of(t.w.form) != dtype_of<X>) return {"gemm.10", "x, t and B must be of one 16-bit type"};
    if (t.w.k % 2 || t.x.row_stride % 2 || t.w.row_stride % 2 || t.x.column_stride != 1 || t.w.column_stride != 1 || (reinterpret_cast<std::uintptr_t>(t.x.at) | reinterpret_cast<std::uintptr_t>(t.w.at)) % 4)
      return {"gemm.13", "the rank of a term must be even and its rows begin at multiples of 4 bytes"};
    p.dense[i] = {static_cast<X const*>(t.x.at), static_cast<X const*>(t.w.at), t.x.row_stride, t.w.row_stride, t.w.k, t.scale};
  }
  return {};
}

template <class X, class Y, int Count, epilogue E>
status int8_run(on_cuda const& where, view<Y, 2> y, dense_terms<Count, device_int8> const& sum, E const& out, llm_int8 const& how) {
  int8_problem<X, Y> p;
  if (auto s = int8_prepare(p, y, sum, how); !s) return s;
  if (auto s = int8_quantise(where, p, how.threshold); !s) return s;
  return int8_product(where, p, out);
}

}  // namespace detail

/// y (M, N) = e(s · x (M, K) · Ŵᵀ + Σ s_i · t_i · B_iᵀ), x quantised: code = round(x · 127 / absmax of the token's elements below the threshold), columns
/// that hold an outlier left out and multiplied in 16 bits by W's codes. Integer sums are exact; scales, outliers and terms are added in
/// fp32 and y is rounded once (the reference rounds to f16 between them). x is bf16 or f16, y of that type or float; y may
/// alias the residual of the epilogue, never an x. M = 0 does nothing. More than 64 outlier columns are right, and slow. Results do not change from run to run.
/// Asynchronous, allocates nothing, asks nothing back, may be captured in a graph.
/// Errors: gemm.1, 2, 3, 10, 11, 13 (terms), gemm.30 (scratch), gemm.31 (K above 131072), cuda; then y is untouched.
template <class Y, int Count, epilogue E = identity>
status gemm(on_cuda const& where, view<Y, 2> y, dense_terms<Count, device_int8> const& sum, E const& out, llm_int8 const& how) {
  static_assert(detail::device_element<Y>, "gemm.6: y is float, bf16 or f16");
  if (y.extent[0] == 0) return {};
  if constexpr (sizeof(Y) == 2) return detail::int8_run<Y>(where, y, sum, out, how);
  else return sum.x.type == dtype::f16 ? detail::int8_run<f16>(where, y, sum, out, how) : detail::int8_run<bf16>(where, y, sum, out, how);
}
#endif

}  // namespace smalti
