#pragma once
// The computing half of Hopper's engine: one warpgroup, 64 query rows of every item. After FlashAttention-3 (Shah et al. 2024),
// §3.1-3.2: a step starts S = Q K_jᵀ and O += P_{j+1} V_{j+1} together and does the softmax of S while the second still runs (tiles
// are walked downwards, j+1 before j); the warpgroups take turns on the tensor cores. All control flow is the same for every lane,
// and what single lanes do is predicated: the addresses of the buffers then stay in uniform registers.

#include "../cuda/ptx_wgmma.cuh"
#include "sm90_plan.cuh"
#include "sm90_softmax.cuh"

namespace smalti::detail {

template <attention_tile T, int D, int Dv, class E, class Variant>
struct sm90_consumer {
  using storage = sm90_storage<T, D, Dv, E, Variant>;
  static constexpr bool masked = !keeps_all<Variant>;
  static constexpr bool take_turns = storage::groups > 2;   // on the tensor cores: three warpgroups gain, two do not
  static constexpr bool apart = rows_apart(T, storage::shape);  // masks and tiles to skip are those of our own rows
  static constexpr bool skips = apart || T.cluster > 1;         // and at least those of our block
  static constexpr bool sums_tell = apart && D < 256 && (!masked || D == 64 || D == 128);  // that a maximum is to move; else the scores are asked first
  static constexpr bool rounds_first = sums_tell && !has_weight<Variant> && (D == 64 || (D == 128 && !masked));  // O awaited and P rounded, then that asked
  static constexpr bool holds = rounds_first && D == 128;         // that wait, till a row's exponentials are there; and the turn goes on a product earlier
  static constexpr bool exponentials_first = Dv > 128 && !storage::ahead;  // before the wait for O: gained where that is long
  static constexpr bool o_first = storage::o_panels > 0 && storage::o_panels < storage::panels_v;  // and then before the next item's scores
  static constexpr bool plain_addresses = T.cluster == 1 && (D >= 256 || (D == 128 && masked));  // of operands: gained there, lost at D 64
  sm90_plan<E> const& plan;
  Variant const& variant;
  storage& smem;
  int const group;
  int const rank = T.cluster > 1 ? ptx::cluster_rank() : 0;
  int const part = storage::ahead ? group : 0;  // part: of Q, which comes as a whole or for each warpgroup

  ring_at<storage::q_stages> q{};
  ring_at<T.stages> k{}, v{};
  ring_at<2> numbers{};           // of the next item
  warp_block<T.kv> s{};           // S_ij, then P_ij                                     (64, Bk)
  uint32_t p[T.kv / 16][4] = {};  // P_ij as the A operand of the next product           (64, Bk)
  warp_block<Dv> o{};             // O_i                                                 (64, Dv)
  exp2_softmax softmax{};         // m_i, l_i                                            (64)
  struct place { int head, batch, row, rows; };  // 64-row blocks begin at `row` of Q and O, and `rows` are left from there on
  place item{}, out{0, 0, 0, -1};                // whose scores are under way · what o belongs to; rows < 0: nothing yet
  sm90_walk<T, Variant> walk{};
  struct { int j; bool masked; } tile{}, next{};  // whose scores are under way · the walk's
  bool accumulate = false;        // whether o holds anything of its item yet
  int skipped = 0;                // tiles of this item whose V is still to be handed back unused

  SMALTI_D int first_row() const { return storage::stride * group; }         // of this warpgroup, counted from its block's first
  SMALTI_D int row() const { return first_row() + 16 * (ptx::warp() % 4); }  // of this warp
  SMALTI_D void release(uint64_t* empty) const { ptx::mbarrier_arrive_if(ptx::lane() == 0, empty); }
  SMALTI_D void release_all(uint64_t* empty) const {  // K and V, which blocks of a cluster fetch for each other
    if constexpr (T.cluster > 1) ptx::mbarrier_arrive_if(ptx::lane() < T.cluster, empty, ptx::lane() % T.cluster);
    else release(empty);
  }
  SMALTI_D float factor() const {  // turns a score into a power of two; a variant that leaves scores alone costs nothing
    return 1.4426950408889634f * (leaves_scores<Variant> ? plan.problem.scale : 1.f);
  }
  SMALTI_D int batch_of(place const& w) const { return plan.problem.lengths.q_starts ? 0 : w.batch; }
  SMALTI_D void my_turn() const { if (take_turns) ptx::barrier_sync(2 + group, 256); }  // every warpgroup takes as many as every other
  SMALTI_D void your_turn() const { if (take_turns) ptx::barrier_arrive(2 + (group + 1) % storage::groups, 256); }

