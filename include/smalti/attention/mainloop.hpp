#pragma once
// The attention loop as the paper writes it, FlashAttention-2 (Dao 2023), Algorithm 1. The host runs it; devices pipeline its steps.

#include "../math/online_softmax.hpp"
#include "compose.hpp"
#include "tile.hpp"

namespace smalti {

/// What a backend provides for one block of query rows:
///   e.keys()            the keys to attend to: all of the sequence, or a part of them
///   e.whole()           whether they are all: a sink joins the sum exactly once
///   e.queries()         the positions of the block's queries, as a half-open range
///   e.step              Bk, keys per step
///   e.load_q()          Q_i
///   e.load_kv(k0, k1)   K_j, V_j
///   e.scores()          S = Q_i K_jᵀ · scale          → row_fragment, with for_each(f(x, score_at))
///   e.output()          O_i = 0                       → row_fragment
///   e.add_pv(o, p)      O += P V_j
///   e.head(r)           the query head of row r
///   e.store(o, softmax) O_i, L_i
template <class E>
concept attention_engine = requires(E e, int j) {
  { e.keys() } -> std::same_as<key_range>;
  { e.queries() } -> std::same_as<key_range>;
  { e.head(j) } -> std::same_as<int>;
  e.load_q();
  e.load_kv(j, j);
  e.output();
  e.scores();
};

/// x ← −∞ where the variant drops the key, and from k1 on.
template <class Scores, attention_variant Variant>
SMALTI_HD void apply_mask(Scores& s, Variant const& variant, int k1) {
  if constexpr (masks_interval<Variant> && requires { s.keep_only(0, key_range{}); })  // a fragment whose rows lie in one piece
    for (int r = 0; r < s.used(); ++r) s.keep_only(r, keys_of(variant, s.query(r)));
  else
    s.for_each([&](float& x, score_at at) { x = at.k < k1 && variant.keep(at) ? x : -INFINITY; });
}

template <attention_engine Engine, attention_variant Variant>
SMALTI_HD void attend(Engine& e, Variant const& variant) {
  online_softmax<Engine::rows> softmax;                    // m_i = −∞, l_i = 0
  auto o = e.output();                                     // O_i = 0                              (Bq, Dv)
  e.load_q();                                              // Q_i                                  (Bq, D)

  key_range const q = e.queries(), all = e.keys();
  key_range const seen = all & key_range{keys_of(variant, q.begin).begin, keys_of(variant, q.end - 1).end};
  int const first = all.begin + (max(seen.begin, all.begin) - all.begin) / e.step * e.step;

  for (int k0 = first; k0 < seen.end; k0 += e.step) {      // j = 1 … T_c
    int const k1 = min(k0 + e.step, seen.end);
    auto const keeps = variant.covers(q.begin, q.end, k0, k1);
    if (keeps == cover::none) continue;                    // the mask empties this tile: do nothing at all

    e.load_kv(k0, k1);                                     // K_j, V_j                             (Bk, D), (Bk, Dv)
    auto s = e.scores();                                   // S_ij = Q_i K_jᵀ · scale              (Bq, Bk)
    if constexpr (!leaves_scores<Variant>)
      s.for_each([&](float& x, score_at at) { x = variant.score(x, at); });
    if (keeps == cover::some || k1 < k0 + e.step)          // masked, or the ragged last tile
      apply_mask(s, variant, k1);
    softmax.step(s, o);                                    // m_i, l_i, P_ij; O_i ← e^{m_old−m_new} O_i
    if constexpr (has_weight<Variant>)
      s.for_each([&](float& p, score_at at) { p = variant.weight(p, at); });
    e.add_pv(o, s);                                        // O_i += P_ij V_j                      (Bq, Dv)
  }
  if constexpr (has_sink<Variant>)
    if (e.whole())
      SMALTI_UNROLL for (int r = 0; r < Engine::rows; ++r)
        if (r < o.used()) softmax.join(r, variant.sink(e.head(r)), o);
  softmax.finish(o);                                       // O_i ← O_i / l_i
  e.store(o, softmax);                                     // O_i, L_i = m_i + log l_i
}

}  // namespace smalti
