#pragma once
// A matrix spread over one warp, as mma.m16n8k16 leaves its result. PTX ISA 9.0, §9.7.14.5.8.

#include "../cuda/ptx.cuh"
#include "variant.hpp"

namespace smalti::detail {

/// A 16×N f32 accumulator: a lane holds rows g and g+8 (g = lane/4) and, in each, the column pairs 8n + 2(lane%4). The four lanes
/// of a quad share a row.
template <int N>
struct warp_block {
  static constexpr int rows = 2;
  float x[N / 8][4] = {};  // [n][2·row + column]
  int q0 = 0, k0 = 0, head = 0, batch = 0;

  template <class F>
  SMALTI_D void map(int r, F op) {
    SMALTI_UNROLL for (int n = 0; n < N / 8; ++n)
      SMALTI_UNROLL for (int c = 0; c < 2; ++c) x[n][2 * r + c] = op(x[n][2 * r + c]);
  }
  SMALTI_D float own_max(int r) const {  // of this lane's columns
    float v = fmaxf(x[0][2 * r], x[0][2 * r + 1]);
    SMALTI_UNROLL for (int n = 1; n < N / 8; ++n) v = fmaxf(v, fmaxf(x[n][2 * r], x[n][2 * r + 1]));
    return v;
  }
  /// f(element, place) for the elements of columns 8·n0 … 8·n1 − 1.
  template <class F>
  SMALTI_D void for_each(F f, int n0 = 0, int n1 = N / 8) {
    SMALTI_UNROLL for (int n = n0; n < n1; ++n)
      SMALTI_UNROLL for (int i = 0; i < 4; ++i)
        f(x[n][i], score_at{q0 + ptx::lane() / 4 + 8 * (i / 2), k0 + 8 * n + 2 * (ptx::lane() % 4) + i % 2, head, batch});
  }

  template <class Op>
  SMALTI_D static float over_row(float v, Op op) {  // over the quad's lanes
    v = op(v, ptx::shfl_xor(v, 1));
    return op(v, ptx::shfl_xor(v, 2));
  }
};

}  // namespace smalti::detail
