#pragma once
// What the parts of Hopper's engine share: the launch's plan, shared memory, and the order in which tiles are visited.

#include "../cuda/ptx_cluster.cuh"
#include "../cuda/ptx_sm90.cuh"
#include "compose.hpp"
#include "problem.hpp"
#include "sm90_tile.hpp"

namespace smalti::detail {

/// One block of queries of one (sequence, head), or a cluster's.
struct sm90_work {
  int head, batch = 0;           ///< head −1: nothing more
  int q0 = 0;                    ///< first query
  int seq_q = 0, seq_kv = 0;     ///< rows of the sequence
  int row_q = 0, row_kv = 0;     ///< where it begins in Q and O · in K and V
  int position = 0;              ///< of its first query among the keys

  /// Of each block of a cluster, where it has its rows together: the last rows of a sequence are dealt out evenly.
  template <attention_tile T>
  SMALTI_D int rows_of_block() const { return T.cluster == 1 ? T.q : min(T.q, round_up(ceil_div(seq_q - q0, T.cluster), 64)); }
};

/// What the host prepares for one launch.
template <class E>
struct sm90_plan {
  CUtensorMap q, k, v, o, o_row;  ///< o_row: a row at a time
  attention_problem<E> problem;
  int rows;                 ///< of a block of queries, of all blocks of a cluster
  int first_rows;           ///< of a slice's first block; the others have `rows`, the last what is left
  int slices, blocks;       ///< batch × heads · blocks of queries of each; packed queries: heads · blocks of all sequences
  int section;              ///< slices whose K and V share the L2 cache
  int tail;                 ///< from this slice on, a multiple of `section`, all are one section
  bool last_first;          ///< the last blocks have the most keys
  int copy_rows;            ///< rows of K and V that one copy fetches: a tile's, or what divides both a tile and a page
  bool whole;               ///< what lies behind a sequence's last key reads as zero
  unsigned* ticket;         ///< work counter, 0 between launches; null: a fixed round of items for each block

  SMALTI_HD int items() const { return slices * blocks; }
  /// Where later blocks have more keys the first one is the partial one, whose few rows cost as many steps as many; in whole warpgroups, so that
  /// diagonals stay where tiles end.
  SMALTI_HD void divide(int count, bool masked) { first_rows = masked && !problem.lengths.q_starts && count % rows ? round_up(count % rows, 64) : rows; }

  /// Section by section; within one, the longest blocks of every slice first. The block may lie behind its sequence's end: packed
  /// sequences get q_starts[b] / rows + b as their first block, which leaves room for every one.
  SMALTI_D sm90_work item(int i) const {
    auto const& p = problem;
    bool const late = i >= tail * blocks;
    int const begin = late ? tail : i / (section * blocks) * section, width = late ? slices - tail : section, rest = i - begin * blocks;
    int const slice = begin + rest % width, block = last_first ? blocks - 1 - rest / width : rest / width, H = p.heads();
    int b = slice / H, first = block;
    if (p.lengths.q_starts) {
      int last = p.batch() - 1;
      for (b = 0; b < last;) {  // the last sequence whose first block is not behind this one
        int const middle = (b + last + 1) / 2;
        if (p.lengths.q_starts[middle] / rows + middle <= block) b = middle;
        else last = middle - 1;
      }
      first = block - (p.lengths.q_starts[b] / rows + b);
    }
    int const q0 = first > 0 ? first_rows + (first - 1) * rows : 0, end = first > 0 ? p.q_count(b) : min(p.q_count(b), first_rows);
    return {slice % H, b, q0, end, p.kv_count(b), p.q_first(b), p.kv_first(b), p.position(b)};
  }
};

template <attention_tile T, int D, int Dv, class E, class Variant = full>
struct sm90_storage {
  static constexpr attention_shape shape{D, int(sizeof(E)), Dv};
  static constexpr int groups = T.warps / 4, panels = ceil_div(D, 64), panels_v = ceil_div(Dv, 64);  // 64 columns = 128 bytes = one swizzled row
  static constexpr int q_stages = q_stages_wgmma(T, shape);
  static constexpr int room = (sm_90a.smem - smem_bytes_wgmma(T, shape, q_stages)) / (T.q * 128);             // for so many panels of O
  static constexpr bool by_panel = T.cluster > 1 && !keeps_all<Variant>;  // measured: worth its turns in pairs under a mask
  static constexpr int o_panels = room >= panels_v ? panels_v : by_panel ? room : 0;  // that leave through memory together; 0: not through it
  alignas(1024) E q[q_stages][groups][panels][64][64];
  alignas(1024) E k[T.stages][panels][T.kv][64], v[T.stages][panels_v][T.kv][64];  // columns past D arrive as zeros
  alignas(1024) E o[o_panels > 0 ? T.warps : 1][max(o_panels, 1)][16][64];
  /// Whether the blocks of a cluster have every other 64 rows: under a causal mask both then need nearly the same keys. Only where it was
  /// measured: without a mask nothing was gained at D 128, and even without a cluster the compiler made another loop of D 64's.
  static constexpr bool alternate = D == 256 || (D == 128 && !keeps_all<Variant>);
  static constexpr int stride = alternate ? 64 * T.cluster : 64;  // from a warpgroup's first row to the next one's
  static constexpr bool ahead = q_stages == 1;         // an item's numbers travel ahead of Q, which has to wait for its buffer
  static constexpr int q_parts = ahead ? groups : 1;   // and then each warpgroup's rows come when it has used those before
  uint64_t q_full[q_stages][q_parts], q_empty[q_stages][q_parts];
  uint64_t k_full[T.stages], k_empty[T.stages], v_full[T.stages], v_empty[T.stages];
  uint64_t item_full[2], item_empty[2];  // used where they travel ahead
  uint64_t drawn_full, drawn_empty;      // used in a cluster: the first block draws, and tells the others
  int drawn;
  sm90_work item[2];

