#pragma once
// How the NF4 product for many tokens is cut up on Hopper, and the choice of the best.

#include "nf4_tile.hpp"

namespace smalti {

/// What the compiler must know: tokens of a tile (the columns of an wgmma), how many warpgroups, of 64 rows of W each, may share them,
/// and the columns of K that are fetched at a time, 64 or 128.
template <int Tokens, int Groups, int Columns>
struct nf4_wide_config {
  static constexpr int tokens = Tokens, groups = Groups, columns = Columns;
  static constexpr int threads = 128 * (Groups + 1);
  static constexpr int entry = 65536 / threads / 8 * 8;                           ///< registers of a thread when it begins
  static constexpr bool tails = false;                                            ///< see nf4_wide_tailed
  static constexpr int copying = 56, computing = min(240, (entry * (Groups + 1) - copying) / Groups / 8 * 8);
};

/// How a launch is cut. Changes speed only.
struct nf4_wide_tile {
  int groups = 0;  ///< warpgroups; for the pair of SwiGLU those of both halves
  int split = 1;   ///< blocks of a cluster, which share a tile, each with its run of K: 1 … 8
  int clusters = 1;  ///< that share each tile, through lent memory: 1, or 2 as in nf4_wide_pairs
  friend constexpr bool operator==(nf4_wide_tile const&, nf4_wide_tile const&) = default;
};

inline constexpr nf4_wide_tile nf4_wide_pairs{2, 2, 2};  ///< two clusters of two share each tile of 128 rows of W and 256 tokens

/// Device memory in which clusters that share a tile leave sums for each other. Who allocates it fills it with zeros once; every launch leaves it fit for the next. Launches that may run at the same time, on
/// two streams, need one each.
struct nf4_lent {
  void* at = nullptr;     ///< a multiple of 256
  std::size_t bytes = 0;  ///< nf4_lent_bytes is enough for every launch; less serves launches of fewer tiles
};
/// How it is divided: flags of all tiles, which are down before a launch and after, then boxes of sums.
struct nf4_wide_lent {
  static constexpr int blocks = 4, warps = 8, unit = 128 * 16, units = 8;         ///< of a tile · that multiply · bytes of a warpgroup's sums of eight tokens · of a warpgroup, that cross
  static constexpr int most = 36, flags = blocks * warps * 4, sums = blocks * 2 * units * unit;  ///< tiles: a quarter of the processors of the largest board · bytes of a tile
  static constexpr int tiles(std::size_t bytes) { return bytes < std::size_t(most) * flags ? 0 : int(min(std::size_t(most), (bytes - most * flags) / sums)); }
};
inline constexpr std::size_t nf4_lent_bytes = std::size_t(nf4_wide_lent::most) * (nf4_wide_lent::flags + nf4_wide_lent::sums);  ///< 4.7 MB

inline constexpr int nf4_wide_tokens_out = 32;

/// Shared memory of a block: the tables, a ring of stages (some columns of x and W), room through which results leave, and barriers.
template <class Config>
struct nf4_wide_memory {
  static constexpr int x = Config::tokens * 2 * Config::columns, codes = Config::groups * 32 * Config::columns, scales = Config::groups * 8 * Config::columns;  ///< bytes of a stage
  static constexpr int stage = ceil_div(x + codes + scales, 1024) * 1024, ring = detail::nf4_table_bytes;
  static constexpr int row_out = 68, sums_out = 16, tokens_out = nf4_wide_tokens_out;  ///< a warpgroup's rows, padded · tokens that leave at a time, as sums or in 16 bits
  static constexpr int out_bytes = max(sums_out * row_out * 4, tokens_out * 128);  ///< of a warpgroup
  int stages;

