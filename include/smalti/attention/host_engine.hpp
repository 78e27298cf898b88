#pragma once
// The host's engine: blocks of S and O in memory, and the query heads of a key head stacked in one tile, so that every key
// and value is read once for all of them (Ainslie et al. 2023 is why that is most of the work of a decode step).

#include "../core/buffer.hpp"
#include "host_kernels.hpp"
#include "mainloop.hpp"
#include "problem.hpp"

namespace smalti::detail {

/// A stretch of rows of one (sequence, key head). Row i is query i / group of head g · group + i % group.
struct host_rows_at {
  int batch, group, head;  // head: the first of the group
  index first;             // row
  int position;            // of query 0 among the keys

  int query(int r) const { return int((first + r) / group); }
  int head_of(int r) const { return head + int((first + r) % group); }
};

/// A block of f32 in memory, held by one thread; columns up to a multiple of 16 are readable.
template <class T>
struct host_block {
  static constexpr int rows = host_rows;
  attention_kernels<T> const& kernels;
  float* x;
  index row;  // distance of two rows
  int count, columns;
  host_rows_at at;
  int k0 = 0;

  int used() const { return count; }
  int query(int r) const { return at.position + at.query(r); }
  float max(int r) const { return kernels.row_max(x + r * row, padded()); }
  float exponentiate(int r, float shift) { return kernels.row_exponentiate(x + r * row, padded(), shift); }
  void scale(int r, float factor) { kernels.row_scale(x + r * row, padded(), factor); }

  template <class F>
  void for_each(F f) {
    for (int r = 0; r < count; ++r) {
      score_at where{query(r), k0, at.head_of(r), at.batch};
      for (int c = 0; c < columns; ++c, ++where.k) f(x[r * row + c], where);
    }
  }
  void keep_only(int r, key_range keep) {
    float* const s = x + r * row;
    for (int c = 0; c < min(columns, keep.begin - k0); ++c) s[c] = -INFINITY;
    for (int c = smalti::max(keep.end - k0, 0); c < columns; ++c) s[c] = -INFINITY;
  }
  void clear_padding() {  // columns that only fill the last vector must not count
    for (int r = 0; r < count; ++r)
      for (int c = columns; c < padded(); ++c) x[r * row + c] = -INFINITY;
  }
  int padded() const { return round_up(columns, 16); }
};

/// Floats that one thread needs for one tile: Q, S, O, and panels of K and V.
struct host_layout {
  int d, dv;
  index row_q, row_s, row_o, panel_k, panel_v;
  index q, s, o, k, v, total;  // where each begins

  host_layout(attention_tile t, int head_dim, int value_dim)
      : d(head_dim), dv(value_dim), row_q(round_up(d, 16)), row_s(t.kv + 16), row_o(round_up(dv, 16)), panel_k(index(t.kv) * d), panel_v(row_o * t.kv),
        q(0), s(q + row_q * t.q), o(s + row_s * t.q), k(o + row_o * t.q), v(k + panel_k), total(v + panel_v) {}
};

/// Where a part of the keys leaves its result until the parts are joined.
struct host_part {
  float *o, *lse;  // (rows, row_o), (rows)
};

template <class T>
struct host_engine {
  static constexpr int rows = host_rows;
  static constexpr int few = 8;  // rows up to which packing K and V costs more than it saves

  attention_problem<T> const& p;
  attention_kernels<T> const& kernels;
  host_layout const& layout;
  float* scratch;
  int step;
  host_rows_at at;
  int count;        // rows
  key_range part;
  host_part to{};   // set: this is a part
  int k0 = 0, k1 = 0;

  key_range keys() const { return part; }
  bool whole() const { return !to.o; }
  key_range queries() const { return {at.position + at.query(0), at.position + at.query(count - 1) + 1}; }
  int head(int r) const { return at.head_of(r); }
  bool in_place() const { return count <= few && layout.d % 16 == 0 && layout.dv % 16 == 0; }

