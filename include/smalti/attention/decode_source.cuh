#pragma once
// Where decode attention gets its keys and values from: the copy engine (sm_90a), or cp.async with any strides and page sizes.
// PTX ISA 9.0, §9.7.9.25 (cp.async, cp.async.bulk.tensor), §9.7.13.15 (mbarrier); swizzle as in "Tensor Swizzling Modes".

#include "../cuda/ptx_sm90.cuh"
#include "decode_tile.hpp"
#include "problem.hpp"

namespace smalti::detail {

/// The 16 bytes that hold (row, column) of a step: panels of 64 columns, `Step` rows of 128 bytes each, 16-byte pieces of a row
/// exchanged by its number modulo 8, so that eight rows of one column lie in different banks.
template <int Step>
SMALTI_D char* decode_place(char* step, int row, int column) {
  return step + column / 64 * (Step * 128) + row * 128 + ((column % 64 / 8) ^ (row % 8)) * 16;
}

/// The warps that read the same keys, and where these are in the cache.
struct decode_team {
  int id, warp, warps;      ///< team of the block · warp of the team · warps of the team
  int stride, shift;        ///< keys from one step of the team to its next: 2^shift
  int outer, group, first;  ///< first coordinates of the sequence in the cache (outer: of pages, the sequence), first row
  key_range seen;           ///< by the block; the memory of keys outside may hold anything

  SMALTI_D int thread() const { return 32 * warp + ptx::lane(); }
  SMALTI_D void sync() const {
    if (warps == 1) __syncwarp();
    else ptx::barrier_sync(1 + id, 32 * warps);
  }
};

/// What one box of the copy engine is: `rows` rows of 64 columns, a whole step or a page of it. All are powers of two.
struct decode_box {
  int rows = 0;
  int page_shift = 0;   ///< logarithm of the rows of a page
  int boxes_shift = 0;  ///< of the boxes of a step
};
struct decode_maps {
  CUtensorMap k, v;
};
struct decode_no_maps {};

/// The copy engine.
template <attention_shape S, decode_tile T, class E>
struct decode_boxes {
  decode_maps const& from;
  decode_box const& box;
  page_table const& pages;
  decode_team const& team;
  int stages;
  char* ring;               ///< of the team
  uint64_t* landed;         ///< two for each stage: K, V
  uint64_t policy = ptx::once_policy();
  int known = -1, ids = 0;  ///< lane i has the page of the i-th box from key `known` on: one latency for 32 boxes

  SMALTI_D char* k_at(int stage) const { return ring + stage * decode_step_bytes(T, S); }
  SMALTI_D char* v_at(int stage) const { return k_at(stage) + T.step * 128 * decode_panels(S.head_dim); }

  SMALTI_D void open() const {
    if (ptx::thread() == 0) ptx::tma_prefetch(&from.k), ptx::tma_prefetch(&from.v);
    if (team.thread() < 2 * stages) ptx::mbarrier_init(&landed[team.thread()], 1), ptx::mbarrier_init_fence();
    team.sync();
  }
  SMALTI_D void request_k(int stage, int k0) { request<decode_panels(S.head_dim)>(k_at(stage), &landed[2 * stage], from.k, k0); }
  SMALTI_D void request_v(int stage, int k0) { request<decode_panels(S.values())>(v_at(stage), &landed[2 * stage + 1], from.v, k0); }
  SMALTI_D void wait_k(int stage, int phase) const { ptx::mbarrier_wait(&landed[2 * stage], phase); }

  /// A whole step into L2, for what is not in pages.
  SMALTI_D void prefetch(int k0) const {
    if (team.thread() != 0 || k0 >= team.seen.end) return;
    SMALTI_UNROLL for (int i = 0; i < decode_panels(S.head_dim); ++i) ptx::tma_prefetch(&from.k, 64 * i, k0 + team.first, team.group, team.outer);
    SMALTI_UNROLL for (int i = 0; i < decode_panels(S.values()); ++i) ptx::tma_prefetch(&from.v, 64 * i, k0 + team.first, team.group, team.outer);
  }

  /// A row of V that is not to be used must be zero: its weight is, and 0 · NaN is not.
  SMALTI_D void wait_v(int stage, int phase, int k0) const {
    ptx::mbarrier_wait(&landed[2 * stage + 1], phase);
    if (team.seen.begin <= k0 && k0 + T.step <= team.seen.end) return;
    for (int i = team.thread(); i < T.step * S.values() / 8; i += 32 * team.warps) {
      int const r = i / (S.values() / 8), c = i % (S.values() / 8) * 8;
      if (!team.seen.holds(k0 + r)) *reinterpret_cast<uint4*>(decode_place<T.step>(v_at(stage), r, c)) = {};
    }
    ptx::fence_async_proxy();  // the engine will write here again
    team.sync();
  }

