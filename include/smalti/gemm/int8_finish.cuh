#pragma once
// What happens to the exact 32-bit sums of an integer product: scales, outlier columns and other terms in 16 bits, the epilogue, and the
// way out. Both engines end here; their fragments are alike.

#include "../cuda/ptx_int8.cuh"
#include "../cuda/ptx_pairs.cuh"
#include "../quant/device_llm_int8.cuh"
#include "dense_kernel.cuh"

namespace smalti {

/// y = e(scale · x · Wᵀ + terms), x quantised into `room`.
template <class X, class Y>
struct int8_problem {
  static constexpr int most_terms = 4;
  detail::int8_room<X> room;
  X const* x;            ///< (M, K) as it came, for outlier columns that were not gathered
  int8_t const* w;       ///< (N, K)
  float const* w_scale;  ///< (N)
  Y* y;                  ///< (M, N)
  index row_x, row_y;
  int m, n, k;
  float scale;           ///< of the sum, over 127
  int terms;
  row_term<X> dense[most_terms];
};

#if defined(__CUDACC__)
namespace detail {

/// Eight neighbours of a row of y that a lane holds in two words a time, or four times two floats; n + 8 may pass N.
template <class Y>
SMALTI_D void int8_put(Y* to, uint4 v, int left, bool aligned) {
  if (aligned && left >= 8) {
    *reinterpret_cast<uint4*>(to) = v;
    return;
  }
  uint32_t const word[4] = {v.x, v.y, v.z, v.w};
  SMALTI_UNROLL for (int i = 0; i < 8; ++i)
    if (i < left) to[i] = __builtin_bit_cast(Y, uint16_t(word[i / 2] >> i % 2 * 16));
}

/// A row of 128 bytes of a tile in shared memory, in whole 16 bytes: neighbours of a column are in different banks, as TMA's swizzle has it.
SMALTI_HD constexpr int int8_at(int row, int chunk) { return row * 128 + (chunk ^ row % 8) * 16; }

/// What a warp takes along on the way out: all of it in shared memory but `scale`.
struct int8_luggage {
  float scale[2];          ///< of the lane's rows of x, over 127
  float const* scales;     ///< of the rows of W, times the problem's
  int outliers;
  unsigned char const *x, *w;  ///< the gathered columns of the tile, where there are any: rows of 128 bytes
  int x_row, w_row;        ///< the warp's first in them
};

/// Some of a warp's sums on their way out: rows g, g + 8 of 16 tokens from `token` on × columns 2q, 2q + 1 of every 8 rows of W from `row` on.
template <int Tiles, class X, class Y>
struct int8_part {
  int8_problem<X, Y> const& p;
  int token, row, at[2];  // at: the lane's two tokens, clamped
  int g = ptx::lane() / 4, q = ptx::lane() % 4;
  float v[Tiles][4];

  SMALTI_D int8_part(int8_problem<X, Y> const& p, int token, int row) : p(p), token(token), row(row) {
    at[0] = min(token + g, p.m - 1), at[1] = min(token + g + 8, p.m - 1);
  }
  SMALTI_D index row_of_w(int t) const { return min(row + 8 * t + g, p.n - 1); }  ///< the lane's, as the right operand of mma

