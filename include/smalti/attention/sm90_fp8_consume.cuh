#pragma once
// The computing half of Hopper's 8-bit engine: one warpgroup, 64 query rows of every item. As in sm90_consume.cuh a step starts
// S = Q K_jᵀ and the product of the tile before it together, and does the softmax of S while the second still runs. That product
// goes into registers of its own, from zero, and is added to O in f32: tensor cores keep about 14 bits of 8-bit products' sums
// (DeepSeek-V3 technical report, §3.3.2), so long sums must not be theirs.

#include "sm90_fp8_plan.cuh"
#include "sm90_fp8_softmax.cuh"

namespace smalti::detail {

template <attention_tile T, int D, class Out, class Variant>
struct fp8_consumer {
  using storage = fp8_storage<T, D, Out>;
  static constexpr bool take_turns = D > 64;  // at the exponentials: D 128 gains, D 64 loses
  fp8_plan<Out> const& plan;
  Variant const& variant;
  storage& smem;
  int const group;

  fp8_ring<2> q{};
  fp8_ring<T.stages> k{}, v{};
  warp_block<T.kv> s{};           // S_ij, then P_ij                                     (64, Bk)
  uint32_t p[T.kv / 32][4] = {};  // P_ij as the A operand of the next product           (64, Bk)
  warp_block<D> part{};           // P_i,j+1 V_j+1                                       (64, Dv)
  warp_block<D> o{};              // O_i                                                 (64, Dv)
  fp8_softmax softmax{};          // m_i, l_i                                            (64)
  using place = fp8_place;
  float factor = 1.f;             // fp8_work's; the rest of the item, and what o belongs to, wait in shared memory
  bool any = false;               // whether o belongs to anything yet
  fp8_walk<T, Variant> walk{};
  struct { int j; bool masked; } tile{}, next{};  // whose scores are under way · the walk's

  SMALTI_D int row() const { return 64 * group + 16 * (ptx::warp() % 4); }  // of this warp, in the block
  SMALTI_D void release(uint64_t* empty) const { ptx::mbarrier_arrive_if(ptx::lane() == 0, empty); }
  /// One warpgroup at a time takes exponentials, which keeps the two half a step apart. Both walk all tiles of the block: as many turns
  /// for each.
  SMALTI_D void my_turn() const { if (take_turns) ptx::barrier_sync(2 + group, 32 * T.warps); }
  SMALTI_D void your_turn() const { if (take_turns) ptx::barrier_arrive(3 - group, 32 * T.warps); }
  SMALTI_D int batch_of(place const& w) const { return plan.problem.lengths.q_starts ? 0 : w.batch; }
  SMALTI_D static float power(float factor) { return leaves_scores<Variant> ? factor : 1.4426950408889634f; }
  SMALTI_D fp8_work const& item() const { return smem.item[q.stage]; }
  SMALTI_D static place place_of(fp8_work const& w) { return {w.head, w.batch, w.row_q + w.q0, w.seq_q - w.q0, w.scale}; }

  // ---------------------------------------------------------------- which tile

  SMALTI_D bool advance() {
    walk.advance(variant);
    next = {walk.j, walk.masked(variant)};
    return bool(walk);
  }
  /// The next item that has a tile at all.
  SMALTI_D bool next_item() {
    for (;; end_item()) {
      ptx::mbarrier_wait(&smem.q_full[q.stage], q.lap);
      if (ptx::uniform(item().head) < 0) return false;
      fp8_work const w{0, 0, ptx::uniform(item().q0), 0, ptx::uniform(item().seq_kv), 0, 0, ptx::uniform(item().position), 0.f, 0.f};
      factor = item().factor, walk = {variant, w};
      if (advance()) return true;
      store_nothing();
    }
  }
  SMALTI_D void end_item() {
    ptx::sync_warp();  // all lanes have read it
    release(&smem.q_empty[q.stage]), q.advance();
  }

  // ---------------------------------------------------------------- the products

