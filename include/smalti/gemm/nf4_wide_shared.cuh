#pragma once
// The NF4 product for many tokens on Hopper where tiles of y are few: each is a cluster's, whose blocks have a run of K each (after Osama et al. 2023, "Stream-K") and send each other sums by mail (st.async, PTX ISA 9.0).
// A kernel of its own, for with it in theirs those that take whole tiles lost up to 6 %; and one tile is less to do: no loop over tiles, no divisions, nothing that is not whole.

#include "nf4_wide_plan.cuh"

#if defined(__CUDACC__)
namespace smalti {
namespace detail {

/// The blocks of a cluster. Quotients by their count are products: a division takes as long as ten units of mail.
struct nf4_wide_mail_ranks {
  int blocks, inverse;  ///< 2^16 / blocks, rounded up
  SMALTI_HD constexpr int ratio(int x) const { return x * inverse >> 16; }        ///< x / blocks, for x · blocks up to 2^16
};

/// The mail of blocks that share a tile: each finishes some neighbours of the tiles of eight tokens, and gets the others' sums of them, in the order of registers, into stages of its ring that are done
/// with. A unit is a warpgroup's sums of eight tokens. With 128 tokens two blocks keep their own half in registers and a block alone all of them; with fewer the kernel for three to eight blocks took 3 to 5 % longer
/// for the code of those two, and a block alone 5 % longer than by the kernel for all launches.
template <class Config>
struct nf4_wide_mail : nf4_wide_mail_ranks {
  static constexpr bool keeps = Config::tokens == 128;
  static constexpr int tiles = Config::tokens / 8, unit = 128 * 16, held = nf4_wide_memory<Config>::stage / unit;  ///< of a stage
  static constexpr int at_once = max(2, tiles / 4);                               ///< tiles that leave at a time
  int least, more;  ///< steps of every block · beyond these

  static constexpr nf4_wide_mail of(int blocks, int steps) { return {{blocks, ceil_div(1 << 16, blocks)}, steps / blocks, steps % blocks}; }
  SMALTI_HD constexpr int begin(int rank) const { return least * rank + ratio(more * rank); }  ///< of a block's steps
  SMALTI_HD constexpr int extra(int rank) const { return ratio(more * (rank + 1)) - ratio(more * rank); }
  SMALTI_HD constexpr int most() const { return ratio(tiles + blocks - 1); }      ///< tiles of a block
  SMALTI_HD constexpr int owner(int tile) const { return tile * blocks / tiles; }
  SMALTI_HD constexpr int first(int rank) const { return ratio(rank * tiles + blocks - 1); }
  SMALTI_HD constexpr int units() const { return blocks > 1 || !keeps ? most() * (blocks - 1) + max(0, most() - 2) : 0; }  ///< of a warpgroup; two of its own are elsewhere
};

/// Terms of such a launch: steps of the ring behind those of W, more of them for blocks that have fewer of these.
template <bool There>
struct nf4_wide_shared_terms {
  SMALTI_HD constexpr int steps(nf4_wide_mail_ranks, int) const { return 0; }
};
template <>
struct nf4_wide_shared_terms<true> {
  nf4_wide_tail tail;
  unsigned const* ready;  ///< see launch_options
  float by;               ///< what W's sums are multiplied by ahead of the term's: they leave multiplied by the term's factor
  SMALTI_D int begin(nf4_wide_mail_ranks of, int rank) const { return of.ratio(tail.steps[0] * (of.blocks - 1 - rank)); }
  SMALTI_D int steps(nf4_wide_mail_ranks of, int rank) const { return begin(of, rank - 1) - begin(of, rank); }
};

/// What such a launch knows. m, y and row_y are those of nf4_problem.
template <class Config, class X, class Y, class Scales>
struct nf4_wide_shared_plan : nf4_wide_shared_terms<Config::tails> {
  CUtensorMap x, w;
  nf4_panels<Scales> weights;
  Y* y;
  index row_y;
  int m, groups;
  float scale;
  nf4_wide_memory<Config> memory;
  nf4_wide_mail<Config> mail;