  // ---------------------------------------------------------------- which tile

  SMALTI_D bool advance() {
    walk.advance(variant);
    next = {walk.j, walk.masked(variant)};
    return bool(walk);
  }
  /// The next item that has a tile at all.
  SMALTI_D bool next_item() {
    for (;;) {
      if (storage::ahead) ptx::mbarrier_wait(&smem.item_full[numbers.stage], numbers.lap);
      else ptx::mbarrier_wait(&smem.q_full[q.stage][part], q.lap);
      auto const& w = smem.item[storage::ahead ? numbers.stage : q.stage];
      auto const read = [](int const& x) { return ptx::uniform(ptx::lane() == 0 ? x : 0); };  // by the lane that hands it back
      sm90_work const u{read(w.head), read(w.batch), read(w.q0), read(w.seq_q), read(w.seq_kv), read(w.row_q), 0, read(w.position)};
      if (storage::ahead) release(&smem.item_empty[numbers.stage]), numbers.advance();
      if (u.head < 0) return false;
      int const first = storage::alternate ? 64 * rank : rank * u.template rows_of_block<T>(), left = u.seq_q - u.q0 - first;
      item = {u.head, u.batch, u.row_q + u.q0 + first, max(T.cluster == 1 || storage::alternate ? left : min(u.template rows_of_block<T>(), left), 0)};
      walk = {variant, u, first + (apart ? first_row() : 0), apart ? 64 : storage::stride * (storage::groups - 1) + 64};
      if (advance()) return skip(), true;
      store_nothing();
      if (!storage::ahead) release(&smem.q_empty[q.stage][part]), q.advance();
    }
  }
  SMALTI_D bool idle() const { return item.rows <= first_row(); }  // all our rows are behind the sequence's end
  SMALTI_D void skip_keys() {
    my_turn(), your_turn();
    ptx::mbarrier_wait(&smem.k_full[k.stage], k.lap), ptx::sync_warp();  // all lanes have seen it, before one lets it go
    release_all(&smem.k_empty[k.stage]), k.advance();
  }
  SMALTI_D void skip_values() {
    ptx::mbarrier_wait(&smem.v_full[v.stage], v.lap), ptx::sync_warp();
    release_all(&smem.v_empty[v.stage]), v.advance();
  }
  /// On a causal mask's diagonal an item begins with tiles that the block's last rows need and ours do not. Their K is handed back at
  /// once, their V behind that of the item before; so they may not be more than the buffers. Never the last tile, nor one whose
  /// values have to be cleared by all.
  SMALTI_D void skip() {
    if constexpr (skips && masks_interval<Variant>) {
      if ((apart && idle()) || (!plan.whole && (walk.j + 1) * T.kv > walk.seq_kv)) return;
      int const needed = max(walk.end_of(variant, walk.q0 + walk.own + walk.rows - 1) - 1, walk.first);
      for (; walk.j > needed && skipped < T.stages; --walk.j, ++skipped) skip_keys();
      next = {walk.j, walk.masked(variant)};
    }
  }
  /// What is left of an item in which we have no rows, after its first tile.
  SMALTI_D void pass() {
    do skip_keys(), skip_values();
    while (advance());
    release(&smem.q_empty[q.stage][part]);
  }

  // ---------------------------------------------------------------- the products