  constexpr nf4_wide_memory(int limit) : stages(min(12, (limit - ring - Config::groups * out_bytes - 256) / stage)) {}
  SMALTI_HD constexpr int out() const { return ring + stages * stage; }
  SMALTI_HD constexpr int barriers() const { return out() + Config::groups * out_bytes; }  ///< full (12), empty (12)
  SMALTI_HD constexpr int bytes() const { return barriers() + 256; }
};

/// The kernels there are, by the tokens of a tile. 128 columns at a time, with the products of other warpgroups in between, are faster
/// than decoding one step ahead (28672×4096, M 128: 55.4 µs instead of 63.3) but for 256 tokens (M 256: 91.7 instead of 88.1).
using nf4_wide_32 = nf4_wide_config<32, 4, 128>;
using nf4_wide_64 = nf4_wide_config<64, 4, 128>;
using nf4_wide_128 = nf4_wide_config<128, 3, 128>;
using nf4_wide_256 = nf4_wide_config<256, 2, 64>;

/// A kernel that multiplies terms in steps behind those of W (nf4_wide_tail.cuh). One of its own: with them, the bare product took up to 7 % longer.
template <class Config>
struct nf4_wide_tailed : Config {
  using bare = Config;
  static constexpr bool tails = true;
};

/// f.template operator()<Config>() of the kernel with that many tokens.
template <class F>
auto with_nf4_wide_config(int tokens, F&& f) {
  if (tokens <= 32) return f.template operator()<nf4_wide_32>();
  if (tokens <= 64) return f.template operator()<nf4_wide_64>();
  if (tokens <= 128) return f.template operator()<nf4_wide_128>();
  return f.template operator()<nf4_wide_256>();
}

/// Clusters of `split` blocks that run at a time: processors come in groups of 12 to 18, of which a cluster needs one. cudaOccupancyMaxActiveClusters
/// said 66, 39, 30, 22, 17, 15 and 15 for two to eight blocks of an H200; boards differ in their groups, so fewer are counted on.
constexpr int nf4_wide_clusters(int split, int processors) {
  constexpr int held[] = {132, 66, 38, 29, 16, 16, 8, 8};
  return max(1, held[split - 1] * processors / 132);
}
/// Whole tiles that each block takes before its cluster shares one: the last round is shared where every cluster has at most one of its tiles.
constexpr int nf4_wide_whole(int tiles, int split, int clusters) {
  int const round = split * clusters;
  return split > 1 && tiles % round <= clusters ? tiles / round : ceil_div(tiles, round);
}

/// µs that a launch takes, by a model (H200 · CUDA 13.0 · 2026-11 · nf4_cuda wide); 0: it does not fit. work.panels counts those of both halves.
template <class Config>
constexpr double nf4_wide_cost(nf4_wide_tile t, nf4_work w, int processors) {
  constexpr int tokens = Config::tokens;
  int const steps = ceil_div(w.k, Config::columns), slots = ceil_div(w.panels / w.halves, 2) * w.halves;
  if (t.split > 1 && (steps < 4 * t.split || tokens * (64 * t.groups + 4) * 4 > 140000)) return 0;
  int const tiles = ceil_div(slots, t.groups) * ceil_div(w.m, tokens), clusters = nf4_wide_clusters(t.split, processors);
  int const whole = nf4_wide_whole(tiles, t.split, clusters);
  bool const shared = whole * t.split * clusters < tiles;
  if (shared && whole == 0 && w.halves == 1 && slots % t.groups == 0 && w.m % tokens == 0 && Config::columns == 128) {  // by mail (nf4_wide_shared.cuh): 30 launches measured, 29 of them within 4 % of this; of 32 tokens three only
    double const step = tokens == 128 ? 0.290 + 0.0284 * t.groups * t.groups : tokens == 64 ? 0.258 + 0.0150 * t.groups * t.groups : 0.210 + 0.0130 * t.groups * t.groups;
    double const kept = tokens == 128 && t.split == 2 ? 0.4 * t.groups : 0;  // two blocks keep their own sums: −1.0 and −0.7 measured since with (2, 2), −1.3 with (3, 2)
    return ceil_div(steps, t.split) * 2 * step + (tokens == 128 ? 2.08 + 0.72 * t.groups + 0.32 * t.split : 1.5 + 0.48 * t.groups + 0.28 * t.split) - kept;
  }
  // A step of 64 columns: what a warpgroup waits for alone, and what each of them takes of instructions, shared memory and the tensor cores.
  double const alone = tokens == 256 ? 0.34 : tokens == 128 ? 0.062 : tokens == 64 ? 0.12 : 0.08;
  double const least = tokens == 256 ? 0.46 : tokens == 128 ? 0.30 : tokens == 64 ? 0.22 : 0.18;  // of one warpgroup; estimated but for 256
  double const step = max(least, alone + t.groups * (tokens == 256 ? 0.125 : tokens == 128 ? 0.158 : tokens == 64 ? 0.084 : 0.074));
  auto const took = [&](int blocks, double leave) { return ceil_div(steps, blocks) * (Config::columns / 64) * step + leave; };
  return 3. + whole * took(1, 0.4 + 0.006 * tokens) + (shared ? took(t.split, 0.6 + 0.012 * tokens + 0.25 * t.split) + (whole ? 2. : 0.) : 0.);
}

/// Likewise of nf4_wide_pairs with 256 tokens, lent: tiles there is memory for. Four launches were measured (4096×14336 at M 256 and 192: 42.9 and 41.2, 4096×4096: 16.6 and 17.0).
constexpr double nf4_wide_pairs_cost(nf4_work w, int processors, int lent) {
  int const tiles = ceil_div(w.panels, 4) * ceil_div(w.m, 256);
  return tiles <= lent && 2 * tiles <= nf4_wide_clusters(2, processors) ? 0.65 * ceil_div(ceil_div(w.k, 64), 4) + 6.3 : 0;
}

/// The cheapest way to cut, `tokens` of the kernel with it.
struct nf4_wide_choice {
  int tokens;
  nf4_wide_tile tile;
};
template <class Config>
constexpr void nf4_wide_try(nf4_wide_choice& best, double& least, nf4_work w, int processors) {
  for (int groups = w.halves; groups <= Config::groups; groups += w.halves)
    for (int split = 1; split <= 8; ++split) {
      double const cost = nf4_wide_cost<Config>({groups, split}, w, processors);
      if (cost > 0 && cost < least) least = cost, best = {Config::tokens, {groups, split}};
    }
}
/// lent: tiles that there is memory for, 0 where the launch cannot do with it.
constexpr nf4_wide_choice nf4_wide_tuned(nf4_work w, int processors, int lent = 0) {
  nf4_wide_choice best{};
  double least = 1e30;
  if (w.m <= 32) nf4_wide_try<nf4_wide_32>(best, least, w, processors);
  if (w.m > 32 && w.m <= 128) nf4_wide_try<nf4_wide_64>(best, least, w, processors);
  if (w.m > 64) nf4_wide_try<nf4_wide_128>(best, least, w, processors);
  if (w.m > 128) {
    nf4_wide_try<nf4_wide_256>(best, least, w, processors);
    if (double const cost = nf4_wide_pairs_cost(w, processors, lent); cost > 0 && cost < least) best = {256, nf4_wide_pairs};
  }
  return best;
}

}  // namespace smalti
