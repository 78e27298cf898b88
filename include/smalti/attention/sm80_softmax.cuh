#pragma once
// Softmax of the common engine: online, in base 2, with a maximum that moves only when it must (FlashAttention-4, 2025).

#include "sm80_block.cuh"

namespace smalti::detail {

/// P = 2^(c·S − m), one FFMA and one ex2 each; c = scale · log₂e > 0, m ≈ c · the largest score so far. m moves only when a score
/// passes it by 2^8, and the lanes of a row agree on it only then: O is rescaled a few times a row instead of every step, and
/// neither f32 sums nor 16-bit weights notice a factor of 256. The sums are linear, so they stay one per lane until the end.
template <int Rows>
struct lazy_softmax {
  static constexpr float slack = 8.f;       // log₂ of the largest P
  static constexpr float none = -0x1p126f;  // below every score, and 2^(−∞ − none) is 0: a row without keys needs no test
  float m[Rows], l[Rows];

  SMALTI_D lazy_softmax() {
    SMALTI_UNROLL for (int r = 0; r < Rows; ++r) m[r] = none, l[r] = 0.f;
  }

  /// Whether some row of this warp has outgrown its maximum. top: of this lane's scores.
  SMALTI_D bool outgrown(float const (&top)[Rows], float c) const {
    bool yes = false;
    SMALTI_UNROLL for (int r = 0; r < Rows; ++r) yes = yes || fmaf(c, top[r], -m[r]) > slack;
    return ptx::any(yes);
  }
  /// The new maximum of row r; what O's row is to be multiplied by.
  SMALTI_D float move(int r, float top, float c) {
    float const before = m[r];
    m[r] = fmaxf(before, c * warp_block<8>::over_row(top, [](float a, float b) { return fmaxf(a, b); }));
    float const decay = before == m[r] ? 1.f : ptx::exp2_approx(before - m[r]);
    l[r] *= decay;
    return decay;
  }

  /// What a row of O is multiplied by at its end, and its log-sum-exp. `sink`: a logit without a value, −∞ for none.
  struct ending { float inverse, logsumexp; };
  SMALTI_D ending finish(int r, float sink = -INFINITY) const {
    constexpr float log2e = 1.4426950408889634f;
    float sum = warp_block<8>::over_row(l[r], [](float a, float b) { return a + b; }), top = m[r], share = 1.f;
    if (sink != -INFINITY) {
      top = fmaxf(m[r], log2e * sink), share = ptx::exp2_approx(m[r] - top);
      sum = share * sum + ptx::exp2_approx(log2e * sink - top);
    }
    if (sum == 0.f) return {0.f, -INFINITY};  // no key: 0 by definition; NaN stays NaN
    return {ptx::divide_approx(share, sum), (top + log2f(sum)) / log2e};
  }
};

}  // namespace smalti::detail