  /// In a cluster, where Q has one buffer, the compiler does not see that all lanes agree about the buffers, and moves every address once more.
  SMALTI_D static uint64_t operand(void const* smem, int panel = 16) {
    uint64_t const x = ptx::wgmma_operand<!plain_addresses>(smem, panel);
    return storage::ahead && T.cluster > 1 ? (x & 0xffffffff00000000) | uint32_t(ptx::uniform(int(uint32_t(x)))) : x;
  }
  SMALTI_D void start_scores() {  // S = Q Kᵀ
    ptx::pin(s.x);
    ptx::wgmma_fence();
    uint64_t const a = operand(smem.q[q.stage][group]), b = operand(smem.k[k.stage]);
    SMALTI_UNROLL for (int d = 0; d < D / 16; ++d) {
      int const q_panel = d / 4 * int(sizeof(smem.q[0][0][0])), k_panel = d / 4 * int(sizeof(smem.k[0][0])), column = d % 4 * 32;
      ptx::wgmma<E>(s.x, ptx::wgmma_advance(a, q_panel + column), ptx::wgmma_advance(b, k_panel + column), d > 0);
    }
    ptx::wgmma_commit();
  }
  /// O += P V, or O = P V. Issued in every step, even the first, where it computes nothing that is used: a branch around it makes
  /// the compiler wait for every product.
  template <bool Give = false>  ///< the turn, ahead of the last product
  SMALTI_D void start_output() {
    ptx::pin(o.x), ptx::pin(p);
    ptx::wgmma_fence();
    uint64_t const b = operand(smem.v[v.stage], sizeof(smem.v[0][0]));
    SMALTI_UNROLL for (int i = 0; i < T.kv / 16; ++i) {
      if (Give && i == T.kv / 16 - 1) your_turn();
      ptx::wgmma_across<E>(o.x, p[i], ptx::wgmma_advance(b, i * 16 * 128), i > 0 || accumulate);
    }
    ptx::wgmma_commit();
  }
  SMALTI_D void await_output() {
    ptx::wgmma_wait<0>(), ptx::pin(o.x), ptx::pin(p);
    release_all(&smem.v_empty[v.stage]), v.advance();
  }
  /// Behind a sequence's last value lie somebody else's or nobody's: a weight of 0 times them must be 0.
  SMALTI_D void clear_values() {
    int const keys = walk.seq_kv - tile.j * T.kv;
    if (plan.whole || keys >= T.kv) return;
    ptx::mbarrier_wait(&smem.v_full[v.stage], v.lap);
    SMALTI_UNROLL for (int c = 0; c < storage::panels_v; ++c) {
      auto* const chunks = reinterpret_cast<uint4*>(smem.v[v.stage][c]);
      for (int i = 8 * keys + int(threadIdx.x) - 128; i < 8 * T.kv; i += 32 * T.warps) chunks[i] = {};
    }
    ptx::fence_async_proxy();
    ptx::barrier_sync(1, 32 * T.warps);
  }

  // ---------------------------------------------------------------- the softmax

