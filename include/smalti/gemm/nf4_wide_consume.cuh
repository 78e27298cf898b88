#pragma once
// The computing half of the NF4 product for many tokens on Hopper: a warpgroup, 64 rows of W. The codes of a lane are already in the
// order of wgmma's left operand (PTX ISA 9.0, §9.7.15.5.1), so W is decoded into registers: of step i + 1 while the tensor cores work on step i.
//
// A byte is two levels by one look-up, as in nf4_sm80.cuh. Few tokens are summed over 64 columns, and absmax multiplies the sums, as
// there. For many, absmax is split into two numbers of x's type, high + low, and Ŵ = fma(level, high, level · low): level · absmax
// rounded to x's type, as bitsandbytes has it, but for ties that the last bits of level · low decide.

#include "../cuda/ptx_pairs.cuh"
#include "../cuda/ptx_wgmma.cuh"
#include "nf4_sm80.cuh"
#include "nf4_wide_tile.hpp"

namespace smalti::detail {

/// absmax of a lane's two rows, g and g + 8 of a tile of 16. Lane q of four has those of step 4i + q, and of the four steps after in flight.
template <class T, class Scales, bool Split>
struct nf4_wide_scales {
  static constexpr bool nested = requires(Scales s) { s.map; };
  nf4_panels<Scales> const* w;
  uint32_t map;          // where this lane's copy of the map is
  index place, row[2];   // of the lane's scales in step 0 of the panel · of its rows, in elements of W
  uint32_t held[2] = {};  // as a float, or split: high | low << 16
  struct { uint2 raw; float group[2]; } ahead{};

  SMALTI_D void begin(nf4_panels<Scales> const& of, nf4_table table, int which, int panel, int tile) {
    int const g = ptx::lane() / 4;
    w = &of, map = table.own_map(which);
    place = index(panel) * nf4_panel::steps(of.k) * nf4_panel::scales + g * 8 + 2 * tile;
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) row[r] = index(min(panel * nf4_panel::rows + 16 * tile + 8 * r + g, of.n - 1)) * of.k;
  }
  /// step: of 64 columns, the first of four; clamped to the last, whose scales are then read again.
  SMALTI_D void fetch(int step) {
    step = min(step + ptx::lane() % 4, w->k / 64 - 1);
    index const at = place + step / 2 * nf4_panel::scales + step % 2 * 4;
    if constexpr (nested) {
      ahead.raw.x = __ldg(reinterpret_cast<unsigned short const*>(w->scales.code + at));
      SMALTI_UNROLL for (int r = 0; r < 2; ++r) ahead.group[r] = __ldg(w->scales.nested + ((row[r] + 64 * step) >> w->scales.span));
    } else {
      ahead.raw = __ldg(reinterpret_cast<uint2 const*>(w->scales.absmax + at));
    }
  }
  SMALTI_D void take() {
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      float s;
      if constexpr (nested) s = __fadd_rn(__fmul_rn(nf4_table::map(ahead.raw.x, r, map), ahead.group[r]), w->scales.offset);
      else s = __uint_as_float(r ? ahead.raw.y : ahead.raw.x);
      if constexpr (Split) {
        float const high = ptx::widen_low<T>(ptx::pack<T>(s, 0.f));
        held[r] = ptx::pack<T>(high, s - high);
      } else {
        held[r] = __float_as_uint(s);
      }
    }
  }
  SMALTI_D uint32_t of(int r, int step) const { return __shfl_sync(~0u, held[r], (ptx::lane() & 28) + step % 4); }
};

/// A step of 64 columns on its way through the tensor cores.
struct nf4_wide_step {
  uint32_t a[4][4];  // Ŵ, or Ŵ / absmax: the left operands of four times 16 columns      (64, 64)
  float s[2];        // absmax of rows g and g + 8, where it multiplies sums
};

template <class Config, class X, class Scales>
struct nf4_wide_warp {
  static constexpr int tiles = Config::tokens / 8;
  static constexpr bool scales_sums = Config::scales_sums;
  nf4_wide_scales<X, Scales, !scales_sums> scales;
  uint32_t pairs;           // where this lane's copy of the table is
  float acc[tiles][4];      // rows g, g + 8 × tokens 2q, 2q + 1 of every tile of 8
  float d[scales_sums ? tiles : 1][4];  // of one step, without absmax