  SMALTI_D int more(int rank) const { return mail.extra(rank) + this->steps(mail, rank); }  ///< steps of a block beyond those of W that all have
};

/// The map of nested scales on its way into the table, by the first 128 threads.
template <class Scales>
struct nf4_wide_map {
  SMALTI_D void fetch(Scales const&) {}
  SMALTI_D void store(nf4_table) const {}
};
template <>
struct nf4_wide_map<nested_scales> {
  float2 v;
  SMALTI_D void fetch(nested_scales const& s) { v = __ldg(reinterpret_cast<float2 const*>(s.map) + threadIdx.x); }
  SMALTI_D void store(nf4_table table) const {
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
      float const one = i / 2 ? v.y : v.x;
      *reinterpret_cast<float4*>(table.at + 256 * (2 * threadIdx.x + i / 2) + nf4_table::map_at + 16 * (i % 2)) = {one, one, one, one};
    }
  }
};

/// The warpgroups of the blocks exchange sums, and each lets those of its tokens leave. row, token0: the warpgroup's first; stage: the one behind the block's last.
template <class Config, class Plan, class Out>
SMALTI_D void nf4_wide_exchange(Plan const& plan, Out const& out, float const (&acc)[Config::tokens / 8][4], unsigned char* smem, uint64_t* bar, int group, int row, int token0, int stage) {
  using memory = nf4_wide_memory<Config>;
  using of = nf4_wide_mail<Config>;
  auto const& mail = plan.mail;
  int const rank = blockIdx.x, stages = plan.memory.stages, most = mail.most(), first = mail.first(rank), owned = mail.first(rank + 1) - first, lane = ptx::lane(), own_bytes = threadIdx.x % 128 * 16;
  unsigned char* const room = smem + plan.memory.out() + group * memory::out_bytes;
  auto const box = [&](int behind, int i) {                                     // behind: the stage behind the last of the block that gets it
    i += group * mail.units();
    int at = behind + i / of::held;
    at = at < 0 ? at + stages : at < stages ? at : at - stages;
    return memory::ring + at * memory::stage + i % of::held * of::unit;
  };
  auto const own = [&](int u) { return u < 2 ? plan.memory.out() + group * memory::out_bytes + u * of::unit : box(stage, most * (mail.blocks - 1) + u - 2); };
  auto const from = [&](int s, int u) { return s == rank ? own(u) : box(stage, (s - (s > rank)) * most + u); };
  int const owner = mail.owner(lane), given = lane - mail.first(owner);         // lane i finds out where tile i goes
  int place = owner == rank ? own(given) : box(stage + plan.more(owner) - plan.more(rank), (rank - (rank > owner)) * most + given);
  ptx::cluster_opened();
  SMALTI_UNROLL for (int i = 0; i < of::tiles; ++i) {
    int const to = __shfl_sync(~0u, owner, i);
    auto* const at = reinterpret_cast<float4*>(smem + __shfl_sync(~0u, place, i) + own_bytes);
    float4 const v = {acc[i][0], acc[i][1], acc[i][2], acc[i][3]};
    if (to == rank) *at = v;
    else ptx::send(at, v, bar, to);
  }
  struct rows { decltype(plan.y) y; index row_y; int m; } const leaving{plan.y, plan.row_y, min(plan.m, token0 + 8 * (first + owned))};
  ptx::await_mail(bar);
  SMALTI_ROLLED for (int u = 0; u < owned; u += of::at_once) {                  // the room holds the first two of the block's own until all have read them
    float sums[of::at_once][4] = {};
    place = from(lane / of::at_once, min(u + lane % of::at_once, owned - 1));
    SMALTI_ROLLED for (int s = 0; s < mail.blocks; ++s)                         // in the order of the blocks
      SMALTI_UNROLL for (int i = 0; i < of::at_once; ++i) {
        float4 const v = *reinterpret_cast<float4 const*>(smem + __shfl_sync(~0u, place, s * of::at_once + i) + own_bytes);
        sums[i][0] += v.x, sums[i][1] += v.y, sums[i][2] += v.z, sums[i][3] += v.w;
      }
    if (plan.scale != 1.f)
      SMALTI_UNROLL for (int i = 0; i < 4 * of::at_once; ++i) sums[i / 4][i % 4] *= plan.scale;
    nf4_wide_leave_whole<0, of::at_once>(leaving, out, sums, room, group, row, token0 + 8 * (first + u));
  }
}

/// The same between two blocks, which keep their own sums in registers: each has half of the tokens.
template <class Config, class Plan, class Out>
SMALTI_D void nf4_wide_exchange_two(Plan const& plan, Out const& out, float const (&acc)[Config::tokens / 8][4], unsigned char* smem, uint64_t* bar, int group, int row, int token0, int stage) {
  using memory = nf4_wide_memory<Config>;
  using of = nf4_wide_mail<Config>;
  constexpr int half = of::tiles / 2, together = of::held / half;                 // warpgroups whose mail a stage holds
  static_assert(ceil_div(Config::groups, together) <= 2);                         // the last stage is not done with yet; nf4_wide_shares sees to a third
  int const rank = blockIdx.x, stages = plan.memory.stages;
  auto const box = [&](int behind) {                                              // behind: as above
    int const at = behind + group / together;
    return reinterpret_cast<float4*>(smem + memory::ring + (at < 0 ? at + stages : at < stages ? at : at - stages) * memory::stage + group % together * half * of::unit) + threadIdx.x % 128;
  };
  float4 const* const mine = box(stage);
  float4* const theirs = box(stage + plan.more(rank ^ 1) - plan.more(rank));
  float sums[half][4];
  SMALTI_UNROLL for (int i = 0; i < 4 * half; ++i) sums[i / 4][i % 4] = rank ? acc[half + i / 4][i % 4] : acc[i / 4][i % 4];
  ptx::cluster_opened();
  SMALTI_UNROLL for (int i = 0; i < half; ++i) {
    auto const& v = acc[i];
    auto const& u = acc[half + i];
    ptx::send(theirs + 128 * i, rank ? float4{v[0], v[1], v[2], v[3]} : float4{u[0], u[1], u[2], u[3]}, bar, rank ^ 1);
  }
  ptx::await_mail(bar);
  SMALTI_UNROLL for (int i = 0; i < half; ++i) {
    float4 const v = mine[128 * i];
    sums[i][0] += v.x, sums[i][1] += v.y, sums[i][2] += v.z, sums[i][3] += v.w;
    SMALTI_UNROLL for (int j = 0; j < 4; ++j) sums[i][j] *= plan.scale;
  }
  nf4_wide_leave_whole<0, half>(plan, out, sums, smem + plan.memory.out() + group * memory::out_bytes, group, row, token0 + 8 * half * rank);
}

}  // namespace detail

