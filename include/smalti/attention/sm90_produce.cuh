#pragma once
// The copying half of Hopper's engine: one thread keeps the copy engine ahead of the consumers, across the items of a
// persistent block.

#include "sm90_plan.cuh"

namespace smalti::detail {

template <attention_tile T, int D, int Dv, class E, class Variant>
struct sm90_producer {
  using storage = sm90_storage<T, D, Dv, E, Variant>;
  sm90_plan<E> const& plan;
  Variant const& variant;
  storage& smem;
  int const rank = T.cluster > 1 ? ptx::cluster_rank() : 0;

  ring_at<storage::q_stages> q{};
  ring_at<T.stages> k{}, v{};
  ring_at<2> item{};
  struct keys { int row, head, batch, count; } last_of{};  // where an item's K and V are
  int drawn = 0;                                           // parity
  int last = -1;                                           // the tile whose K is on its way and whose V is not

  template <int Panels>
  SMALTI_D void fetch(E (&to)[Panels][T.kv][64], CUtensorMap const& map, uint64_t* full, keys const& of, int j) const {
    if (plan.problem.pages.pages) return fetch_pages(to, map, full, of, j * T.kv);
    ptx::mbarrier_arrive_expecting(full, sizeof(to));
    if constexpr (T.cluster > 1) {
      constexpr int share = T.kv / T.cluster;
      SMALTI_UNROLL for (int c = 0; c < Panels; ++c)
        ptx::tma_load_multicast(to[c][rank * share], &map, full, 64 * c, of.row + j * T.kv + rank * share, of.head, of.batch, (1 << T.cluster) - 1);
    } else {
      SMALTI_UNROLL for (int c = 0; c < Panels; ++c) ptx::tma_load(to[c], &map, full, 64 * c, of.row + j * T.kv, of.head, of.batch);
    }
  }
  /// A page after the other. Behind the last key there may be none: what is in its place must not count.
  template <int Panels>
  SMALTI_D void fetch_pages(E (&to)[Panels][T.kv][64], CUtensorMap const& map, uint64_t* full, keys const& of, int first) const {
    auto const& pages = plan.problem.pages;
    int const rows = min(T.kv, round_up(of.count - first, plan.copy_rows));
    ptx::mbarrier_arrive_expecting(full, rows * Panels * 128);
    for (int r = 0; r < rows; r += plan.copy_rows) {
      int const page = pages.pages[index(of.batch) * pages.max_pages + (first + r) / pages.page_size], at = (first + r) % pages.page_size;
      SMALTI_UNROLL for (int c = 0; c < Panels; ++c) ptx::tma_load(to[c][r], &map, full, 64 * c, at, of.head, page);
    }
  }
  SMALTI_D void fetch_k(keys const& of, int j) {
    ptx::mbarrier_wait(&smem.k_empty[k.stage], k.lap ^ 1);
    fetch(smem.k[k.stage], plan.k, &smem.k_full[k.stage], of, j);
    k.advance();
  }
  SMALTI_D void fetch_last_v() {
    if (last < 0) return;
    ptx::mbarrier_wait(&smem.v_empty[v.stage], v.lap ^ 1);
    fetch(smem.v[v.stage], plan.v, &smem.v_full[v.stage], last_of, last);
    v.advance(), last = -1;
  }
  SMALTI_D int first_row(sm90_work const& w) const {  // of Q, of this block
    return w.row_q + w.q0 + (storage::alternate ? 64 * rank : rank * w.template rows_of_block<T>());
  }
  SMALTI_D void announce(sm90_work const& w) {
    ptx::mbarrier_wait(&smem.item_empty[item.stage], item.lap ^ 1);
    smem.item[item.stage] = w;
    ptx::mbarrier_arrive(&smem.item_full[item.stage]), item.advance();
    if (w.head >= 0)  // Q's buffer is not free yet: let it wait nearer
      for (int g = 0; g < storage::groups; ++g)
        SMALTI_UNROLL for (int c = 0; c < storage::panels; ++c)
          ptx::tma_prefetch(&plan.q, 64 * c, first_row(w) + storage::stride * g, w.head, plan.problem.lengths.q_starts ? 0 : w.batch);
  }
  SMALTI_D void fetch_q(sm90_work const& w) {
    constexpr int groups = storage::groups / storage::q_parts;
    SMALTI_UNROLL for (int part = 0; part < storage::q_parts; ++part) {
      auto* const full = &smem.q_full[q.stage][part];
      ptx::mbarrier_wait(&smem.q_empty[q.stage][part], q.lap ^ 1);
      if (!storage::ahead) smem.item[q.stage] = w;
      if (w.head < 0) return ptx::mbarrier_arrive(full);
      ptx::mbarrier_arrive_expecting(full, groups * sizeof(smem.q[0][0]));
      for (int g = part * groups; g < (part + 1) * groups; ++g)
        SMALTI_UNROLL for (int c = 0; c < storage::panels; ++c)
          ptx::tma_load(smem.q[q.stage][g][c], &plan.q, full, 64 * c, first_row(w) + storage::stride * g, w.head, plan.problem.lengths.q_starts ? 0 : w.batch);
    }
    q.advance();
  }

  /// The next item, the same for all blocks of a cluster.
  SMALTI_D int draw(int clusters) {
    if (rank == 0) {
      int const i = int(atomicAdd(plan.ticket, 1u)) + clusters;
      if constexpr (T.cluster > 1) {
        ptx::mbarrier_wait(&smem.drawn_empty, drawn ^ 1);
        ptx::mbarrier_send(&smem.drawn, i, &smem.drawn_full, 1), drawn ^= 1;
      }
      return i;
    }
    ptx::mbarrier_arrive_expecting(&smem.drawn_full, 4);
    ptx::mbarrier_wait(&smem.drawn_full, drawn), drawn ^= 1;
    int const i = *static_cast<int volatile*>(&smem.drawn);
    ptx::mbarrier_arrive_if(true, &smem.drawn_empty, 0);
    return i;
  }

  SMALTI_D void run() {
    int const clusters = gridDim.x / T.cluster;
    int i = blockIdx.x / T.cluster;
    for (; i < plan.items(); i = plan.ticket ? draw(clusters) : i + clusters) {
      auto const w = plan.item(i);
      if (w.q0 >= w.seq_q) continue;
      auto const& p = plan.problem;
      keys const of{w.row_kv, w.head / p.group(), p.lengths.kv_starts ? 0 : w.batch, w.seq_kv};
      sm90_walk<T, Variant> walk{variant, w};
      walk.advance(variant);
      if (!walk) fetch_last_v();  // numbers of items without a tile wait until somebody who waits for V has gone on
      if (storage::ahead) announce(w);
      else fetch_q(w);
      for (bool first = storage::ahead; walk; walk.advance(variant), first = false) {  // in the order of use: K of a tile, then V of the tile before it
        fetch_k(of, walk.j);
        fetch_last_v();
        if (first) fetch_q(w);  // when the item before has used its own: what that waits for must be on its way
        last_of = of, last = walk.j;
      }
    }
    fetch_last_v();
    // each block draws one ticket too many; the last of them clears the counter for the next launch
    if (rank == 0 && plan.ticket && i == plan.items() + clusters - 1) atomicExch(plan.ticket, 0u);
    if (storage::ahead) announce({-1});
    else fetch_q({-1});
  }
};

}  // namespace smalti::detail