 private:
  /// The team's first warp calls it as one. A page id that is not there reads as zeros: the map knows its extent.
  template <int Panels>
  SMALTI_D void request(char* to, uint64_t* bar, CUtensorMap const& map, int k0) {
    if (team.warp != 0 || k0 >= team.seen.end) return;
    int const boxes = box.boxes_shift ? ceil_div(min(T.step, team.seen.end - k0), box.rows) : 1;
    int at = 0, outer = team.outer, row = k0 + team.first;
    if (pages.pages) {
      at = (k0 - known) >> team.shift << box.boxes_shift, row = k0 & ((1 << box.page_shift) - 1);
      if (known < 0 || at >= 32) {
        int const step = ptx::lane() >> box.boxes_shift, k = k0 + step * team.stride + (ptx::lane() - (step << box.boxes_shift)) * box.rows;
        known = k0, at = 0, ids = k < team.seen.end ? pages.pages[index(team.outer) * pages.max_pages + (k >> box.page_shift)] : 0;
      }
    }
    if (ptx::lane() == 0) ptx::mbarrier_arrive_expecting(bar, boxes * Panels * box.rows * 128);
    _Pragma("unroll 1") for (int b = 0; b < boxes; ++b, to += box.rows * 128) {
      if (pages.pages) outer = __shfl_sync(~0u, ids, at + b);
      if (ptx::lane() == 0)
        SMALTI_UNROLL for (int i = 0; i < Panels; ++i) ptx::tma_load(to + i * (T.step * 128), &map, bar, 64 * i, row, team.group, outer, policy);
    }
  }
};

/// cp.async: every lane copies pieces of 16 bytes. Any strides that are multiples of 16 bytes, any page size.
template <attention_shape S, decode_tile T, class E>
struct decode_copies {
  page_table const& pages;
  attention_problem<E> const& p;
  decode_team const& team;
  char* ring;
  static constexpr int stages = T.stages;  // the wait below is a constant

  SMALTI_D char* k_at(int stage) const { return ring + stage * decode_step_bytes(T, S); }
  SMALTI_D char* v_at(int stage) const { return k_at(stage) + T.step * 128 * decode_panels(S.head_dim); }

  SMALTI_D void open() const {}
  SMALTI_D void request_k(int stage, int k0) const { request<S.head_dim>(k_at(stage), p.k, k0); }
  SMALTI_D void request_v(int stage, int k0) const { request<S.values()>(v_at(stage), p.v, k0); }
  /// K and V alternate, one group each, so behind the one that is needed there are always as many.
  SMALTI_D void wait_k(int, int) const {
    ptx::cp_async_wait<2 * T.stages - 1>();
    team.sync();
  }
  SMALTI_D void wait_v(int stage, int phase, int) const { wait_k(stage, phase); }

 private:
  template <int Columns>
  SMALTI_D void request(char* to, view<E const, 4> const& a, int k0) const {
    if (k0 >= team.seen.end) return ptx::cp_async_commit();  // an empty group, so that the wait stays a constant; zeros would come too late
    index const mine = offset(a, k0 + ptx::lane());          // of key k0 + lane: each is looked up once
    constexpr int pieces = Columns / 8;
    for (int i = 0; i < T.step * pieces; i += 32 * team.warps) {
      int const at = i + team.thread(), r = min(at / pieces, T.step - 1), c = at % pieces * 8;
      index const row = __shfl_sync(~0u, mine, r);
      if (at < T.step * pieces) ptx::cp_async_16(decode_place<T.step>(to, r, c), a.at + (row == nowhere ? 0 : row + c), row != nowhere);
    }
    ptx::cp_async_commit();
  }
  static constexpr index nowhere = -1;  // rows begin at multiples of 16 bytes
  /// Where key k begins, in elements; nowhere: not to be read, zeros instead.
  SMALTI_D index offset(view<E const, 4> const& a, int k) const {
    if (!team.seen.holds(k)) return nowhere;
    int outer = team.outer;
    if (pages.pages) {
      outer = pages.pages[index(outer) * pages.max_pages + k / pages.page_size], k %= pages.page_size;
      if (unsigned(outer) >= unsigned(a.extent[0])) return nowhere;
    }
    k += team.first;
    return outer * a.stride[0] + team.group * a.stride[1] + k * a.stride[2];
  }
};

}  // namespace smalti::detail
