#pragma once
// y (M, N) = e(x (M, K) · Wᵀ + …) for a few tokens and rows of plain or INT8 weights on a device, where the time is that of reading W:
// mma.sync with W as the left operand (PTX ISA 9.0, §9.7.14), one to eight tokens for the price of one.
//
// The sum over K has no order, so fragments need not hold the columns that the instruction names: a lane takes 16 bytes of a row as
// they lie, a quad 64 neighbours, and x is read in the same order. No repacking, no shared memory for W or x.

#include "../cuda/launch.cuh"
#include "../cuda/ptx_rows.cuh"
#include "epilogue.hpp"

namespace smalti {

/// scale · t (M, rank) · Bᵀ, B (N, rank), both of x's type.
template <class X>
struct row_term {
  X const *t, *b;
  index row_t, row_b;  ///< even, as rank
  int rank;
  float scale;
};

/// One sum: scale · x · Wᵀ and terms. W: x's type, or int8_t with a scale for each row.
template <class X, class W>
struct row_operand {
  static constexpr int most_terms = 4;
  W const* w;              ///< (N, K)
  float const* row_scale;  ///< (N), INT8
  float scale;
  int terms;
  row_term<X> dense[most_terms];
};

template <class X, class W, class Y>
struct row_problem {
  X const* x;  ///< (M, K), rows 16-byte aligned
  Y* y;        ///< (M, N)
  index row_x, row_y;
  int m, n, k;
  bool pair;                   ///< y = silu(sum[0]) ⊙ sum[1], else y = sum[0]
  row_operand<X, W> sum[2];
};

namespace detail {

inline constexpr int row_warps = 8;  ///< of a block; they share K

#if defined(__CUDACC__)
/// What a warp reads at once: 16 rows × Units of 64 bytes, two rows a lane.
template <class X, class W, int Units>
struct row_batch {
  static constexpr int each = 16 / int(sizeof(W)), unit = 4 * each, units = Units, columns = Units * unit;
  uint4 w[Units][2];

  SMALTI_D void fetch(W const* row0, W const* row1, int first, int k) {
    SMALTI_UNROLL for (int u = 0; u < Units; ++u) {
      int const c = first + u * unit + ptx::lane() % 4 * each;
      bool const there = c < k;
      w[u][0] = there ? ptx::load_once_16(row0 + c) : uint4{}, w[u][1] = there ? ptx::load_once_16(row1 + c) : uint4{};
    }
  }
};

/// x for one batch, in the order of W's words: [unit][half of an INT8 unit].
template <class X, class W, int Units>
struct row_tokens {
  static constexpr int halves = 2 / int(sizeof(W));
  uint4 x[Units][halves];

  /// from: this lane's token.
  SMALTI_D void fetch(X const* from, int first, int k) {
    using batch = row_batch<X, W, Units>;
    SMALTI_UNROLL for (int u = 0; u < Units; ++u) {
      int const c = first + u * batch::unit + ptx::lane() % 4 * batch::each;
      SMALTI_UNROLL for (int h = 0; h < halves; ++h) x[u][h] = c < k ? *reinterpret_cast<uint4 const*>(from + c + 8 * h) : uint4{};
    }
  }
};

/// acc[t] += W · x[t]ᵀ for Tiles tiles of tokens.
template <class X, class W>
struct row_multiplier {
  template <int Units, int Tiles>
  SMALTI_D void operator()(float (*acc)[4], row_batch<X, W, Units> const& a, row_tokens<X, W, Units> const (&b)[Tiles]) const {
    SMALTI_UNROLL for (int u = 0; u < Units; ++u) {
      uint4 const a0 = a.w[u][0], a1 = a.w[u][1];
      SMALTI_UNROLL for (int t = 0; t < Tiles; ++t) {
        uint4 const v = b[t].x[u][0];
        ptx::mma_m16n8k16<X>(acc[t], {a0.x, a1.x, a0.y, a1.y}, v.x, v.y), ptx::mma_m16n8k16<X>(acc[t], {a0.z, a1.z, a0.w, a1.w}, v.z, v.w);
      }
    }
  }
};
template <class X>
struct row_multiplier<X, int8_t> {
  ptx::byte_widener<X> widen;

