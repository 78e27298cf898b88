#pragma once
// How an NF4 product for three to 16 tokens is cut up on Hopper when x rests in shared memory, the rule that says what can run, and the choice of the best.

#include "nf4_tile.hpp"

namespace smalti {

/// What the compiler must know: tokens, the columns of a wgmma, 8 or 16.
template <int Tokens>
struct nf4_resident_config {
  static_assert(Tokens == 8 || Tokens == 16);
  static constexpr int tokens = Tokens;
  static constexpr int groups = 4, threads = 128 * groups;  ///< warpgroups of a block; with their registers one block fills a processor
  static constexpr int early = 32;                          ///< lines of 128 bytes of codes that each warp asks of L2 before x is there
  static constexpr int burst = 2;                           ///< steps whose codes are asked for at a time, while as many are multiplied
  static constexpr int finished = 2;                        ///< rows that a thread finishes at a time, of two tokens: few, for many threads
};

/// How a launch is cut. Changes speed only. A slot is 64 rows of W, the left operand of a wgmma; of a pair, gate and up in turn. The warpgroups of a block take equal
/// runs of its steps (128 columns of a slot), slot by slot.
struct nf4_resident_tile {
  int slots = 0;  ///< of a cluster; for the pair of SwiGLU those of both halves
  int split = 1;  ///< blocks (a cluster) that share the slots, each with its run of K: 1 … 8
  friend constexpr bool operator==(nf4_resident_tile const&, nf4_resident_tile const&) = default;
};

inline constexpr int most_resident_tokens = 16;
inline constexpr int tuned_resident_from = 3;  ///< tokens that take this kernel by themselves, at least

namespace detail {
/// What a launch is computed to be, for every instruction ahead of the loop is waited for by all warps. Offsets are bytes of shared memory.
struct nf4_resident_cut {
  static constexpr int chunk = 4;   ///< steps of x that one copy brings
  nf4_resident_tile tile;
  int slots = 0, steps = 0;         ///< of the whole product, both halves of a pair · of K
  int run = 0;                      ///< steps of a block, fewer in the last ones
  int panels = 0, stride = 0;       ///< of a half · bytes of codes from panel to panel
  int inverse[2] = {};              ///< by which steps of a block are divided by its run, with a shift by 20: of a whole run · of the shorter one
  int inverse_split = 0;            ///< likewise pairs of tokens by blocks, with a shift by 8
  int never = 0;                    ///< 0, which the compiler cannot know
  int places = 0, boxes = 0;        ///< of sums that a block sends, for each pair of tokens: sum of slot s by warpgroup w is at s + w, which is no other's · of all blocks and terms
  int entries = 0;                  ///< of nested scales that a cluster's rows of one half touch, at most
  int sent[2] = {};                 ///< sums of 64 rows that all blocks of a cluster make, for each pair of tokens: of a whole cluster · of the last
  int own[2][2] = {};               ///< of them those of one block: by whether the cluster is the last one, and the block's run the shorter one
  int x = nf4_table_bytes, raw = 0, scales = 0, map = 0, barriers = 0, nested = 0, mail = 0, bytes = 0;
  nf4_staged terms[2] = {};         ///< of a half