  T const* row_of(view<T const, 4> const& kv, int j) const {
    index const g = at.head / at.group;
    if (!p.pages.pages) return &kv(p.lengths.kv_starts ? 0 : at.batch, g, p.kv_first(at.batch) + j, 0);
    return &kv(p.pages.pages[index(at.batch) * p.pages.max_pages + j / p.pages.page_size], g, j % p.pages.page_size, 0);
  }
  /// f(first, count) for every stretch of loaded keys that lies in one piece.
  template <class F>
  void each_run(F f) const {
    for (int j = k0, n; j < k1; j += n) {
      n = k1 - j;
      if (p.pages.pages) n = min(n, p.pages.page_size - j % p.pages.page_size);
      f(j, n);
    }
  }

  void load_q() {
    for (int r = 0; r < count; ++r) {
      int const b = p.lengths.q_starts ? 0 : at.batch;
      kernels.widen(&p.q(b, at.head_of(r), p.q_first(at.batch) + at.query(r), 0), p.scale, scratch + layout.q + r * layout.row_q, layout.d);
    }
  }
  void load_kv(int first, int last) {
    k0 = first, k1 = last;
    if (in_place()) return;
    for (int j = k0; j < k1; j += 16) {
      T const* key[16];
      int const n = min(16, k1 - j);
      for (int i = 0; i < n; ++i) key[i] = row_of(p.k, j + i);
      kernels.pack_keys(key, n, layout.d, scratch + layout.k + index(j - k0) * layout.d);
    }
    each_run([&](int j, int n) {
      kernels.pack_values(row_of(p.v, j), p.v.stride[2], n, layout.dv, scratch + layout.v + index(j - k0) * 16, index(step) * 16);
    });
  }
  host_block<T> scores() {
    host_block<T> s{kernels, scratch + layout.s, layout.row_s, count, k1 - k0, at, k0};
    float const* const q = scratch + layout.q;
    if (in_place())
      each_run([&](int j, int n) { kernels.scores_in_place(q, layout.row_q, count, row_of(p.k, j), p.k.stride[2], n, layout.d, s.x + (j - k0), s.row); });
    else
      kernels.scores(q, layout.row_q, count, scratch + layout.k, k1 - k0, layout.d, s.x, s.row);
    s.clear_padding();
    return s;
  }
  host_block<T> output() {
    host_block<T> o{kernels, scratch + layout.o, layout.row_o, count, layout.dv, at};
    for (index i = 0; i < count * o.row; ++i) o.x[i] = 0;
    return o;
  }
  void add_pv(host_block<T>& o, host_block<T> const& s) const {
    if (in_place())
      each_run([&](int j, int n) {
        kernels.weigh_in_place(s.x + (j - k0), s.row, count, row_of(p.v, j), p.v.stride[2], 16, n, layout.dv, o.x, o.row);
      });
    else
      kernels.weigh(s.x, s.row, count, scratch + layout.v, 16, index(step) * 16, k1 - k0, layout.dv, o.x, o.row);
  }
  void store(host_block<T> const& o, online_softmax<rows> const& softmax) const {
    for (int r = 0; r < count; ++r) {
      if (to.o) {
        for (index c = 0; c < layout.row_o; ++c) to.o[r * layout.row_o + c] = o.x[r * o.row + c];
        to.lse[r] = softmax.logsumexp(r);
      } else {
        store_row(r, o.x + r * o.row, softmax.logsumexp(r));
      }
    }
  }
  void store_row(int r, float const* o, float lse) const {
    index const b = p.lengths.q_starts ? 0 : at.batch, q = p.q_first(at.batch) + at.query(r);
    kernels.narrow(o, &p.o(b, at.head_of(r), q, 0), layout.dv);
    if (p.lse) p.lse(b, at.head_of(r), q) = lse;
  }
};

}  // namespace smalti::detail
