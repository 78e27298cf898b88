#pragma once
// The NF4 product for 129 tokens and more on Hopper where tiles of y, of 256 tokens, are few: four blocks share each by runs of K (after Osama et al. 2023, "Stream-K"), two clusters of two, for clusters of four find
// room for too few. Within a cluster sums go by mail, between the two by device memory.

#include "nf4_wide_shared.cuh"

#if defined(__CUDACC__)
namespace smalti {
namespace detail {

/// What such a launch knows. m, y and row_y are those of nf4_problem.
template <class Config, class X, class Y, class Scales>
struct nf4_wide_pairs_plan {
  CUtensorMap x, w;
  nf4_panels<Scales> weights;
  Y* y;
  index row_y;
  int m, steps;  ///< of all four blocks
  float scale;
  nf4_wide_memory<Config> memory;
  float4* sums;     ///< lent, as nf4_wide_lent says
  unsigned* flags;  ///< likewise, a warp's own

  SMALTI_HD int begin(int run) const { return steps * run >> 2; }
};

/// The four blocks of a tile exchange sums; each lets a quarter of the tokens leave. row, token0: the warpgroup's and the tile's first; stage: the one behind the block's last.
/// Neighbouring clusters start one behind the other, so at most one tile of a launch has only one of its two running: blocks that wait leave room for those they wait for.
template <class Config, class Plan, class Out>
SMALTI_D void nf4_wide_pairs_exchange(Plan const& plan, Out const& out, float (&acc)[Config::tokens / 8][4], unsigned char* smem, uint64_t* bar, int group, int row, int token0, int stage) {
  using memory = nf4_wide_memory<Config>;
  using lent = nf4_wide_lent;
  constexpr int quarter = Config::tokens / 32, unit = lent::unit;                 // tiles of eight tokens
  static_assert(quarter == lent::units && 2 * quarter * unit <= memory::stage);
  int const run = blockIdx.x, rank = run % 2, half = run / 2, stages = plan.memory.stages, thread = threadIdx.x % 128;
  auto const length = [&](int of) { return plan.begin(of + 1) - plan.begin(of); };
  auto const box = [&](int behind) {                                              // a warpgroup's mail fills a stage
    int at = behind + group;
    at = at < 0 ? at + stages : at < stages ? at : at - stages;
    return reinterpret_cast<float4*>(smem + memory::ring + at * memory::stage) + thread;
  };
  auto const of = [&](int i) { return float4{acc[i][0], acc[i][1], acc[i][2], acc[i][3]}; };
  float4* const theirs = box(stage + length(run ^ 1) - length(run));
  ptx::cluster_opened();
  SMALTI_UNROLL for (int i = 0; i < 2 * quarter; ++i) ptx::send(theirs + 128 * i, rank ? of(i) : of(2 * quarter + i), bar, rank ^ 1);
  SMALTI_UNROLL for (int i = 0; i < 2 * quarter; ++i)
    SMALTI_UNROLL for (int j = 0; j < 4; ++j) acc[i][j] = rank ? acc[2 * quarter + i][j] : acc[i][j];
  float4 const* const mine = box(stage);
  int const block = (blockIdx.z * gridDim.y + blockIdx.y) * lent::blocks + run, other = block ^ 2, at = group * quarter * 128 + thread;
  ptx::await_mail(bar);
  float4* const to = plan.sums + std::size_t(block) * (2 * quarter * 128) + at;
  SMALTI_UNROLL for (int i = 0; i < quarter; ++i) to[128 * i] = add(half ? of(i) : of(quarter + i), mine[128 * (i + (half ? 0 : quarter))]);
  int const warp = group * 4 + ptx::warp() % 4;
  ptx::sync_warp();
  if (ptx::lane() == 0) ptx::raise_flag(plan.flags + block * lent::warps + warp);
  float sums[quarter][4];
  SMALTI_UNROLL for (int i = 0; i < quarter; ++i) {
    float4 const v = add(half ? of(quarter + i) : of(i), mine[128 * (i + (half ? quarter : 0))]);
    sums[i][0] = v.x, sums[i][1] = v.y, sums[i][2] = v.z, sums[i][3] = v.w;
  }
  if (ptx::lane() == 0) {
    unsigned* const flag = plan.flags + other * lent::warps + warp;
    ptx::await_flag_alone(flag);
    *flag = 0;                                                                    // for the next launch, which waits for this one before it raises it
  }
  ptx::sync_warp();
  float4 const* const from = plan.sums + std::size_t(other) * (2 * quarter * 128) + at;
  float4 v[quarter];
  SMALTI_UNROLL for (int i = 0; i < quarter; ++i) v[i] = __ldcg(from + 128 * i);
  SMALTI_UNROLL for (int i = 0; i < quarter; ++i) {
    sums[i][0] += v[i].x, sums[i][1] += v[i].y, sums[i][2] += v[i].z, sums[i][3] += v[i].w;
    SMALTI_UNROLL for (int j = 0; j < 4; ++j) sums[i][j] *= plan.scale;
  }
  nf4_wide_leave_whole<0, quarter>(plan, out, sums, smem + plan.memory.out() + group * memory::out_bytes, group, row, token0 + 8 * quarter * (2 * rank + half));
}

}  // namespace detail

/// Grid: (4, tiles of W's rows, tiles of tokens), clusters of (2, 1, 1). The first warpgroup copies and prepares scales.
template <class Config, class X, class Y, class Scales, epilogue Out>
__global__ void __launch_bounds__(Config::threads, 1) nf4_wide_pairs_kernel(__grid_constant__ detail::nf4_wide_pairs_plan<Config, X, Y, Scales> const plan, __grid_constant__ Out const out) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int groups = Config::groups, panel_bytes = nf4_panel::rows * Config::columns / 2;
  static_assert(Config::columns == 64);
  extern __shared__ __align__(1024) unsigned char smem[];
  using memory = nf4_wide_memory<Config>;
  int const stages = plan.memory.stages, row = blockIdx.y * groups, token0 = blockIdx.z * Config::tokens;
  uint64_t* const full = reinterpret_cast<uint64_t*>(smem + plan.memory.barriers());
  uint64_t* const empty = full + 12;
  uint64_t* const mail = empty + 12;                                              // of a warpgroup each
  detail::nf4_table const table{smem};
  table.check();
  ptx::launch_dependents();
  int const begin = plan.begin(blockIdx.x), steps = plan.begin(blockIdx.x + 1) - begin, first = min(stages, steps);
  auto const x_at = [&](int stage) { return smem + memory::ring + stage * memory::stage; };
  auto const codes_at = [&](int stage) { return x_at(stage) + memory::x; };
  auto const fetch_codes = [&](int i, int stage) {
    ptx::mbarrier_arrive_expecting(&full[stage], memory::x + groups * 2 * panel_bytes);
    ptx::tma_load(codes_at(stage), &plan.w, &full[stage], (begin + i) * (panel_bytes / 8), 2 * row, 0, 0);
  };
  auto const fetch_x = [&](int i, int stage) { ptx::tma_load(x_at(stage), &plan.x, &full[stage], Config::columns * (begin + i), token0, 0, 0); };
  int const group = ptx::warpgroup() - 1, w = ptx::uniform(ptx::warp() % 4);
  if (group < 0) {                                                                // as in nf4_wide_shared_kernel
    bool const copies = threadIdx.x == 96;
    detail::nf4_wide_map<Scales> map;
    map.fetch(plan.weights.scales);
    if (copies) {
      for (int i = 0; i < stages; ++i) ptx::mbarrier_init(&full[i], 1 + 4), ptx::mbarrier_init(&empty[i], 4 * groups);
      ptx::mbarrier_init_fence();
      for (int i = 0; i < first; ++i) fetch_codes(i, i);
      for (int i = 0; i < groups; ++i) ptx::expect_mail(&mail[i], Config::tokens / 16 * nf4_wide_lent::unit);
    }
    ptx::sync_warp();
    int const g = threadIdx.x % 8, tile_of = threadIdx.x / 8 % 4;                 // warp w prepares the scales of group w
    detail::nf4_wide_scales<X, Scales> scales;
    scales.begin(plan.weights, table.own_map(0), (row + min(w, groups - 1)) * 2 + tile_of / 2, tile_of % 2, g);
    typename decltype(scales)::raw ahead = scales.fetch(begin);
    map.store(table);
    ptx::barrier_arrive(1, int(blockDim.x)), ptx::barrier_sync(15, 128);        // __syncthreads() would have to stand in one place for all, which costs 10 %
    ptx::registers_lower_to<Config::copying>();
    if (copies) {
      ptx::wait_for_previous();                                                   // x may be the previous kernel's output
      for (int i = 0; i < first; ++i) fetch_x(i, i);
    }
    ptx::sync_warp();
    int stage = 0, lap = 0;
    for (int i = 0; i < steps; ++i) {
      ptx::mbarrier_wait(&empty[stage], lap ^ 1);
      if (copies && i >= first) fetch_codes(i, stage), fetch_x(i, stage);
      ptx::sync_warp();
      if (w < groups) {
        *reinterpret_cast<uint4*>(codes_at(stage) + memory::codes + w * 512 + threadIdx.x % 32 * 16) = scales.split(ahead);
        ahead = scales.fetch(begin + i + 1);
      }
      ptx::sync_warp();
      ptx::mbarrier_arrive_if(ptx::lane() == 0, &full[stage]);
      if (++stage == stages) stage = 0, lap ^= 1;
    }
    for (int i = 1; i < stages; ++i) {                                            // room for mail: all stages but the last are done with
      ptx::mbarrier_wait(&empty[stage], lap ^ 1);
      if (++stage == stages) stage = 0, lap ^= 1;
    }
    ptx::cluster_open(), ptx::cluster_opened();
  } else {
    table.template fill<X>(4);
    ptx::barrier_sync(1, int(blockDim.x));
    ptx::registers_raise_to<Config::computing>();
    ptx::cluster_open();
    detail::nf4_wide_warp<Config, X> warp;
    warp.begin(table, group, w);
    detail::nf4_wide_ring ring{smem + memory::ring, memory::stage, stages, full, empty};
    warp.multiply(ring, steps);
    ptx::wait_for_previous();                                                     // the epilogue reads what it may write
    detail::nf4_wide_pairs_exchange<Config>(plan, out, warp.acc, smem, &mail[group], group, 64 * (row + group), token0, ring.stage);
  }
#elif defined(__CUDA_ARCH__)
  __trap();  // code for another architecture: never a silent nothing
#endif
}

