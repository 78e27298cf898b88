#pragma once
// Low-rank adapters (Hu et al. 2021, "LoRA", eq. 3): ΔW = s·B·A, as further terms of a product or merged into the weight.

#include <span>
#include <string>
#include "host.hpp"

namespace smalti {

/// An adapter of one weight (n, k).
struct lora {
  int rank = 0;
  float scale = 1;       ///< α / r, or α / √r (rsLoRA, Kalajdzievski 2023)
  buffer<float> a = {};  ///< (rank, k)
  buffer<float> b = {};  ///< (n, rank)
};

namespace detail {
inline bool fits(lora const& l, index n, index k) {
  return l.rank > 0 && l.a.size() == std::size_t(l.rank * k) && l.b.size() == std::size_t(n * l.rank);
}

/// The base term and one term for each adapter, in scratch: t (M, rank) = x·Aᵀ is computed here. With `adapter_of_row`, the rows
/// of t that belong to another adapter are 0, so every term still covers the batch.
status lora_terms(on_cpu const& where, std::span<term>& sum, activations const& x, weight_view const& w, std::span<lora const* const> adapters,
                  std::span<int const> adapter_of_row);
}  // namespace detail

/// y (M, N) = e(x·Wᵀ + Σ s_i·(x·A_iᵀ)·B_iᵀ), one accumulator for all of it; x (M, K), W (N, K) a packed weight of any kind.
/// Without `adapter_of_row` every row passes all adapters (they are stacked); with it, row i passes adapters[adapter_of_row[i]]
/// alone, −1 none. Rows that are sorted by adapter are fastest. Aliasing, scratch and errors as gemm's; and gemm.7 (an adapter
/// does not fit), gemm.8 (adapter_of_row).
template <class Y, class X, class W, epilogue E = identity>
status linear(on_cpu const& where, view<Y, 2> y, view<X, 2> x, W const& w, std::span<lora const* const> adapters = {}, E const& out = {},
              std::span<int const> adapter_of_row = {}) {
  scratch::mark const here(thread_scratch());
  std::span<term> sum;
  if (status s = detail::lora_terms(where, sum, borrow_activations(x), borrow(w), adapters, adapter_of_row); !s) return s;
  return gemm(where, y, std::span<term const>(sum), out);
}

namespace detail {
/// out (n, k) = e(sign · Σ s·B·A): e adds what the adapters are merged into. One rounding, however many adapters.
template <class T, epilogue E>
status write_update(on_cpu const& where, view<T, 2> out, std::span<lora const* const> adapters, float sign, E const& e) {
  index const n = out.extent[0], k = out.extent[1];
  for (lora const* l : adapters)
    if (!l || !fits(*l, n, k)) return {"gemm.7", "an adapter does not fit the weight: A must be (rank, k), B (n, rank)"};
  scratch::mark const here(thread_scratch());
  std::span<term> const sum(thread_scratch().take<term>(adapters.size()), adapters.size());
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    lora const& l = *adapters[i];
    view<float const, 2> const transposed{l.a.data(), {k, l.rank}, {1, k}};                                              // (k, rank)
    sum[i] = (sign * l.scale * product(row_major(l.b.data(), n, l.rank), transposed)).all[0];
  }
  return gemm(where, out, std::span<term const>(sum), e);
}

/// Adds Ŵ(row, column), decoded here: a 16-bit Ŵ in between would be a second rounding.
struct plus_nf4 {
  nf4_data const& w;
  float operator()(float v, index row, index column) const {
    index const at = row * w.k + column;
    return v + nf4_level[nf4_code_at(w.code.data(), at)] * w.scale(at / w.block);
  }
};
struct plus_int8 {
  int8_data const& w;
  float operator()(float v, index row, index column) const {
    return v + float(w.code[std::size_t(row * w.k + column)]) * (w.scale[std::size_t(row)] * int8_step);
  }
};
inline plus_nf4 plus(nf4_data const& w) { return {w}; }
inline plus_int8 plus(int8_data const& w) { return {w}; }
}  // namespace detail

