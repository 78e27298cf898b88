#pragma once
// Dense terms (LoRA: Hu et al. 2021, eq. 3) of an NF4 product for few tokens whose operands wait in shared memory: B comes while x is on its way, t while the last
// weights are multiplied. Read where they lie, once the sums are complete, they cost a trip to the memory that nothing hides.

#include "../cuda/ptx_rows.cuh"
#include "nf4_sm80.cuh"

namespace smalti::detail {

/// Columns of t that some rows of W pass.
struct nf4_band { int begin, end; };

/// Those of rows row0 … row0 + rows − 1, of which n exist.
template <class X>
SMALTI_HD nf4_band nf4_band_of(dense_term<X> const& l, int row0, int rows, int n) {
  int const last = min(row0 + rows, n) - 1;
  for (int i = 0; i < l.bands.count; ++i)
    if (int const first = i ? l.bands.row[i - 1] : 0; first <= row0 && last < l.bands.row[i]) return {i ? l.bands.column[i - 1] : 0, l.bands.column[i]};
  return {0, l.rank};
}

/// Decides where the operands of a sum's terms wait; row 0: they are read where they lie, as all are but one term whose rows begin at multiples of 16 bytes. granule: rows of W that
/// are multiplied together; multiple: of columns that are.
template <class X, class Scales>
void nf4_stage_terms(nf4_staged& to, int& at, nf4_operand<X, Scales> const& of, int rows, int granule, int multiple, int n, int tokens) {
  if (of.terms != 1) return;
  dense_term<X> const& l = of.dense[0];
  bool able = reinterpret_cast<std::uintptr_t>(l.b) % 16 == 0 && reinterpret_cast<std::uintptr_t>(l.t) % 16 == 0 && l.row_b % 8 == 0 && l.row_t % 8 == 0;
  able = able && l.rank % multiple == 0 && l.rank <= 256;
  bool whole = l.bands.count == 0;                                            // some rows may pass all columns
  int width = 0;
  for (int i = 0; i < l.bands.count; ++i) {
    int const begin = i ? l.bands.column[i - 1] : 0;
    able = able && begin % multiple == 0 && l.bands.column[i] % multiple == 0, whole = whole || (l.bands.row[i] % granule && l.bands.row[i] < n), width = max(width, l.bands.column[i] - begin);
  }
  if (!able || (!whole && width == 0)) return;
  if (whole) width = l.rank;
  auto const padded = [](int columns) { return 2 * columns + (columns % 32 ? columns % 16 ? 16 : 0 : 32); };  // four rows are read at a time, 8 bytes a lane, from different banks
  to.row = padded(width), to.row_t = padded(l.rank), to.at = at, to.t = at + rows * to.row, at = to.t + tokens * to.row_t;
  while (8 << to.pieces_log2 < width) ++to.pieces_log2;
  while (8 << to.pieces_t_log2 < l.rank) ++to.pieces_t_log2;
}

/// B of rows row0 … row0 + rows − 1 on their way, the columns that their granule passes; those beyond n are repeated. By `step` threads, of which this is `thread`.
template <int Granule, class X>
SMALTI_D void nf4_fetch_b(unsigned char* smem, nf4_staged const& to, dense_term<X> const& l, int row0, int rows, int n, int thread, int step) {
  SMALTI_ROLLED for (int i = thread; i >> to.pieces_log2 < rows; i += step) {
    int const row = i >> to.pieces_log2, c = 8 * (i & (1 << to.pieces_log2) - 1);
    nf4_band const band = nf4_band_of(l, row0 + row & -Granule, Granule, n);
    if (band.begin + c < band.end) ptx::cp_async_16(smem + to.at + row * to.row + 2 * c, l.b + min(row0 + row, n - 1) * l.row_b + band.begin + c, true);
  }
}
/// t of tokens first, first + stride, …, by one warp.
template <class X>
SMALTI_D void nf4_fetch_t(unsigned char* smem, nf4_staged const& to, dense_term<X> const& l, int m, int first = 0, int stride = 1) {
  SMALTI_ROLLED for (int i = ptx::lane();; i += 32) {
    int const token = first + stride * (i >> to.pieces_t_log2), c = 8 * (i & (1 << to.pieces_t_log2) - 1);
    if (token >= m) break;
    if (c < l.rank) ptx::cp_async_16(smem + to.t + token * to.row_t + 2 * c, l.t + token * l.row_t + c, true);
  }
}

/// sums += scale · Σ b · t over the columns that one of eight lanes takes, for four rows of W: b and t give two columns of row i, or of the token.
template <class X, class B, class T>
SMALTI_D void nf4_add_columns(float (&sums)[4], int width, float scale, B const& b, T const& t) {
  float v[4] = {};
  _Pragma("unroll 2") for (int c = ptx::thread() % 8 * 2; c < width; c += 16) {
    float2 const u = ptx::widen<X>(t(c));
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
      float2 const w = ptx::widen<X>(b(i, c));
      v[i] = fmaf(w.x, u.x, fmaf(w.y, u.y, v[i]));
    }
  }
  SMALTI_UNROLL for (int i = 0; i < 4; ++i) sums[i] = fmaf(scale, v[i], sums[i]);
}
/// What one of eight lanes adds for a token and four rows of W, from `row` on, row0 being the block's first.
template <int Granule, class X, class Scales>
SMALTI_D float4 nf4_terms_of_four(unsigned char const* smem, nf4_staged const& at, nf4_operand<X, Scales> const& of, int row0, int row, int n, int token) {
  auto const word = [](void const* p) { return *static_cast<uint32_t const*>(p); };
  float sums[4] = {};
  if (at.row) {
    dense_term<X> const& l = of.dense[0];
    nf4_band const band = nf4_band_of(l, row & -Granule, Granule, n);
    unsigned char const *const b = smem + at.at + (row - row0) * at.row, *const t = smem + at.t + token * at.row_t + 2 * band.begin;
    nf4_add_columns<X>(sums, band.end - band.begin, l.scale, [&](int i, int c) { return word(b + i * at.row + 2 * c); }, [&](int c) { return word(t + 2 * c); });
  } else {
    for (int one = 0; one < of.terms; ++one) {
      dense_term<X> const& l = of.dense[one];
      nf4_add_columns<X>(sums, l.rank, l.scale, [&](int i, int c) { return word(l.b + min(row + i, n - 1) * l.row_b + c); }, [&](int c) { return word(l.t + token * l.row_t + c); });
    }
  }
  return {sums[0], sums[1], sums[2], sums[3]};
}

