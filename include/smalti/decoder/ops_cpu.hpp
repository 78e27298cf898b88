#pragma once
// The operations a decoder is made of, on the host. The decoder calls nothing else: another backend is another set of these
// overloads with another first argument.

#include <algorithm>
#include <functional>
#include <span>
#include <type_traits>
#include <vector>
#include "../gemm/llm_int8.hpp"
#include "../math/norm.hpp"
#include "../math/rope.hpp"
#include "cache.hpp"
#include "weights.hpp"

namespace smalti {

/// What a backend keeps things in. Beside these types it has overloads, with `where` first, of everything declared below.
template <class Where>
struct backend;

/// A token that a backend drew for a sequence, and its log-probability under the model's own distribution (temperature 1).
struct chosen_token {
  int id;
  float log_probability;
};

/// How scores become an output: in tiles that stay in registers and cache, or (eager) as frameworks without a fused kernel do, in three
/// passes over a matrix of scores. The same result up to rounding.
enum class attention_kind { fused, eager };

/// What attention in one layer is asked for beside its operands.
struct attend_options {
  float scale;                                ///< of scores
  int window = 0;                             ///< keys that a query sees, its own included; 0: all before it
  attention_kind kind = attention_kind::fused;
};

/// Which rows of a batch belong to which sequence. Rows are tokens, all sequences one after another.
struct ragged_batch {
  std::function<void(char const* name, double bytes, double flops)> before = {};  ///< profiling: called before each operation; stays from pass to pass
  std::vector<int> token;         ///< (M) ids
  std::vector<int> q_starts;      ///< (B + 1)
  std::vector<int> first;         ///< (B) position of each sequence's first row
  std::vector<int> kv_used;       ///< (B) keys of each sequence, those of this batch included
  std::vector<int> pages;         ///< (B, max_pages)
  std::vector<int> sequence;      ///< (B) its number in the cache
  std::vector<int> position;      ///< (M) of each row
  std::vector<int> adapter;       ///< (M) the adapter of each row, −1 none; empty: every row passes the active ones
  float int8_outliers = -1;       ///< as in load_options

  int rows() const { return int(position.size()); }
  int count() const { return int(sequence.size()); }
};

template <>
struct backend<on_cpu> {
  using element = float;         ///< of activations
  using residual = float;        ///< of the residual stream
  using weight = packed_weight;
  using linear = linear_group;
  using vector = buffer<float>;  ///< of norms
  using rope = rope_table;
  using batch = ragged_batch;
  using cache = kv_cache<float>;
  template <class T>
  using array = buffer<T>;
  static constexpr int least_positions = 256;  ///< of a rope table that has to grow

  static cache make_cache(decoder_config const& c, int sequences, int tokens) { return cache::contiguous(c, sequences, tokens); }
  /// Before anything is loaded: whether there is room. The host's memory is the system's affair.
  template <class Options>
  static void check_room(on_cpu const&, decoder_config const&, Options const&, int) {}
  static rope make_rope(on_cpu const&, rope_table t) { return t; }
  /// What `forward` is to compute from now on.
  static void begin(on_cpu const&, batch& to, ragged_batch from) { from.before = std::move(to.before), to = std::move(from); }
  /// Weights or adapters have moved.
  static void forget(batch&) {}
  /// Calls f(where): a backend that can repeat a pass without the host's help does.
  template <class Key, class F>
  static void run(on_cpu const& where, batch&, Key const&, F&& f) { f(where); }
  /// Where the host can read what forward left.
  static std::span<float> read(on_cpu const&, batch&, view<float, 2> logits) { return {logits.at, std::size_t(logits.size())}; }
};

/// x with the norm that it passes before a product. A backend may take it as one operand; h is lent for the result where it does not.
template <class Where>
struct normalised_input {
  view<typename backend<Where>::residual const, 2> x;  ///< (M, hidden)
  typename backend<Where>::vector const& weight;       ///< (hidden)
  float eps;
  view<typename backend<Where>::element, 2> h;         ///< (M, hidden)

