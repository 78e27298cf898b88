#pragma once
// How the NF4 product for many tokens is cut up on Hopper, and the choice of the best.

#include "nf4_tile.hpp"

namespace smalti {

/// What the compiler must know: tokens of a tile (the columns of an wgmma), how many warpgroups, of 64 rows of W each, may share them, and
/// the columns of K that are fetched at a time, 64 or 128. Few tokens are summed over 64 columns without absmax, which then multiplies
/// the sums: that is less work than to multiply the weights.
template <int Tokens, int Groups, int Columns>
struct nf4_wide_config {
  static constexpr int tokens = Tokens, groups = Groups, columns = Columns;
  static constexpr bool scales_sums = Tokens <= 16;
  static constexpr int threads = 128 * (Groups + 1);
  static constexpr int entry = 65536 / threads / 8 * 8;                           ///< registers of a thread when it begins
  static constexpr int copying = 40, computing = min(240, (entry * (Groups + 1) - copying) / Groups / 8 * 8);
};

/// How a launch is cut. Changes speed only.
struct nf4_wide_tile {
  int groups = 0;  ///< warpgroups; for the pair of SwiGLU those of both halves
  int split = 1;   ///< blocks (a cluster) that share a tile, each with its run of K: 1, 2, 4 or 8
  friend constexpr bool operator==(nf4_wide_tile const&, nf4_wide_tile const&) = default;
};

/// Shared memory of a block: the tables, a ring of stages (some columns of x and W), their barriers, and room through which results leave.
struct nf4_wide_memory {
  static constexpr int row_out = 68, tokens_out = 32;  ///< a warpgroup's rows, padded · tokens that leave at a time
  static constexpr int out_bytes = tokens_out * row_out * 4;  ///< of a warpgroup
  int x, codes, stages, out;                                  ///< bytes of a stage's x · of its codes · count · offset of out

  constexpr nf4_wide_memory(int tokens, int groups, int columns, int limit)
      : x(tokens * 2 * columns), codes(groups * 32 * columns), stages(min(12, (limit - detail::nf4_table_bytes - groups * out_bytes - 256) / (x + codes))),
        out(detail::nf4_table_bytes + stages * (x + codes)) {}
  SMALTI_HD constexpr int x_at(int stage) const { return detail::nf4_table_bytes + stage * x; }
  SMALTI_HD constexpr int codes_at(int stage) const { return detail::nf4_table_bytes + stages * x + stage * codes; }
  SMALTI_HD constexpr int bytes(int groups) const { return out + groups * out_bytes + 256; }
  SMALTI_HD constexpr int barriers(int groups) const { return out + groups * out_bytes; }  ///< full (12), empty (12)
};

/// The kernels there are, by the tokens of a tile.
using nf4_wide_16 = nf4_wide_config<16, 4, 128>;
using nf4_wide_32 = nf4_wide_config<32, 4, 128>;
using nf4_wide_64 = nf4_wide_config<64, 4, 128>;
using nf4_wide_128 = nf4_wide_config<128, 3, 64>;
using nf4_wide_256 = nf4_wide_config<256, 2, 64>;

/// f.template operator()<Config>() of the kernel with that many tokens.
template <class F>
auto with_nf4_wide_config(int tokens, F&& f) {
  if (tokens <= 16) return f.template operator()<nf4_wide_16>();
  if (tokens <= 32) return f.template operator()<nf4_wide_32>();
  if (tokens <= 64) return f.template operator()<nf4_wide_64>();
  if (tokens <= 128) return f.template operator()<nf4_wide_128>();
  return f.template operator()<nf4_wide_256>();
}

/// Clocks of one processor that a tile costs, by a model (H200 · CUDA 13.0 · 2026-11 · nf4_cuda wide); 0: it does not fit. work.panels counts those of both halves.
template <class Config>
constexpr double nf4_wide_cost(nf4_wide_tile t, nf4_work w, int processors) {
  constexpr int tokens = Config::tokens;
  int const steps = ceil_div(w.k, Config::columns), slots = ceil_div(w.panels / w.halves, 2) * w.halves;
  if (t.split > 1 && (steps < 4 * t.split || tokens * (64 * t.groups + 4) * 4 > 140000)) return 0;
  int const tiles = ceil_div(slots, t.groups) * ceil_div(w.m, tokens), waves = ceil_div(tiles * t.split, t.split > 2 ? processors * 10 / 11 : processors);
  // A step of 64 columns: what a warpgroup waits for whoever works beside it, and what each of them takes of the tensor cores and of shared memory.
  double const step = 300. + 0.95 * tokens + t.groups * (125. + 1.3 * tokens);
  double const sums = t.split > 1 ? 4700. + 1.2 * tokens * t.groups * 4 + 200. * t.split : 10. * tokens;
  return 3000. + waves * (900. + ceil_div(steps, t.split) * (Config::columns / 64) * step + sums);
}

/// The cheapest way to cut, `tokens` of the kernel with it.
struct nf4_wide_choice {
  int tokens;
  nf4_wide_tile tile;
};
template <class Config>
constexpr void nf4_wide_try(nf4_wide_choice& best, double& least, nf4_work w, int processors) {
  for (int groups = w.halves; groups <= Config::groups; groups += w.halves)
    for (int split = 1; split <= 8; split *= 2) {
      double const cost = nf4_wide_cost<Config>({groups, split}, w, processors);
      if (cost > 0 && cost < least) least = cost, best = {Config::tokens, {groups, split}};
    }
}
constexpr nf4_wide_choice nf4_wide_tuned(nf4_work w, int processors) {
  nf4_wide_choice best{};
  double least = 1e30;
  if (w.m <= 16) nf4_wide_try<nf4_wide_16>(best, least, w, processors);
  if (w.m > 16 && w.m <= 32) nf4_wide_try<nf4_wide_32>(best, least, w, processors);
  if (w.m > 32 && w.m <= 128) nf4_wide_try<nf4_wide_64>(best, least, w, processors);
  if (w.m > 64) nf4_wide_try<nf4_wide_128>(best, least, w, processors);
  if (w.m > 128) nf4_wide_try<nf4_wide_256>(best, least, w, processors);
  return best;
}

}  // namespace smalti