  /// S → P, m, l; whether O is to be multiplied by `decay`. Where sums tell nothing hides what stands behind their branch: rounding P, a
  /// quarter as long as its exponentials, goes before it, into their shadow, and with it the wait for O, whose product reads p. Not in a fresh step.
  template <bool Fresh>
  SMALTI_D bool probabilities() {
    float sum[2];
    rewrite();
    bool moved = Fresh || (sums_tell ? softmax.unseen : softmax.behind(s, factor()));
    if (moved) softmax.raise(s, factor());
    softmax.exponentials(s, factor(), sum, [&](float first) {
      if constexpr (holds && !Fresh) ptx::hold(&smem, first);
    });
    if constexpr (rounds_first && !Fresh) await_output(), pack();
    if (!Fresh && sums_tell && !moved && softmax.outgrown(sum)) {
      moved = true;
      if (!softmax.lower(s, sum)) scores_again(), rewrite(), softmax.raise(s, factor()), softmax.exponentials(s, factor(), sum);
      if constexpr (rounds_first) pack();
    }
    softmax.l[0] += sum[0], softmax.l[1] += sum[1];
    if constexpr (has_weight<Variant>) s.for_each([&](float& x, score_at at) { x = variant.weight(x, at); });
    return moved;
  }
  SMALTI_D void rewrite() {  // the variant's scores
    s.q0 = walk.q0 + walk.own + row() - (apart ? first_row() : 0), s.k0 = tile.j * T.kv, s.head = item.head, s.batch = item.batch;
    if constexpr (!leaves_scores<Variant>) s.for_each([&](float& x, score_at at) { x = variant.score(plan.problem.scale * x, at); });
    if (tile.masked) mask();
  }
  /// S = Q Kᵀ once more, warp by warp and out of device memory: the buffers belong to others by now, and a product of the warpgroup's
  /// under a branch would cost every step. Rows and keys that are not there are others: nobody uses them. Short rather than fast.
  SMALTI_D void scores_again() {
    auto const& p = plan.problem;
    int const lane = ptx::lane(), head = ptx::pin(item.head), first = p.kv_first(item.batch), batch = p.lengths.kv_starts ? 0 : item.batch;
    auto const pair = [](E const* at, int d) { return *reinterpret_cast<uint32_t const*>(at + d); };
    auto const q_row = [&](int r) { return &p.q(batch_of(item), head, item.row + max(min(row() + lane / 4 + r, item.rows - 1), 0), 2 * (lane % 4)); };
    E const *const q0 = q_row(0), *const q8 = q_row(8);
    SMALTI_ROLLED for (int n = 0; n < T.kv / 8; ++n) {
      int const key = min(tile.j * T.kv + 8 * n + lane / 4, walk.seq_kv - 1), page = p.pages.page_size;
      E const* const k = p.pages.pages ? &p.k(p.pages.pages[index(item.batch) * p.pages.max_pages + key / page], head / p.group(), key % page, 2 * (lane % 4))
                                       : &p.k(batch, head / p.group(), first + key, 2 * (lane % 4));
      float x[4] = {};
      SMALTI_ROLLED for (int d = 0; d < D; d += 16) ptx::mma_m16n8k16<E>(x, {pair(q0, d), pair(q8, d), pair(q0, d + 8), pair(q8, d + 8)}, pair(k, d), pair(k, d + 8));
      SMALTI_UNROLL for (int i = 0; i < T.kv / 8; ++i)
        SMALTI_UNROLL for (int c = 0; c < 4; ++c) s.x[i][c] = i == n ? x[c] : s.x[i][c];
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
  SMALTI_D void pack() {
    SMALTI_UNROLL for (int i = 0; i < T.kv / 16; ++i)
      SMALTI_UNROLL for (int c = 0; c < 4; ++c)
        p[i][c] = ptx::pack<E>(s.x[2 * i + c / 2][c % 2 * 2], s.x[2 * i + c / 2][c % 2 * 2 + 1]);
  }

  // ---------------------------------------------------------------- the result

  SMALTI_D exp2_softmax::ending ending(exp2_softmax const& of, int r, int head) const {
    if constexpr (has_sink<Variant>) return of.finish(r, variant.sink(head));
    else return of.finish(r);
  }

  /// O / l. Each warp lays its 16 rows out in shared memory, all or panel by panel, and the copy engine takes them away until the next
  /// item's end. Where there is no memory left for that, the four lanes of a row exchange pairs of columns until each has eight in a row.
  SMALTI_D void store(exp2_softmax const& of) {
    exp2_softmax::ending const end[2] = {ending(of, 0, out.head), ending(of, 1, out.head)};
    auto const pair = [&](int n, int r) { return ptx::pack<E>(end[r].inverse * o.x[n][2 * r], end[r].inverse * o.x[n][2 * r + 1]); };
    auto const at = [&](int i, int column) { return &plan.problem.o(batch_of(out), out.head, out.row + i, column); };
    int const lane = ptx::lane(), rows = out.rows - row();
    if constexpr (storage::o_panels > 0) {
      constexpr int held = storage::o_panels, turn = held < storage::panels_v ? 1 : held;  // panels there is room for · that leave together
      auto& stage = smem.o[4 * group + ptx::warp() % 4];
      bool const all = rows >= 16;  // else row by row: the next sequence's may follow
      SMALTI_UNROLL for (int first = 0; first < storage::panels_v; first += turn) {
        if (first == 0) ptx::tma_store_wait_read(), ptx::sync_warp();  // the item before this one
        else if (first >= held) ptx::tma_store_wait_read<held / turn - 1>(), ptx::sync_warp();
        SMALTI_UNROLL for (int n = 8 * first; n < min(8 * (first + turn), Dv / 8); n += 2) {
          uint32_t const t[4] = {pair(n, 0), pair(n, 1), pair(n + 1, 0), pair(n + 1, 1)};
          ptx::stmatrix_x4(&stage[n / 8 % held][lane % 16][8 * ((n % 8 + lane / 16) ^ lane % 8)], t);  // the 128-byte swizzle
        }
        ptx::fence_async_proxy(), ptx::sync_warp();
        for (int i = 0; i < (all ? 1 : rows); ++i)
          SMALTI_UNROLL for (int c = first; c < first + turn; ++c)
            ptx::tma_store_if(lane == 0, all ? &plan.o : &plan.o_row, stage[c % held][i], 64 * c, out.row + row() + i, out.head, batch_of(out));
        ptx::tma_store_commit();
      }
    } else {
      SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
        bool const on = lane / 4 + 8 * r < rows;
        E* const to = at(on ? row() + lane / 4 + 8 * r : 0, 8 * (lane % 4));
        SMALTI_UNROLL for (int n = 0; n < Dv / 8; n += 4) {
          uint32_t x[4] = {pair(n, r), pair(n + 1, r), pair(n + 2, r), pair(n + 3, r)};
          ptx::transpose_quad(x);
          ptx::store_16_if(on, to + 8 * n, {x[0], x[1], x[2], x[3]});
        }
      }
    }
    if (plan.problem.lse)
      SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
        bool const on = lane / 4 + 8 * r < rows && lane % 4 == 0;
        ptx::store_if(on, &plan.problem.lse(batch_of(out), out.head, out.row + (on ? row() + lane / 4 + 8 * r : 0)), end[r].logsumexp);
      }
  }
  SMALTI_D void store_nothing() {
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      int const i = row() + ptx::lane() / 4 + 8 * r, at = item.row + min(i, item.rows - 1);
      bool const on = i < item.rows;
      for (int c = 8 * (ptx::lane() % 4); c < Dv; c += 32) ptx::store_16_if(on, &plan.problem.o(batch_of(item), item.head, at, c), {});
      float const logsumexp = ending({}, r, item.head).logsumexp;
      if (plan.problem.lse) ptx::store_if(on && ptx::lane() % 4 == 0, &plan.problem.lse(batch_of(item), item.head, at), logsumexp);
    }
  }

