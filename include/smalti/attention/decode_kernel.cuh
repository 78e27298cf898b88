#pragma once
// Decode attention: few queries, many keys. Bytes bind, so a warp reads its keys by itself and the results meet once, at the end.
// Flash-Decoding (Dao et al. 2023); FlashAttention-2 (Dao 2023), Algorithm 1, for the loop; math/online_softmax.hpp for ⊕.

#include "../math/online_softmax.hpp"
#include "compose.hpp"
#include "decode_append.cuh"
#include "decode_source.cuh"

namespace smalti::detail {

/// What a launch carries besides the variant and the copy engine's maps. What a block needs before it can ask for its first byte
/// comes first: parameters arrive by cache lines, each at the price of a trip to L2.
template <class E>
struct decode_call {
  decode_plan plan;
  int room;               ///< rows of the cache for a sequence, where the keys are not packed
  bool early;             ///< the cache may be read before the stream's previous kernel has ended
  bool appends;
  attention_lengths lengths;
  page_table pages;
  decode_box box;
  unsigned* tickets;      ///< (items): parts that are done; 0 before and after
  float* partial;         ///< (items, parts, rows of a block, Dv): Σ e^(s − m) v
  softmax_state* states;  ///< (items, parts, rows of a block)
  attention_problem<E> problem;
  decode_append<E> append;
};

/// One block's share: some rows of one KV head, some keys.
struct decode_share {
  int batch, group, item;     // item: (sequence, KV head, block of rows)
  int first, rows;            // packed rows of the block
  int heads;                  // query heads of the KV head
  int tokens, length;         // of the sequence: queries, keys
  int first_token, last_token;  // of the block
  int position;               // of query 0 among the keys
  key_range seen, keys;       // by any query · of this part
  int parts;                  // that share the sequence's keys

  SMALTI_D int token(int r) const { return tokens == 1 ? 0 : (first + r) / heads; }
  SMALTI_D int head(int r) const { return group * heads + (tokens == 1 ? first + r : (first + r) % heads); }
};

/// Lengths are read here, on the device. parts = 0: nothing to do.
template <int Step, class E, class Variant>
SMALTI_D decode_share find_share(decode_call<E> const& call, Variant const& variant) {
  auto const& plan = call.plan;
  auto const& l = call.lengths;
  decode_share s;
  s.batch = blockIdx.z, s.group = blockIdx.y, s.item = blockIdx.z * gridDim.y + blockIdx.y, s.first = 0, s.heads = plan.heads;
  if (plan.blocks > 1) s.group = blockIdx.y / plan.blocks, s.first = blockIdx.y % plan.blocks * 16 * plan.team;
  int const room = l.kv_starts ? l.kv_starts[s.batch + 1] - l.kv_starts[s.batch] : call.room;
  s.tokens = l.q_starts ? min(l.q_starts[s.batch + 1] - l.q_starts[s.batch], plan.tokens) : plan.tokens;
  s.length = max(min(l.kv_used ? min(l.kv_used[s.batch], room) : room, plan.keys), 0);
  s.position = l.positions ? l.positions[s.batch] : 0, s.parts = 0;
  s.rows = min(s.tokens * s.heads - s.first, 16 * plan.team);
  if (s.rows <= 0) return s;
  s.first_token = 0, s.last_token = s.tokens - 1;  // divisions take a tenth of a microsecond each, before the first byte is asked for
  if (plan.blocks > 1) s.first_token = s.token(0), s.last_token = s.token(s.rows - 1);
  key_range const low = keys_of(variant, s.position + s.first_token), high = keys_of(variant, s.position + s.last_token);
  s.seen = key_range{0, s.length} & key_range{low.begin, high.end};
  decode_parts const parts(plan, s.seen, Step);
  if (int(blockIdx.x) >= parts.count) return s;
  s.parts = parts.count, s.keys = parts.part(blockIdx.x);
  return s;
}

/// 16×N f32 over a warp, as mma.m16n8k16 leaves it: a lane holds rows g and g + 8 (g = lane / 4), column pairs 8n + 2 (lane % 4).
template <int N>
struct decode_block {
  static constexpr int rows = 2;
  float x[N / 8][4] = {};  // [n][2·row + column]
  int in_use;              // 1: rows 8 … are empty, and nobody spends time on them

