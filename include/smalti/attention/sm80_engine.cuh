#pragma once
// The engine for mma.sync and cp.async. FlashAttention-2 (Dao 2023), §3.3: a warp owns whole rows of queries.

#include "compose.hpp"
#include "problem.hpp"
#include "sm80_softmax.cuh"
#include "tile.hpp"

namespace smalti::detail {

/// Where the registers suffice, the scores of the next tile are computed `ahead`, between the exponentials of this one, and the
/// tensor cores never wait for the softmax; elsewhere the other warps of the processor fill that gap.
template <attention_tile T, int D, int Dv, class E, class Variant>
struct sm80_engine {
  static constexpr int blocks = T.q / (16 * T.warps), rows = 2 * blocks;  // 16-row blocks of a warp · rows that one lane sees of them
  static constexpr int pad = 8;                                           // 16 bytes: eight rows that follow one another begin in different banks
  static constexpr int registers = blocks * (T.kv + Dv + D / 2) / 2;      // of S, O and Q, in each lane
    static constexpr bool ahead = T.stages > 1 && registers + blocks * T.kv / 2 <= 224;
  static constexpr bool q_stays = registers <= 224;                       // in registers; otherwise it is read anew for every tile

  struct alignas(16) storage {
    E q[T.q][D + pad];
    E k[T.stages][T.kv][D + pad];
    E v[T.stages][T.kv][Dv + pad];
  };
  static_assert(sizeof(storage) == smem_bytes(T, {D, sizeof(E), Dv}) && T.stages <= T.q);
  // Barriers of a buffer: a group has landed, at which every thread's copies arrive · every warp has read a tile and left it. What pads Q's rows holds them.
  SMALTI_D uint64_t* landed(int slot) const { return reinterpret_cast<uint64_t*>(&smem.q[slot][D]); }
  SMALTI_D uint64_t* left(int slot) const { return landed(slot) + 1; }
  using score_blocks = warp_block<T.kv>[blocks];
  using weight_blocks = uint32_t[blocks][4];  // 16 columns of P, as an operand

  attention_args<E> const& a;
  Variant const& variant;
  storage& smem;
  int const first;  // query row of this block

  float c = 0;                                                  // turns a score into a power of two
  uint32_t q[q_stays ? blocks : 1][q_stays ? D / 16 : 1][4] = {};  // Q_i           (16·blocks, D)
  warp_block<Dv> o[blocks] = {};                                // O_i             (16·blocks, Dv)
  lazy_softmax<rows> softmax{};                                 // m_i, l_i        (16·blocks)

  // ---------------------------------------------------------------- which tiles

  struct place { int k, slot, lap; };  // of a tile: its first key, its buffer, the parity of that buffer's barriers
  key_range walk{}, mine{}, whole{};  // keys that this block visits · that this warp's rows keep, and keep unmasked

  SMALTI_D int warp_row() const { return first + 16 * blocks * ptx::warp(); }

  SMALTI_D void look() {
    key_range const all{0, a.seq_kv};
    auto const keys = [&](int row) { return keys_of(variant, a.position + row); };
    int const row = warp_row(), last = row + 16 * blocks - 1;
    walk = all & key_range{keys(first).begin, keys(min(first + T.q, a.seq_q) - 1).end};
    walk.begin = walk.begin / T.kv * T.kv;
    mine = all & key_range{keys(row).begin, row < a.seq_q ? keys(last).end : 0};
    whole = all & key_range{keys(last).begin, keys(row).end};
  }
  SMALTI_D cover covers(int k) const { return variant.covers(a.position + first, a.position + first + T.q, k, min(k + T.kv, a.seq_kv)); }
  /// The first tile from k on that the mask does not empty. A mask that is an interval has said so in `walk`.
  SMALTI_D int visible(int k) const {
    if constexpr (!masks_interval<Variant>)
      while (k < walk.end && covers(k) == cover::none) k += T.kv;
    return k;
  }
  SMALTI_D place after(place at) const {
    bool const wraps = at.slot + 1 == T.stages;
    return {visible(at.k + T.kv), wraps ? 0 : at.slot + 1, at.lap ^ int(wraps)};
  }
  SMALTI_D bool masked(int k) const {
    if constexpr (masks_interval<Variant>) return k < whole.begin || k + T.kv > whole.end;
    else return k + T.kv > a.seq_kv || covers(k) != cover::all;
  }

  // ---------------------------------------------------------------- memory

