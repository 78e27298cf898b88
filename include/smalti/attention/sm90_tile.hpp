#pragma once
// Which tiles Hopper's engine can run, and the best known ones: a copying warpgroup beside `warps / 4` computing ones of 64
// query rows each.

#include "tile.hpp"

namespace smalti {

/// 32-bit registers that a thread of a computing warpgroup holds: S in f32, P in 16 bits and O in f32, each 64 rows over 128
/// threads.
SMALTI_HD constexpr int registers_wgmma(attention_tile t, attention_shape s) { return t.kv / 2 + t.kv / 4 + s.values() / 2; }

/// How the multiprocessor's registers are shared, a thread: by the copying warpgroup and by each of the others. The sum over the
/// block is what the launch gave it: more, and they wait for ever.
struct register_shares { int copying, computing; };
SMALTI_HD constexpr register_shares shares_wgmma(attention_tile t, attention_shape s) {
  if (t.warps == 16) return {32, 112};
  if (t.warps == 8) return registers_wgmma(t, s) <= 184 ? register_shares{56, 224} : register_shares{40, 232};
  return registers_wgmma(t, s) <= 124 ? register_shares{56, 152} : register_shares{32, 160};
}
/// Whether a warpgroup has registers left to keep in mind which of a block's tiles its own 64 rows need.
SMALTI_HD constexpr bool rows_apart(attention_tile t, attention_shape s) { return registers_wgmma(t, s) <= 184; }

/// Shared memory of a block with so many buffers for Q: panels of 64 columns, unpadded (the copy engine swizzles); and 1 KiB for
/// barriers and what the block works on.
SMALTI_HD constexpr int smem_bytes_wgmma(attention_tile t, attention_shape s, int q_stages) {
  int const k = round_up(s.head_dim, 64), v = round_up(s.values(), 64);
  return (q_stages * t.q * k + t.stages * t.kv * (k + v)) * s.elem_bytes + 1024;
}

/// Two buffers, where they fit, let the next block's Q arrive while this one is in use.
SMALTI_HD constexpr int q_stages_wgmma(attention_tile t, attention_shape s) {
  return smem_bytes_wgmma(t, s, 2) <= sm_90a.smem ? 2 : 1;
}

SMALTI_HD constexpr misfit fits_wgmma(attention_tile t, attention_shape s, arch a) {
  if (s.elem_bytes != 2 || s.head_dim % 32 != 0 || s.head_dim < 64 || s.head_dim > 256) return misfit::head_dim;
  if (s.values() != 64 && s.values() != 96 && s.values() != 128 && s.values() != 192 && s.values() != 256) return misfit::head_dim;
  if (t.kv % 16 != 0 || t.kv < 64 || t.kv > 192) return misfit::kv_rows;  // the wgmma widths that ptx_wgmma.cuh spells out
  if (t.cluster < 1 || t.cluster > 2 || t.q != 16 * t.warps || (t.warps != 8 && t.warps != 12 && t.warps != 16)) return misfit::q_rows;
  if (registers_wgmma(t, s) > (t.warps == 8 ? 208 : t.warps == 12 ? 136 : 80)) return misfit::registers;
  if (t.stages < 2 || smem_bytes_wgmma(t, s, 1) > a.smem) return misfit::shared_memory;
  return misfit::none;
}

/// Best known tiles for wgmma. A row's comment is its evidence: board · toolkit · date · TFLOP/s full, causal at S 4096,
/// B·S 16384, H·D 2048, clock settled under load (in a short burst 15 % more).
struct tuned_sm90 {
  SMALTI_HD constexpr attention_tile operator()(attention_shape s, arch) const {
    if (s.head_dim <= 64) return {.q = 192, .kv = 128, .stages = 2, .warps = 12};                          // H200 · 13.0 · 2026-11 · 515, 468
    if (s.head_dim <= 96) return {.q = 192, .kv = 96, .stages = 2, .warps = 12};                           // H200 · 13.0 · 2026-11 · 600, 505
    if (s.head_dim <= 128) return {.q = 192, .kv = 80, .stages = 2, .warps = 12};                          // H200 · 13.0 · 2026-11 · 664, 567
    if (s.head_dim <= 192 && s.values() <= 128) return {.q = 128, .kv = 96, .stages = 2, .warps = 8};      // H200 · 13.0 · 2026-11 · 648, 560
    if (s.head_dim <= 192) return {.q = 128, .kv = 80, .stages = 2, .warps = 8};                           // H200 · 13.0 · 2026-11 · 647, 558
    return {.q = 128, .kv = 80, .stages = 2, .warps = 8};                                                  // H200 · 13.0 · 2026-11 · 668, 565
  }
};

/// Under a mask: four warpgroups of a narrow D make blocks that come out even, and hide more of what the edge adds; wider, 64 keys divide
/// the diagonals of a warpgroup's 64 rows, and let D 256 have warpgroups look at their own.
struct tuned_sm90_masked {
  SMALTI_HD constexpr attention_tile operator()(attention_shape s, arch a) const {
    if (s.head_dim <= 64) return {.q = 256, .kv = 64, .stages = 3, .warps = 16};  // H200 · 13.0 · 2026-11 · 505, 469; S 1024: 450, 343 (192 x 128: 438, 321)
    if (s.head_dim == 128) return {.q = 192, .kv = 64, .stages = 2, .warps = 12}; // H200 · 13.0 · 2026-11 · causal S 1024, 4096, 16384: 410, 592, 693 (kv 80: 398, 580, 673)
    if (s.head_dim > 192) return {.q = 128, .kv = 64, .stages = 2, .warps = 8};   // H200 · 13.0 · 2026-11 · causal S 1024, 2048: 448, 540 (kv 80: 403, 510)
    return tuned_sm90{}(s, a);
  }
};

/// Two blocks that fetch K and V for each other take half of them out of the L2 cache, and with that 5 to 9 % of the power; but they wait for
/// each other. From so many queries and keys on that is a gain; 0: never. H200 · 13.0 · 2026-11 · beside single blocks of 80 keys: D 128 full
/// S 4096, 16384 +2, +5 %, causal −1, +1 %; D 256 causal 1024, 2048, 4096, 16384 +5, +5, +5.5, +5 % (single blocks of 64 keys +11, +6, +3, +1 %).
SMALTI_HD constexpr int pairs_from(attention_shape s, bool masked) {
  if (s.head_dim != s.values()) return 0;
  if (s.head_dim == 256) return masked ? 4096 : 1024;
  return s.head_dim == 128 && !masked ? 4096 : 0;
}
template <class Table>
struct in_pairs {
  SMALTI_HD constexpr attention_tile operator()(attention_shape s, arch a) const {
    attention_tile t = Table{}(s, a);
    if (s.head_dim == 256) t.kv = 64;  // H200 · 13.0 · 2026-11 · full S 1024: 560 (single blocks of 80: 528), 4096: 688 (pairs of 80: 674)
    t.cluster = 2;
    return t;
  }
};

}  // namespace smalti