  view<typename backend<Where>::element const, 2> normal() const { return h; }
};

/// Where a group's product q, k, v goes: a matrix each.
template <class T>
struct query_key_value {
  view<T, 2> q, k, v;  ///< (M, H·D), (M, Hkv·D), (M, Hkv·D)
};
inline query_key_value<float> projections_of(on_cpu const&, float* at, int m, decoder_config const& c) {
  index const q = c.q_width(), kv = c.kv_width();
  return {row_major(at, m, q), row_major(at + m * q, m, kv), row_major(at + m * (q + kv), m, kv)};
}

namespace detail {
/// For a profile: an operation begins, which has to move so many bytes and to compute so much.
inline void mark(ragged_batch const& batch, char const* name, double bytes, double flops = 0) {
  if (batch.before) batch.before(name, bytes, flops);
}
inline void mark(ragged_batch const& batch, char const* name, linear_group const& g, index m) {
  if (!batch.before) return;
  double bytes = double(bytes_of(g)) + 4. * double(m) * columns_of(g.parts[0]), flops = 0;
  for (auto const& p : g.parts) flops += 2. * double(m) * rows_of(p) * columns_of(p), bytes += 4. * double(m) * rows_of(p);
  mark(batch, name, bytes, flops);
}
}  // namespace detail

/// y (M, hidden) = scale · table[tokens of the batch]. The caller has checked the ids.
status embed(on_cpu const& where, view<float, 2> y, packed_weight const& table, ragged_batch const& batch, float scale);

/// y = x · weight / √(mean(x²) + eps), rows of the model's width.
inline status normalise(on_cpu const& where, view<float, 2> y, view<float const, 2> x, buffer<float> const& weight, float eps, ragged_batch const& batch) {
  detail::mark(batch, "RMSNorm", double(y.size()) * 8);
  return rms_norm(where, y, x, std::span<float const>(weight.data(), weight.size()), eps);
}
/// y (B, hidden): the last row of each sequence.
inline status last_rows(on_cpu const&, view<float, 2> y, view<float const, 2> x, ragged_batch const& batch) {
  detail::mark(batch, "last rows", double(y.size()) * 8);
  for (int b = 0; b < batch.count(); ++b) std::copy_n(&x(batch.q_starts[std::size_t(b) + 1] - 1, 0), x.extent[1], &y(b, 0));
  return {};
}
namespace detail {
inline bool by_llm_int8(packed_weight const& w, ragged_batch const& batch) { return batch.int8_outliers >= 0 && std::holds_alternative<packed_int8>(w); }
}  // namespace detail
/// y (M, vocabulary) = scale · x · Wᵀ.
inline status project_head(on_cpu const& where, view<float, 2> y, view<float const, 2> x, packed_weight const& w, ragged_batch const& batch, float scale) {
  detail::mark(batch, "head", double(bytes_of(w)) + double(y.size()) * 4, 2. * double(y.size()) * double(x.extent[1]));
  if (detail::by_llm_int8(w, batch)) return gemm(where, y, product(x, w), scaled{scale}, llm_int8{.threshold = batch.int8_outliers});
  return gemm(where, y, product(x, w), scaled{scale});
}

namespace detail {
/// The adapters that rows of this batch pass in one layer, and for each row which of them, in the form `linear` takes.
struct layer_adapters {
  std::vector<lora const*> list;
  std::vector<int> of_row;

