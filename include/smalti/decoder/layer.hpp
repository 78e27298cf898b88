#pragma once
// One transformer layer as every family of config.hpp has it, written against operations that take `where` first
// (Vaswani et al. 2017; pre-normalisation and SwiGLU as in Touvron et al. 2023, "LLaMA", §2.2).

#include <vector>
#include "config.hpp"
#include "ops_cpu.hpp"

namespace smalti {

struct decoder_layer {
  buffer<float> attention_norm, mlp_norm;       ///< (hidden)
  buffer<float> q_norm, k_norm;                 ///< (head_dim), or empty
  linear_layer q, k, v, o, gate, up, down;
};

/// Activations of one forward pass; grows to the largest batch seen, so a decode step allocates nothing.
template <class Where>
struct workspace {
  using element = typename backend<Where>::element;
  typename backend<Where>::template array<element> x, h, q, k, v, a, g, last, logits;

  void reserve(decoder_config const& c, std::size_t m, std::size_t logit_rows) {
    auto const grow = [](auto& array, std::size_t n) { if (array.size() < n) array = std::remove_reference_t<decltype(array)>(n); };
    for (auto* array : {&x, &h}) grow(*array, m * c.hidden);
    for (auto* array : {&q, &a}) grow(*array, m * c.q_width());
    for (auto* array : {&k, &v}) grow(*array, m * c.kv_width());
    grow(g, m * c.ffn), grow(last, logit_rows * c.hidden), grow(logits, logit_rows * c.vocabulary);
  }
};

/// x (M, hidden) → x, in place: x += r·Attn(norm x); x += r·MLP(norm x). Keys and values of the rows go into the cache.
template <class Where, class Cache>
void forward(Where const& where, decoder_config const& c, decoder_layer const& l, int number, workspace<Where>& w, Cache& cache,
             ragged_batch const& batch, rope_table const& rope) {
  using element = typename workspace<Where>::element;
  int const m = batch.rows();
  auto const matrix = [m](auto& array, int columns) { return row_major(array.data(), m, columns); };
  auto const norm = [](buffer<float> const& weight) { return std::span<float const>(weight.data(), weight.size()); };
  auto const x = matrix(w.x, c.hidden), h = matrix(w.h, c.hidden);                                       // (M, hidden)
  auto const q = matrix(w.q, c.q_width()), a = matrix(w.a, c.q_width());                                 // (M, H·D)
  auto const k = matrix(w.k, c.kv_width()), v = matrix(w.v, c.kv_width());                               // (M, Hkv·D)
  auto const g = matrix(w.g, c.ffn);                                                                     // (M, ffn)
  using input = view<element const, 2>;
  auto const add = scaled{c.residual_multiplier} | residual{x};

  require(rms_norm(where, h, input(x), norm(l.attention_norm), c.norm_eps));
  require(linear(where, q, input(h), l.q, batch));
  require(linear(where, k, input(h), l.k, batch));
  require(linear(where, v, input(h), l.v, batch));
  if (c.qk_norm) {
    require(normalise_heads(where, q, c.head_dim, norm(l.q_norm), c.norm_eps));
    require(normalise_heads(where, k, c.head_dim, norm(l.k_norm), c.norm_eps));
  }
  require(rotate(where, q, c.head_dim, batch.position, rope));
  require(rotate(where, k, c.head_dim, batch.position, rope));
  require(append(where, cache, number, input(k), input(v), batch));
  require(attend_cached(where, a, input(q), cache, number, batch, c.softmax_scale, c.window[number]));
  require(linear(where, x, input(a), l.o, batch, add));

  require(rms_norm(where, h, input(x), norm(l.mlp_norm), c.norm_eps));
  require(swiglu(where, g, input(h), l.gate, l.up, batch));
  require(linear(where, x, input(g), l.down, batch, add));
}

}  // namespace smalti
