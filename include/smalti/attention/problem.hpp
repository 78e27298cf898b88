#pragma once
// The operands of attention over every (sequence, head), and what can be wrong with them.

#include "../core/status.hpp"
#include "../core/view.hpp"

namespace smalti {

/// One (sequence, head) with its keys in one piece. Q: (seq_q, D), K: (seq_kv, D), V: (seq_kv, Dv), O: (seq_q, Dv); rows
/// `row_*` elements apart, columns contiguous.
template <class T>
struct attention_args {
  T const *q, *k, *v;
  T* o;
  float* lse;  ///< (seq_q), or null
  int seq_q, seq_kv, head, batch;
  int position;  ///< of the first query among the keys
  index row_q, row_k, row_v, row_o;
  float scale;
};

/// Which rows belong to which sequence, where that is not simply all of a batch entry. Each array is optional and lies where
/// the kernel runs. Packed sequences (cumulative lengths) have batch extent 1 in the views they index.
struct attention_lengths {
  int count = 0;                   ///< B, where q_starts is given
  int const* q_starts = nullptr;   ///< (B + 1): sequence b owns query rows q_starts[b] … q_starts[b + 1] − 1
  int const* kv_starts = nullptr;  ///< (B + 1): likewise its keys and values
  int const* kv_used = nullptr;    ///< (B): only the first so many keys of each sequence count: a cache filled so far
  int const* positions = nullptr;  ///< (B): position of each sequence's first query among its keys; otherwise 0
};

/// A KV cache in pages. k and v are then pools, (pages, Hkv, page_size, D); key j of sequence b is row j % page_size of page
/// pages[b · max_pages + j / page_size].
struct page_table {
  int const* pages = nullptr;  ///< (B, max_pages)
  int page_size = 0;           ///< rows of a page
  int max_pages = 0;           ///< of one sequence
};

/// softmax(Q Kᵀ · scale) V for every (sequence, head). Any strides but the last, which is 1; o and lse alias nothing.
template <class T>
struct attention_problem {
  view<T const, 4> q;     ///< (B, H, Nq, D)
  view<T const, 4> k, v;  ///< (B, Hkv, Nk, D), (B, Hkv, Nk, Dv); query head h reads head h / (H / Hkv)  (GQA: Ainslie et al. 2023)
  view<T, 4> o;           ///< (B, H, Nq, Dv)
  view<float, 3> lse;     ///< (B, H, Nq) log-sum-exp of the scores, or empty
  float scale;            ///< usually 1/√D
  attention_lengths lengths = {};
  page_table pages = {};

  SMALTI_HD int batch() const { return lengths.q_starts ? lengths.count : int(q.extent[0]); }
  SMALTI_HD int heads() const { return int(q.extent[1]); }
  SMALTI_HD int heads_kv() const { return int(k.extent[1]); }
  SMALTI_HD int group() const { return heads() / heads_kv(); }
  SMALTI_HD int slices() const { return batch() * heads(); }

  SMALTI_HD int q_first(int b) const { return lengths.q_starts ? lengths.q_starts[b] : 0; }
  SMALTI_HD int q_count(int b) const { return lengths.q_starts ? lengths.q_starts[b + 1] - lengths.q_starts[b] : int(q.extent[2]); }
  SMALTI_HD int kv_first(int b) const { return lengths.kv_starts ? lengths.kv_starts[b] : 0; }
  SMALTI_HD int kv_room(int b) const {
    if (pages.pages) return pages.max_pages * pages.page_size;
    return lengths.kv_starts ? lengths.kv_starts[b + 1] - lengths.kv_starts[b] : int(k.extent[2]);
  }
  SMALTI_HD int kv_count(int b) const { return lengths.kv_used ? lengths.kv_used[b] : kv_room(b); }
  SMALTI_HD int position(int b) const { return lengths.positions ? lengths.positions[b] : 0; }

  /// Slice i = b·H + h, where the keys are in one piece.
  SMALTI_HD attention_args<T> slice(int i) const {
    int const H = heads(), b = i / H, h = i % H, g = h / group();
    int const qb = lengths.q_starts ? 0 : b, kb = lengths.kv_starts ? 0 : b, q0 = q_first(b), k0 = kv_first(b);
    return {&q(qb, h, q0, 0), &k(kb, g, k0, 0), &v(kb, g, k0, 0), &o(qb, h, q0, 0), lse ? &lse(qb, h, q0) : nullptr,
            q_count(b), kv_count(b), h, b, position(b), q.stride[2], k.stride[2], v.stride[2], o.stride[2], scale};
  }

  /// Everything that can be told from the views alone. Errors: attn.6-9, attn.13-15.
  constexpr status check() const {
    for (int d = 0; d < 4; ++d)
      for (index n : {q.extent[d], k.extent[d], v.extent[d], o.extent[d]})
        if (n < 0 || n > 0x3fffffff) return {"attn.13", "an extent is negative or beyond 2^30"};
    if (k.extent[1] == 0 || q.extent[1] % k.extent[1] != 0) return {"attn.6", "H must be a multiple of Hkv"};
    for (int d = 0; d < 3; ++d)
      if (k.extent[d] != v.extent[d] || q.extent[d] != o.extent[d] || (lse && lse.extent[d] != q.extent[d]))
        return {"attn.7", "K and V, and Q, O and the log-sum-exp must agree in all but their columns"};
    if (q.extent[3] != k.extent[3] || q.extent[3] == 0 || v.extent[3] != o.extent[3]) return {"attn.8", "Q and K, V and O must agree on D > 0"};
    if (q.stride[3] != 1 || k.stride[3] != 1 || v.stride[3] != 1 || o.stride[3] != 1) return {"attn.9", "columns must be contiguous"};
    if ((q.size() && (!q || !o)) || (k.size() && (!k || !v))) return {"attn.13", "an operand that is not empty has no memory"};
    return check_sequences();
  }

 private:
  constexpr status check_sequences() const {
    if (lengths.q_starts && (lengths.count < 0 || q.extent[0] != 1)) return {"attn.14", "packed queries have batch extent 1 and a count"};
    if (pages.pages) {
      if (lengths.kv_starts || pages.page_size < 1 || pages.max_pages < 0 || pages.page_size != k.extent[2] ||
          index(pages.max_pages) * pages.page_size > 0x3fffffff)
        return {"attn.15", "pages exclude kv_starts, and pools are (pages, Hkv, page_size, D)"};
    } else if (lengths.kv_starts ? k.extent[0] != 1 : k.extent[0] != index(lengths.q_starts ? lengths.count : int(q.extent[0]))) {
      return {"attn.14", "the batch extents of Q and K disagree, or packed keys have one that is not 1"};
    }
    return {};
  }
};

}  // namespace smalti
