#pragma once
// Softmax of Hopper's 8-bit engine: online, in base 2, with weights that use the range of e4m3.

#include "../cuda/ptx_fp8.cuh"
#include "sm80.cuh"

namespace smalti::detail {

/// P = 2^(c·S − m + 5), one FFMA and one ex2 each, c > 0; m ≈ c · the largest score so far, whose weight is 2^4 to 2^5, so that normal
/// numbers of e4m3 (from 2^-6) reach 2^-10 of it and subnormal ones 2^-13. After an item's first tile nobody looks for a maximum: where
/// scores have outgrown m the sums of P tell, which are needed anyway. Eight weights at a time, since nothing saturates in a sum within
/// e4m3's range, and 8 · 2^5 is. Sums are of the unrounded weights and stay one per thread until the end; O and l carry the same 2^5.
struct fp8_softmax {
  static constexpr float lift = 5.f;        // log₂
  static constexpr float most = 448.f;
  static constexpr float none = -0x1p126f;  // below every score, and 2^(−∞ − none) is 0: a row without keys needs no test
  float m[2] = {none, none}, l[2] = {}, decay[2] = {1.f, 1.f};
  bool unseen = true;                       // some row of this warp has had no key yet

  /// m = c · the largest score so far, of S as well. decay: what O is to be multiplied by.
  template <int N>
  SMALTI_D void raise(warp_block<N> const& s, float c) {
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      float const before = m[r];
      m[r] = fmaxf(before, c * s.over_row(s.own_max(r), [](float a, float b) { return fmaxf(a, b); }));
      decay[r] = ptx::exp2_approx(before - m[r]);
      l[r] *= decay[r];
    }
    unseen = ptx::any(m[0] == none || m[1] == none);
  }
  /// S → P. sum: of this thread's columns. True: some of them may be beyond e4m3's range, or NaN.
  template <int N>
  SMALTI_D bool exponentials(warp_block<N>& s, float c, float (&sum)[2]) const {
    bool outgrown = false;
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      s.map(r, [&, shift = m[r] - lift](float x) { return ptx::exp2_approx(fmaf(c, x, -shift)); });
      static_assert(N == 128);  // eight weights a part
      float part[4] = {};
      SMALTI_UNROLL for (int n = 0; n < N / 8; ++n) part[n % 2 * 2] += s.x[n][2 * r], part[n % 2 * 2 + 1] += s.x[n][2 * r + 1];
      outgrown |= !(fmaxf(fmaxf(part[0], part[1]), fmaxf(part[2], part[3])) <= most);
      sum[r] = (part[0] + part[1]) + (part[2] + part[3]);
    }
    return outgrown;
  }
  /// Some row of this warp has outgrown m: P, sum, m and l by powers of two, which is exact. False: by too much, or P holds NaN.
  template <int N>
  SMALTI_D bool lower(warp_block<N>& p, float (&sum)[2]) {
    constexpr float too_much = 0x1p100f;  // the inverse must be a normal number
    if (ptx::any(!(sum[0] < too_much && sum[1] < too_much))) return false;
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      float const top = p.over_row(p.own_max(r), [](float a, float b) { return fmaxf(a, b); });
      float const up = top > 1.f ? fmaxf(ceilf(__log2f(top)) - lift, 0.f) : 0.f;
      decay[r] = ptx::exp2_approx(-up), m[r] += up, l[r] *= decay[r], sum[r] *= decay[r];
      p.map(r, [f = decay[r]](float x) { return f * x; });
    }
    return true;
  }

  /// What one row of O is multiplied by at its end, and its log-sum-exp. `sink`: a logit without a value, −∞ for none.
  struct ending { float inverse, logsumexp; };
  SMALTI_D ending finish(int r, float sink = -INFINITY) const {
    constexpr float log2e = 1.4426950408889634f;
    float sum = l[r] + ptx::shfl_xor(l[r], 1);
    sum += ptx::shfl_xor(sum, 2);
    float top = m[r] - lift, share = 1.f;
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
