#pragma once
// How attention is computed: tiles, the one rule that says which can run, the space of them and the table of the best.

#include "../core/arch.hpp"
#include "../core/status.hpp"
#include "../core/sweep.hpp"
#include "shape.hpp"

namespace smalti {

/// Changes speed, registers and memory, never the result beyond rounding.
struct attention_tile {
  int q;          ///< Bq, query rows per block (host: of all the heads that share a key head)
  int kv;         ///< Bk, key/value rows per step
  int stages = 1; ///< depth of the K/V pipeline
  int warps = 1;  ///< warps that compute
  int split = 0;  ///< keys per part when few queries leave processors idle (host); 0: never split
  int cluster = 1;  ///< blocks of neighbouring rows that fetch K and V together (sm_90a)
  friend constexpr bool operator==(attention_tile const&, attention_tile const&) = default;
};

/// Why a tile cannot run. `none` means it can. Each rule is written once and used three times: to filter sweeps, to explain
/// a failed static_assert, to explain a run-time refusal.
enum class misfit { none, q_rows, kv_rows, head_dim, shared_memory, registers };

inline constexpr int host_rows = 256;  ///< the host engine keeps statistics for at most this many rows

/// Shared memory of one sm_80 block: Q, then `stages` pairs of (K, V), each row 16 bytes longer than it needs to be so that
/// eight consecutive rows start in different banks. Kernels assert that they use exactly this.
SMALTI_HD constexpr int smem_bytes(attention_tile t, attention_shape s) {
  int const k_row = s.head_dim * s.elem_bytes + 16, v_row = s.values() * s.elem_bytes + 16;
  return t.q * k_row + t.stages * t.kv * (k_row + v_row);
}

SMALTI_HD constexpr misfit fits(attention_tile t, attention_shape s, arch a) {
  if (s.head_dim < 1 || s.values() < 1) return misfit::head_dim;
  if (t.kv < 16 || t.kv % 16 != 0) return misfit::kv_rows;
  if (a.of == arch::family::cpu) {
    return t.q < 1 || t.q > host_rows || t.stages != 1 || t.warps != 1 || t.split < 0 ? misfit::q_rows : misfit::none;
  }
  if (s.elem_bytes != 2 || s.head_dim % 16 != 0 || s.values() % 16 != 0) return misfit::head_dim;
  if (t.warps < 1 || t.q < 16 || t.q % (16 * t.warps) != 0) return misfit::q_rows;  // whole m16 row blocks for each warp
  // f32 accumulators a thread holds: S and O of its rows, over 32 lanes.
  if (t.q / t.warps * (t.kv + s.values()) / 32 > 192) return misfit::registers;
  if (t.stages < 1 || smem_bytes(t, s) > a.smem) return misfit::shared_memory;
  return misfit::none;
}

constexpr status explain(misfit m) {
  switch (m) {
    case misfit::none: return {};
    case misfit::q_rows: return {"attn.1", "tile.q must be a multiple of 16 * tile.warps; on the host 1 to 256, with one stage and warp"};
    case misfit::kv_rows: return {"attn.2", "tile.kv must be a multiple of 16"};
    case misfit::head_dim: return {"attn.3", "head dimensions must be multiples of 16 in 16-bit elements; on the host, positive"};
    case misfit::shared_memory: return {"attn.4", "Q + stages * (K + V) exceeds the block's shared memory"};
    case misfit::registers: return {"attn.5", "S and O accumulators exceed 192 registers a thread"};
  }
  return {"attn.0", "unknown misfit"};
}

/// Instantiate to reject a tile with the rule's own words.
template <attention_tile T, attention_shape S, arch A>
struct require_fit {
  static constexpr misfit why = fits(T, S, A);
  static_assert(why != misfit::q_rows, "attn.1: tile.q must be a multiple of 16 * tile.warps; on the host 1 to 256, with one stage and warp");
  static_assert(why != misfit::kv_rows, "attn.2: tile.kv must be a multiple of 16");
  static_assert(why != misfit::head_dim, "attn.3: head dimensions must be multiples of 16 in 16-bit elements; on the host, positive");
  static_assert(why != misfit::shared_memory, "attn.4: Q + stages * (K + V) exceeds the block's shared memory");
  static_assert(why != misfit::registers, "attn.5: S and O accumulators exceed 192 registers a thread");
  static constexpr bool ok = why == misfit::none;
};

/// Tiles that devices sweep, and those of the host.
inline constexpr auto attention_space =
    sweep<attention_tile>(/*q*/ axis{64, 128, 256}, /*kv*/ axis{32, 48, 64, 80, 96, 128}, /*stages*/ axis{1, 2, 3, 5}, /*warps*/ axis{4, 8});
inline constexpr auto attention_space_host =
    sweep<attention_tile>(/*q*/ axis{32, 64, 128, 256}, /*kv*/ axis{64, 128, 256, 512}, /*stages*/ axis{1}, /*warps*/ axis{1}, /*split*/ axis{0, 1024});

template <attention_shape S, arch A>
inline constexpr auto attention_candidates = [] {
  constexpr auto legal = [](attention_tile t) { return fits(t, S, A) == misfit::none; };
  if constexpr (A.of == arch::family::cpu) return attention_space_host.where(legal);
  else return attention_space.where(legal);
}();

/// Best known tile. A stateless value → value function: the same on the host and in every device pass.
/// A row's comment is its evidence: board · toolkit · date · figure.
struct tuned {
  SMALTI_HD constexpr attention_tile operator()(attention_shape s, arch a) const {
    // EPYC (Zen 3), one thread, busy · g++ 12 · 2026-11 · f32, causal 1024², D 128: 72 GFLOP/s, seven others 48–67; bf16: all 50–71, noise
    if (a.of == arch::family::cpu) return {.q = 128, .kv = 256, .split = 1024};
    if (a >= sm_90a && s.head_dim <= 64 && !s.masked) return {.q = 256, .kv = 96, .stages = 3, .warps = 8};   // H200 · 13.0 · 2026-11 · 355
    if (a >= sm_90a && s.head_dim <= 64) return {.q = 128, .kv = 80, .stages = 2, .warps = 4};                // H200 · 13.0 · 2026-11 · 305
    if (a >= sm_90a && s.head_dim <= 128 && !s.masked) return {.q = 256, .kv = 64, .stages = 3, .warps = 8};  // H200 · 13.0 · 2026-11 · 378
    if (a >= sm_90a && s.head_dim <= 128) return {.q = 256, .kv = 48, .stages = 5, .warps = 8};               // H200 · 13.0 · 2026-11 · 344
    if (s.head_dim <= 128) return {.q = 128, .kv = 32, .stages = 2, .warps = 4};
    return {.q = 64, .kv = 32, .stages = 2, .warps = 4};
  }
};

/// A tuning that ignores the problem: how a sweep, a test or an impatient user names one tile.
template <attention_tile T>
struct fixed {
  SMALTI_HD constexpr attention_tile operator()(attention_shape, arch) const { return T; }
};

}  // namespace smalti