/// Grid: (split, tiles of W's rows, tiles of tokens), clusters of (split, 1, 1). The first warpgroup copies and prepares scales.
template <class Config, class X, class Y, class Scales, epilogue Out>
__global__ void __launch_bounds__(Config::threads, 1) nf4_wide_shared_kernel(__grid_constant__ detail::nf4_wide_shared_plan<Config, X, Y, Scales> const plan, __grid_constant__ Out const out) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int parts = Config::columns / 64, panel_bytes = nf4_panel::rows * Config::columns / 2;  // of a stage
  static_assert(parts == 2);
  extern __shared__ __align__(1024) unsigned char smem[];
  using memory = nf4_wide_memory<Config>;
  int const groups = plan.groups, stages = plan.memory.stages, row = blockIdx.y * groups, token0 = blockIdx.z * Config::tokens;
  uint64_t* const full = reinterpret_cast<uint64_t*>(smem + plan.memory.barriers());
  uint64_t* const empty = full + 12;
  uint64_t* const mail = empty + 12;                                              // of a warpgroup each
  detail::nf4_table const table{smem};
  table.check();
  ptx::launch_dependents();
  int const begin = plan.mail.begin(blockIdx.x), steps = plan.mail.least + plan.mail.extra(blockIdx.x), first = min(stages, steps);  // first: under way before the tables are written
  auto const x_at = [&](int stage) { return smem + memory::ring + stage * memory::stage; };
  auto const codes_at = [&](int stage) { return x_at(stage) + memory::x; };
  auto const fetch_codes = [&](int i, int stage) {
    ptx::mbarrier_arrive_expecting(&full[stage], memory::x + groups * 2 * panel_bytes);
    ptx::tma_load(codes_at(stage), &plan.w, &full[stage], (begin + i) * (panel_bytes / 8), 2 * row, 0, 0);
  };
  auto const fetch_x = [&](int i, int stage) {
    SMALTI_UNROLL for (int part = 0; part < parts; ++part)
      ptx::tma_load(x_at(stage) + part * Config::tokens * 128, &plan.x, &full[stage], Config::columns * (begin + i) + 64 * part, token0, 0, 0);
  };
  auto const await_x = [&] {                                                      // it may be the previous kernel's output, or that of the one ahead of it
    if constexpr (Config::tails)
      if (plan.ready) return ptx::await_flag_alone(plan.ready), ptx::fence_async_proxy_global();
    ptx::wait_for_previous();
  };
  int const group = ptx::warpgroup() - 1, w = ptx::uniform(ptx::warp() % 4);
  if (group < 0) {                                                                // the multiplying warps write the table, these the map, while their first scales travel
    bool const copies = threadIdx.x == 96;                                        // of the warp that has no scales to prepare unless there are four warpgroups
    detail::nf4_wide_map<Scales> map;
    map.fetch(plan.weights.scales);
    if (copies) {
      for (int i = 0; i < stages; ++i) ptx::mbarrier_init(&full[i], 1 + 4), ptx::mbarrier_init(&empty[i], 4 * groups);
      ptx::mbarrier_init_fence();
      for (int i = 0; i < first; ++i) fetch_codes(i, i);
      for (int i = 0; i < groups; ++i)
        ptx::expect_mail(&mail[i], (plan.mail.first(blockIdx.x + 1) - plan.mail.first(blockIdx.x)) * (plan.mail.blocks - 1) * plan.mail.unit);
    }
    ptx::sync_warp();
    int const g = threadIdx.x % 8, tile_of = threadIdx.x / 8 % 4;                 // warp w prepares the scales of group w
    detail::nf4_wide_scales<X, Scales> scales;
    scales.begin(plan.weights, table.own_map(0), (row + min(w, groups - 1)) * 2 + tile_of / 2, tile_of % 2, g);
    typename decltype(scales)::raw ahead[parts];
    SMALTI_UNROLL for (int part = 0; part < parts; ++part) ahead[part] = scales.fetch(begin * parts + part);
    map.store(table);
    ptx::barrier_arrive(1, int(blockDim.x)), ptx::barrier_sync(15, 128);        // __syncthreads() would have to stand in one place for all, which costs 10 %
    ptx::registers_lower_to<Config::copying>();
    if (copies) {
      await_x();
      for (int i = 0; i < first; ++i) fetch_x(i, i);
    }
    ptx::sync_warp();
    int stage = 0, lap = 0;
    for (int i = 0; i < steps; ++i) {
      ptx::mbarrier_wait(&empty[stage], lap ^ 1);
      if (copies && i >= first) fetch_codes(i, stage), fetch_x(i, stage);
      ptx::sync_warp();
      if (w < groups)
        SMALTI_UNROLL for (int part = 0; part < parts; ++part) {
          *reinterpret_cast<uint4*>(codes_at(stage) + memory::codes + (part * Config::groups + w) * 512 + threadIdx.x % 32 * 16) = scales.split(ahead[part]);
          ahead[part] = scales.fetch((begin + i + 1) * parts + part);
        }
      ptx::sync_warp();
      ptx::mbarrier_arrive_if(ptx::lane() == 0, &full[stage]);
      if (++stage == stages) stage = 0, lap ^= 1;
    }
    if constexpr (Config::tails)
      for (int i = 0, begin_tail = plan.begin(plan.mail, blockIdx.x), tail = plan.steps(plan.mail, blockIdx.x); i < tail; ++i) {
        ptx::mbarrier_wait(&empty[stage], lap ^ 1);
        if (copies) {
          ptx::wait_for_previous();                                               // which may compute t
          plan.tail.template fetch<Config::tokens>(x_at(stage), &full[stage], begin_tail + i, token0, 64 * row, 64 * groups);
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
    if constexpr (Config::tails) {
      if (plan.by != 1.f)
        SMALTI_UNROLL for (int i = 0; i < Config::tokens / 2; ++i) warp.acc[i / 4][i % 4] *= plan.by;
      for (int i = plan.steps(plan.mail, blockIdx.x); i > 0; --i) {
        ring.await();
        detail::nf4_wide_add_tail<X>(warp.acc, ring.at(), 64 * group);
        ring.release(ring.stage), ring.next();
      }
    }
    ptx::wait_for_previous();                                                     // the epilogue reads what it may write
    if constexpr (detail::nf4_wide_mail<Config>::keeps) {
      if (plan.mail.blocks == 1) {
        ptx::cluster_opened();
        if (plan.scale != 1.f)
          SMALTI_UNROLL for (int i = 0; i < Config::tokens / 2; ++i) warp.acc[i / 4][i % 4] *= plan.scale;
        return detail::nf4_wide_leave_whole<0, Config::tokens / 8>(plan, out, warp.acc, smem + plan.memory.out() + group * memory::out_bytes, group, 64 * (row + group), token0);
      }
      if (plan.mail.blocks == 2) return detail::nf4_wide_exchange_two<Config>(plan, out, warp.acc, smem, &mail[group], group, 64 * (row + group), token0, ring.stage);
    }
    detail::nf4_wide_exchange<Config>(plan, out, warp.acc, smem, &mail[group], group, 64 * (row + group), token0, ring.stage);
  }
#elif defined(__CUDA_ARCH__)
  __trap();  // code for another architecture: never a silent nothing
#endif
}

/// Starts a kernel for many tokens, in clusters of (cluster, 1, 1).
template <class Plan, class Out>
status nf4_wide_start(on_cuda const& where, void (*kernel)(Plan, Out), Plan const& plan, Out const& out, dim3 grid, int cluster, int threads, bool programmatic) {
  std::size_t const bytes = std::size_t(plan.memory.bytes());
  if (auto s = explain(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes))); !s) return (void)cudaGetLastError(), s;
  cudaLaunchAttribute attribute[2] = {};
  unsigned attributes = 0;
  if (cluster > 1) {
    attribute[attributes].id = cudaLaunchAttributeClusterDimension;
    attribute[attributes++].val.clusterDim = {unsigned(cluster), 1, 1};
  }
  if (programmatic) {
    attribute[attributes].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute[attributes++].val.programmaticStreamSerializationAllowed = 1;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid, config.blockDim = dim3(unsigned(threads));
  config.dynamicSmemBytes = bytes, config.stream = where.stream, config.attrs = attribute, config.numAttrs = attributes;
  cudaError_t const e = cudaLaunchKernelEx(&config, kernel, plan, out);
  if (e != cudaSuccess) (void)cudaGetLastError();
  return explain(e);
}

