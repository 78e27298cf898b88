#pragma once
// Attention on the host: the division of the work, and the join of split keys.

#include <new>
#include "../core/where.hpp"
#include "host_engine.hpp"

namespace smalti {

/// What only the lengths and pages themselves can tell; they must be readable here. Errors: attn.14, attn.15.
template <class T>
status check_contents(attention_problem<T> const& p) {
  for (int b = 0; b < p.batch(); ++b) {
    index const q0 = p.q_first(b), nq = p.q_count(b), k0 = p.kv_first(b), room = p.kv_room(b), nk = p.kv_count(b);
    if (q0 < 0 || nq < 0 || q0 + nq > p.q.extent[2]) return {"attn.14", "q_starts must grow, within the rows of Q"};
    if (k0 < 0 || room < 0 || nk < 0 || nk > room) return {"attn.14", "kv_starts must grow, and kv_used stay within the keys"};
    if (!p.pages.pages && k0 + room > p.k.extent[2]) return {"attn.14", "kv_starts must stay within the rows of K"};
    if (p.position(b) < 0 || p.position(b) > 0x3fffffff) return {"attn.14", "a position is negative or beyond 2^30"};
    if (p.pages.pages)
      for (index i = 0; i * p.pages.page_size < nk; ++i)
        if (int const id = p.pages.pages[index(b) * p.pages.max_pages + i]; id < 0 || id >= p.k.extent[0])
          return {"attn.15", "a page id lies outside the pool"};
  }
  return {};
}

namespace detail {

/// Memory of the calling thread that only grows: two pieces, since the thread that joins parts also computes some.
template <int Piece>
float* host_scratch(index floats) {
  thread_local buffer<float> at;
  if (index(at.size()) < floats) at = buffer<float>(std::size_t(floats));
  return at.data();
}

/// How a problem is cut: items of one (sequence, key head, block of rows, part of the keys). A function of the problem
/// alone, so that results do not depend on the number of threads.
template <class T>
struct host_plan {
  attention_problem<T> const& p;
  attention_tile tile;
  index blocks = 1;   // of rows, in the longest sequence
  int parts = 1;      // of keys
  host_plan(attention_problem<T> const& problem, attention_tile t) : p(problem), tile(t) {
    index rows = 0;
    int keys = 0;
    for (int b = 0; b < p.batch(); ++b) rows = max(rows, index(p.q_count(b)) * p.group()), keys = max(keys, p.kv_count(b));
    blocks = ceil_div(rows, index(t.q));
    if (t.split > 0 && keys >= 2 * t.split && stretches() < 64) parts = ceil_div(keys, t.split);
  }
  index stretches() const { return index(p.batch()) * p.heads_kv() * blocks; }
  int part_keys() const { return parts == 1 ? 0x7fffffff : tile.split; }

  struct stretch {
    host_rows_at at;
    int count, keys;
  };
  /// The last blocks of rows first: under a causal mask they are the longest.
  stretch operator()(index i) const {
    index const pair = i % (index(p.batch()) * p.heads_kv()), block = blocks - 1 - i / (index(p.batch()) * p.heads_kv());
    int const b = int(pair / p.heads_kv()), g = int(pair % p.heads_kv());
    index const first = block * tile.q, rows = index(p.q_count(b)) * p.group();
    return {{b, p.group(), g * p.group(), first, p.position(b)}, int(max(index(0), min(index(tile.q), rows - first))), p.kv_count(b)};
  }
};

/// ⊕ of the parts of one stretch, in the order of their keys.
template <class T, class Variant>
void join_parts(host_engine<T> const& e, Variant const& variant, host_part parts, int n, index part_rows) {
  float* const sum = e.scratch + e.layout.o;
  for (int r = 0; r < e.count; ++r) {
    softmax_state total;
    for (int i = 0; i < n; ++i) total.add(parts.lse[i * part_rows + r]);
    if constexpr (has_sink<Variant>) total.add(variant.sink(e.head(r)));
    for (int c = 0; c < e.layout.row_o; ++c) sum[c] = 0;
    for (int i = 0; i < n; ++i) {
      float const lse = parts.lse[i * part_rows + r];
      if (lse == -INFINITY) continue;
      float const w = softmax_state::decay(lse, total.m) / total.l;
      float const* const o = parts.o + (i * part_rows + r) * e.layout.row_o;
      for (int c = 0; c < e.layout.row_o; ++c) sum[c] += w * o[c];
    }
    e.store_row(r, sum, total.logsumexp());
  }
}

template <class T, class Variant>
void attend_all(on_cpu const& where, host_plan<T> const& plan, Variant const& variant) {
  auto const& kernels = attention_kernels_for<T>(where.device);
  host_layout const layout(plan.tile, int(plan.p.q.extent[3]), int(plan.p.v.extent[3]));
  auto engine = [&](typename host_plan<T>::stretch const& s, key_range keys) {
    return host_engine<T>{plan.p, kernels, layout, host_scratch<0>(layout.total), plan.tile.kv, s.at, s.count, keys};
  };
  index const stretches = plan.stretches(), rows = plan.tile.q;
  bool const split = plan.parts > 1;
  host_part parts{};
  if (split) {
    parts.o = host_scratch<1>(stretches * plan.parts * rows * (layout.row_o + 1));
    parts.lse = parts.o + stretches * plan.parts * rows * layout.row_o;
  }
  parallel_for(where, stretches * plan.parts, [&](index i) {
    auto const s = plan(i / plan.parts);
    if (s.count == 0) return;
    int const begin = split ? int(i % plan.parts) * plan.tile.split : 0;
    auto e = engine(s, {begin, split ? max(begin, min(s.keys, begin + plan.tile.split)) : s.keys});
    if (split) e.to = {parts.o + i * rows * layout.row_o, parts.lse + i * rows};
    attend(e, variant);
  });
  if (!split) return;
  parallel_for(where, stretches, [&](index i) {
    auto const s = plan(i);
    if (s.count == 0) return;
    index const at = i * plan.parts * rows;
    join_parts(engine(s, {0, s.keys}), variant, {parts.o + at * layout.row_o, parts.lse + at}, plan.parts, rows);
  });
}

}  // namespace detail

/// O = softmax(variant(Q Kᵀ · scale)) V for every (sequence, head), computed in f32. T: f32, bf16 or f16; any head
/// dimensions. The result does not depend on the number of threads. A row without keys gives 0 and log-sum-exp −∞.
/// Scratch: each thread keeps one tile (about 0.6 MB), the calling one also the parts of split keys; they grow at first use.
/// Errors: attn.1-3 (tile), attn.6-9, 13-15 (operands), attn.17 (no memory for scratch); nothing is written then.
template <class Tuning = tuned, class T, attention_variant Variant = full>
status attention(on_cpu const& where, attention_problem<T> const& p, Variant const& variant = {}) {
  if (auto s = p.check(); !s) return s;
  if (auto s = check_contents(p); !s) return s;
  attention_shape const shape{int(p.q.extent[3]), int(sizeof(T)), int(p.v.extent[3])};
  attention_tile const tile = Tuning{}(shape, where.device);
  if (auto s = explain(fits(tile, shape, where.device)); !s) return s;
  if (p.heads() == 0 || p.o.extent[3] == 0) return {};
  try {
    detail::attend_all(where, detail::host_plan<T>(p, tile), variant);
  } catch (std::bad_alloc const&) {
    return {"attn.17", "no memory for the tiles of a thread"};
  }
  return {};
}

}  // namespace smalti