  /// Rows first … first + Rows − 1. Rows past the end become zeros: a weight of 0 times what lies there must be 0.
  template <int Rows, int Columns>
  SMALTI_D static void fetch(E (&to)[Rows][Columns], E const* from, index row, int first, int end) {
    constexpr int chunks = (Columns - pad) / 8, together = 32 * T.warps / chunks;  // 16 bytes each · rows at a time
    static_assert(together > 0);
    int const r = ptx::thread() / chunks, c = ptx::thread() % chunks * 8;
    if (32 * T.warps % chunks != 0 && r >= together) return;
    E const* source = from + index(first + r) * row + c;
    auto const copy = [&](auto exists) {
      SMALTI_UNROLL for (int at = 0; at < Rows; at += together, source += together * row) {
        if (Rows % together != 0 && r + at >= Rows) break;
        bool const valid = exists(r + at);
        ptx::cp_async_16(&to[r + at][c], valid ? source : from, valid);
      }
    };
    if (first + Rows <= end) copy([](int) { return true; });
    else copy([=](int i) { return first + i < end; });
  }

  // A group of copies is K of one tile and V of the same or, where scores run ahead, of the tile before it; behind the last tile nothing.
  place next_k{}, next_v{};
  SMALTI_D void fetch_k() {
    if (next_k.k < walk.end) fetch(smem.k[next_k.slot], a.k, a.row_k, next_k.k, a.seq_kv);
    next_k = after(next_k);
  }
  SMALTI_D void fetch_v() {
    if (next_v.k < walk.end) fetch(smem.v[next_v.slot], a.v, a.row_v, next_v.k, a.seq_kv);
    next_v = after(next_v);
  }
  SMALTI_D void fetch_group(int slot) { fetch_k(), fetch_v(), ptx::cp_async_arrive(landed(slot)); }
  SMALTI_D void await(place now) { ptx::mbarrier_wait(landed(now.slot), now.lap); }
  /// Requests the group that takes the buffer of the tile before this one, as soon as every warp has read that.
  SMALTI_D void refill(place before) {
    if (next_v.k >= walk.end) return;
    ptx::mbarrier_wait(left(before.slot), before.lap);
    fetch_group(before.slot);
  }
  SMALTI_D void release(place now) {
    ptx::sync_warp();
    if (ptx::lane() == 0) ptx::mbarrier_arrive(left(now.slot));
  }

  /// Q goes to registers, as far as they reach. A scale that is not positive moves into Q, exactly: the softmax wants c > 0.
  SMALTI_D void take_q() {
    float const scale = leaves_scores<Variant> ? a.scale : 1.f;
    c = 1.4426950408889634f * (scale == 0.f ? 1.f : fabsf(scale));
    if (scale <= 0.f) {
      for (int i = ptx::lane(); i < 16 * blocks * D / 2; i += 32) {
        auto& pair = *reinterpret_cast<uint32_t*>(&smem.q[16 * blocks * ptx::warp() + i / (D / 2)][i % (D / 2) * 2]);
        pair = scale == 0.f ? 0 : pair ^ 0x80008000u;
      }
      ptx::sync_warp();
    }
    if constexpr (q_stays)
      SMALTI_UNROLL for (int b = 0; b < blocks; ++b)
        SMALTI_UNROLL for (int d = 0; d < D / 16; ++d) load_q(q[b][d], b, d);
  }
  SMALTI_D void load_q(uint32_t (&to)[4], int b, int d) const {
    ptx::ldmatrix_x4(to, &smem.q[16 * (blocks * ptx::warp() + b) + ptx::lane() % 16][16 * d + ptx::lane() / 16 * 8]);
  }

  // ---------------------------------------------------------------- the products

  SMALTI_D void begin(score_blocks& s, int k) const {
    SMALTI_UNROLL for (int b = 0; b < blocks; ++b) {
      s[b] = {};
      s[b].q0 = a.position + warp_row() + 16 * b, s[b].k0 = k, s[b].head = a.head, s[b].batch = a.batch;
    }
  }
  /// S += 16 columns of Q times as many of K.
  SMALTI_D void add_scores(score_blocks& s, int slot, int d) const {
    uint32_t a[blocks][4];
    SMALTI_UNROLL for (int b = 0; b < blocks; ++b)
      if constexpr (q_stays) SMALTI_UNROLL for (int i = 0; i < 4; ++i) a[b][i] = q[b][d][i];
      else load_q(a[b], b, d);
    SMALTI_UNROLL for (int n = 0; n < T.kv / 16; ++n) {
      uint32_t k[4];  // K rows 16n … 16n+15: two 16×8 operands
      ptx::ldmatrix_x4(k, &smem.k[slot][16 * n + ptx::lane() % 8 + ptx::lane() / 16 * 8][16 * d + ptx::lane() / 8 % 2 * 8]);
      SMALTI_UNROLL for (int b = 0; b < blocks; ++b) {
        ptx::mma_m16n8k16<E>(s[b].x[2 * n], a[b], k[0], k[1]);
        ptx::mma_m16n8k16<E>(s[b].x[2 * n + 1], a[b], k[2], k[3]);
      }
    }
  }
  /// O += 16 columns of P times as many rows of V.
  SMALTI_D void add_values(weight_blocks const& p, int slot, int j) {
    SMALTI_UNROLL for (int n = 0; n < Dv / 16; ++n) {
      uint32_t v[4];
      ptx::ldmatrix_x4_trans(v, &smem.v[slot][16 * j + ptx::lane() % 16][16 * n + ptx::lane() / 16 * 8]);
      SMALTI_UNROLL for (int b = 0; b < blocks; ++b) {
        ptx::mma_m16n8k16<E>(o[b].x[2 * n], p[b], v[0], v[1]);
        ptx::mma_m16n8k16<E>(o[b].x[2 * n + 1], p[b], v[2], v[3]);
      }
    }
  }