  /// v += 16 of the outlier columns, from c on: x as it is, W's codes, which 16 bits hold exactly.
  SMALTI_D void add_gathered(int8_luggage const& with, int c) {
    int const lane = ptx::lane(), chunk = c / 8;
    uint32_t a[4], b[4];
    ptx::ldmatrix_x4(a, with.x + int8_at(with.x_row + lane % 16, chunk + lane / 16));
    SMALTI_UNROLL for (int t = 0; t < Tiles; t += 2) {
      ptx::ldmatrix_x4(b, with.w + int8_at(with.w_row + 8 * t + lane / 16 * 8 + lane % 8, chunk + lane / 8 % 2));
      ptx::mma_m16n8k16<X>(v[t], a, b[0], b[1]), ptx::mma_m16n8k16<X>(v[t + 1], a, b[2], b[3]);
    }
  }
  /// The same of columns beyond the room, one by one.
  SMALTI_D void add_scattered(int c, int outliers) {
    int column[4];
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
      int const j = c + 2 * q + i % 2 + i / 2 * 8;
      column[i] = j < outliers ? p.room.columns[1 + j] : -1;
    }
    auto const pair = [&](auto&& value, int half) { return ptx::pack<X>(column[half] < 0 ? 0.f : value(column[half]), column[half + 1] < 0 ? 0.f : value(column[half + 1])); };
    uint32_t a[4];
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) a[i] = pair([&](int j) { return ptx::widen_one(p.x[at[i % 2] * p.row_x + j]); }, i / 2 * 2);
    SMALTI_UNROLL for (int t = 0; t < Tiles; ++t) {
      auto const code = [&](int j) { return float(p.w[row_of_w(t) * p.k + j]); };
      ptx::mma_m16n8k16<X>(v[t], a, pair(code, 0), pair(code, 2));
    }
  }
  /// v += scale · t · Bᵀ.
  SMALTI_D void add_term(row_term<X> const& l) {
    for (int k = 0; k < l.rank; k += 16) {
      auto const pair = [&](X const* from, int column) { return column < l.rank ? *reinterpret_cast<uint32_t const*>(from + column) : 0u; };  // beyond the rank zeros
      uint32_t a[4];
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) a[i] = pair(l.t + at[i % 2] * l.row_t, k + 2 * q + i / 2 * 8);
      SMALTI_UNROLL for (int t = 0; t < Tiles; ++t) {
        X const* const from = l.b + row_of_w(t) * l.row_b;
        float d[4] = {};
        ptx::mma_m16n8k16<X>(d, a, pair(from, k + 2 * q), pair(from, k + 2 * q + 8));
        SMALTI_UNROLL for (int i = 0; i < 4; ++i) v[t][i] = fmaf(l.scale, d[i], v[t][i]);
      }
    }
  }
  /// Through the epilogue, and to y.
  template <class Out>
  SMALTI_D void store(Out const& out, bool aligned) {
    SMALTI_UNROLL for (int half = 0; half < 2; ++half) {
      int const m = token + g + 8 * half;
      bool const mine = m < p.m;
      Y* const y = p.y + m * p.row_y;
      SMALTI_UNROLL for (int t = 0; t < Tiles; ++t)
        SMALTI_UNROLL for (int i = 0; i < 2; ++i)
          if (int const n = row + 8 * t + 2 * q + i; mine && n < p.n) v[t][2 * half + i] = out(v[t][2 * half + i], m, n);
      if constexpr (sizeof(Y) == 2) {
        SMALTI_UNROLL for (int t = 0; t < Tiles; t += 4) {                    // a lane has two columns of each of four tiles; after, all of one
          uint32_t word[4];
          SMALTI_UNROLL for (int i = 0; i < 4; ++i) word[i] = ptx::pack<Y>(v[t + i][2 * half], v[t + i][2 * half + 1]);
          ptx::transpose_quad(word);
          int const n = row + 8 * (t + q);
          if (mine && n < p.n) int8_put(y + n, {word[0], word[1], word[2], word[3]}, p.n - n, aligned);
        }
      } else {
        SMALTI_UNROLL for (int t = 0; t < Tiles; ++t) {
          int const n = row + 8 * t + 2 * q;
          float2 const two = {v[t][2 * half], v[t][2 * half + 1]};
          if (!mine || n >= p.n) continue;
          if (aligned && n + 2 <= p.n) *reinterpret_cast<float2*>(y + n) = two;
          else {
            y[n] = Y(two.x);
            if (n + 1 < p.n) y[n + 1] = Y(two.y);
          }
        }
      }
    }
  }
};

/// The scale of the lane's upper or lower row of x.
template <class X, class Y>
SMALTI_D float int8_row_scale(int8_problem<X, Y> const& p, int token, int half) { return p.room.scale[min(token + ptx::lane() / 4 + 8 * half, p.m - 1)]; }

/// The exact sums of a whole warp: scales, all else, and out. Four or eight tiles at a time, for registers are short.
template <int Tiles, class X, class Y, epilogue Out>
SMALTI_D void int8_finish(int (&acc)[Tiles][4], int8_problem<X, Y> const& p, Out const& out, int token, int row, int8_luggage with) {
  constexpr int some = min(Tiles, 8);
  static_assert(Tiles % some == 0 && some % 4 == 0);
  bool const aligned = p.row_y * index(sizeof(Y)) % 16 == 0 && reinterpret_cast<uint64_t>(p.y) % 16 == 0;
  SMALTI_UNROLL for (int first = 0; first < Tiles; first += some, with.scales += 8 * some, with.w_row += 8 * some) {
    ptx::pin(acc);                                                            // one part after another
    int8_part<some, X, Y> part(p, token, row + 8 * first);
    SMALTI_UNROLL for (int i = 0; i < 4 * some; ++i) part.v[i / 4][i % 4] = float(acc[first + i / 4][i % 4]) * with.scale[i % 4 / 2];
    for (int c = 0; c < with.outliers; c += 16) c < int8_gathered ? part.add_gathered(with, c) : part.add_scattered(c, with.outliers);
    SMALTI_UNROLL for (int t = 0; t < some; ++t) {
      float2 const by = *reinterpret_cast<float2 const*>(with.scales + 8 * t + 2 * part.q);
      part.v[t][0] *= by.x, part.v[t][1] *= by.y, part.v[t][2] *= by.x, part.v[t][3] *= by.y;
    }
    for (int i = 0; i < p.terms; ++i) part.add_term(p.dense[i]);
    part.store(out, aligned);
  }
}

/// Which tile of y: neighbours share rows of W, eight tiles of tokens at a time, so that both operands stay in the cache.
struct int8_order {
  int rows, columns;  ///< tiles of W's rows · of tokens
  struct place { int row, column; };
  SMALTI_HD constexpr place operator()(int i) const {
    int const band = i / (8 * rows), width = min(8, columns - 8 * band), rest = i - 8 * rows * band;
    return {rest / width, 8 * band + rest % width};
  }
};

}  // namespace detail
#endif

}  // namespace smalti