  SMALTI_D void start_scores() {  // S = Q Kᵀ
    ptx::pin(s.x);
    ptx::wgmma_fence();
    SMALTI_UNROLL for (int d = 0; d < D / 32; ++d) {
      uint64_t const a = ptx::wgmma_operand(smem.q[q.stage][group][d / 4]), b = ptx::wgmma_operand(smem.k[k.stage][d / 4]);
      ptx::wgmma_e4m3(s.x, ptx::wgmma_advance(a, d % 4 * 32), ptx::wgmma_advance(b, d % 4 * 32), d > 0);
    }
    ptx::wgmma_commit();
  }
  /// part = P V. Issued in every step, even the first, where it computes nothing that is used: a branch around it makes the compiler
  /// wait for every product.
  SMALTI_D void start_output() {
    ptx::pin(part.x), ptx::pin(p);
    ptx::wgmma_fence();
    SMALTI_UNROLL for (int i = 0; i < T.kv / 32; ++i) {
      uint64_t const b = ptx::wgmma_operand(smem.v[v.stage][i / 4]);
      ptx::wgmma_e4m3(part.x, p[i], ptx::wgmma_advance(b, i % 4 * 32), i > 0);
    }
    ptx::wgmma_commit();
  }
  SMALTI_D void promote() {  // O += part
    SMALTI_UNROLL for (int n = 0; n < D / 8; ++n)
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) o.x[n][i] += part.x[n][i];
  }
  /// Behind a sequence's last key lie somebody else's values or nobody's: a weight of 0 times NaN would be NaN. 16 bytes of a row are
  /// the values of 16 keys.
  SMALTI_D void clear_values() {
    int const keys = walk.seq_kv - tile.j * T.kv;
    if (plan.whole || keys >= T.kv) return;
    ptx::mbarrier_wait(&smem.v_full[v.stage], v.lap);
    SMALTI_UNROLL for (int c = 0; c < storage::panels_v; ++c)
      for (int i = int(threadIdx.x) - 128; i < 8 * D; i += 32 * T.warps) {
        int const d = i / 8, keep = keys - 128 * c - 16 * (i % 8 ^ d % 8);  // the 128-byte swizzle
        auto* const values = smem.v[v.stage][c][d] + i % 8 * 16;
        if (keep < 16)
          for (int b = 0; b < 16; ++b)
            if (e4m3_key(b) >= keep) values[b].bits = 0;
      }
    ptx::fence_async_proxy();
    ptx::barrier_sync(1, 32 * T.warps);
  }

  // ---------------------------------------------------------------- the softmax

