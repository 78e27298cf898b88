#pragma once
// How decode attention is computed: the tile of a block, and how keys are shared out over blocks before their lengths are known.
// Flash-Decoding (Dao, Haziza, Massa & Sizov 2023) for the split; GQA packing: the rows of a tile are the queries of a KV head.

#include "../core/arch.hpp"
#include "tile.hpp"
#include "variant.hpp"

namespace smalti {

/// A warp (or a team of 2 or 4, for more than 16 rows) takes every n-th step of keys by itself: nobody waits for a neighbour
/// until the keys are used up. Changes speed, never the result beyond rounding.
struct decode_tile {
  int step;    ///< keys a team takes at a time: 16 or 32
  int stages;  ///< steps of K and V that may be on their way, for each warp; the copy engine makes do with fewer where blocks queue
  int warps;   ///< of a block: 4 or 8
  friend constexpr bool operator==(decode_tile const&, decode_tile const&) = default;
};

namespace detail {

/// A row in shared memory is panels of 64 columns (128 bytes), as the copy engine's swizzle wants it.
SMALTI_HD constexpr int decode_panels(int columns) { return ceil_div(columns, 64); }
SMALTI_HD constexpr int decode_step_bytes(decode_tile t, attention_shape s) {
  return t.step * 128 * (decode_panels(s.head_dim) + decode_panels(s.values()));
}
/// One row of f32 where the warps' results meet: 32 bytes longer than it needs to be, so that eight rows start in different banks.
SMALTI_HD constexpr int decode_merge_row(attention_shape s) { return s.values() + 8; }
SMALTI_HD constexpr int decode_ring_bytes(decode_tile t, attention_shape s) {
  return max(t.warps * t.stages * decode_step_bytes(t, s), t.warps * 16 * 4 * decode_merge_row(s));
}
/// Ring, two barriers a stage, the state of each warp's rows, and room to begin at a multiple of 1024.
SMALTI_HD constexpr int decode_smem_bytes(decode_tile t, attention_shape s) {
  return 1024 + decode_ring_bytes(t, s) + t.warps * (t.stages * 16 + 16 * 8) + 16;
}

}  // namespace detail

SMALTI_HD constexpr misfit fits(decode_tile t, attention_shape s, arch a) {
  if (a.of != arch::family::cuda || s.elem_bytes != 2 || s.head_dim % 32 != 0 || s.values() % 32 != 0 || s.head_dim < 32 || s.values() < 32)
    return misfit::head_dim;
  if (t.step != 16 && t.step != 32) return misfit::kv_rows;
  if (t.warps != 4 && t.warps != 8) return misfit::q_rows;
  if ((16 * t.step + 16 * s.values()) / 32 + s.head_dim / 4 > 208) return misfit::registers;  // S and O in f32, Q
  if (t.stages < 1 || detail::decode_smem_bytes(t, s) > a.smem) return misfit::shared_memory;
  return misfit::none;
}

/// Best known tile. A row's comment is its evidence: board · toolkit · date · figure.
struct decode_tuned {
  SMALTI_HD constexpr decode_tile operator()(attention_shape s, arch a) const {
    // H200 · CUDA 13.0 · 2026-11 · D 128, 1 × 8192 … 64 × 8192: by the copy engine 4 warps of 32 keys (16 keys −10 % at 1 × 8192);
    // by cp.async 8 warps, 3855 GB/s at 16 × 8192, 4 warps 2364
    bool const engine = a.has(feature::tma);
    decode_tile t{.step = s.head_dim + s.values() <= 256 ? 32 : 16, .stages = 0, .warps = engine ? 4 : 8};
    auto const fit = [&](int stages) { return detail::decode_smem_bytes({t.step, stages, t.warps}, s) <= a.smem; };
    if (!fit(1)) t.step = 16;
    if (!fit(1)) t.warps = 4;
    // 128 KiB on their way, four times what the latency asks for; 192 KiB cost 8 % at 1 × 8192 and gain 1 % at 1 × 32768
    while (t.stages < (engine ? 8 : 3) && fit(t.stages + 1) && (t.stages + 1) * t.warps * detail::decode_step_bytes(t, s) <= 128 << 10) ++t.stages;
    return t;
  }
};

/// A tuning that ignores the problem.
template <decode_tile T>
struct fixed_decode {
  SMALTI_HD constexpr decode_tile operator()(attention_shape, arch) const { return T; }
};

/// Who computes what, from what the host knows: bounds, not lengths. Blocks that turn out to have nothing to do leave at once.
struct decode_plan {
  int rows;     ///< packed rows of a KV head: query tokens × query heads; row r is token r / heads, head r % heads
  int heads;    ///< query heads of a KV head
  int tokens;   ///< query tokens of a sequence, at most
  int team;     ///< warps that share the keys they read, 16 rows each: 1, 2 or 4
  int blocks;   ///< blocks that share the rows of a KV head
  int parts;    ///< blocks that share the keys of a sequence, at most
  int split;    ///< keys of a part, counted from the first key of the sequence; 0: as the sequence's length gives
  int least;    ///< keys below which a part is not worth a block
  int keys;     ///< bound of the keys of a sequence
  int together; ///< blocks that a processor holds at once: several where they queue, and where a block has much to compute
  int stages;   ///< of the tile; fewer where several blocks are to fit
  bool alone;   ///< the next launch is not to begin beside this one