  template <int Units, int Tiles>
  SMALTI_D void operator()(float (*acc)[4], row_batch<X, int8_t, Units> const& a, row_tokens<X, int8_t, Units> const (&b)[Tiles]) const {
    SMALTI_UNROLL for (int u = 0; u < Units; ++u) {
      uint32_t const a0[4] = {a.w[u][0].x, a.w[u][0].y, a.w[u][0].z, a.w[u][0].w}, a1[4] = {a.w[u][1].x, a.w[u][1].y, a.w[u][1].z, a.w[u][1].w};
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
        uint32_t p[2], q[2];
        widen(p, a0[i]), widen(q, a1[i]);
        SMALTI_UNROLL for (int t = 0; t < Tiles; ++t) {
          uint4 const v = b[t].x[u][i / 2];
          ptx::mma_m16n8k16<X>(acc[t], {p[0], q[0], p[1], q[1]}, i % 2 ? v.z : v.x, i % 2 ? v.w : v.y);
        }
      }
    }
  }
};

/// The terms of one sum, by one warp, into rows `half` (0: the first eight, 1: the last, 2: all) of its accumulators.
template <class X, class W, int Tiles>
SMALTI_D void add_row_terms(float (&acc)[Tiles][4], row_operand<X, W> const& of, int row0, int row1, int half, int token0, int m) {
  int const g = ptx::lane() / 4, q = ptx::lane() % 4;
  for (int one = 0; one < of.terms; ++one) {
    row_term<X> const& l = of.dense[one];
    for (int k = 0; k < l.rank; k += 16) {
      auto const pair = [&](X const* row_at, int column, bool wanted) {       // columns beyond the rank count as zeros
        return wanted && column < l.rank ? *reinterpret_cast<uint32_t const*>(row_at + column) : 0u;
      };
      X const *const b0 = l.b + row0 * l.row_b, *const b1 = l.b + row1 * l.row_b;
      uint32_t const a[4] = {pair(b0, k + 2 * q, half != 1), pair(b1, k + 2 * q, half != 0), pair(b0, k + 2 * q + 8, half != 1), pair(b1, k + 2 * q + 8, half != 0)};
      SMALTI_UNROLL for (int t = 0; t < Tiles; ++t) {
        X const* const from = l.t + min(token0 + 8 * t + g, m - 1) * l.row_t;
        float d[4] = {};
        ptx::mma_m16n8k16<X>(d, a, pair(from, k + 2 * q, true), pair(from, k + 2 * q + 8, true));
        SMALTI_UNROLL for (int i = 0; i < 4; ++i) acc[t][i] = fmaf(l.scale, d[i], acc[t][i]);
      }
    }
  }
}

/// Grid: (tiles of tokens, blocks). A block takes groups of 16 rows (of a pair: 8 of each) in turn; its warps share their columns.
template <int Tiles, class X, class W, class Y, epilogue Out>
__global__ void __launch_bounds__(32 * row_warps, 2) rows_kernel(__grid_constant__ row_problem<X, W, Y> const p, __grid_constant__ Out const out) {
#if defined(__CUDA_ARCH__)
  // With two tiles of tokens registers are short: INT8 takes half a batch, 16-bit weights one tile after the other.
  constexpr int tokens = 8 * Tiles, units = Tiles == 2 && sizeof(W) == 1 ? 2 : 4, together = sizeof(W) == 1 ? Tiles : 1;
  using batch = row_batch<X, W, units>;
  __shared__ float part[2][row_warps][tokens][17];
  int const pair = p.pair, rows = 16 >> pair, groups = ceil_div(p.n, rows), batches = ceil_div(p.k, batch::columns), warp = ptx::warp(), g = ptx::lane() / 4;
  int const token0 = blockIdx.x * tokens;
  auto const row_of = [&](int group, int half) { return min(group * rows + g + (pair ? 0 : 8 * half), p.n - 1); };
  batch ahead;
  auto const fetch = [&](int group, int b) {
    ahead.fetch(p.sum[0].w + index(row_of(group, 0)) * p.k, p.sum[pair].w + index(row_of(group, 1)) * p.k, b * batch::columns, p.k);
  };
  int group = blockIdx.y;
  if (warp < batches) fetch(group, warp);                                     // weights first: they do not wait for anything
  ptx::launch_dependents();
  ptx::wait_for_previous();                                                   // x may be the previous kernel's output
  X const* x[Tiles];
  SMALTI_UNROLL for (int t = 0; t < Tiles; ++t) x[t] = p.x + min(token0 + 8 * t + g, p.m - 1) * p.row_x;

  row_multiplier<X, W> const multiply;
  if (index(min(tokens, p.m - token0)) * p.k <= 48 << 10)                          // all of x into L1 at once: not a wait for each batch
    for (int token = token0; token < min(token0 + tokens, p.m); ++token)
      for (int c = 8 * ptx::thread(); c < p.k; c += 8 * 32 * row_warps) ptx::touch_16(p.x + token * p.row_x + c);
  int const never = blockDim.z - 1;                                           // 0, which the compiler cannot know

  for (int turn = 0; group < groups; group += gridDim.y, turn ^= 1) {
    float acc[Tiles][4] = {};
    int const row0 = row_of(group, 0), row1 = row_of(group, 1);
    float s0 = p.sum[0].scale, s1 = p.sum[pair].scale;
    if constexpr (sizeof(W) == 1) s0 *= p.sum[0].row_scale[row0], s1 *= p.sum[pair].row_scale[row1];
    for (int b = warp; b < batches; b += row_warps) {
      batch const now = ahead;
      bool const last = b + row_warps >= batches;
      int const next = last ? group + int(gridDim.y) : group;
      // Loads in flight share scoreboards: x waited for behind the next batch would wait for memory. So x comes first, out of L1, and
      // the next batch is made to depend on its arrival.
      SMALTI_UNROLL for (int t = 0; t < Tiles; t += together) {
        row_tokens<X, W, units> here[together];
        SMALTI_UNROLL for (int j = 0; j < together; ++j) here[j].fetch(x[t + j], b * batch::columns, p.k);
        if (t == 0 && next < groups) fetch(next, (last ? warp : b + row_warps) + int(here[together - 1].x[units - 1][0].w & never));
        multiply(acc + t, now, here);
      }
    }
    SMALTI_UNROLL for (int t = 0; t < Tiles; ++t)
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) acc[t][i] *= i < 2 ? s0 : s1;
    if (warp == 0) {
      add_row_terms(acc, p.sum[0], row0, row1, pair ? 0 : 2, token0, p.m);
      if (pair) add_row_terms(acc, p.sum[1], row0, row1, 1, token0, p.m);
    }
    SMALTI_UNROLL for (int t = 0; t < Tiles; ++t)
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) part[turn][warp][8 * t + ptx::lane() % 4 * 2 + i % 2][g + i / 2 * 8] = acc[t][i];
    __syncthreads();                                                          // the other half of `part` is free: its readers have come here
    for (int i = ptx::thread(); i < tokens * rows; i += 32 * row_warps) {
      int const token = token0 + i / rows, r = i % rows, n = group * rows + r;
      if (token >= p.m || n >= p.n) continue;
      auto const total = [&](int at) {
        float v = 0;
        SMALTI_UNROLL for (int w = 0; w < row_warps; ++w) v += part[turn][w][i / rows][at];
        return v;
      };
      float v = total(r);
      if (pair) v = silu{}(v, 0, 0) * total(r + 8);
      p.y[token * p.row_y + n] = Y(out(v, token, n));
    }
  }
#endif
}

template <class X, class W, class Y, epilogue Out>
status launch_rows(on_cuda const& where, row_problem<X, W, Y> const& p, launch_order order, Out const& out) {
  int const tiles = p.m <= 8 ? 1 : 2, columns = ceil_div(p.m, 8 * tiles), groups = ceil_div(p.n, p.pair ? 8 : 16);
  int const blocks = max(1, min(groups, 2 * multiprocessors() / columns));
  return launch(where, order, tiles == 1 ? rows_kernel<1, X, W, Y, Out> : rows_kernel<2, X, W, Y, Out>, dim3(unsigned(columns), unsigned(blocks)), 32 * row_warps, 0, p, out);
}
#endif

}  // namespace detail
}  // namespace smalti
