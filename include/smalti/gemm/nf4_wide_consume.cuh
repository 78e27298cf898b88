#pragma once
// The warps of the NF4 product for many tokens on Hopper: those that prepare scales, and a warpgroup that decodes and multiplies, 64 rows of W.
// The codes of a lane are already in the order of wgmma's left operand (PTX ISA 9.0, §9.7.15.5.1), so W is decoded into registers.
//
// A byte is two levels by one look-up, as in nf4_sm80.cuh. absmax is split into two numbers of x's type, high + low, and
// Ŵ = fma(level, high, level · low): level · absmax rounded to x's type, as bitsandbytes has it, but for ties that the last bits of
// level · low decide. Instructions bound the warps that multiply, so others prepare absmax for them, in shared memory.

#include "../cuda/ptx_pairs.cuh"
#include "../cuda/ptx_wgmma.cuh"
#include "nf4_sm80.cuh"
#include "nf4_wide_tile.hpp"

namespace smalti::detail {

/// absmax of two rows of W, g and g + 8 of a tile of 16, along K. A thread of the copying warpgroup.
template <class T, class Scales>
struct nf4_wide_scales {
  static constexpr bool nested = requires(Scales s) { s.map; };
  nf4_panels<Scales> const* w;
  uint32_t map;   // where this lane's copy of the map is
  index place;    // of the scales in step 0 of the panel
  index row[2];   // of the rows, in elements of W
  struct raw { uint2 bits; float group[2]; };  // of 64 columns, as they come from memory

  SMALTI_D void begin(nf4_panels<Scales> const& of, uint32_t own, int panel, int tile, int g) {
    w = &of, map = own;
    place = index(panel) * nf4_panel::steps(of.k) * nf4_panel::scales + g * 8 + 2 * tile;
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) row[r] = index(min(panel * nf4_panel::rows + 16 * tile + 8 * r + g, of.n - 1)) * of.k;
  }
  /// step: of 64 columns. Beyond K those of the last come again, for codes that are zero.
  SMALTI_D raw fetch(int step) const {
    step = min(step, w->k / 64 - 1);
    index const at = place + step / 2 * nf4_panel::scales + step % 2 * 4;
    raw v{};
    if constexpr (nested) {
      v.bits.x = __ldg(reinterpret_cast<unsigned short const*>(w->scales.code + at));
      SMALTI_UNROLL for (int r = 0; r < 2; ++r) v.group[r] = __ldg(w->scales.nested + ((row[r] + 64 * step) >> w->scales.span));
    } else {
      v.bits = __ldg(reinterpret_cast<uint2 const*>(w->scales.absmax + at));
    }
    return v;
  }
  /// {high of row g, of g + 8, low of row g, of g + 8}, each twice side by side.
  SMALTI_D uint4 split(raw const& v) const {
    uint32_t high[2], low[2];
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      float s;
      if constexpr (nested) s = __fadd_rn(__fmul_rn(nf4_table::map(v.bits.x, r, map), v.group[r]), w->scales.offset);
      else s = __uint_as_float(r ? v.bits.y : v.bits.x);
      high[r] = ptx::pack<T>(s, s);
      float const rest = s - ptx::widen_low<T>(high[r]);
      low[r] = ptx::pack<T>(rest, rest);
    }
    return {high[0], high[1], low[0], low[1]};
  }
};

/// Where a warp that multiplies is in the ring of stages.
struct nf4_wide_ring {
  unsigned char* first;  // stage 0
  int bytes, stages;     // of a stage · there are
  uint64_t *full, *empty;
  int stage = 0, lap = 0;

  SMALTI_D unsigned char* at() const { return first + stage * bytes; }
  SMALTI_D void await() const { ptx::mbarrier_wait(&full[stage], lap); }
  SMALTI_D void next() {
    if (++stage == stages) stage = 0, lap ^= 1;
  }
  /// Gives a stage back, by one lane for all: none reads it any more.
  SMALTI_D void release(int which, bool on = true) const {
    ptx::sync_warp();
    ptx::mbarrier_arrive_if(on && ptx::lane() == 0, &empty[which]);
  }
};

template <class Config, class X>
struct nf4_wide_warp {
  static constexpr int tiles = Config::tokens / 8;
  using memory = nf4_wide_memory<Config>;
  int pairs, own_codes, own_scales;  // where this lane's copy of the table is · its codes and scales in a stage
  float acc[tiles][4];  // rows g, g + 8 × tokens 2q, 2q + 1 of every tile of 8

