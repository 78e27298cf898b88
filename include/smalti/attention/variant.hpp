#pragma once
// Attention variants: what may happen to a score between Q·Kᵀ and the softmax, and to a weight after it.

#include <cmath>
#include <concepts>
#include "../core/config.hpp"
#include "../math/philox.hpp"

namespace smalti {

/// Where one score sits. Positions count from the first key of the sequence, so a variant never needs to know the tiling.
struct score_at {
  int q, k;         ///< query (plus problem.lengths.positions, where given), key
  int head, batch;  ///< query head, sequence
};

/// How much of a tile a mask keeps. Ordered: the weaker of two masks is their minimum.
enum class cover { none, some, all };

/// The keys begin ≤ k < end. Without bounds it reaches beyond every position, and differences of two still fit an int.
struct key_range {
  int begin = -0x40000000, end = 0x40000000;
  SMALTI_HD constexpr bool holds(int k) const { return begin <= k && k < end; }
  friend SMALTI_HD constexpr key_range operator&(key_range a, key_range b) { return {max(a.begin, b.begin), min(a.end, b.end)}; }
};

/// An attention variant rewrites scores and keeps or drops them, in three functions:
///   score(s, at)           a logit, in natural-log units, after the 1/√D scale
///   keep(at)               false ⇒ the weight is exactly 0
///   covers(q0,q1,k0,k1)    keep over a whole tile, so that empty tiles are skipped and full ones unmasked
/// and, where it has them, three more:
///   keys(q)                keep(at) ⇔ keys(at.q).holds(at.k), and both ends grow with q: masks become loop bounds
///   weight(p, at)          rewrites a weight after the softmax's sum was taken (dropout)
///   sink(head)             a logit that joins the sum and has no value
template <class V>
concept attention_variant = requires(V const v, float s, score_at at, int i) {
  { v.score(s, at) } -> std::same_as<float>;
  { v.keep(at) } -> std::same_as<bool>;
  { v.covers(i, i, i, i) } -> std::same_as<cover>;
};

/// Every key, every score as it is. Derive from it and replace what differs.
struct full {
  SMALTI_HD constexpr float score(float s, score_at) const { return s; }
  SMALTI_HD constexpr bool keep(score_at) const { return true; }
  SMALTI_HD constexpr cover covers(int, int, int, int) const { return cover::all; }
};

/// `covers` of a mask that has `keys`. Half-open ranges.
template <class V>
SMALTI_HD constexpr cover covers_of(V const& v, int q0, int q1, int k0, int k1) {
  key_range const first = v.keys(q0), last = v.keys(q1 - 1);
  if (k0 >= last.end || k1 <= first.begin) return cover::none;
  return last.begin <= k0 && k1 <= first.end ? cover::all : cover::some;
}

/// k ≤ q + offset; `offset` = length of the KV cache before this query block.
struct causal : full {
  int offset = 0;
  constexpr causal() = default;
  SMALTI_HD constexpr explicit causal(int o) : offset(o) {}
  SMALTI_HD constexpr key_range keys(int q) const { return {.end = q + offset + 1}; }
  SMALTI_HD constexpr bool keep(score_at at) const { return at.k <= at.q + offset; }
  SMALTI_HD constexpr cover covers(int q0, int q1, int k0, int k1) const { return covers_of(*this, q0, q1, k0, k1); }
};

/// Only the last `width` keys, the query's own included. (Longformer, Beltagy et al. 2020, §3.1; Mistral 7B §2.)
struct window : full {
  int width;
  int offset = 0;  ///< as causal's; taken over from it by `causal{offset} & window{width}`
  SMALTI_HD constexpr explicit window(int w, int o = 0) : width(w), offset(o) {}
  SMALTI_HD constexpr key_range keys(int q) const { return {.begin = q + offset - width + 1}; }
  SMALTI_HD constexpr bool keep(score_at at) const { return at.k > at.q + offset - width; }
  SMALTI_HD constexpr cover covers(int q0, int q1, int k0, int k1) const { return covers_of(*this, q0, q1, k0, k1); }
};

/// The last `width` keys and the first `first`: what keeps a window stable over endless text. (Xiao et al. 2024, §3.2.)
struct streaming : full {
  int width, first;
  int offset = 0;
  SMALTI_HD constexpr streaming(int w, int f, int o = 0) : width(w), first(f), offset(o) {}
  SMALTI_HD constexpr bool keep(score_at at) const { return at.k < first || at.k > at.q + offset - width; }
  SMALTI_HD constexpr cover covers(int q0, int q1, int k0, int k1) const {
    if (k1 <= first) return cover::all;
    cover const c = covers_of(window{width, offset}, q0, q1, k0, k1);
    return k0 < first ? max(c, cover::some) : c;
  }
};

/// s ← c·tanh(s/c). (Gemma 2 §2.)
struct softcap : full {
  float c;
  SMALTI_HD constexpr explicit softcap(float cap) : c(cap) {}
  SMALTI_HD float score(float s, score_at) const { return c * tanhf(s / c); }
};

/// s ← s − slope·|q − k|, one slope a head. (Press, Smith & Lewis 2022, §3.)
struct alibi : full {
  float const* slope;  ///< (H), where the kernel runs; see alibi_slope
  int offset = 0;
  SMALTI_HD constexpr explicit alibi(float const* s, int o = 0) : slope(s), offset(o) {}
  SMALTI_HD float score(float s, score_at at) const {
    int const distance = at.q + offset - at.k;
    return s - slope[at.head] * float(distance < 0 ? -distance : distance);
  }
};
/// The slope of head h of `heads`: 2^(−8(h+1)/n) for n the power of two below; the heads beyond it take every other one of
/// the next power of two, as the authors' code does.
inline float alibi_slope(int h, int heads) {
  int n = 1;
  while (2 * n <= heads) n *= 2;
  return h < n ? std::exp2(-8.f * float(h + 1) / float(n)) : std::exp2(-4.f * float(2 * (h - n) + 1) / float(n));
}

/// A learnt logit for each head that takes part in the softmax and has no value, so that a head may attend to nothing
/// (gpt-oss 2025; "softmax off by one" is logit 0). The log-sum-exp output contains it.
struct sinks : full {
  float const* logit;  ///< (H), where the kernel runs
  SMALTI_HD constexpr explicit sinks(float const* l) : logit(l) {}
  SMALTI_HD float sink(int head) const { return logit[head]; }
};

/// Weights are 0 with probability `rate`, else divided by 1 − rate (Srivastava et al. 2014). Philox at counter
/// (q, k / 4, head, batch) under `seed`: the same mask in every backend, tiling and order, four keys to a block.
struct dropout : full {
  float rate;  ///< 0 ≤ rate < 1
  uint64_t seed;
  SMALTI_HD constexpr dropout(float r, uint64_t s) : rate(r), seed(s) {}
  SMALTI_HD constexpr bool drops(score_at at) const {
    philox_block const c{{uint32_t(at.q), uint32_t(at.k) / 4, uint32_t(at.head), uint32_t(at.batch)}};
    return unit_float(philox(c, uint32_t(seed), uint32_t(seed >> 32)).x[at.k % 4]) < rate;
  }
  SMALTI_HD constexpr float weight(float p, score_at at) const { return drops(at) ? 0.f : p / (1 - rate); }
};

}  // namespace smalti
