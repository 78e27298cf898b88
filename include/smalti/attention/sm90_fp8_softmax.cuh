#pragma once
// Softmax of Hopper's 8-bit engine: online, in base 2, with weights that use the range of e4m3.

#include "../cuda/ptx_fp8.cuh"
#include "sm80.cuh"

namespace smalti::detail {

/// P = 2^(c·S − c·m + 6), one FFMA and one ex2 each, c > 0: the largest weights are 64, so that normal numbers of e4m3 (from 2^-6)
/// reach 2^-12 of them and subnormal ones 2^-15. m moves when a score passes it by more than 2^2.75: 2^8.75 = 431 < 448 never
/// saturates. Sums are of the unrounded weights and stay one per thread until the end; O and l carry the same 2^6.
struct fp8_softmax {
  static constexpr float lift = 6.f, slack = 2.75f;  // log₂
  float m[2] = {-INFINITY, -INFINITY}, l[2] = {}, decay[2] = {1.f, 1.f};

  /// S → P. True if any row of this warp wants O multiplied by `decay`.
  template <int N>
  SMALTI_D bool step(warp_block<N>& s, float c) {
    float const top[2] = {s.own_max(0), s.own_max(1)};
    bool const moved = ptx::any(c * (top[0] - m[0]) > slack || c * (top[1] - m[1]) > slack);
    if (moved)
      SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
        float const before = m[r];
        m[r] = fmaxf(before, s.over_row(top[r], [](float a, float b) { return fmaxf(a, b); }));
        decay[r] = before == m[r] ? 1.f : ptx::exp2_approx(c * (before - m[r]));
        l[r] *= decay[r];
      }
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      float const shift = m[r] == -INFINITY ? 0.f : lift - c * m[r];  // a row without any key yet
      s.map(r, [=](float x) { return ptx::exp2_approx(fmaf(c, x, shift)); });
      float sum[2] = {};
      SMALTI_UNROLL for (int n = 0; n < N / 8; ++n) sum[0] += s.x[n][2 * r], sum[1] += s.x[n][2 * r + 1];
      l[r] += sum[0] + sum[1];
    }
    return moved;
  }

  /// What one row of O is multiplied by at its end, and its log-sum-exp. `sink`: a logit without a value, −∞ for none.
  struct ending { float inverse, logsumexp; };
  SMALTI_D ending finish(int r, float c, float sink = -INFINITY) const {
    constexpr float log2e = 1.4426950408889634f;
    float sum = l[r] + ptx::shfl_xor(l[r], 1);
    sum += ptx::shfl_xor(sum, 2);
    float top = m[r] == -INFINITY ? -INFINITY : c * m[r] - lift, share = 1.f;
    if (sink != -INFINITY) {
      float const before = top;
      top = fmaxf(top, log2e * sink), share = ptx::exp2_approx(before - top);
      sum = share * sum + ptx::exp2_approx(log2e * sink - top);
    }
    if (sum == 0.f) return {0.f, -INFINITY};  // no key: 0 by definition; NaN stays NaN
    return {__fdividef(share, sum), (top + __log2f(sum)) * 0.6931471805599453f};
  }
};

}  // namespace smalti::detail