/// sums (16 rows of W, 8 · Tiles tokens) ← terms, as mma leaves them, columns beyond M of anything. row: the first; staged_b, staged_t: its B and the warp's t in shared memory.
template <int Tiles, class X, class Scales>
SMALTI_D void nf4_terms_of_tile(float (&sums)[Tiles][4], unsigned char const* staged_b, unsigned char const* staged_t, nf4_staged const& at, nf4_operand<X, Scales> const& of, int row, int n, int m) {
  int const g = ptx::lane() / 4, q = ptx::lane() % 4;
  auto const token = [&](int tile) { return min(8 * tile + g, m - 1); };
  SMALTI_UNROLL for (int i = 0; i < 4 * Tiles; ++i) sums[i / 4][i % 4] = 0;
  auto const multiply = [&](int width, float scale, auto const& b, auto const& t) {  // fragments hold columns 4q … 4q + 3, alike in B and t
    float d[Tiles][4] = {};
    SMALTI_ROLLED for (int c = 4 * q; c < width; c += 16) {
      uint2 const v[2] = {b(0, c), b(8, c)};
      SMALTI_UNROLL for (int i = 0; i < Tiles; ++i) {
        uint2 const u = t(i, c);
        ptx::mma_m16n8k16<X>(d[i], {v[0].x, v[1].x, v[0].y, v[1].y}, u.x, u.y);
      }
    }
    SMALTI_UNROLL for (int i = 0; i < 4 * Tiles; ++i) sums[i / 4][i % 4] = fmaf(scale, d[i / 4][i % 4], sums[i / 4][i % 4]);
  };
  if (at.row) {
    auto const& l = of.dense[0];
    nf4_band const band = nf4_band_of(l, row, 16, n);
    auto const four = [](void const* p) { return *static_cast<uint2 const*>(p); };
    unsigned char const *const b = staged_b + g * at.row, *t[Tiles];
    SMALTI_UNROLL for (int i = 0; i < Tiles; ++i) t[i] = staged_t + token(i) * at.row_t + 2 * band.begin;
    multiply(band.end - band.begin, l.scale, [&](int r, int c) { return four(b + r * at.row + 2 * c); }, [&](int i, int c) { return four(t[i] + 2 * c); });
  } else {
    for (int one = 0; one < of.terms; ++one) {
      dense_term<X> const& l = of.dense[one];
      auto const four = [&](X const* p, int c) {                              // columns beyond the rank count as zeros
        auto const two = [&](int at) { return at < l.rank ? *reinterpret_cast<uint32_t const*>(p + at) : 0u; };
        return uint2{two(c), two(c + 2)};
      };
      multiply(round_up(l.rank, 16), l.scale, [&](int r, int c) { return four(l.b + min(row + r + g, n - 1) * l.row_b, c); }, [&](int i, int c) { return four(l.t + token(i) * l.row_t, c); });
    }
  }
}

}  // namespace smalti::detail