  SMALTI_D void begin(nf4_table table, int group, int w) {
    pairs = ptx::here(int(table.own_pairs()));
    own_codes = ptx::here(memory::x + (2 * group + w / 2) * 32 * (Config::columns / 2) + w % 2 * 512 + 16 * ptx::lane());
    own_scales = ptx::here(memory::x + memory::codes + group * 512 + w * 128 + ptx::lane() / 4 * 16);
  }
  SMALTI_D uint4 codes(unsigned char const* stage, int part) const { return ptx::load_shared_16(stage + own_codes + 1024 * part); }
  /// Ŵ: the left operands of four times 16 columns. c: codes(stage, part).                      (64, 64)
  SMALTI_D void decode(uint32_t (&a)[4][4], uint4 c, unsigned char const* stage, int part) const {
    uint4 const s = ptx::load_shared_16(stage + own_scales + 512 * Config::groups * part);
    uint32_t const codes[4] = {c.x, c.y, c.z, c.w}, high[2] = {s.x, s.y}, low[2] = {s.z, s.w};
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) nf4_table::decode(a[i], codes[i], pairs);
    SMALTI_UNROLL for (int i = 0; i < 16; ++i) {
      uint32_t& v = a[i / 4][i % 4];
      v = ptx::fma2<X>(v, high[i % 2], ptx::mul2<X>(v, low[i % 2]));
    }
  }
  /// Sums += Ŵ · xᵀ; x as TMA's 128-byte swizzle leaves it.                      (64, tokens)
  SMALTI_D void start(uint32_t (&a)[4][4], void const* x, bool accumulate) {
    ptx::pin(a);
    ptx::wgmma_fence();
    uint64_t const b = ptx::wgmma_operand(x);
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) ptx::wgmma<X>(acc, a[i], ptx::wgmma_advance(b, 32 * i), i > 0 || accumulate);
    ptx::wgmma_commit();
  }
  /// Sums = Ŵ · xᵀ of the next `steps` stages, each given back once its products have ended.                       (64, tokens)
  SMALTI_D void multiply(nf4_wide_ring& ring, int steps) {
    int last = 0;                                                               // the stage before
    uint32_t even[4][4], odd[4][4];                                             // Ŵ of two times 64 columns
    if constexpr (Config::columns == 128) {                                     // the products of other warpgroups fill the time
      ring.await();
      uint4 c[2] = {codes(ring.at(), 0), codes(ring.at(), 1)};
      for (int i = 0; i < steps; ++i) {
        decode(even, c[0], ring.at(), 0), decode(odd, c[1], ring.at(), 1);
        start(even, ring.at(), i > 0);
        start(odd, ring.at() + Config::tokens * 128, true);
        last = ring.stage, ring.next();
        if (i + 1 < steps) ring.await(), c[0] = codes(ring.at(), 0), c[1] = codes(ring.at(), 1);
        ptx::wgmma_wait<0>(), ptx::pin(even), ptx::pin(odd);
        ring.release(last);
      }
      ptx::pin(acc);
    } else {                                                                    // while step i is multiplied, step i + 1 is decoded
      auto const decode_next = [&](uint32_t (&to)[4][4]) {
        ring.await();
        decode(to, codes(ring.at(), 0), ring.at(), 0);
      };
      auto const step = [&](uint32_t (&now)[4][4], uint32_t (&other)[4][4], int i) {
        start(now, ring.at(), i > 0);
        ptx::wgmma_wait<1>(), ptx::pin(other);                                  // step i − 1 is done
        ring.release(last, i > 0);
        last = ring.stage, ring.next();
        if (i + 1 < steps) decode_next(other);
      };
      decode_next(even);
      for (int i = 0; i < steps; i += 2) {
        step(even, odd, i);
        if (i + 1 < steps) step(odd, even, i + 1);
      }
      ptx::wgmma_wait<0>(), ptx::pin(acc);
      ring.release(last);
    }
  }
};

/// The dense terms: a few more columns of K. row: of W, the warp's first; token: the tile's first.
template <int Tiles, class X, class Scales>
SMALTI_D void nf4_wide_terms(float (&acc)[Tiles][4], nf4_operand<X, Scales> const& of, int row, int n_all, int token, int m) {
  int const g = ptx::lane() / 4, q = ptx::lane() % 4;
  for (int one = 0; one < of.terms; ++one) {
    dense_term<X> const& l = of.dense[one];
    for (int k = 0; k < l.rank; k += 16) {
      auto const pair = [&](X const* row_at, int column) {                     // columns beyond the rank count as zeros
        return column < l.rank ? *reinterpret_cast<uint32_t const*>(row_at + column) : 0u;
      };
      uint32_t a[4];                                                           // B                        (16, 16)
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) a[i] = pair(l.b + min(row + 8 * (i % 2) + g, n_all - 1) * l.row_b, k + 2 * q + i / 2 * 8);
      SMALTI_UNROLL for (int n = 0; n < Tiles; ++n) {
        X const* const from = l.t + min(token + 8 * n + g, m - 1) * l.row_t;
        float d[4] = {};
        ptx::mma_m16n8k16<X>(d, a, pair(from, k + 2 * q), pair(from, k + 2 * q + 8));
        SMALTI_UNROLL for (int i = 0; i < 4; ++i) acc[n][i] = fmaf(l.scale, d[i], acc[n][i]);
      }
    }
  }
}

}  // namespace smalti::detail
