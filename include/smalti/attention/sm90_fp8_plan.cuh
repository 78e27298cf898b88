#pragma once
// What the parts of Hopper's 8-bit engine share: its tiles, the launch's plan, shared memory, and the order in which tiles are
// visited. The structure is that of the 16-bit engine (sm90_plan.cuh).

#include "../cuda/ptx_fp8.cuh"
#include "compose.hpp"
#include "fp8_problem.hpp"
#include "sm80.cuh"  // warp_block: a warpgroup's accumulator is mma.m16n8's, once per warp
#include "tile.hpp"

namespace smalti {

/// Shared memory of a block: two buffers for Q, panels of 128 columns (the copy engine swizzles), O on its way out, 1 KiB of barriers.
SMALTI_HD constexpr int smem_bytes_fp8(attention_tile t, attention_shape s) {
  return 2 * t.q * round_up(s.head_dim, 128) + t.stages * (t.kv * round_up(s.head_dim, 128) + s.values() * round_up(t.kv, 128)) + t.q * s.values() * 2 + 1024;
}

/// S and P, and two levels of O: f32, 64 rows over 128 threads; P in 8 bits.
SMALTI_HD constexpr int registers_fp8(attention_tile t, attention_shape s) { return t.kv / 2 + t.kv / 8 + s.values(); }

SMALTI_HD constexpr misfit fits_fp8(attention_tile t, attention_shape s, arch a) {
  if (s.elem_bytes != 1 || (s.head_dim != 64 && s.head_dim != 128) || s.values() != s.head_dim) return misfit::head_dim;
  if (t.kv != 128) return misfit::kv_rows;
  if (t.q != 128 || t.warps != 8) return misfit::q_rows;
  if (registers_fp8(t, s) > 208) return misfit::registers;
  if (t.stages < 2 || smem_bytes_fp8(t, s) > a.smem) return misfit::shared_memory;
  return misfit::none;
}

/// Best known tiles in 8 bits.
struct tuned_fp8 {
  SMALTI_HD constexpr attention_tile operator()(attention_shape, arch) const {
    return {.q = 128, .kv = 128, .stages = 3, .warps = 8};  // H200 · 13.0 · 2026-11 · S 4096, in trials: D 128 849, 778 (full with turns: 880); D 64 589, 501
  }
};

namespace detail {

struct fp8_work {
  int head, batch = 0;          ///< head −1: nothing more
  int q0 = 0;                   ///< first query
  int seq_q = 0, seq_kv = 0;    ///< rows of the sequence
  int row_q = 0, row_kv = 0;    ///< where it begins in Q and O · in K, and in V's columns
  int position = 0;             ///< of its first query among the keys
  float factor = 0, scale = 0;  ///< turns a score into a power of two, or into the variant's unit · of V
};

/// What the host prepares for one launch.
template <class Out>
struct fp8_plan {
  CUtensorMap q, k, v, o, o_row;  ///< o_row: a row at a time
  attention_fp8_problem<Out> problem;
  int rows;                 ///< of a block of queries
  int slices, blocks;       ///< batch × heads · blocks of queries of each; packed queries: heads · blocks of all sequences
  int section;              ///< slices whose K and V share the L2 cache
  bool whole;               ///< what lies behind a sequence's last key reads as zero
  unsigned* ticket;         ///< work counter, 0 between launches; null: a fixed round of items for each block

  SMALTI_HD int items() const { return slices * blocks; }

  /// Section by section; within one, the last blocks (the longest under a causal mask) of every slice first. The block may lie behind
  /// its sequence's end: packed sequences get q_starts[b] / rows + b as their first block, which leaves room for every one.
  SMALTI_D fp8_work item(int i, float log2e) const {
    auto const& p = problem;
    int const s = i / (section * blocks), rest = i % (section * blocks), width = min(section, slices - s * section);
    int const slice = s * section + rest % width, block = blocks - 1 - rest / width, H = p.heads();
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
    int const h = slice % H;
    return {h, b, first * rows, p.q_count(b), p.kv_count(b), p.q_first(b), p.kv_first(b), p.position(b), log2e * p.score_scale(b, h), p.value_scale(b, h)};
  }
};

/// Where a result goes: 64-row blocks begin at `row` of Q and O, and `rows` are left from there on.
struct fp8_place {
  int head, batch, row, rows;
  float scale;  ///< of V
};

template <attention_tile T, int D, class Out>
struct fp8_storage {
  static constexpr int groups = T.warps / 4, panels = ceil_div(D, 128), panels_v = ceil_div(T.kv, 128), panels_o = D / 64;  // panel: 128 bytes a row
  alignas(1024) e4m3 q[2][groups][panels][64][128];
  alignas(1024) e4m3 k[T.stages][panels][T.kv][128];   // columns past D arrive as zeros
  alignas(1024) e4m3 v[T.stages][panels_v][D][128];    // keys run along the columns, in the order of e4m3_slot
  alignas(1024) Out o[T.warps][panels_o][16][64];
  uint64_t q_full[2], q_empty[2];
  uint64_t k_full[T.stages], k_empty[T.stages], v_full[T.stages], v_empty[T.stages];
  fp8_work item[2];        // what q holds
  fp8_place out[T.warps];  // what each warp's O belongs to
};

/// A position in a ring of buffers, and the parity its barriers have on this lap.
template <int Stages>
struct fp8_ring {
  int stage = 0, lap = 0;
  SMALTI_D void advance() {
    if (++stage == Stages) stage = 0, lap ^= 1;
  }
};

/// Which tiles of keys a block of queries visits, last first. Producer and consumers must agree on it.
template <attention_tile T, class Variant>
struct fp8_walk {
  int q0 = 0, seq_kv = 0;          ///< first query's position · keys
  int first = 0, j = -1;           ///< below this tile the mask keeps nothing · the tile to visit; < 0: no more
  int whole_begin, whole_end;      ///< tiles that need no mask, where the mask is an interval

  fp8_walk() = default;
  SMALTI_D fp8_walk(Variant const& variant, fp8_work const& w) : q0(w.position + w.q0), seq_kv(w.seq_kv) {
    auto const low = keys_of(variant, q0), high = keys_of(variant, q0 + T.q - 1);
    first = max(low.begin, 0) / T.kv, j = ceil_div(max(min(seq_kv, high.end), 0), T.kv);
    whole_begin = ceil_div(max(high.begin, 0), T.kv), whole_end = max(min(seq_kv, low.end), 0) / T.kv;
  }
  SMALTI_D explicit operator bool() const { return j >= 0; }
  SMALTI_D void advance(Variant const& variant) {
    for (--j; j >= first; --j)
      if (masks_interval<Variant> || covers(variant) != cover::none) return;
    j = -1;
  }
  SMALTI_D bool masked(Variant const& variant) const {
    if constexpr (masks_interval<Variant>) return j < whole_begin || j >= whole_end;
    return (j + 1) * T.kv > seq_kv || covers(variant) != cover::all;
  }

 private:
  SMALTI_D cover covers(Variant const& variant) const { return variant.covers(q0, q0 + T.q, j * T.kv, min((j + 1) * T.kv, seq_kv)); }
};

}  // namespace detail
}  // namespace smalti