  /// By one thread. Full: the producer arrives, and bytes · empty: consumer warps arrive.
  SMALTI_D void init() {
    for (int i = 0; i < q_stages; ++i)
      for (int g = 0; g < q_parts; ++g) ptx::mbarrier_init(&q_full[i][g], 1), ptx::mbarrier_init(&q_empty[i][g], T.warps / q_parts);
    for (int i = 0; i < T.stages; ++i) {
      ptx::mbarrier_init(&k_full[i], 1), ptx::mbarrier_init(&k_empty[i], T.warps * T.cluster);
      ptx::mbarrier_init(&v_full[i], 1), ptx::mbarrier_init(&v_empty[i], T.warps * T.cluster);
    }
    for (int i = 0; i < 2; ++i) ptx::mbarrier_init(&item_full[i], 1), ptx::mbarrier_init(&item_empty[i], T.warps);
    ptx::mbarrier_init(&drawn_full, 1), ptx::mbarrier_init(&drawn_empty, 1);
  }
};

/// A position in a ring of buffers, and the parity its barriers have on this lap.
template <int Stages>
struct ring_at {
  int stage = 0, lap = 0;
  SMALTI_D void advance() {
    if (++stage == Stages) stage = 0, lap ^= 1;
  }
};

/// Which tiles of keys a block of queries visits, last first. Producer and consumers must agree on it; a warpgroup asks about masks
/// for its own rows alone. A mask that is an interval of keys, as most are, is two numbers an item; only others are asked at every tile.
template <attention_tile T, class Variant>
struct sm90_walk {
  int q0 = 0, seq_kv = 0;          ///< first query's position · keys
  static constexpr int span = T.q * T.cluster;
  int own = 0, rows = span;        ///< the rows whose masks count: from q0 + own on
  int first = 0, j = -1;           ///< below this tile the mask keeps nothing · the tile to visit; < 0: no more
  int whole_begin, whole_end;      ///< tiles that need no mask, where the mask is an interval

  sm90_walk() = default;
  SMALTI_D sm90_walk(Variant const& variant, sm90_work const& w, int own = 0, int rows = span) : q0(w.position + w.q0), seq_kv(w.seq_kv), own(own), rows(rows) {
    first = max(keys_of(variant, q0).begin, 0) / T.kv, j = end_of(variant, q0 + span - 1);
    auto const low = keys_of(variant, q0 + own), high = keys_of(variant, q0 + own + rows - 1);
    whole_begin = ceil_div(max(high.begin, 0), T.kv), whole_end = max(min(seq_kv, low.end), 0) / T.kv;
  }
  /// Behind the last tile with a key that this query keeps.
  SMALTI_D int end_of(Variant const& variant, int query) const { return ceil_div(max(min(seq_kv, keys_of(variant, query).end), 0), T.kv); }
  SMALTI_D explicit operator bool() const { return j >= 0; }
  SMALTI_D void advance(Variant const& variant) {
    for (--j; j >= first; --j)
      if (masks_interval<Variant> || covers(variant, 0, span) != cover::none) return;
    j = -1;
  }
  SMALTI_D bool masked(Variant const& variant) const {
    if constexpr (masks_interval<Variant>) return j < whole_begin || j >= whole_end;
    return (j + 1) * T.kv > seq_kv || covers(variant, own, rows) != cover::all;
  }

 private:
  SMALTI_D cover covers(Variant const& variant, int from, int count) const {
    return variant.covers(q0 + from, q0 + from + count, j * T.kv, min((j + 1) * T.kv, seq_kv));
  }
};

}  // namespace smalti::detail
