#pragma once
// `a & b`, and what a kernel may ask of a variant beyond its three functions.

#include "variant.hpp"

namespace smalti {

template <attention_variant A, attention_variant B>
struct both;

/// Whether `score` is the one inherited from `full`, the identity. A kernel may then fold the scale into the exponential.
template <class V>
inline constexpr bool leaves_scores = std::same_as<decltype(&V::score), decltype(&full::score)>;
template <class A, class B>
inline constexpr bool leaves_scores<both<A, B>> = leaves_scores<A> && leaves_scores<B>;

/// Whether `keep` is the one inherited from `full`: nothing is masked.
template <class V>
inline constexpr bool keeps_all = std::same_as<decltype(&V::keep), decltype(&full::keep)>;
template <class A, class B>
inline constexpr bool keeps_all<both<A, B>> = keeps_all<A> && keeps_all<B>;

/// Whether the mask is an interval of keys for each query, which `keys_of` then names.
template <class V>
inline constexpr bool masks_interval = keeps_all<V> || requires(V const v, int q) { v.keys(q); };
template <class A, class B>
inline constexpr bool masks_interval<both<A, B>> = masks_interval<A> && masks_interval<B>;

template <class V>
inline constexpr bool has_weight = requires(V const v, float p, score_at at) { v.weight(p, at); };
template <class V>
inline constexpr bool has_sink = requires(V const v, int head) { v.sink(head); };

/// Keys outside this range are dropped for query q, whatever else the mask does.
template <class V>
SMALTI_HD constexpr key_range keys_of(V const& v, int q) {
  if constexpr (requires { v.keys(q); }) return v.keys(q);
  else return {};
}

/// The offset that the parts of a variant share: the first that is not 0.
template <class V>
SMALTI_HD constexpr int offset_of(V const& v) {
  if constexpr (requires { v.offset; }) return v.offset;
  else return 0;
}
template <class A, class B>
SMALTI_HD constexpr int offset_of(both<A, B> const& v) { return offset_of(v.a) ? offset_of(v.a) : offset_of(v.b); }

template <class V>
SMALTI_HD constexpr V with_offset(V v, int offset) {
  if constexpr (requires { v.offset = offset; }) v.offset = offset;
  return v;
}
template <class A, class B>
SMALTI_HD constexpr both<A, B> with_offset(both<A, B> v, int offset) { return {with_offset(v.a, offset), with_offset(v.b, offset)}; }

/// Scores and weights flow left to right, a key must be kept by both.
template <attention_variant A, attention_variant B>
struct both {
  static_assert(!(has_sink<A> && has_sink<B>), "attn.16: one set of sinks");
  A a;
  B b;
  SMALTI_HD constexpr float score(float s, score_at at) const { return b.score(a.score(s, at), at); }
  SMALTI_HD constexpr bool keep(score_at at) const { return a.keep(at) && b.keep(at); }
  SMALTI_HD constexpr cover covers(int q0, int q1, int k0, int k1) const {
    if constexpr (masks_interval<A> && masks_interval<B>) return covers_of(*this, q0, q1, k0, k1);
    else return min(a.covers(q0, q1, k0, k1), b.covers(q0, q1, k0, k1));
  }
  SMALTI_HD constexpr key_range keys(int q) const { return keys_of(a, q) & keys_of(b, q); }
  SMALTI_HD constexpr float weight(float p, score_at at) const
    requires(has_weight<A> || has_weight<B>)
  {
    if constexpr (has_weight<A>) p = a.weight(p, at);
    if constexpr (has_weight<B>) p = b.weight(p, at);
    return p;
  }
  SMALTI_HD constexpr float sink(int head) const
    requires(has_sink<A> || has_sink<B>)
  {
    if constexpr (has_sink<A>) return a.sink(head);
    else return b.sink(head);
  }
};

/// All parts see one cache: `causal{100} & window{32}` counts the window from the query's position, too.
template <attention_variant A, attention_variant B>
SMALTI_HD constexpr both<A, B> operator&(A a, B b) { return with_offset(both<A, B>{a, b}, offset_of(both<A, B>{a, b})); }

}  // namespace smalti
