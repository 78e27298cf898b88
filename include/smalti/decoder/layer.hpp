#pragma once
// One transformer layer as every family of config.hpp has it, written against operations that take `where` first
// (Vaswani et al. 2017; pre-normalisation and SwiGLU as in Touvron et al. 2023, "LLaMA", §2.2).

#include <vector>
#include "config.hpp"
#include "ops_cpu.hpp"

namespace smalti {

template <class Where>
struct decoder_layer {
  typename backend<Where>::vector attention_norm, mlp_norm;  ///< (hidden)
  typename backend<Where>::vector q_norm, k_norm;            ///< (head_dim), or empty
  typename backend<Where>::linear qkv, o, gate_up, down;     ///< groups of 3, 1, 2 and 1 modules
  attention_kind attention = attention_kind::fused;
};

/// Activations of one forward pass; grows to the largest batch seen, so a decode step allocates nothing.
template <class Where>
struct workspace {
  using element = typename backend<Where>::element;
  using residual = typename backend<Where>::residual;
  template <class T>
  using array = typename backend<Where>::template array<T>;
  array<residual> x, last;
  array<element> h, qkv, a, g;
  array<float> logits;

  void reserve(decoder_config const& c, std::size_t m, std::size_t logit_rows) {
    auto const grow = [](auto& array, std::size_t n) { if (array.size() < n) array = {}, array = std::remove_reference_t<decltype(array)>(n); };
    grow(x, m * c.hidden), grow(h, m * c.hidden), grow(qkv, m * (c.q_width() + 2 * c.kv_width())), grow(a, m * c.q_width());
    grow(g, m * c.ffn), grow(last, logit_rows * c.hidden), grow(logits, logit_rows * c.vocabulary);
  }
};

/// Products of a normalised x, in two steps: what a backend without an operation of its own for it does.
template <class Where>
status project(Where const& where, query_key_value<typename backend<Where>::element> const& y, normalised_input<Where> const& x, typename backend<Where>::linear const& g,
               typename backend<Where>::batch& batch) {
  if (status s = normalise(where, x.h, x.x, x.weight, x.eps, batch); !s) return s;
  return project(where, y, x.normal(), g, batch);
}
template <class Where>
status swiglu(Where const& where, view<typename backend<Where>::element, 2> y, normalised_input<Where> const& x, typename backend<Where>::linear const& gate_up,
              typename backend<Where>::batch& batch) {
  if (status s = normalise(where, x.h, x.x, x.weight, x.eps, batch); !s) return s;
  return swiglu(where, y, x.normal(), gate_up, batch);
}

template <class Where>
status project_head(Where const& where, view<float, 2> y, normalised_input<Where> const& x, typename backend<Where>::weight const& w, typename backend<Where>::batch& batch, float scale) {
  if (status s = normalise(where, x.h, x.x, x.weight, x.eps, batch); !s) return s;
  return project_head(where, y, x.normal(), w, batch, scale);
}

/// x (M, hidden) → x, in place: x += r·Attn(norm x); x += r·MLP(norm x). Keys and values of the rows go into the cache.
template <class Where, class Cache>
void forward(Where const& where, decoder_config const& c, decoder_layer<Where> const& l, int number, workspace<Where>& w, Cache& cache,
             typename backend<Where>::batch& batch, typename backend<Where>::rope const& rope) {
  int const m = batch.rows();
  auto const matrix = [m](auto& array, int columns) { return row_major(array.data(), m, columns); };
  auto const read = [](auto v) { return view<std::remove_pointer_t<decltype(v.at)> const, 2>(v); };
  auto const x = matrix(w.x, c.hidden);                                                                  // (M, hidden)
  auto const h = matrix(w.h, c.hidden);                                                                  // (M, hidden)
  auto const a = matrix(w.a, c.q_width());                                                               // (M, H·D)
  auto const g = matrix(w.g, c.ffn);                                                                     // (M, ffn)
  auto const qkv = projections_of(where, w.qkv.data(), m, c);

  require(project(where, qkv, normalised_input<Where>{read(x), l.attention_norm, c.norm_eps, h}, l.qkv, batch));
  if (c.qk_norm) {
    require(normalise_heads(where, qkv.q, c.head_dim, l.q_norm, c.norm_eps, batch));
    require(normalise_heads(where, qkv.k, c.head_dim, l.k_norm, c.norm_eps, batch));
  }
  require(attend(where, a, qkv, cache, number, batch, rope, {c.softmax_scale, c.window[std::size_t(number)], l.attention}));
  require(add_linear(where, x, read(a), l.o, batch, c.residual_multiplier));

  require(swiglu(where, g, normalised_input<Where>{read(x), l.mlp_norm, c.norm_eps, h}, l.gate_up, batch));
  require(add_linear(where, x, read(g), l.down, batch, c.residual_multiplier));
}

}  // namespace smalti