  layer_adapters(linear_layer const& l, ragged_batch const& batch);
};
}  // namespace detail

/// y (M, N) = e(x (M, K) · Wᵀ + bias + adapters).
template <epilogue E = identity>
status linear(on_cpu const& where, view<float, 2> y, view<float const, 2> x, linear_layer const& l, ragged_batch const& batch, E const& out = {}) {
  auto const with = [&](auto const& e, std::span<lora const* const> adapters, std::span<int const> of_row) {
    if (!detail::by_llm_int8(l.weight, batch)) return linear(where, y, x, l.weight, adapters, e, of_row);
    scratch::mark const here(thread_scratch());
    std::span<term> sum;
    if (status s = detail::lora_terms(where, sum, borrow_activations(x), borrow(l.weight), adapters, of_row); !s) return s;
    return gemm(where, y, std::span<term const>(sum), e, llm_int8{.threshold = batch.int8_outliers});
  };
  auto const run = [&](auto const& e) {
    if (batch.adapter.empty()) return with(e, l.active, {});
    detail::layer_adapters const a(l, batch);
    return with(e, a.list, a.of_row);
  };
  return l.bias.empty() ? run(out) : run(bias{l.bias.data()} | out);
}

/// q, k, v ← x through a group of three.
inline status project(on_cpu const& where, query_key_value<float> const& y, view<float const, 2> x, linear_group const& g, ragged_batch const& batch) {
  detail::mark(batch, "q, k, v", g, x.extent[0]);
  view<float, 2> const to[] = {y.q, y.k, y.v};
  for (int i = 0; i < 3; ++i)
    if (status s = linear(where, to[i], x, g.parts[std::size_t(i)], batch); !s) return s;
  return {};
}
/// y (M, N) += scale · x (M, K) through a group of one.
inline status add_linear(on_cpu const& where, view<float, 2> y, view<float const, 2> x, linear_group const& g, ragged_batch const& batch, float scale) {
  detail::mark(batch, x.extent[1] > y.extent[1] ? "down" : "o", g, x.extent[0]);
  return linear(where, y, x, g.parts[0], batch, scaled{scale} | residual{y});
}

/// y (M, ffn) = silu(gate(x)) ⊙ up(x), a group of two. One pass over x where neither has a bias or an adapter.
status swiglu(on_cpu const& where, view<float, 2> y, view<float const, 2> x, linear_group const& gate_up, ragged_batch const& batch);

/// Puts k and v, (M, Hkv·D) each, where the cache keeps them. T: float, bf16 or f16.
template <class T>
status append(on_cpu const& where, kv_cache<T>& cache, int layer, view<float const, 2> k, view<float const, 2> v, ragged_batch const& batch);

/// o (M, H·D) = causal attention of q (M, H·D) over the cache; window 0 = all keys. With a 16-bit cache q and o pass through
/// its element type, in memory that the cache lends. T: float, bf16 or f16.
template <class T>
status attend_cached(on_cpu const& where, view<float, 2> o, view<float const, 2> q, kv_cache<T>& cache, int layer, ragged_batch const& batch, float scale, int window_width);

/// The same with the scores, then the weights, as a matrix (H, M, keys) in memory of the cache's element type.
template <class T>
status attend_eager(on_cpu const& where, view<float, 2> o, view<float const, 2> q, kv_cache<T>& cache, int layer, ragged_batch const& batch, attend_options const& how);

/// Rotates the heads of x (M, heads·D) by their rows' positions.
status rotate(on_cpu const& where, view<float, 2> x, int head_dim, std::span<int const> positions, rope_table const& table);

/// RMSNorm over each head of x (M, heads·D), in place.
status normalise_heads(on_cpu const& where, view<float, 2> x, int head_dim, buffer<float> const& weight, float eps, ragged_batch const& batch);

/// o (M, H·D): q and k turn, k and v go into the cache, and q attends to what is there.
template <class T>
status attend(on_cpu const& where, view<float, 2> o, query_key_value<float> const& x, kv_cache<T>& cache, int layer, ragged_batch const& batch, rope_table const& rope,
              attend_options const& how) {
  detail::mark(batch, "rotate, store", double(x.q.size() + 2 * x.k.size()) * 8);
  if (status s = rotate(where, x.q, cache.dim(), batch.position, rope); !s) return s;
  if (status s = rotate(where, x.k, cache.dim(), batch.position, rope); !s) return s;
  if (status s = append(where, cache, layer, view<float const, 2>(x.k), view<float const, 2>(x.v), batch); !s) return s;
  view<float const, 2> const q = x.q;
  if (how.kind == attention_kind::eager) return attend_eager(where, o, q, cache, layer, batch, how);
  double pairs = 0;  // of a query and a key that it sees
  for (int p : batch.position) pairs += how.window ? std::min(p + 1, how.window) : p + 1;
  double const keys = double(*std::max_element(batch.kv_used.begin(), batch.kv_used.end())) * batch.count();
  detail::mark(batch, "attention", keys * cache.heads() * cache.dim() * 2 * sizeof(T) + double(o.size()) * 8, 4 * pairs * double(q.extent[1]));
  return attend_cached(where, o, q, cache, layer, batch, how.scale, how.window);
}

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_DECODER)
  #include "../attention.hpp"
  #include "eager.hpp"