  SMALTI_D void decode(nf4_wide_step& to, unsigned char const* codes, int step) {
    uint4 const c = ptx::load_shared_16(codes + 16 * ptx::lane());
    uint32_t const s[2] = {scales.of(0, step), scales.of(1, step)};
    auto& a = to.a;
    nf4_table::decode(a[0], c.x, pairs), nf4_table::decode(a[1], c.y, pairs), nf4_table::decode(a[2], c.z, pairs), nf4_table::decode(a[3], c.w, pairs);
    if constexpr (scales_sums) {
      to.s[0] = __uint_as_float(s[0]), to.s[1] = __uint_as_float(s[1]);
    } else {
      uint32_t const high[2] = {ptx::select_bytes(s[0], s[0], 0x1010), ptx::select_bytes(s[1], s[1], 0x1010)};
      uint32_t const low[2] = {ptx::select_bytes(s[0], s[0], 0x3232), ptx::select_bytes(s[1], s[1], 0x3232)};
      SMALTI_UNROLL for (int i = 0; i < 16; ++i) {
        uint32_t& v = a[i / 4][i % 4];
        v = ptx::fma2<X>(v, high[i % 2], ptx::mul2<X>(v, low[i % 2]));
      }
    }
  }
  /// Sums += Ŵ · xᵀ; x as TMA's 128-byte swizzle leaves it.                      (64, tokens)
  SMALTI_D void start(nf4_wide_step& of, void const* x, bool accumulate) {
    ptx::pin(of.a);
    ptx::wgmma_fence();
    uint64_t const b = ptx::wgmma_operand(x);
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
      if constexpr (scales_sums) ptx::wgmma<X>(d, of.a[i], ptx::wgmma_advance(b, 32 * i), i > 0);
      else ptx::wgmma<X>(acc, of.a[i], ptx::wgmma_advance(b, 32 * i), i > 0 || accumulate);
    }
    ptx::wgmma_commit();
  }
  /// After the wait for it.
  SMALTI_D void finish(nf4_wide_step& of) {
    ptx::pin(of.a);
    if constexpr (scales_sums) {
      ptx::pin(d);
      SMALTI_UNROLL for (int i = 0; i < 4 * tiles; ++i) acc[i / 4][i % 4] = fmaf(d[i / 4][i % 4], of.s[i % 4 / 2], acc[i / 4][i % 4]);
    }
  }

  /// The dense terms: a few more columns of K. row: of W, the warp's first; token: the tile's first.
  SMALTI_D void add_terms(nf4_operand<X, Scales> const& of, int row, int n_all, int token, int m) {
    int const g = ptx::lane() / 4, q = ptx::lane() % 4;
    for (int one = 0; one < of.terms; ++one) {
      dense_term<X> const& l = of.dense[one];
      for (int k = 0; k < l.rank; k += 16) {
        auto const pair = [&](X const* row_at, int column) {                     // columns beyond the rank count as zeros
          return column < l.rank ? *reinterpret_cast<uint32_t const*>(row_at + column) : 0u;
        };
        uint32_t a[4];                                                           // B                        (16, 16)
        SMALTI_UNROLL for (int i = 0; i < 4; ++i) a[i] = pair(l.b + min(row + 8 * (i % 2) + g, n_all - 1) * l.row_b, k + 2 * q + i / 2 * 8);
        SMALTI_UNROLL for (int n = 0; n < tiles; ++n) {
          X const* const from = l.t + min(token + 8 * n + g, m - 1) * l.row_t;
          float d[4] = {};
          ptx::mma_m16n8k16<X>(d, a, pair(from, k + 2 * q), pair(from, k + 2 * q + 8));
          SMALTI_UNROLL for (int i = 0; i < 4; ++i) acc[n][i] = fmaf(l.scale, d[i], acc[n][i]);
        }
      }
    }
  }
};

}  // namespace smalti::detail
