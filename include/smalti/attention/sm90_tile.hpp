#pragma once
// Which tiles Hopper's engine can run, and the best known ones: a copying warpgroup beside `warps / 4` computing ones of 64
// query rows each.

#include "tile.hpp"

namespace smalti {

/// Q twice and O, then `stages` pairs of (K, V), unpadded: the copy engine swizzles. Plus barriers, up to 1 KiB.
SMALTI_HD constexpr int smem_bytes_wgmma(attention_tile t, attention_shape s) {
  return (3 * t.q + t.stages * 2 * t.kv) * s.head_dim * s.elem_bytes + 1024;
}

SMALTI_HD constexpr misfit fits_wgmma(attention_tile t, attention_shape s, arch a) {
  if (s.head_dim != 64 && s.head_dim != 128) return misfit::head_dim;     // panels of 64 columns; beyond 128, O must share Q's memory
  if (t.kv % 16 != 0 || t.kv < 64 || t.kv > 192) return misfit::kv_rows;  // the wgmma shapes that ptx_sm90.cuh spells out
  if (t.q != 16 * t.warps || (t.warps != 8 && t.warps != 12)) return misfit::q_rows;
  // 32-bit registers a thread holds: S is 64×Bk f32, P the same in bf16, O is 64×D f32, over 128 threads.
  if (t.kv / 2 + t.kv / 4 + s.head_dim / 2 > (t.warps == 8 ? 208 : 144)) return misfit::registers;
  if (t.stages < 1 || smem_bytes_wgmma(t, s) > a.smem) return misfit::shared_memory;
  return misfit::none;
}

/// Best known tiles for wgmma. A row's comment is its evidence: board · toolkit · date · TFLOP/s full, causal at S 4096,
/// B·S 16384, H·D 2048, clock settled under load (in a short burst 15 % more).
struct tuned_sm90 {
  SMALTI_HD constexpr attention_tile operator()(attention_shape s, arch) const {
    if (s.head_dim == 64) return {.q = 192, .kv = 128, .stages = 2, .warps = 12};  // H200 · 13.0 · 2026-11 · 493, 426
    return {.q = 128, .kv = 128, .stages = 2, .warps = 8};                         // H200 · 13.0 · 2026-11 · 625, 573
  }
};

}  // namespace smalti