/// W + s·B·A in place, W (n, k), T float, bf16 or f16: the adapter becomes part of the weight. Summed in fp32, rounded once.
/// Errors: gemm.7; then w is untouched.
template <class T>
status merge(on_cpu const& where, view<T, 2> w, lora const& l) {
  lora const* const one[] = {&l};
  return detail::write_update(where, w, one, 1.f, residual{w});
}
/// Takes a merged adapter out again, up to the rounding of T. Errors: gemm.7.
template <class T>
status unmerge(on_cpu const& where, view<T, 2> w, lora const& l) {
  lora const* const one[] = {&l};
  return detail::write_update(where, w, one, -1.f, residual{w});
}

/// All adapters merged into the 16-bit (or fp32) weight that was quantised for training: W16 + Σ s·B·A. The usual file to
/// publish, though not quite what was trained. In place; errors: gemm.3 (no adapter), gemm.7.
template <class T>
status merge_into_original(on_cpu const& where, view<T, 2> w, std::span<lora const* const> adapters) {
  return detail::write_update(where, w, adapters, 1.f, residual{w});
}
/// All adapters merged into dequantise(W4) + Σ s·B·A: the weight that a QLoRA adapter was trained against.
/// out (n, k), T float, bf16 or f16; Quantised is nf4_data or int8_data. Errors: gemm.2 (out's shape), gemm.3, gemm.7.
template <class T, class Quantised>
status merge_into_dequantised(on_cpu const& where, view<T, 2> out, Quantised const& w, std::span<lora const* const> adapters) {
  if (out.extent[0] != w.n || out.extent[1] != w.k) return {"gemm.2", "the output must have the shape of the weight"};
  return detail::write_update(where, out, adapters, 1.f, detail::plus(w));
}

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_GEMM)
namespace smalti::detail {

SMALTI_INLINE status lora_terms(on_cpu const& where, std::span<term>& sum, activations const& x, weight_view const& w, std::span<lora const* const> adapters,
                  std::span<int const> adapter_of_row) {
  index const m = x.rows;
  if (x.columns != w.k) return {"gemm.1", "x must have as many columns as the weight"};
  for (lora const* l : adapters)
    if (!l || !fits(*l, w.n, w.k)) return {"gemm.7", "an adapter does not fit the weight: A must be (rank, k), B (n, rank)"};
  if (!adapter_of_row.empty() && index(adapter_of_row.size()) != m) return {"gemm.8", "adapter_of_row must name one adapter for each row of x"};
  for (int one : adapter_of_row)
    if (one < -1 || one >= int(adapters.size())) return {"gemm.8", "adapter_of_row names an adapter that is not there"};

  scratch& memory = thread_scratch();
  term* const all = memory.take<term>(adapters.size() + 1);
  all[0] = {x, w, 1.f};
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    lora const& l = *adapters[i];
    auto const t = row_major(memory.take<float>(std::size_t(m * l.rank)), m, l.rank);                                   // (M, rank)
    auto const belongs = [&](index row) { return adapter_of_row.empty() || adapter_of_row[std::size_t(row)] == int(i); };
    for (index row = 0; row < m;) {  // runs of rows that share the adapter
      index end = row + 1;
      while (end < m && belongs(end) == belongs(row)) ++end;
      auto const part = rows(t, row, end - row);
      if (!belongs(row)) std::fill(&part(0, 0), &part(0, 0) + part.size(), 0.f);
      else if (status s = gemm(where, part, terms<1>{{{rows(x, row, end - row), borrow(row_major(l.a.data(), l.rank, w.k)), 1.f}}}); !s) return s;
      row = end;
    }
    all[i + 1] = {borrow_activations(t), borrow(row_major(l.b.data(), w.n, l.rank)), l.scale};
  }
  sum = {all, adapters.size() + 1};
  return {};
}

}  // namespace smalti::detail
#endif