/// Whether the kernel above can do a launch: terms only as steps, whole tiles of W's rows, y in whole lines, room for mail. And whole tiles of tokens: where the last is not (M 192), it took 5 to 9 % longer
/// than the kernel for all launches, 4.7 µs whatever K is; why is not known.
template <class Config, class X, class Y, class Scales>
bool nf4_wide_shares(nf4_problem<X, Y, Scales> const& p, nf4_wide_tile tile, nf4_wide_memory<Config> memory) {
  auto const mail = detail::nf4_wide_mail<Config>::of(tile.split, ceil_div(p.k, Config::columns));
  return (tile.split > 1 || detail::nf4_wide_mail<Config>::keeps) && !p.pair && p.m % Config::tokens == 0 && (p.sum[0].terms == 0 || (Config::tails && p.sum[0].dense[0].rank < 1 << 14)) && p.n % (64 * tile.groups) == 0 && p.row_y % 8 == 0 && reinterpret_cast<std::uintptr_t>(p.y) % 16 == 0 &&
         tile.groups * mail.units() <= (memory.stages - 1) * mail.held;
}
/// rows, columns: of tiles, each a cluster's. Errors: gemm.11, cuda.
template <class Config, class X, class Y, class Scales, epilogue Out>
status nf4_wide_shared_launch(on_cuda const& where, nf4_problem<X, Y, Scales> const& p, detail::nf4_wide_tail_part<Config::tails> const& terms, nf4_wide_tile tile, int rows, int columns, bool programmatic, Out const& out) {
  detail::nf4_wide_shared_plan<Config, X, Y, Scales> plan{{}, {}, {}, p.sum[0].w, p.y, p.row_y, p.m, tile.groups, p.sum[0].scale, {where.device.smem}, detail::nf4_wide_mail<Config>::of(tile.split, ceil_div(p.k, Config::columns))};
  if constexpr (Config::tails) plan.scale = p.sum[0].dense[0].scale, plan.tail = terms.tail, plan.ready = p.ready, plan.by = p.sum[0].scale / plan.scale;
  if (auto s = detail::tensor_map(plan.x, view<X const, 4>{p.x, {1, 1, p.m, p.k}, {0, 0, p.row_x, 1}}, Config::tokens); !s) return {s.id[0] == 'c' ? s.id : "gemm.11", s.why};
  if (auto s = detail::nf4_code_map(plan.w, p.sum[0].w.code, p.n, p.k, Config::columns, 2 * tile.groups); !s) return s;
  return nf4_wide_start(where, nf4_wide_shared_kernel<Config, X, Y, Scales, Out>, plan, out, dim3(unsigned(tile.split), unsigned(rows), unsigned(columns)), tile.split, 128 * (tile.groups + 1), programmatic);
}

}  // namespace smalti
#endif
