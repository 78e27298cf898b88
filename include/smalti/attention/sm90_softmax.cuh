#pragma once
// Softmax of Hopper's engine: online, in base 2, with a maximum that moves only when it must (FlashAttention-4, 2025).

#include "../cuda/ptx_sm90.cuh"
#include "sm80.cuh"  // warp_block: a warpgroup's accumulator is mma.m16n8's, once per warp

namespace smalti::detail {

/// What both engines keep of a warp's rows, in base 2: m ≈ c · the largest score so far, l = Σ P, and P = 2^(c·S − m + Lift); O and l carry the same 2^Lift.
template <int Lift>
struct lifted_softmax {
  static constexpr float lift = Lift;       // log₂
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
  /// Some row of this warp has outgrown m: P, sum, m and l by powers of two, which is exact. False: by too much, or P holds NaN.
  template <int N>
  SMALTI_D bool lower(warp_block<N>& p, float (&sum)[2]) {
    constexpr float too_much = 0x1p100f;  // the inverse must be a normal number
    if (ptx::any(!(sum[0] < too_much && sum[1] < too_much))) return false;
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      float const top = p.over_row(p.own_max(r), [](float a, float b) { return fmaxf(a, b); });
      float const up = top > 1.f ? Lift > 0 ? fmaxf(ceilf(__log2f(top)) - lift, 0.f) : ceilf(__log2f(top)) : 0.f;
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

/// P = 2^(c·S − m), one FFMA and one ex2 each, c = scale · log₂e > 0. m need not be c · the largest score so far, only near it: after an
/// item's first tile nobody looks for a maximum. Where scores have outgrown m the sums of P tell, which are needed anyway; f32 sums and
/// the relative precision of 16 bits do not notice a factor of 2^12. The sums stay one per thread until the end: they are linear, so
/// the four lanes that share a row may add theirs then.
struct exp2_softmax : lifted_softmax<0> {
  static constexpr float most = 0x1p12f;    // sum of P in a thread's part of a row of a tile

  /// Whether scores of S have outgrown m.
  template <int N>
  SMALTI_D bool behind(warp_block<N> const& s, float c) const {
    return ptx::any(fmaf(c, s.own_max(0), -m[0]) > 8.f || fmaf(c, s.own_max(1), -m[1]) > 8.f);
  }
  /// S → P. sum: of this thread's columns. between: called with half of the first row's sum, before the second.
  template <int N, class Between>
  SMALTI_D void exponentials(warp_block<N>& s, float c, float (&sum)[2], Between const& between) const {
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      s.map(r, [&, shift = m[r]](float x) { return ptx::exp2_approx(fmaf(c, x, -shift)); });
      float part[2] = {};
      SMALTI_UNROLL for (int n = 0; n < N / 8; ++n) part[0] += s.x[n][2 * r], part[1] += s.x[n][2 * r + 1];
      if (r == 0) between(part[0]);
      sum[r] = part[0] + part[1];
    }
  }
  template <int N>
  SMALTI_D void exponentials(warp_block<N>& s, float c, float (&sum)[2]) const {
    exponentials(s, c, sum, [](float) {});
  }
  SMALTI_D bool outgrown(float const (&sum)[2]) const { return ptx::any(!(sum[0] <= most && sum[1] <= most)); }
};

}  // namespace smalti::detail
