#pragma once
// Softmax in one pass over blocks, and the law by which partial results join.
// Milakov & Gimelshein 2018, Algorithm 3; FlashAttention-2 (Dao 2023), Algorithm 1, lines 9-10.

#include <cmath>
#include <concepts>
#include "../core/config.hpp"

namespace smalti {

/// What is known of Σ exp(s) after some of the terms: the sum is l·e^m. Every partial attention result is a state and an
/// output that was divided by l.
struct softmax_state {
  float m = -INFINITY;  ///< largest term so far
  float l = 0;          ///< Σ exp(s − m)

  /// One more term.
  SMALTI_HD softmax_state& add(float s) { return *this = *this + softmax_state{s, s == -INFINITY ? 0.f : 1.f}; }

  /// a ⊕ b, the sum of both: commutative, associative up to rounding, with the empty state as its zero.
  friend SMALTI_HD softmax_state operator+(softmax_state a, softmax_state b) {
    float const m = a.m < b.m ? b.m : a.m;
    return {m, a.l * decay(a.m, m) + b.l * decay(b.m, m)};
  }
  /// e^(from − to) for from ≤ to: what a sum relative to `from` shrinks by when it becomes relative to `to`.
  static SMALTI_HD float decay(float from, float to) { return from == to ? 1.f : expf(from - to); }

  /// log Σ exp(s); −inf when there was no term.
  SMALTI_HD float logsumexp() const { return l == 0.f ? -INFINITY : m + logf(l); }
};

/// A matrix fragment, spread over one thread, a warp or a block of memory; it holds `rows` rows at most. Backends differ
/// only in how a row is spread.
///   f.used()                  rows in use
///   f.max(r)                  maximum over the whole row (every thread that shares it gets the same value)
///   f.exponentiate(r, shift)  x ← e^(x − shift) over row r; returns the sum over the whole row, likewise
///   f.scale(r, factor)        x ← factor·x over row r
template <class F>
concept row_fragment = requires(F f, int r, float x) {
  { F::rows } -> std::convertible_to<int>;
  { f.used() } -> std::convertible_to<int>;
  { f.max(r) } -> std::same_as<float>;
  { f.exponentiate(r, x) } -> std::same_as<float>;
  f.scale(r, x);
};

/// Running statistics of `Rows` rows, and what they do to S and O.
template <int Rows>
struct online_softmax {
  float m[Rows], l[Rows];

  SMALTI_HD online_softmax() {
    SMALTI_UNROLL for (int r = 0; r < Rows; ++r) m[r] = -INFINITY, l[r] = 0.f;
  }

  /// S → P in place, and O ← e^(m_old − m_new) O.
  template <row_fragment S, row_fragment O>
  SMALTI_HD void step(S& s, O& o) {
    static_assert(S::rows == Rows && O::rows == Rows, "S, O and the statistics must hold the same rows");
    SMALTI_UNROLL for (int r = 0; r < Rows; ++r) {
      if (r >= s.used()) break;
      float const m_new = fmaxf(m[r], s.max(r));
      float const shift = m_new == -INFINITY ? 0.f : m_new;  // a row with no key yet: e^{-inf} = 0, not NaN
      float const decay = m[r] == m_new ? 1.f : expf(m[r] - shift);
      l[r] = decay * l[r] + s.exponentiate(r, shift);
      if (decay != 1.f) o.scale(r, decay);
      m[r] = m_new;
    }
  }

  /// A term without a value: it takes its share of the weight and adds nothing to O (an attention sink).
  template <row_fragment O>
  SMALTI_HD void join(int r, float s, O& o) {
    softmax_state const now = softmax_state{m[r], l[r]}.add(s);
    if (now.m != m[r] && l[r] != 0.f) o.scale(r, softmax_state::decay(m[r], now.m));
    m[r] = now.m, l[r] = now.l;
  }

  /// O ← O / l. A row that kept no key is 0, by definition.
  template <row_fragment O>
  SMALTI_HD void finish(O& o) const {
    SMALTI_UNROLL for (int r = 0; r < Rows; ++r) {
      if (r >= o.used()) break;
      o.scale(r, l[r] == 0.f ? 0.f : 1.f / l[r]);  // NaN stays NaN
    }
  }

  SMALTI_HD float logsumexp(int r) const { return softmax_state{m[r], l[r]}.logsumexp(); }
};

}  // namespace smalti