  SMALTI_HD constexpr int steps_of(int rank) const { return max(0, min(run, steps - rank * run)); }
};

/// Sums of 64 rows that `groups` warpgroups make of so many slots, each of `run` steps.
constexpr int nf4_resident_sums(int slots, int run, int groups) {
  int const all = slots * run, share = ceil_div(all, groups);
  int count = 0;
  for (int begin = 0; begin < all; begin += share) count += (min(begin + share, all) - 1) / run - begin / run + 1;
  return count;
}

/// span as in nested_scales, 0 where scales are plain; terms: there are dense terms.
template <class Config>
constexpr nf4_resident_cut nf4_cut(nf4_resident_tile t, nf4_work w, int span, bool terms) {
  nf4_resident_cut c{t};
  constexpr int groups = Config::groups;
  c.slots = ceil_div(w.panels / w.halves, 2) * w.halves, c.steps = nf4_panel::steps(w.k), c.run = ceil_div(c.steps, t.split);
  c.panels = w.panels / w.halves, c.stride = c.steps * nf4_panel::code_bytes;
  int const last = c.slots % t.slots ? c.slots % t.slots : t.slots, pairs = ceil_div(ceil_div(w.m, 2), t.split), rest = c.steps % c.run;
  c.inverse[0] = (1 << 20) / c.run + 1, c.inverse[1] = (1 << 20) / max(rest, 1) + 1, c.inverse_split = 256 / t.split + 1;
  for (int few = 0; few < 2; ++few)
    for (int part = 0; part < 2; ++part) c.own[few][part] = nf4_resident_sums(few ? last : t.slots, part ? rest : c.run, groups);
  for (int few = 0; few < 2; ++few) c.sent[few] = c.steps / c.run * c.own[few][0] + c.own[few][1] + (terms ? few ? last : t.slots : 0);
  c.places = t.slots + groups - 1, c.boxes = t.split * c.places + (terms ? t.slots : 0);
  c.entries = span ? int(min(index(1) << 20, (index(t.slots / w.halves) * 64 * w.k >> span) + 2)) : 0;
  c.raw = c.x + ceil_div(c.run, c.chunk) * c.chunk * Config::tokens * 2 * nf4_panel::step;
  c.scales = c.raw + 2 * t.slots * c.run * nf4_panel::scales * (span ? 1 : 4);
  c.map = c.scales + Config::threads / 32 * 2 * Config::burst * 128;
  c.barriers = c.map + (span ? w.halves * 1024 : 0), c.nested = c.barriers + 16;
  c.mail = c.nested + round_up(w.halves * c.entries * 4, 16);
  c.bytes = c.mail + pairs * c.boxes * 512;
  return c;
}
}  // namespace detail

template <class Config>
constexpr bool fits(nf4_resident_tile t, nf4_work w, int span, bool terms, arch a) {
  if (!a.has(feature::wgmma) || t.split < 1 || t.split > 8 || t.slots < 1 || t.slots > 1024 || t.slots % w.halves || w.m < 1 || w.m > Config::tokens || span >= 30) return false;
  index const run = ceil_div(nf4_panel::steps(w.k), t.split);
  bool const counted = t.slots * run * run < 1 << 20 && index(t.slots) * 64 * w.k < 1 << 30;  // what the kernel divides and adds up in 32 bits
  return counted && detail::nf4_cut<Config>(t, w, span, terms).bytes <= a.smem;
}

/// f.template operator()<Config>() for the kernel with at least `m` tokens.
template <class F>
constexpr auto with_nf4_resident_config(index m, F&& f) {
  return m <= 8 ? f.template operator()<nf4_resident_config<8>>() : f.template operator()<nf4_resident_config<16>>();
}

/// Clusters of one to eight blocks that run at a time where a block fills a processor.
struct nf4_clusters {
  int held[8];
};
/// Of an H200, by cudaOccupancyMaxActiveClusters.
inline constexpr nf4_clusters nf4_clusters_h200{{132, 66, 39, 30, 22, 17, 15, 15}};

/// The cheapest tile by a model in clocks of one processor, fitted to what an H200 took; slots 0: none fits.
constexpr nf4_resident_tile nf4_resident_tuned(nf4_work w, int span, bool terms, arch a, nf4_clusters clusters) {
  nf4_resident_tile best{};
  double least = 1e30;
  with_nf4_resident_config(w.m, [&]<class Config>() {
    constexpr double start = 4800., step = Config::tokens == 16 ? 1330. : 1090., slot = 60., cluster = 100., block = 300., x = 50.;
    int const rows_all = ceil_div(w.panels / w.halves, 2), steps = nf4_panel::steps(w.k);
    for (int split = 1; split <= 8 && split <= steps; ++split)
      for (int waves = 1, held = clusters.held[split - 1]; waves <= 64 && held > 0; ++waves) {
        int const rows = ceil_div(rows_all, held * waves);
        nf4_resident_tile const t{rows * w.halves, split};
        if (fits<Config>(t, w, span, terms, a)) {  // more waves, with more starts, are not cheaper
          double const part = start + x * ceil_div(steps, split) + step * ceil_div(t.slots * ceil_div(steps, split), Config::groups) + slot * t.slots + (split > 1 ? cluster + block * split : 0.);
          double const cost = ceil_div(ceil_div(rows_all, rows), held) * part;
          if (cost < least) least = cost, best = t;
          break;
        }
        if (rows == 1) break;
      }
  });
  return best;
}

}  // namespace smalti
