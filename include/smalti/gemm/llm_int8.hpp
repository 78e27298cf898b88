#pragma once
// LLM.int8 (Dettmers et al. 2022, "LLM.int8()", §3) on the host, by name: what the device's product is held to. Slow, and written to be obviously right.

#include "../quant/llm_int8.hpp"
#include "host.hpp"

namespace smalti {

/// y (M, N) = e(s · x (M, K) · Ŵᵀ + other terms), W the packed_int8 of the first term, x quantised: code = round(x · 127 / absmax of the row's elements
/// below the threshold), columns that hold an outlier left out and multiplied by W's codes as they are. Integer sums are exact; scales,
/// outliers and terms are added in fp32 and y is rounded once (the reference rounds to f16 between them). Takes memory for the codes.
/// Errors: gemm's; gemm.31 (K above 131072), gemm.32 (not INT8); then y is untouched.
template <class Y, epilogue E = identity>
status gemm(on_cpu const& where, view<Y, 2> y, std::span<term const> sum, E const& out, llm_int8 const& how) {
  if (status s = detail::check_sum(sum, y.extent[0], y.extent[1]); !s) return s;
  if (y.extent[0] > 0 && !y.at) return {"gemm.3", "y is null"};
  term const& t = sum[0];
  if (t.w.form != weight_form::packed_int8) return {"gemm.32", "LLM.int8 multiplies INT8 weights"};
  if (t.w.k > 131072) return {"gemm.31", "more than 131072 products of 127 by 127 may pass 32 bits"};
  auto const run = [&](auto const* at) {
    auto const x = view<std::remove_pointer_t<decltype(at)>, 2>{at, {t.x.rows, t.x.columns}, {t.x.row_stride, t.x.column_stride}};
    int8_tokens const q = quantise_tokens(where, x, how.threshold);
    std::span<term const> const others[] = {sum.subspan(1)};
    detail::run_tiles<1>(where, others, y.extent[0], y.extent[1], [&](detail::tile<1> const& tile) {
      for (index i = 0; i < tile.rows; ++i)
        for (index j = 0; j < tile.columns; ++j) {
          index const row = tile.row + i, n = tile.column + j;
          auto const code = [&](index k) { return static_cast<int8_t const*>(t.w.at)[detail::interleaved(n, k, t.w.k)]; };
          int32_t whole = 0;
          for (int k = 0; k < q.k; ++k) whole += int32_t(q.code[std::size_t(row * q.k + k)]) * code(k);
          float v = float(whole) * (q.scale[std::size_t(row)] * int8_step);
          for (int k : q.outlier) v += float(x(row, k)) * float(code(k));
          y(row, n) = Y(out(v * (t.w.scale[n] * (t.scale * int8_step)) + tile.at[0][i * tile.stride + j], row, n));
        }
    });
  };
  if (t.x.type == dtype::f32) run(static_cast<float const*>(t.x.at));
  else if (t.x.type == dtype::bf16) run(static_cast<bf16 const*>(t.x.at));
  else run(static_cast<f16 const*>(t.x.at));
  return {};
}
template <class Y, int Count, epilogue E = identity>
status gemm(on_cpu const& where, view<Y, 2> y, terms<Count> const& sum, E const& out, llm_int8 const& how) {
  return gemm(where, y, std::span<term const>(sum.all), out, how);
}

}  // namespace smalti
