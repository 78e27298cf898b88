#pragma once
// The algebra that the rungs with tensor cores share: 16 query rows of one warp, as mma.m16n8 and wgmma leave them. A lane has two
// rows, lane/4 and lane/4 + 8, and of every eight columns the two that begin at 2·(lane%4): x[n][2r + c] is row r, column 8n + c.

#include <smalti/cuda/ptx.cuh>
#include "ladder_cuda.cuh"

namespace ladder {

namespace ptx = smalti::ptx;

/// m and l of the two rows. Milakov & Gimelshein 2018, "Online normalizer calculation for softmax", Algorithm 3.
struct online {
  float m[2] = {-INFINITY, -INFINITY}, l[2] = {}, decay[2] = {};

  /// S → P = 2^(c·S − c·m), c = scale · log₂ e: one FFMA and one ex2 each. `decay` is what the earlier O must be multiplied by.
  template <int T>
  SMALTI_D void step(float (&s)[T][4], float c) {
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      float top = m[r];
      SMALTI_UNROLL for (int n = 0; n < T; ++n) top = fmaxf(top, fmaxf(s[n][2 * r], s[n][2 * r + 1]));
      top = fmaxf(top, ptx::shfl_xor(top, 1)), top = fmaxf(top, ptx::shfl_xor(top, 2));  // the four lanes of a row
      decay[r] = exp2f(c * (m[r] - top)), m[r] = top;
      float sum = 0;
      SMALTI_UNROLL for (int n = 0; n < T; ++n)
        SMALTI_UNROLL for (int i = 2 * r; i < 2 * r + 2; ++i) sum += s[n][i] = exp2f(fmaf(c, s[n][i], -c * top));
      l[r] = fmaf(l[r], decay[r], sum);  // of this lane's columns; the others' are added at the end
    }
  }
  template <int T>
  SMALTI_D void rescale(float (&o)[T][4]) const {
    SMALTI_UNROLL for (int n = 0; n < T; ++n)
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) o[n][i] *= decay[i / 2];
  }
  /// O / l → memory; `row` is the first of the lane's two.
  template <int T>
  SMALTI_D void store(float const (&o)[T][4], on_device const& p, int head, int row) const {
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      float sum = l[r] + ptx::shfl_xor(l[r], 1);
      sum += ptx::shfl_xor(sum, 2);
      if (row + 8 * r >= p.N) continue;
      bf16* const to = p.o + (std::size_t(head) * p.N + row + 8 * r) * D + 2 * (ptx::lane() % 4);
      SMALTI_UNROLL for (int n = 0; n < T; ++n) *reinterpret_cast<uint32_t*>(to + 8 * n) = ptx::pack<bf16>(o[n][2 * r] / sum, o[n][2 * r + 1] / sum);
    }
  }
};

/// −∞ where a key lies after the query. `row` is the first of the lane's two, `key` the block's first.
template <int T>
SMALTI_D void mask(float (&s)[T][4], int row, int key) {
  SMALTI_UNROLL for (int n = 0; n < T; ++n)
    SMALTI_UNROLL for (int i = 0; i < 4; ++i)
      if (key + 8 * n + 2 * (ptx::lane() % 4) + i % 2 > row + 8 * (i / 2)) s[n][i] = -INFINITY;
}

/// P as the A operand of the next product: an accumulator's registers already lie where the operand wants them.
template <int T>
SMALTI_D void pack(uint32_t (&p)[T / 2][4], float const (&s)[T][4]) {
  SMALTI_UNROLL for (int i = 0; i < T / 2; ++i)
    SMALTI_UNROLL for (int c = 0; c < 4; ++c) p[i][c] = ptx::pack<bf16>(s[2 * i + c / 2][c % 2 * 2], s[2 * i + c / 2][c % 2 * 2 + 1]);
}

}  // namespace ladder