namespace smalti {

SMALTI_INLINE status embed(on_cpu const& where, view<float, 2> y, packed_weight const& table, ragged_batch const& batch, float scale) {
  detail::mark(batch, "embedding", double(y.size()) * 8);
  weight_view const w = borrow(table);
  parallel_for(where, batch.rows(), [&](index r) {
    decode_row(w, batch.token[std::size_t(r)], &y(r, 0));
    if (scale != 1)
      for (index c = 0; c < y.extent[1]; ++c) y(r, c) *= scale;
  });
  return {};
}

namespace detail {
SMALTI_INLINE layer_adapters::layer_adapters(linear_layer const& l, ragged_batch const& batch) {
  if (batch.adapter.empty() || l.adapters.empty()) return;
  std::vector<int> place(l.adapters.size(), -1);
  for (std::size_t a = 0; a < l.adapters.size(); ++a)
    if (l.adapters[a].rank > 0) place[a] = int(list.size()), list.push_back(&l.adapters[a]);
  for (int a : batch.adapter) of_row.push_back(a < 0 ? -1 : place[std::size_t(a)]);
}

/// v ← v · silu(gate), the gate as another product left it.
struct gated {
  view<float const, 2> gate;
  SMALTI_HD float operator()(float v, index row, index column) const { return v * silu{}(gate(row, column), row, column); }
};
}  // namespace detail

SMALTI_INLINE status swiglu(on_cpu const& where, view<float, 2> y, view<float const, 2> x, linear_group const& gate_up, ragged_batch const& batch) {
  detail::mark(batch, "gate, up", gate_up, x.extent[0]);
  linear_layer const &gate = gate_up.parts[0], &up = gate_up.parts[1];
  bool const plain = gate.bias.empty() && up.bias.empty() && gate.active.empty() && up.active.empty() && batch.adapter.empty() && !detail::by_llm_int8(gate.weight, batch) && !detail::by_llm_int8(up.weight, batch);
  if (plain) return gemm_swiglu(where, y, x, gate.weight, up.weight);
  if (status s = linear(where, y, x, gate, batch); !s) return s;
  detail::gated const times_gate = {y};  // named: nvcc 13 loses the type of a temporary here
  return linear(where, y, x, up, batch, times_gate);
}

template <class T>
status append(on_cpu const& where, kv_cache<T>& cache, int layer, view<float const, 2> k, view<float const, 2> v, ragged_batch const& batch) {
  int const d = cache.dim();
  parallel_for(where, batch.count(), [&](index b) {
    for (int r = batch.q_starts[b]; r < batch.q_starts[b + 1]; ++r)
      for (int h = 0; h < cache.heads(); ++h) {
        T* const key = cache.key(layer, batch.sequence[b], h, batch.position[r]);      // (D)
        T* const value = cache.value(layer, batch.sequence[b], h, batch.position[r]);  // (D)
        for (int i = 0; i < d; ++i) key[i] = T(k(r, index(h) * d + i)), value[i] = T(v(r, index(h) * d + i));
      }
  });
  return {};
}

template <class T>
status attend_cached(on_cpu const& where, view<float, 2> o, view<float const, 2> q, kv_cache<T>& cache, int layer, ragged_batch const& batch, float scale, int window_width) {
  index const m = q.extent[0], width = q.extent[1], d = cache.dim(), heads = width / d;
  T const* from;
  T* to;
  if constexpr (std::is_same_v<T, float>) from = q.at, to = o.at;
  else {
    T* const lent = cache.lend(std::size_t(2 * m * width));
    for (index i = 0; i < m * width; ++i) lent[i] = T(q.at[i]);
    from = lent, to = lent + m * width;
  }
  auto const by_head = [&](auto* at) { return view<std::remove_pointer_t<decltype(at)>, 4>{at, {1, heads, m, d}, {m * width, d, width, 1}}; };
  attention_problem<T> const problem{
      .q = by_head(from), .k = cache.keys(layer), .v = cache.values(layer), .o = by_head(to), .lse = {}, .scale = scale,
      .lengths = {.count = batch.count(), .q_starts = batch.q_starts.data(), .kv_used = batch.kv_used.data(), .positions = batch.first.data()},
      .pages = {batch.pages.data(), cache.page_size(), cache.max_pages()}};
  status const s = window_width ? attention(where, problem, causal{} & window{window_width}) : attention(where, problem, causal{});
  if constexpr (!std::is_same_v<T, float>)
    for (index i = 0; i < m * width; ++i) o.at[i] = float(to[i]);
  return s;
}

SMALTI_INLINE status rotate(on_cpu const& where, view<float, 2> x, int head_dim, std::span<int const> positions, rope_table const& table) {
  return apply_rope(where, view<float, 3>{x.at, {x.extent[0], x.extent[1] / head_dim, head_dim}, {x.stride[0], head_dim, 1}}, positions, table);
}

SMALTI_INLINE status normalise_heads(on_cpu const& where, view<float, 2> x, int head_dim, buffer<float> const& weight, float eps, ragged_batch const& batch) {
  view<float, 2> const heads = row_major(x.at, x.size() / head_dim, head_dim);
  detail::mark(batch, "RMSNorm of heads", double(x.size()) * 8);
  return rms_norm(where, heads, view<float const, 2>(heads), std::span<float const>(weight.data(), weight.size()), eps);
}

}  // namespace smalti
#endif