  template <bool Fresh>
  SMALTI_D bool probabilities() {  // S → P, m, l; whether O is to be multiplied by `decay`
    rewrite();
    bool moved = Fresh || softmax.unseen;
    if (moved) softmax.raise(s, power(factor));
    float sum[2];
    my_turn();
    bool const outgrown = softmax.exponentials(s, power(factor), sum);
    if (!Fresh && !moved && ptx::any(outgrown)) {
      moved = true;
      if (!softmax.lower(s, sum)) scores_again(), rewrite(), softmax.raise(s, power(factor)), softmax.exponentials(s, power(factor), sum);
    }
    your_turn();  // the branch on the sums holds it back: arithmetic alone the compiler moves over any barrier
    softmax.l[0] += sum[0], softmax.l[1] += sum[1];
    return moved;
  }
  SMALTI_D void rewrite() {  // the variant's scores
    s.q0 = walk.q0 + row(), s.k0 = tile.j * T.kv, s.head = item().head, s.batch = item().batch;
    if constexpr (!leaves_scores<Variant>) s.for_each([&](float& x, score_at at) { x = variant.score(factor * x, at); });
    if (tile.masked) mask();
  }
  /// S = Q Kᵀ once more, out of device memory: the buffers belong to others by now, and a product of the warpgroup's under a branch would
  /// cost every step. Rows and keys that are not there are others: nobody uses them. Short rather than fast.
  SMALTI_D void scores_again() {
    auto const& p = plan.problem;
    auto const at = place_of(item());
    int const head = ptx::pin(at.head), first = p.kv_first(at.batch), batch = p.lengths.kv_starts ? 0 : at.batch;
    SMALTI_ROLLED for (int i = 0; i < T.kv / 2; ++i) {
      int const r = row() + ptx::lane() / 4 + i / 2 % 2 * 8, key = tile.j * T.kv + i / 4 * 8 + 2 * (ptx::lane() % 4) + i % 2;
      e4m3 const* const q = &p.q(batch_of(at), head, at.row + min(r, at.rows - 1), 0);
      e4m3 const* const k = &p.k(batch, head / p.group(), first + min(key, walk.seq_kv - 1), 0);
      float x = 0;
      SMALTI_ROLLED for (int d = 0; d < D; ++d) x += float(q[d]) * float(k[d]);
      SMALTI_UNROLL for (int n = 0; n < T.kv / 8; ++n)
        SMALTI_UNROLL for (int c = 0; c < 4; ++c) s.x[n][c] = i == 4 * n + c ? x : s.x[n][c];
    }
  }
  SMALTI_D void mask() {
    if constexpr (masks_interval<Variant>) {
      SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
        auto const keep = keys_of(variant, s.q0 + ptx::lane() / 4 + 8 * r) & key_range{.end = walk.seq_kv};
        int const first = s.k0 + 2 * (ptx::lane() % 4), begin = keep.begin - first, end = keep.end - first;
        SMALTI_UNROLL for (int n = 0; n < T.kv / 8; ++n)
          SMALTI_UNROLL for (int c = 0; c < 2; ++c)
            s.x[n][2 * r + c] = begin <= 8 * n + c && 8 * n + c < end ? s.x[n][2 * r + c] : -INFINITY;
      }
    } else {
      s.for_each([&](float& x, score_at at) { x = at.k < walk.seq_kv && variant.keep(at) ? x : -INFINITY; });
    }
  }
  SMALTI_D void pack() {  // columns 8a + 2t + b become columns 4t + 2a + b: see e4m3_slot
    SMALTI_UNROLL for (int i = 0; i < T.kv / 32; ++i)
      SMALTI_UNROLL for (int c = 0; c < 4; ++c) {
        auto const &x = s.x[4 * i + c / 2 * 2], &y = s.x[4 * i + c / 2 * 2 + 1];
        p[i][c] = ptx::pack_e4m3(x[c % 2 * 2], x[c % 2 * 2 + 1], y[c % 2 * 2], y[c % 2 * 2 + 1]);
      }
  }

  // ---------------------------------------------------------------- the result

  SMALTI_D fp8_softmax::ending ending(fp8_softmax const& of, int r, place const& w) const {
    if constexpr (has_sink<Variant>) return of.finish(r, variant.sink(w.head));
    else return of.finish(r);
  }

  /// O / l. Each warp lays its 16 rows out in shared memory, and the copy engine takes them away until the next item's end.
  SMALTI_D void store(fp8_softmax const& of) {
    place const out = smem.out[4 * group + ptx::warp() % 4];
    fp8_softmax::ending const end[2] = {ending(of, 0, out), ending(of, 1, out)};
    float const factor[2] = {out.scale * end[0].inverse, out.scale * end[1].inverse};
    auto const pair = [&](int n, int r) { return ptx::pack<Out>(factor[r] * o.x[n][2 * r], factor[r] * o.x[n][2 * r + 1]); };
    int const lane = ptx::lane(), rows = out.rows - row();
    auto& stage = smem.o[4 * group + ptx::warp() % 4];
    ptx::tma_store_wait_read(), ptx::sync_warp();  // the item before this one
    SMALTI_UNROLL for (int n = 0; n < D / 8; n += 2) {
      uint32_t const t[4] = {pair(n, 0), pair(n, 1), pair(n + 1, 0), pair(n + 1, 1)};
      ptx::stmatrix_x4(&stage[n / 8][lane % 16][8 * ((n % 8 + lane / 16) ^ lane % 8)], t);  // the 128-byte swizzle
    }
    ptx::fence_async_proxy(), ptx::sync_warp();
    bool const all = rows >= 16;  // else row by row: the next sequence's may follow
    for (int i = 0; i < (all ? 1 : rows); ++i)
      SMALTI_UNROLL for (int c = 0; c < storage::panels_o; ++c)
        ptx::tma_store_if(lane == 0, all ? &plan.o : &plan.o_row, stage[c][i], 64 * c, out.row + row() + i, out.head, batch_of(out));
    ptx::tma_store_commit();
    if (plan.problem.lse)
      SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
        bool const on = lane / 4 + 8 * r < rows && lane % 4 == 0;
        ptx::store_if(on, &plan.problem.lse(batch_of(out), out.head, out.row + (on ? row() + lane / 4 + 8 * r : 0)), end[r].logsumexp);
      }
  }
  SMALTI_D void store_nothing() {
    place const item = place_of(this->item());
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      int const i = row() + ptx::lane() / 4 + 8 * r, at = item.row + min(i, item.rows - 1);
      bool const on = i < item.rows;
      for (int c = 8 * (ptx::lane() % 4); c < D; c += 32) ptx::store_16_if(on, &plan.problem.o(batch_of(item), item.head, at, c), {});
      float const logsumexp = ending({}, r, item).logsumexp;
      if (plan.problem.lse) ptx::store_if(on && ptx::lane() % 4 == 0, &plan.problem.lse(batch_of(item), item.head, at), logsumexp);
    }
  }

  // ---------------------------------------------------------------- the loop

  /// The scores of this tile and the product of the tile before it; then the softmax of the first under the second. A fresh tile is its
  /// item's first: the product is another item's last, which is then finished here, without a bubble between items.
  /// False: it was its item's last.
  template <bool Fresh>
  SMALTI_D bool step() {
    bool const any = !Fresh || this->any;
    ptx::mbarrier_wait(&smem.k_full[k.stage], k.lap);
    start_scores();
    if (any) ptx::mbarrier_wait(&smem.v_full[v.stage], v.lap);
    start_output();
    tile = next;
    bool const more = advance();  // under the products
    ptx::wgmma_wait<1>(), ptx::pin(s.x);
    release(&smem.k_empty[k.stage]), k.advance();
    auto const before = softmax;
    if (Fresh) softmax = {};
    bool const moved = probabilities<Fresh>();
    ptx::wgmma_wait<0>(), ptx::pin(part.x), ptx::pin(p);
    if (any) release(&smem.v_empty[v.stage]), v.advance();
    pack();
    promote();
    if constexpr (Fresh) {
      if (any) store(before);
      SMALTI_UNROLL for (int r = 0; r < 2; ++r) o.map(r, [](float) { return 0.f; });
      ptx::sync_warp();
      if (ptx::lane() == 0) smem.out[4 * group + ptx::warp() % 4] = place_of(item());
      ptx::sync_warp();
      this->any = true;
      clear_values();
    } else if (moved) {
      SMALTI_UNROLL for (int r = 0; r < 2; ++r) o.map(r, [f = softmax.decay[r]](float x) { return f * x; });
    }
    return more;
  }

  SMALTI_D void run() {
    if (!next_item()) return;
    if (group == 1) your_turn();  // the first one is the other's
    do {
      if (step<true>())
        while (step<false>()) {}
      end_item();
    } while (next_item());
    if (group == 0) my_turn();  // the one that is left
    ptx::mbarrier_wait(&smem.v_full[v.stage], v.lap);
    start_output();
    ptx::wgmma_wait<0>(), ptx::pin(part.x), ptx::pin(p);
    promote();
    store(softmax);
    ptx::tma_store_wait_read();
  }
};

}  // namespace smalti::detail