  // ---------------------------------------------------------------- the softmax

  /// The variant's scores, its mask, and the maximum.
  SMALTI_D void judge(score_blocks& s, int k) {
    if constexpr (!leaves_scores<Variant>)
      SMALTI_UNROLL for (auto& each : s) each.for_each([&](float& x, score_at at) { x = variant.score(a.scale * x, at); });
    if (masked(k))
      SMALTI_UNROLL for (auto& each : s) mask(each);
    float top[rows];
    SMALTI_UNROLL for (int r = 0; r < rows; ++r) top[r] = s[r / 2].own_max(r % 2);
    if (softmax.outgrown(top, c))
      SMALTI_UNROLL for (int r = 0; r < rows; ++r) {
        float const decay = softmax.move(r, top[r], c);
        o[r / 2].map(r % 2, [=](float x) { return decay * x; });
      }
  }
  SMALTI_D void mask(warp_block<T.kv>& s) const {
    if constexpr (masks_interval<Variant>) {
      SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
        auto const keep = keys_of(variant, s.q0 + ptx::lane() / 4 + 8 * r) & key_range{.end = a.seq_kv};
        int const at = s.k0 + 2 * (ptx::lane() % 4), begin = keep.begin - at, end = keep.end - at;
        SMALTI_UNROLL for (int n = 0; n < T.kv / 8; ++n)
          SMALTI_UNROLL for (int i = 0; i < 2; ++i)
            s.x[n][2 * r + i] = begin <= 8 * n + i && 8 * n + i < end ? s.x[n][2 * r + i] : -INFINITY;
      }
    } else {
      s.for_each([&](float& x, score_at at) { x = at.k < a.seq_kv && variant.keep(at) ? x : -INFINITY; });
    }
  }
  /// Columns 16j … 16j+15 of P, as the A operand of the next product: two m16n8 results side by side are one m16k16 operand.
  SMALTI_D void weigh(weight_blocks& p, score_blocks& s, int j) {
    SMALTI_UNROLL for (int b = 0; b < blocks; ++b) {
      SMALTI_UNROLL for (int n = 2 * j; n < 2 * j + 2; ++n)
        SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
          auto& x = s[b].x[n][i];
          x = ptx::exp2_approx(fmaf(c, x, -softmax.m[2 * b + i / 2]));
          softmax.l[2 * b + i / 2] += x;
        }
      if constexpr (has_weight<Variant>) s[b].for_each([&](float& x, score_at at) { x = variant.weight(x, at); }, 2 * j, 2 * j + 2);
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) p[b][i] = ptx::pack<E>(s[b].x[2 * j + i / 2][i % 2 * 2], s[b].x[2 * j + i / 2][i % 2 * 2 + 1]);
    }
  }

  // ---------------------------------------------------------------- the loop

  SMALTI_D void run() {
    if (ptx::thread() == 0)
      for (int i = 0; i < T.stages; ++i) ptx::mbarrier_init(landed(i), 32 * T.warps), ptx::mbarrier_init(left(i), T.warps);
    look();
    fetch(smem.q, a.q, a.row_q, first, a.seq_q);
    place now{visible(walk.begin), 0, 0}, before{0, T.stages - 1, 1};  // a fresh barrier passes for one whose parity 1 has completed
    next_k = next_v = now;
    if constexpr (ahead) fetch_k();
    ptx::cp_async_commit();
    ptx::sync_block();  // the barriers are there
    for (int i = 0; i < T.stages - 1; ++i)
      if (next_v.k < walk.end) fetch_group(i);
    ptx::cp_async_wait<0>();
    ptx::sync_block();
    take_q();
    if constexpr (ahead) run_ahead(now, before);
    else run_in_turn(now, before);
    while (now.k < walk.end) pass(now, before);
    store();
  }
  /// A tile that holds nothing for this warp: its share of the copies is all there is to do.
  SMALTI_D void pass(place& now, place& before) {
    refill(before), release(now);
    before = now, now = after(now);
  }

  /// Behind the last key that this warp keeps. The loops hold no branch for tiles before and behind, which would cost them 5 %.
  SMALTI_D int own_end() const { return masks_interval<Variant> && !keeps_all<Variant> ? min(walk.end, mine.end) : walk.end; }
  SMALTI_D void pass_until(place& now, place& before, int first_key) {
    if constexpr (masks_interval<Variant> && !keeps_all<Variant>)
      while (now.k < walk.end && now.k + T.kv <= first_key) pass(now, before);
  }

  /// FlashAttention-2, Algorithm 1: this tile's scores, their softmax, O += P V. The copies for a later tile are requested when the
  /// tensor cores have been given work.
  SMALTI_D void run_in_turn(place& now, place& before) {
    pass_until(now, before, mine.begin);
    for (int const end = own_end(); now.k < end; before = now, now = after(now)) {
      if constexpr (T.stages == 1) refill(before);
      await(now);
      score_blocks s;
      begin(s, now.k);
      SMALTI_UNROLL for (int d = 0; d < D / 16; ++d) add_scores(s, now.slot, d);
      if constexpr (T.stages > 1) refill(before);
      judge(s, now.k);
      SMALTI_UNROLL for (int j = 0; j < T.kv / 16; ++j) {
        weight_blocks p;
        weigh(p, s, j);
        add_values(p, now.slot, j);
      }
      release(now);
    }
  }

  SMALTI_D void run_ahead(place& now, place& before) {
    score_blocks s;
    begin(s, now.k);
    SMALTI_UNROLL for (int d = 0; d < D / 16; ++d) add_scores(s, now.slot, d);
    judge(s, now.k);
    ptx::sync_block();                              // K of a later tile takes the place of this one's
    pass_until(now, before, mine.begin - T.kv);     // s stands for any tile before: nothing of it is kept
    int const end = own_end();
    for (place next; now.k < end; before = now, now = next) {
      next = after(now);
      await(now);
      refill(before);
      constexpr int products = D / 16, weights = T.kv / 16;
      weight_blocks p[weights];
      score_blocks t;
      begin(t, next.k);
      SMALTI_UNROLL for (int d = 0; d < products; ++d) {
        add_scores(t, next.slot, d);
        SMALTI_UNROLL for (int j = d * weights / products; j < (d + 1) * weights / products; ++j) weigh(p[j], s, j);
      }
      SMALTI_UNROLL for (int j = 0; j < weights; ++j) add_values(p[j], now.slot, j);
      release(now);
      judge(t, next.k);
      SMALTI_UNROLL for (int b = 0; b < blocks; ++b) s[b] = t[b];
    }
  }

  // ---------------------------------------------------------------- the result

  /// O / l, through this warp's rows of Q's buffer, so that memory sees whole rows.
  SMALTI_D void store() {
    float inverse[rows];
    int const lane = ptx::lane(), row = 16 * blocks * ptx::warp();
    SMALTI_UNROLL for (int r = 0; r < rows; ++r) {
      typename lazy_softmax<rows>::ending end;
      if constexpr (has_sink<Variant>) end = softmax.finish(r, variant.sink(a.head));
      else end = softmax.finish(r);
      inverse[r] = end.inverse;
      int const i = first + row + 8 * r + lane / 4;
      if (a.lse && lane % 4 == 0 && i < a.seq_q) a.lse[i] = end.logsumexp;
    }
    constexpr int width = Dv < D ? Dv : D;  // at a time
    SMALTI_UNROLL for (int from = 0; from < Dv; from += width) {
      ptx::sync_warp();
      SMALTI_UNROLL for (int r = 0; r < rows; ++r)
        SMALTI_UNROLL for (int n = 0; n < width / 8; ++n) {
          if (from + 8 * n >= Dv) break;
          auto const& x = o[r / 2].x[from / 8 + n];
          *reinterpret_cast<uint32_t*>(&smem.q[row + 8 * r + lane / 4][8 * n + 2 * (lane % 4)]) = ptx::pack<E>(inverse[r] * x[r % 2 * 2], inverse[r] * x[r % 2 * 2 + 1]);
        }
      ptx::sync_warp();
      int const chunks = min(width, Dv - from) / 8;
      for (int i = lane; i < 16 * blocks * chunks; i += 32) {
        int const r = i / chunks, c = i % chunks * 8;
        if (first + row + r < a.seq_q)
          ptx::copy_16(a.o + (first + row + r) * a.row_o + from + c, &smem.q[row + r][c]);
      }
    }
  }
};

}  // namespace smalti::detail
