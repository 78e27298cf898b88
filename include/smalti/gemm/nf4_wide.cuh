#pragma once
// y (M, N) = e(x (M, K) · Ŵᵀ + …) for many tokens and NF4 weights on Hopper, where the time is that of the tensor cores: one thread copies, up to
// four warpgroups decode and multiply, blocks are persistent. After CUTLASS's warp-specialised kernels (NVIDIA, 3.x, "Efficient GEMM").

#include "nf4_wide_pairs.cuh"

#if defined(__CUDACC__)
namespace smalti {

/// Grid: (split, clusters that run at a time), clusters of (split, 1). Each block takes whole tiles, and the cluster shares one in the end. The first
/// warpgroup copies and prepares scales.
template <class Config, class X, class Y, class Scales, epilogue Out>
__global__ void __launch_bounds__(Config::threads, 1) nf4_wide_kernel(__grid_constant__ detail::nf4_wide_plan<Config, X, Y, Scales> const plan, __grid_constant__ Out const out) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int parts = Config::columns / 64, panel_bytes = nf4_panel::rows * Config::columns / 2;  // of a stage
  extern __shared__ __align__(1024) unsigned char smem[];
  auto const& p = plan.problem;
  using memory = nf4_wide_memory<Config>;
  int const groups = plan.tile.groups, pair = p.pair, stages = plan.memory.stages, tiles = plan.tiles;
  uint64_t* const full = reinterpret_cast<uint64_t*>(smem + plan.memory.barriers());
  uint64_t* const empty = full + 12;
  detail::nf4_table const table{smem};
  table.check();
  ptx::launch_dependents();
  auto const start = plan.job(0);
  int const first = min(stages, start.steps);                                     // of the first tile: under way before the tables are written
  auto const x_at = [&](int stage) { return smem + memory::ring + stage * memory::stage; };
  auto const codes_at = [&](int stage) { return x_at(stage) + memory::x; };
  auto const fetch_codes = [&](detail::nf4_wide_order::place at, int step, int stage) {
    ptx::mbarrier_arrive_expecting(&full[stage], memory::x + groups * 2 * panel_bytes);
    int const row = 2 * at.row * groups >> pair, column = step * (panel_bytes / 8);
    if (!pair) ptx::tma_load(codes_at(stage), &plan.w[0], &full[stage], column, row, 0, 0);
    else
      for (int s = 0; s < groups; ++s) ptx::tma_load(codes_at(stage) + 2 * panel_bytes * s, &plan.w[s & 1], &full[stage], column, row + s / 2 * 2, 0, 0);
  };
  auto const fetch_x = [&](detail::nf4_wide_order::place at, int step, int stage) {
    SMALTI_UNROLL for (int part = 0; part < parts; ++part)
      ptx::tma_load(x_at(stage) + part * Config::tokens * 128, &plan.x, &full[stage], Config::columns * step + 64 * part, at.column * Config::tokens, 0, 0);
  };
  auto const await_x = [&] {                                                      // it may be the previous kernel's output, or that of the one ahead of it
    if (!Config::tails || !p.ready) return ptx::wait_for_previous();
    ptx::await_flag_alone(p.ready);
    ptx::fence_async_proxy_global();
  };
  if (ptx::warp() == 0) {
    if (threadIdx.x == 0) {
      for (int i = 0; i < stages; ++i) ptx::mbarrier_init(&full[i], 1 + 4), ptx::mbarrier_init(&empty[i], 4 * groups);
      ptx::mbarrier_init_fence();
      auto const at = plan.order(start.tile);
      for (int i = 0; i < first; ++i) fetch_codes(at, start.begin + i, i);
    }
    ptx::sync_warp();
  } else {
    table.template fill<X>(1);
    if constexpr (requires { p.sum[0].w.scales.map; })
      for (int half = 0; half <= pair; ++half) table.fill_map(p.sum[half].w.scales.map, half, 1);
  }
  ptx::sync_block();