  SMALTI_HD constexpr int rows_of_block() const { return min(rows, 16 * team); }
};

/// The fewest parts that give most processors a block: each holds so many bytes on their way that a few idle processors cost
/// nothing, while every part costs the join of its result.
/// most: blocks that a processor may hold at once.
SMALTI_HD constexpr decode_plan plan_decode(decode_tile t, index sequences_and_heads, int heads, int tokens, int keys, int split, int processors, int most) {
  int const rows = heads * tokens, team = rows <= 16 ? 1 : rows <= 32 ? 2 : 4, blocks = ceil_div(rows, 16 * team);
  int const least = t.warps / team * t.step;
  index const items = max(sequences_and_heads * blocks, index(1));
  int const useful = max(ceil_div(keys, split ? split : least), 1), places = processors * min(team, most);
  // Many rows are worth several blocks a processor, but not at the price of a join of more than a few parts.
  index const wanted = min(places / items, max(processors / items, index(4)));
  int const parts = split ? useful : int(min(max(wanted, index(1)), index(useful)));
  // H200, 64 × 1024: two at once 4.10 TB/s, one 3.53, three 3.62
  int const together = items * parts > places ? min(max(team, 2), most) : items * parts > processors ? min(team, most) : 1;
  // A long stream runs 0.5 % faster with half as much on its way, and 1 % without the next launch's blocks beside it (16 × 32768).
  bool const long_stream = keys / parts >= 16384;
  return {rows, heads, tokens, team, blocks, parts, split, least, keys, together, long_stream ? max(t.stages / 2, 1) : t.stages, long_stream};
}

/// The keys of one sequence, cut into parts. Depends on nothing but the sequence and the plan.
struct decode_parts {
  int origin, size;  ///< part i holds the keys origin + i·size …
  int first, count;  ///< parts that have any key, at least one
  int end;           ///< of the keys

  /// seen: keys that any query may see; step: boundaries are multiples of it.
  SMALTI_HD constexpr decode_parts(decode_plan const& plan, key_range seen, int step)
      : origin(plan.split ? 0 : seen.begin / step * step), size(plan.split), first(0), count(1), end(seen.end) {
    if (!plan.split) size = max(round_up(ceil_div(max(end - origin, 0), plan.parts), step), plan.least);
    if (seen.begin >= seen.end) return;
    if (plan.split) first = seen.begin / size;
    count = ceil_div(end - origin, size) - first;
  }
  SMALTI_HD constexpr key_range part(int i) const { return {origin + (first + i) * size, min(origin + (first + i + 1) * size, end)}; }
};

}  // namespace smalti