  SMALTI_HD int used() const { return in_use; }
  SMALTI_D float max(int r) const {
    float v = fmaxf(x[0][2 * r], x[0][2 * r + 1]);
    SMALTI_UNROLL for (int n = 1; n < N / 8; ++n) v = fmaxf(v, fmaxf(x[n][2 * r], x[n][2 * r + 1]));
    v = fmaxf(v, ptx::shfl_xor(v, 1));
    return fmaxf(v, ptx::shfl_xor(v, 2));
  }
  SMALTI_D float exponentiate(int r, float shift) {
    float sum = 0;
    SMALTI_UNROLL for (int n = 0; n < N / 8; ++n)
      SMALTI_UNROLL for (int c = 2 * r; c < 2 * r + 2; ++c) sum += x[n][c] = ptx::exp2_approx((x[n][c] - shift) * 1.44269504f);
    sum += ptx::shfl_xor(sum, 1);
    return sum + ptx::shfl_xor(sum, 2);
  }
  SMALTI_D void scale(int r, float factor) {
    SMALTI_UNROLL for (int n = 0; n < N / 8; ++n) x[n][2 * r] *= factor, x[n][2 * r + 1] *= factor;
  }
};

/// One warp's 16 rows.
template <attention_shape S, decode_tile T, class E>
struct decode_warp {
  uint32_t q[S.head_dim / 16][4] = {};  // A fragments                                     (16, D)
  score_at at[2];                       // of rows g, g + 8, but for the key
  int in_use;

  /// Rows that nobody asked for are zero.
  SMALTI_D decode_warp(decode_call<E> const& call, decode_share const& s, int row0) : in_use(s.rows - row0 > 8 ? 2 : 1) {
    auto const& p = call.problem;
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      int const row = row0 + ptx::lane() / 4 + 8 * r, token = s.token(min(row, s.rows - 1)), head = s.head(min(row, s.rows - 1));
      at[r] = {s.position + token, 0, head, s.batch};
      if (row >= s.rows) continue;
      E const* const from = &p.q(p.lengths.q_starts ? 0 : s.batch, head, p.q_first(s.batch) + token, 0) + 2 * (ptx::lane() % 4);  // (D)
      if (call.append.rope.cos) {  // outside of the loop: the common case stays a short run of loads
        SMALTI_UNROLL for (int d = 0; d < S.head_dim / 8; ++d)
          q[d / 2][r + d % 2 * 2] = turned_pair(call.append.rope, from - 2 * (ptx::lane() % 4), 8 * d + 2 * (ptx::lane() % 4), at[r].q);
      } else {
        SMALTI_UNROLL for (int d = 0; d < S.head_dim / 8; ++d) q[d / 2][r + d % 2 * 2] = *reinterpret_cast<uint32_t const*>(from + 8 * d);
      }
    }
  }

  /// S = Q Kᵀ · scale                                                                     (16, step)
  SMALTI_D decode_block<T.step> scores(char* k, float scale) const {
    decode_block<T.step> s{.in_use = in_use};
    SMALTI_UNROLL for (int d = 0; d < S.head_dim / 16; ++d)
      SMALTI_UNROLL for (int n = 0; n < T.step / 16; ++n) {
        uint32_t b[4];  // K rows 16n … 16n+15: two 16×8 operands
        ptx::ldmatrix_x4(b, decode_place<T.step>(k, 16 * n + ptx::lane() % 8 + ptx::lane() / 16 * 8, 16 * d + ptx::lane() / 8 % 2 * 8));
        ptx::mma_m16n8k16<E>(s.x[2 * n], q[d], b[0], b[1]);
        ptx::mma_m16n8k16<E>(s.x[2 * n + 1], q[d], b[2], b[3]);
      }
    s.scale(0, scale), s.scale(1, scale);
    return s;
  }