  int const group = ptx::warpgroup() - 1, w = ptx::uniform(ptx::warp() % 4);
  if (group < 0) {
    ptx::registers_lower_to<Config::copying>();
    int const g = threadIdx.x % 8, tile_of = threadIdx.x / 8 % 4;                  // warp w prepares the scales of group w
    int stage = 0, lap = 0, j = 0;
    bool waited = false;                                                           // a short first tile leaves stages free: x of the next may come before that of the first
    for (auto job = start; job.tile < tiles; job = plan.job(++j)) {
      auto const at = plan.order(job.tile);
      int const slot = at.row * groups + min(w, groups - 1), which = slot & pair;
      detail::nf4_wide_scales<X, Scales> scales;
      scales.begin(p.sum[which].w, table.own_map(which), min((slot >> pair) * 2 + tile_of / 2, nf4_panel::panels(p.n) - 1), tile_of % 2, g);
      typename decltype(scales)::raw ahead[parts];
      SMALTI_UNROLL for (int part = 0; part < parts; ++part) ahead[part] = scales.fetch(job.begin * parts + part);
      for (int i = 0; i < job.steps; ++i) {
        ptx::mbarrier_wait(&empty[stage], lap ^ 1);
        if (threadIdx.x == 0 && (i >= first || j > 0)) {
          fetch_codes(at, job.begin + i, stage);
          if (!waited) await_x(), waited = true;
          fetch_x(at, job.begin + i, stage);
        }
        ptx::sync_warp();
        if (w < groups)
          SMALTI_UNROLL for (int part = 0; part < parts; ++part) {
            *reinterpret_cast<uint4*>(codes_at(stage) + memory::codes + (part * Config::groups + w) * 512 + threadIdx.x % 32 * 16) = scales.split(ahead[part]);
            ahead[part] = scales.fetch((job.begin + i + 1) * parts + part);
          }
        ptx::sync_warp();
        ptx::mbarrier_arrive_if(ptx::lane() == 0, &full[stage]);
        if (++stage == stages) stage = 0, lap ^= 1;
      }
      if constexpr (Config::tails)
        for (auto [i, end] = plan.tail_of(job); i < end; ++i) {
          ptx::mbarrier_wait(&empty[stage], lap ^ 1);
          if (threadIdx.x == 0) {
            ptx::wait_for_previous();                                              // which may compute t
            plan.tail.template fetch<Config::tokens>(x_at(stage), &full[stage], i, at.column * Config::tokens, 64 * (at.row * groups >> pair), 64 * groups >> pair);
          }
          ptx::sync_warp();
          ptx::mbarrier_arrive_if(ptx::lane() == 0, &full[stage]);
          if (++stage == stages) stage = 0, lap ^= 1;
        }
    }
    if (plan.shares()) ptx::cluster_sync(), ptx::cluster_sync();
  } else {
    ptx::registers_raise_to<Config::computing>();
    if (threadIdx.x == 128) {
      auto const at = plan.order(start.tile);
      await_x();
      for (int i = 0; i < first; ++i) fetch_x(at, start.begin + i, i);
    }
    ptx::sync_warp();
    detail::nf4_wide_warp<Config, X> warp;
    detail::nf4_wide_ring ring{smem + memory::ring, memory::stage, stages, full, empty};
    int j = 0;
    for (auto job = start; job.tile < tiles; job = plan.job(++j)) {
      warp.begin(table, group, w);
      warp.multiply(ring, job.steps);
      if constexpr (Config::tails) {
        int const which = group & pair, begin = which ? plan.tail.steps[0] : 0, end = begin + plan.tail.steps[which];  // of this half
        float const by = begin < end ? p.sum[which].scale / plan.scale(which) : 1.f;             // the sums in units of the term's factor
        if (by != 1.f)
          SMALTI_UNROLL for (int i = 0; i < Config::tokens / 2; ++i) warp.acc[i / 4][i % 4] *= by;
        auto const tail = plan.tail_of(job);
        for (int i = tail.begin; i < tail.end; ++i) {
          ring.await();
          if (i >= begin && i < end) detail::nf4_wide_add_tail<X>(warp.acc, ring.at(), 64 * (group >> pair));
          ring.release(ring.stage), ring.next();
        }
      }
      detail::nf4_wide_leave<Config>(plan, out, warp.acc, smem, plan.order(job.tile), job.blocks, group);
    }
  }
#elif defined(__CUDA_ARCH__)
  __trap();  // code for another architecture: never a silent nothing
#endif
}

/// Launches with the tile given. Programmatic: as nf4_launch. Errors: gemm.11 (what the copy engine cannot express), gemm.12 (tile), cuda.
template <class Config, class X, class Y, class Scales, epilogue Out>
status nf4_wide_launch(on_cuda const& where, nf4_problem<X, Y, Scales> const& p, nf4_wide_tile tile, int processors, bool programmatic, Out const& out) {
  auto* const kernel = nf4_wide_kernel<Config, X, Y, Scales, Out>;
  nf4_work const work = nf4_work_of(p);
  if (tile.split < 1 || tile.split > 8 || tile.clusters != 1 || tile.groups < work.halves || tile.groups % work.halves || tile.groups > Config::groups || ceil_div(p.k, Config::columns) < tile.split)
    return {"gemm.12", "the tile does not fit the kernel's warpgroups, a cluster, or K"};
  int const slots = ceil_div(nf4_panel::panels(p.n), 2) * work.halves;
  detail::nf4_wide_order const order{ceil_div(slots, tile.groups), ceil_div(p.m, Config::tokens)};
  int const tiles = order.rows * order.columns, clusters = min(tiles, nf4_wide_clusters(tile.split, processors));
  detail::nf4_wide_tail_part<Config::tails> terms;
  if constexpr (Config::tails) {
    terms.tail = detail::nf4_wide_tail_of<Config>(p, tile.groups);
    if (!terms.tail.all()) return nf4_wide_launch<typename Config::bare>(where, p, tile, processors, programmatic, out);
  }
  if constexpr (Config::columns == 128 && sizeof(Y) == 2)
    if (tiles <= clusters && nf4_wide_shares<Config>(p, tile, {where.device.smem})) return nf4_wide_shared_launch<Config>(where, p, terms, tile, order.rows, order.columns, programmatic, out);
  detail::nf4_wide_plan<Config, X, Y, Scales> plan{terms, {}, {}, p, order, tile, {where.device.smem}, tiles, nf4_wide_whole(tiles, tile.split, clusters)};
  if (tile.split > 1 && Config::tokens * (64 * tile.groups + 4) * 4 > plan.memory.stages * plan.memory.stage)
    return {"gemm.12", "the sums of a cluster's blocks do not fit shared memory"};
  if (auto s = detail::tensor_map(plan.x, view<X const, 4>{p.x, {1, 1, p.m, p.k}, {0, 0, p.row_x, 1}}, Config::tokens); !s)
    return {s.id[0] == 'c' ? s.id : "gemm.11", s.why};
  for (int half = 0; half < work.halves; ++half)  // of a pair, 64 rows of each half in turn
    if (auto s = detail::nf4_code_map(plan.w[half], p.sum[half].w.code, p.n, p.k, Config::columns, p.pair ? 2 : 2 * tile.groups); !s) return s;
  return nf4_wide_start(where, kernel, plan, out, dim3(unsigned(tile.split), unsigned(clusters)), tile.split, 128 * (tile.groups + 1), programmatic);
}

}  // namespace smalti
#endif
