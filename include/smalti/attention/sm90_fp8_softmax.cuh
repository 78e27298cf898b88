#pragma once
// Softmax of Hopper's 8-bit engine: online, in base 2, with weights that use the range of e4m3.

#include "../cuda/ptx_fp8.cuh"
#include "sm90_softmax.cuh"

namespace smalti::detail {

/// P = 2^(c·S − m + 5), one FFMA and one ex2 each, c > 0; m ≈ c · the largest score so far, whose weight is 2^4 to 2^5, so that normal
/// numbers of e4m3 (from 2^-6) reach 2^-10 of it and subnormal ones 2^-13. After an item's first tile nobody looks for a maximum: where
/// scores have outgrown m the sums of P tell, which are needed anyway. Eight weights at a time, since nothing saturates in a sum within
/// e4m3's range, and 8 · 2^5 is. Sums are of the unrounded weights and stay one per thread until the end; O and l carry the same 2^5.
struct fp8_softmax : lifted_softmax<5> {
  static constexpr float most = 448.f;

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
};

}  // namespace smalti::detail