/// How many tiles the kernel above has memory for; 0: it cannot do the launch (a pair, terms, y not in whole lines of 16 bits).
template <class X, class Y, class Scales>
int nf4_wide_pairs_tiles(nf4_problem<X, Y, Scales> const& p, nf4_lent lent) {
  using config = nf4_wide_256;
  bool const can = sizeof(Y) == 2 && lent.at && !p.pair && p.sum[0].terms == 0 && p.n % (64 * config::groups) == 0 && p.k >= 4 * config::columns && p.row_y % 8 == 0 && reinterpret_cast<std::uintptr_t>(p.y) % 16 == 0;
  return can ? nf4_wide_lent::tiles(lent.bytes) : 0;
}
/// Launches it. Programmatic: as nf4_launch. Errors: gemm.11 (what the copy engine cannot express), gemm.12 (not such a launch, or too little memory), cuda.
template <class Config, class X, class Y, class Scales, epilogue Out>
status nf4_wide_pairs_launch(on_cuda const& where, nf4_problem<X, Y, Scales> const& p, nf4_lent lent, bool programmatic, Out const& out) {
  int const rows = p.n / (64 * Config::groups), columns = ceil_div(p.m, Config::tokens);
  if (index(rows) * columns > nf4_wide_pairs_tiles(p, lent)) return {"gemm.12", "two clusters can share the tiles of whole rows of 16 bits alone, without terms, and as many as there is memory lent"};
  unsigned* const flags = static_cast<unsigned*>(lent.at);
  float4* const sums = reinterpret_cast<float4*>(static_cast<char*>(lent.at) + nf4_wide_lent::most * nf4_wide_lent::flags);
  detail::nf4_wide_pairs_plan<Config, X, Y, Scales> plan{{}, {}, p.sum[0].w, p.y, p.row_y, p.m, ceil_div(p.k, Config::columns), p.sum[0].scale, {where.device.smem}, sums, flags};
  if (auto s = detail::tensor_map(plan.x, view<X const, 4>{p.x, {1, 1, p.m, p.k}, {0, 0, p.row_x, 1}}, Config::tokens); !s) return {s.id[0] == 'c' ? s.id : "gemm.11", s.why};
  if (auto s = detail::nf4_code_map(plan.w, p.sum[0].w.code, p.n, p.k, Config::columns, 2 * Config::groups); !s) return s;
  return nf4_wide_start(where, nf4_wide_pairs_kernel<Config, X, Y, Scales, Out>, plan, out, dim3(4, unsigned(rows), unsigned(columns)), 2, Config::threads, programmatic);
}

}  // namespace smalti
#endif
