#pragma once
// How an NF4 product for one to four tokens is cut up on a device when x stays in registers, the rule that says what can run, and the choice of the best.

#include "nf4_tile.hpp"

namespace smalti {

/// What the compiler must know. The eight token columns of an mma hold `unit` blocks of 64 columns apart, for 8 / unit tokens.
template <int Unit>
struct nf4_stationary_config {
  static_assert(Unit == 2 || Unit == 4);
  static constexpr int unit = Unit;     ///< blocks of 64 columns that a warp takes of a panel at a time, its slice of K
  static constexpr int threads = 512;   ///< at most; with their registers one block fills a processor
  static constexpr int tokens = 8 / Unit;
};

/// How a launch is cut. Changes speed only. A warp keeps a slice of x and walks down the block's panels; then it takes its next slice, where there
/// are more slices than parts.
struct nf4_stationary_tile {
  int panels = 0;  ///< of a block; of a pair those of one half
  int parts = 0;   ///< slices of K at a time, each a warp's; of a pair two warps'
  int split = 1;   ///< blocks (a cluster) that share the panels, each with its run of K: 1, 2, 4 or 8
  friend constexpr bool operator==(nf4_stationary_tile const&, nf4_stationary_tile const&) = default;
};

namespace detail {
inline constexpr int nf4_staged_half = nf4_panel::half * 2 + 16;  ///< bytes of 64 columns of x in shared memory: four of them, which a warp reads at once, begin in different banks

/// What a launch is computed to be, for every instruction ahead of the loop is waited for by all warps. Offsets are bytes of shared memory from where the tables begin.
struct nf4_stationary_plan {
  nf4_stationary_tile tile;
  int split_log2 = 0;
  int panels = 0;           ///< of a half
  int slices = 0, run = 0;  ///< of K · of them, a block's
  int stride = 0;           ///< bytes of codes from panel to panel
  int entries = 0;          ///< of nested scales that a block's rows of one half touch, at most
  int map = nf4_table_bytes, meet = 0, barrier = 0, x = 0, gain = 0, raw = 0, nested = 0, sums = 0, bytes = 0;
  int row_sum = 0;          ///< bytes of a box of sums, of a slice and token; 16 more than the rows have, for the banks of eight boxes that are added at a time
  int boxes = 0;            ///< bytes of all those of a half and token
  int boxed = 0;            ///< tokens that a block finishes, at most
  nf4_staged terms[2] = {};  ///< of a half
};

/// span as in nested_scales, 0 where scales are plain.
template <class Config>
constexpr nf4_stationary_plan nf4_plan(nf4_stationary_tile t, nf4_work w, int span) {
  nf4_stationary_plan p{t};
  int const rows = t.panels * nf4_panel::rows, steps = nf4_panel::steps(w.k);
  while (1 << p.split_log2 < t.split) ++p.split_log2;
  p.panels = w.panels / w.halves, p.slices = ceil_div(steps, Config::unit / 2), p.run = ceil_div(p.slices, t.split), p.stride = steps * nf4_panel::code_bytes;
  p.entries = span ? int(min(index(1) << 20, (index(rows) * w.k >> span) + 2)) : 0;
  p.row_sum = 4 * rows + 16, p.boxes = p.slices * p.row_sum, p.boxed = ceil_div(w.m, t.split);
  p.meet = p.map + (span ? w.halves * 256 * 4 : 0), p.barrier = p.meet + 16 * Config::tokens * 4, p.x = p.barrier + 16;
  p.gain = p.x + w.m * p.run * Config::unit * nf4_staged_half;
  p.raw = p.gain + (w.raw ? p.run * Config::unit * nf4_panel::half * 4 : 0);
  p.nested = p.raw + (w.raw ? w.m * w.k * 4 : 0);
  p.sums = p.nested + round_up(w.halves * p.entries * 4, 16);
  p.bytes = p.sums + w.halves * p.boxed * p.boxes;
  return p;
}
}  // namespace detail

/// Dynamic shared memory, bytes.
template <class Config>
constexpr int smem_bytes(nf4_stationary_tile t, nf4_work w, int span) { return detail::nf4_slack_bytes + detail::nf4_plan<Config>(t, w, span).bytes; }

template <class Config>
constexpr bool fits(nf4_stationary_tile t, nf4_work w, int span, arch a) {
  bool const split = t.split == 1 || ((t.split == 2 || t.split == 4 || t.split == 8) && a >= sm_90a);
  bool const threads = t.panels > 0 && t.panels <= 1024 && t.parts > 0 && t.parts <= 16 && 32 * t.parts * w.halves <= Config::threads;
  bool const size = w.m >= 1 && w.m <= Config::tokens && w.k % (Config::unit == 4 ? 256 : 64) == 0 && span < 30;
  return split && threads && size && index(t.panels) * nf4_panel::rows * w.k < (index(1) << 30) && smem_bytes<Config>(t, w, span) <= a.smem;
}

inline constexpr int most_stationary_tokens = 4;
inline constexpr int tuned_stationary_tokens = 2;  ///< up to which it is chosen

/// A kernel and how to cut its launch.
struct nf4_stationary_choice {
  int unit = 0;
  nf4_stationary_tile tile = {};
};

/// f.template operator()<Config>() for the kernel of units of two or four blocks.
template <class F>
auto with_nf4_stationary_config(int unit, F&& f) {
  return unit == 4 ? f.template operator()<nf4_stationary_config<4>>() : f.template operator()<nf4_stationary_config<2>>();
}
constexpr int nf4_stationary_unit(nf4_work w) { return w.m <= 2 && w.k % 256 == 0 ? 4 : 2; }

/// The cheapest tile by a model in clocks of one processor.
constexpr nf4_stationary_choice nf4_stationary_tuned(nf4_work w, int span, arch a, int processors) {
  nf4_stationary_choice best{};
  double least = 1e30;
  auto const panels_all = w.panels / w.halves;
  auto const consider = [&]<class Config>(Config) {
    int const slices = nf4_panel::steps(w.k) / (Config::unit / 2);
    for (int split = 1; split <= (a >= sm_90a ? 8 : 1) && split <= slices; split *= 2) {
      int const held = split > 2 ? processors * 10 / 11 : processors / split * split;       // clusters of 4 or 8 do not fit everywhere
      for (int waves = 1; waves <= 64; ++waves) {
        int const panels = ceil_div(panels_all, max(1, held * waves / split)), run = ceil_div(slices, split);
        int const parts = min(run, Config::threads / 32 / w.halves), turns = ceil_div(run, parts);  // all warps, though the last turn has not work for all: 4096×14336 10.2 µs, with 14 of 16 10.5
        nf4_stationary_tile const t{panels, parts, split};
        if (fits<Config>(t, w, span, a)) {
          int const blocks = split * ceil_div(panels_all, panels);
          double const warps = double(run) * w.halves / turns;                                  // of a turn
          double const unit = max(500. * Config::unit, 56. * Config::unit * warps) + 113. * (4 - Config::unit);  // of all warps at once
          double const cost = ceil_div(blocks, held) * (2500. + 950. * Config::unit + (unit * panels + 400.) * turns + (split > 1 ? 100. * split : 0.));
          if (cost < least) least = cost, best = {Config::unit, t};
        }
        if (panels == 1) break;
      }
    }
  };
  if (nf4_stationary_unit(w) == 4) consider(nf4_stationary_config<4>{});
  consider(nf4_stationary_config<2>{});
  return best;
}

}  // namespace smalti