  // ---------------------------------------------------------------- the loop

  /// The scores of this tile and the output of the tile before it; then the softmax of the first under the second. A fresh tile is
  /// its item's first: the output is another item's last, which is then finished here, without a bubble between items.
  /// False: it was its item's last.
  template <bool Fresh>
  SMALTI_D bool step() {
    if constexpr (Fresh && storage::q_stages == 1) return step_ahead_of_q();
    bool const any = !Fresh || out.rows >= 0;
    ptx::mbarrier_wait(&smem.k_full[k.stage], k.lap);
    my_turn();
    start_scores();
    if (any) ptx::mbarrier_wait(&smem.v_full[v.stage], v.lap);
    start_output<holds>();
    if (!holds) your_turn();
    tile = next;
    bool const more = advance();  // under the products
    ptx::wgmma_wait<1>(), ptx::pin(s.x);
    release_keys(more);
    auto const before = softmax;
    if (Fresh) softmax = {};
    bool const moved = probabilities<Fresh>();
    if constexpr (Fresh || !rounds_first) {
      if (exponentials_first) ptx::pin(s.x), ptx::know(softmax.l[0] + softmax.l[1]);
      ptx::wgmma_wait<0>(), ptx::pin(o.x), ptx::pin(p);
      if (any) release_all(&smem.v_empty[v.stage]), v.advance();
      pack();
    }
    if constexpr (Fresh) {
      if (any) store(before);
      out = item;
      for (; skips && skipped > 0; --skipped) skip_values();
      clear_values();
    } else if (moved) {
      SMALTI_UNROLL for (int r = 0; r < 2; ++r) o.map(r, [f = softmax.decay[r]](float x) { return f * x; });
    }
    accumulate = !Fresh;
    return more;
  }
  /// A fresh tile where Q has one buffer, which it could enter only when the scores before were there: the output does not wait for
  /// it, and leaves under the scores, or before they begin.
  SMALTI_D bool step_ahead_of_q() {
    bool const any = out.rows >= 0;
    if (any) ptx::mbarrier_wait(&smem.v_full[v.stage], v.lap);
    my_turn();
    start_output();
    auto const scores = [&] {
      ptx::mbarrier_wait(&smem.q_full[q.stage][part], q.lap), ptx::mbarrier_wait(&smem.k_full[k.stage], k.lap);
      start_scores();
      your_turn();
    };
    if (!o_first) scores();
    tile = next;
    bool const more = advance();
    ptx::wgmma_wait<o_first ? 0 : 1>(), ptx::pin(o.x), ptx::pin(p);
    if (any) release_all(&smem.v_empty[v.stage]), v.advance(), store(softmax);
    if (o_first) scores();
    ptx::wgmma_wait<0>(), ptx::pin(s.x);
    release_keys(more);
    softmax = {}, out = item, accumulate = false;
    probabilities<true>(), pack();
    for (; skips && skipped > 0; --skipped) skip_values();
    clear_values();
    return more;
  }
  SMALTI_D void release_keys(bool more) {  // and Q behind its last: the next may come, long before our end
    release_all(&smem.k_empty[k.stage]), k.advance();
    ptx::mbarrier_arrive_if(ptx::lane() == 0 && !more, &smem.q_empty[q.stage][part]);
  }

  SMALTI_D void run() {
    if (take_turns && group == 0) ptx::barrier_arrive(2, 256);  // the first turn is ours
    if (!next_item()) return;
    do {
      if (step<true>()) {
        if (apart && idle()) pass();
        else while (step<false>()) {}
      }
      q.advance();
    } while (next_item());
    ptx::mbarrier_wait(&smem.v_full[v.stage], v.lap);
    start_output();
    ptx::wgmma_wait<0>(), ptx::pin(o.x), ptx::pin(p);
    store(softmax);
    ptx::tma_store_wait_read();
  }
};

}  // namespace smalti::detail