  /// O += P V: two m16n8 results side by side *are* one m16k16 operand, so P never leaves registers.  (16, Dv)
  SMALTI_D void add_pv(decode_block<S.values()>& o, decode_block<T.step> const& p, char* v) const {
    SMALTI_UNROLL for (int k = 0; k < T.step / 16; ++k) {
      auto const &l = p.x[2 * k], &r = p.x[2 * k + 1];
      uint32_t const pa[4] = {ptx::pack<E>(l[0], l[1]), ptx::pack<E>(l[2], l[3]), ptx::pack<E>(r[0], r[1]), ptx::pack<E>(r[2], r[3])};
      SMALTI_UNROLL for (int n = 0; n < S.values() / 16; ++n) {
        uint32_t b[4];
        ptx::ldmatrix_x4_trans(b, decode_place<T.step>(v, 16 * k + ptx::lane() % 16, 16 * n + ptx::lane() / 16 * 8));
        ptx::mma_m16n8k16<E>(o.x[2 * n], pa, b[0], b[1]);
        ptx::mma_m16n8k16<E>(o.x[2 * n + 1], pa, b[2], b[3]);
      }
    }
  }

  /// f(x, where) for every score of keys k0 …
  template <class F>
  SMALTI_D void for_each(decode_block<T.step>& s, int k0, F f) const {
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      if (r >= in_use) break;
      score_at where = at[r];
      SMALTI_UNROLL for (int n = 0; n < T.step / 8; ++n)
        SMALTI_UNROLL for (int c = 0; c < 2; ++c) where.k = k0 + 8 * n + 2 * (ptx::lane() % 4) + c, f(s.x[n][2 * r + c], where);
    }
  }
};

/// A team's walk over its steps of the keys: FlashAttention-2, Algorithm 1, with K and V arriving `stages` steps ahead.
template <attention_shape S, decode_tile T, class Source, class Variant>
struct decode_walk {
  Source& source;
  decode_team const& team;
  decode_share const& share;
  Variant const& variant;
  int q0, q1, k0, ahead;  // positions of the block's queries · step in use, to request

  SMALTI_D decode_walk(Source& from, decode_team const& t, decode_share const& s, Variant const& v)
      : source(from), team(t), share(s), variant(v), q0(s.position + s.first_token), q1(s.position + s.last_token + 1) {
    k0 = ahead = next(max(s.keys.begin, s.seen.begin / T.step * T.step) + t.id * T.step - t.stride);
  }
  SMALTI_D cover covers(int k) const { return variant.covers(q0, q1, k, min(k + T.step, share.keys.end)); }
  SMALTI_D int next(int k) const {  // the team's next step that the mask leaves something of
    do k += team.stride;
    while (k < share.keys.end && covers(k) == cover::none);
    return k;
  }
  /// What start() will ask for, on its way into L2: a read that no later write can make wrong.
  SMALTI_D void prefetch() const {
    if constexpr (requires { source.prefetch(0); }) {
      int k = k0;
      _Pragma("unroll 1") for (int i = 0; i < source.stages; ++i, k = next(k)) source.prefetch(k);
    }
  }
  SMALTI_D void start() {
    _Pragma("unroll 1") for (int i = 0; i < source.stages; ++i, ahead = next(ahead)) source.request_k(i, ahead), source.request_v(i, ahead);
  }
  template <class E>
  SMALTI_D void run(decode_warp<S, T, E> const& w, float scale, online_softmax<2>& softmax, decode_block<S.values()>& o) {
    for (int stage = 0, phase = 0; k0 < share.keys.end; k0 = next(k0), ahead = next(ahead)) {
      source.wait_k(stage, phase);
      auto s = w.scores(source.k_at(stage), scale);                            // S = Q Kᵀ · scale      (16, step)
      team.sync();
      source.request_k(stage, ahead);
      if constexpr (!leaves_scores<Variant>) w.for_each(s, k0, [&](float& x, score_at at) { x = variant.score(x, at); });
      if (covers(k0) == cover::some || k0 < share.seen.begin || k0 + T.step > share.keys.end)
        w.for_each(s, k0, [&](float& x, score_at at) { x = share.seen.begin <= at.k && at.k < share.keys.end && variant.keep(at) ? x : -INFINITY; });
      softmax.step(s, o);                                                      // m, l, P; O ← e^(m_old − m) O
      if constexpr (has_weight<Variant>) w.for_each(s, k0, [&](float& p, score_at at) { p = variant.weight(p, at); });
      source.wait_v(stage, phase, k0);
      w.add_pv(o, s, source.v_at(stage));                                      // O += P V              (16, Dv)
      team.sync();
      source.request_v(stage, ahead);
      if (++stage == source.stages) stage = 0, phase ^= 1;
    }
  }
};

}  // namespace smalti::detail
