#pragma once
// The copying half of Hopper's 8-bit engine: one thread keeps the copy engine ahead of the consumers, across the items of a
// persistent block. As sm90_produce.cuh, with V's keys along its columns.

#include "sm90_fp8_plan.cuh"

namespace smalti::detail {

template <attention_tile T, int D, class Out, class Variant>
struct fp8_producer {
  using storage = fp8_storage<T, D, Out>;
  fp8_plan<Out> const& plan;
  Variant const& variant;
  storage& smem;

  fp8_ring<2> q{};
  fp8_ring<T.stages> k{}, v{};
  struct keys { int row, head, batch; } last_of{};  // where an item's K and V are
  int last = -1;                                    // the tile whose K is on its way and whose V is not

  SMALTI_D void fetch_k(keys const& of, int j) {
    ptx::mbarrier_wait(&smem.k_empty[k.stage], k.lap ^ 1);
    ptx::mbarrier_arrive_expecting(&smem.k_full[k.stage], sizeof(smem.k[0]));
    SMALTI_UNROLL for (int c = 0; c < storage::panels; ++c)
      ptx::tma_load(smem.k[k.stage][c], &plan.k, &smem.k_full[k.stage], 128 * c, of.row + j * T.kv, of.head, of.batch);
    k.advance();
  }
  SMALTI_D void fetch_last_v() {
    if (last < 0) return;
    ptx::mbarrier_wait(&smem.v_empty[v.stage], v.lap ^ 1);
    ptx::mbarrier_arrive_expecting(&smem.v_full[v.stage], storage::panels_v * D * 128);
    SMALTI_UNROLL for (int c = 0; c < storage::panels_v; ++c)
      ptx::tma_load(smem.v[v.stage][c], &plan.v, &smem.v_full[v.stage], last_of.row + last * T.kv + 128 * c, 0, last_of.head, last_of.batch);
    v.advance(), last = -1;
  }
  SMALTI_D void fetch_q(fp8_work const& w) {
    ptx::mbarrier_wait(&smem.q_empty[q.stage], q.lap ^ 1);
    smem.item[q.stage] = w;
    if (w.head < 0) return ptx::mbarrier_arrive(&smem.q_full[q.stage]);
    ptx::mbarrier_arrive_expecting(&smem.q_full[q.stage], sizeof(smem.q[0]));
    for (int g = 0; g < storage::groups; ++g)
      SMALTI_UNROLL for (int c = 0; c < storage::panels; ++c)
        ptx::tma_load(smem.q[q.stage][g][c], &plan.q, &smem.q_full[q.stage], 128 * c, w.row_q + w.q0 + 64 * g, w.head, plan.problem.lengths.q_starts ? 0 : w.batch);
    q.advance();
  }

  SMALTI_D void run() {
    // a variant that leaves scores alone costs nothing: its scale goes into the power of two
    constexpr float log2e = leaves_scores<Variant> ? 1.4426950408889634f : 1.f;
    auto const& p = plan.problem;
    int i = blockIdx.x;
    for (; i < plan.items(); i = plan.ticket ? int(atomicAdd(plan.ticket, 1u) + gridDim.x) : i + gridDim.x) {
      auto const w = plan.item(i, log2e);
      if (w.q0 >= w.seq_q) continue;
      keys const of{w.row_kv, w.head / p.group(), p.lengths.kv_starts ? 0 : w.batch};
      fp8_walk<T, Variant> walk{variant, w};
      walk.advance(variant);
      if (!walk) fetch_last_v();  // behind items without a tile Q waits until somebody who waits for V has gone on
      fetch_q(w);
      for (; walk; walk.advance(variant)) {  // in the order of use: K of a tile, then V of the tile before it
        fetch_k(of, walk.j);
        fetch_last_v();
        last_of = of, last = walk.j;
      }
    }
    fetch_last_v();
    // each block draws one ticket too many; the last of them clears the counter for the next launch
    if (plan.ticket && i == plan.items() + int(gridDim.x) - 1) atomicExch(plan.ticket, 0u);
    fetch_q({-1});
  }
};

}  // namespace smalti::detail
