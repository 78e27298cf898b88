#pragma once
// y (M, N) = e(x (M, K) · Ŵᵀ + …) for many tokens and NF4 weights on Hopper, where the time is that of the tensor cores: one thread copies, up to
// four warpgroups decode and multiply, blocks are persistent. After CUTLASS's warp-specialised kernels (NVIDIA, 3.x, "Efficient GEMM").

#include "../cuda/tensor_map.cuh"
#include "nf4_kernel.cuh"
#include "nf4_wide_consume.cuh"

#if defined(__CUDACC__)
namespace smalti {
namespace detail {

/// Which tile of y: neighbours share rows of W, eight tiles of tokens at a time, so that both operands stay in the cache.
struct nf4_wide_order {
  int rows, columns;  ///< tiles of W's rows · of tokens
  struct place { int row, column; };
  SMALTI_HD constexpr place operator()(int i) const {
    int const band = i / (8 * rows), width = min(8, columns - 8 * band), rest = i - 8 * rows * band;
    return {rest / width, 8 * band + rest % width};
  }
};

template <class X, class Y, class Scales>
struct nf4_wide_plan {
  CUtensorMap x, w[2];
  nf4_problem<X, Y, Scales> problem;
  nf4_wide_order order;
  nf4_wide_tile tile;
  nf4_wide_memory memory;
};

/// For the copy engine: `panels` panels by `columns` columns of packed codes at a time, in words of 8 bytes. Panels beyond N read as zero.
inline status nf4_code_map(CUtensorMap& map, uint8_t const* code, int n, int k, int columns, int panels) {
  cuuint64_t const row = cuuint64_t(nf4_panel::steps(k)) * nf4_panel::code_bytes, all = cuuint64_t(nf4_panel::panels(n));
  cuuint64_t const extent[] = {row / 8, all, 1, 1}, stride[] = {row, row * all, row * all};
  cuuint32_t const box[] = {cuuint32_t(nf4_panel::rows * columns / 2 / 8), cuuint32_t(panels), 1, 1}, step[] = {1, 1, 1, 1};
  if (!tensor_map_encoder()) return {"cuda", "the driver has no cuTensorMapEncodeTiled"};
  CUresult const r = tensor_map_encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT64, 4, const_cast<uint8_t*>(code), extent, stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                          CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return r == CUDA_SUCCESS ? status{} : status{"cuda", "cuTensorMapEncodeTiled refused the packed codes"};
}

/// Four neighbours of a row of y, through the epilogue.
template <class X, class Y, class Scales, class Out>
SMALTI_D void nf4_wide_put(nf4_problem<X, Y, Scales> const& p, Out const& out, bool aligned, int token, int n, float4 v, float4 up) {
  int const left = p.n - n;
  if (token >= p.m || left <= 0) return;
  float o[4] = {v.x, v.y, v.z, v.w};
  if (p.pair) {
    float const u[4] = {up.x, up.y, up.z, up.w};
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) o[i] = silu{}(o[i], 0, 0) * u[i];
  }
  SMALTI_UNROLL for (int i = 0; i < 4; ++i)
    if (i < left) o[i] = out(o[i], token, n + i);
  store_four(p.y + token * p.row_y + n, o, aligned, left);
}

}  // namespace detail

/// Grid: (split, tiles, or as many as run at a time), clusters of (split, 1).
template <class Config, class X, class Y, class Scales, epilogue Out>
__global__ void __launch_bounds__(Config::threads, 1) nf4_wide_kernel(__grid_constant__ detail::nf4_wide_plan<X, Y, Scales> const plan, __grid_constant__ Out const out) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int parts = Config::columns / 64, panel_bytes = nf4_panel::rows * Config::columns / 2;  // of a stage
  extern __shared__ __align__(1024) unsigned char smem[];
  auto const& p = plan.problem;
  auto const& memory = plan.memory;
  int const groups = plan.tile.groups, split = plan.tile.split, pair = p.pair, stages = memory.stages, tiles = plan.order.rows * plan.order.columns;
  int const rank = blockIdx.x, steps_all = ceil_div(p.k, Config::columns), begin = steps_all * rank / split, steps = steps_all * (rank + 1) / split - begin;
  uint64_t* const full = reinterpret_cast<uint64_t*>(smem + memory.barriers(groups));
  uint64_t* const empty = full + 12;
  detail::nf4_table const table{smem};
  table.check();
  ptx::launch_dependents();
  int const first = min(stages, steps);                                           // of the first tile: under way before the tables are written
  auto const fetch_codes = [&](detail::nf4_wide_order::place at, int step, int stage) {
    ptx::mbarrier_arrive_expecting(&full[stage], memory.x + memory.codes);
    int const row = 2 * at.row * groups >> pair, column = step * (panel_bytes / 8);
    if (!pair) ptx::tma_load(smem + memory.codes_at(stage), &plan.w[0], &full[stage], column, row, 0, 0);
    else
      for (int s = 0; s < groups; ++s) ptx::tma_load(smem + memory.codes_at(stage) + 2 * panel_bytes * s, &plan.w[s & 1], &full[stage], column, row + s / 2 * 2, 0, 0);
  };
  auto const fetch_x = [&](detail::nf4_wide_order::place at, int step, int stage) {
    SMALTI_UNROLL for (int part = 0; part < parts; ++part)
      ptx::tma_load(smem + memory.x_at(stage) + part * Config::tokens * 128, &plan.x, &full[stage], Config::columns * step + 64 * part, at.column * Config::tokens, 0, 0);
  };
  if (ptx::warp() == 0) {
    if (threadIdx.x == 0) {
      for (int i = 0; i < stages; ++i) ptx::mbarrier_init(&full[i], 1), ptx::mbarrier_init(&empty[i], 4 * groups);
      ptx::mbarrier_init_fence();
      auto const at = plan.order(blockIdx.y);
      for (int i = 0; i < first; ++i) fetch_codes(at, begin + i, i);
      ptx::wait_for_previous();                                                   // x may be the previous kernel's output
      for (int i = 0; i < first; ++i) fetch_x(at, begin + i, i);
    }
    ptx::sync_warp();
  } else {
    table.template fill<X>(1);
    if constexpr (requires { p.sum[0].w.scales.map; })
      for (int half = 0; half <= pair; ++half) table.fill_map(p.sum[half].w.scales.map, half, 1);
  }
  ptx::sync_block();

  int const group = ptx::warpgroup() - 1;
  if (group < 0) {
    ptx::registers_lower_to<Config::copying>();
    if (threadIdx.x == 0) {
      int stage = first % stages, lap = first / stages, i = first;
      for (int tile = blockIdx.y; tile < tiles; tile += gridDim.y, i = 0) {
        auto const at = plan.order(tile);
        for (; i < steps; ++i) {
          ptx::mbarrier_wait(&empty[stage], lap ^ 1);
          fetch_codes(at, begin + i, stage), fetch_x(at, begin + i, stage);
          if (++stage == stages) stage = 0, lap ^= 1;
        }
      }
    }
    ptx::sync_warp();
    if (split > 1) ptx::cluster_sync(), ptx::cluster_sync();
  } else {
    ptx::registers_raise_to<Config::computing>();
    detail::nf4_wide_warp<Config, X, Scales> warp;
    warp.pairs = table.own_pairs();
    int const w = ptx::uniform(ptx::warp() % 4), thread = threadIdx.x % 128;
    bool const aligned = p.row_y % 4 == 0 && reinterpret_cast<uint64_t>(p.y) % 8 == 0;
    int stage = 0, lap = 0;
    for (int tile = blockIdx.y; tile < tiles; tile += gridDim.y) {
      auto const at = plan.order(tile);
      int const slot = at.row * groups + group, which = slot & pair, row = 64 * (slot >> pair), token0 = at.column * Config::tokens;
      auto const& sum = p.sum[which];
      warp.scales.begin(sum.w, table, which, min(row / nf4_panel::rows + w / 2, nf4_panel::panels(p.n) - 1), w % 2);
      warp.scales.fetch(begin * parts);

      detail::nf4_wide_step even{}, odd{};
      int last = stage, turns = steps * parts;                                    // last: the stage of the step under way
      auto const next = [&](detail::nf4_wide_step& to, int i) {                   // step i
        if (i % 4 == 0) {
          warp.scales.take();
          if (i + 4 < turns) warp.scales.fetch(begin * parts + i + 4);
        }
        if (parts == 1 || i % 2 == 0) ptx::mbarrier_wait(&full[stage], lap);
        warp.decode(to, smem + memory.codes_at(stage) + (2 * group + w / 2) * panel_bytes + i % parts * 1024 + w % 2 * 512, i);
      };
      auto const multiply = [&](detail::nf4_wide_step& now, detail::nf4_wide_step& other, int i) {
        warp.start(now, smem + memory.x_at(stage) + i % parts * Config::tokens * 128, i > 0);
        int const under_way = stage;
        if (i % parts == parts - 1 && ++stage == stages) stage = 0, lap ^= 1;
        if constexpr (warp.scales_sums) {
          if (i + 1 < turns) next(other, i + 1);
          ptx::wgmma_wait<0>(), warp.finish(now);
          if (i % parts == parts - 1) ptx::mbarrier_arrive_if(ptx::lane() == 0, &empty[under_way]);
        } else {
          ptx::wgmma_wait<1>(), warp.finish(other);                               // step i − 1 is done
          if (i > 0 && i % parts == 0) ptx::mbarrier_arrive_if(ptx::lane() == 0, &empty[last]);
          last = under_way;
          if (i + 1 < turns) next(other, i + 1);
        }
      };
      if constexpr (warp.scales_sums)
        SMALTI_UNROLL for (int i = 0; i < warp.tiles * 4; ++i) warp.acc[i / 4][i % 4] = 0;
      next(even, 0);
      for (int i = 0; i < turns; i += 2) {
        multiply(even, odd, i);
        if (parts == 1 && i + 1 == turns) break;
        multiply(odd, even, i + 1);
      }
      if constexpr (!warp.scales_sums) {
        ptx::wgmma_wait<0>(), ptx::pin(warp.acc);
        ptx::mbarrier_arrive_if(ptx::lane() == 0, &empty[last]);
      }
      ptx::wait_for_previous();                                                   // terms and the epilogue read what it may write
      if (sum.scale != 1.f)
        SMALTI_UNROLL for (int i = 0; i < warp.tiles * 4; ++i) warp.acc[i / 4][i % 4] *= sum.scale;
      if (rank == 0) warp.add_terms(sum, row + 16 * w, p.n, token0, p.m);

      int const g = ptx::lane() / 4, q = ptx::lane() % 4;
      if (split == 1) {                                                           // some tokens at a time
        constexpr int width = nf4_wide_memory::row_out, count = min(Config::tokens, nf4_wide_memory::tokens_out);
        float* const mine = reinterpret_cast<float*>(smem + memory.out + group * nf4_wide_memory::out_bytes);
        float const* const gate = mine - (pair ? which : 0) * (nf4_wide_memory::out_bytes / 4);
        auto const meet = [&] { pair ? ptx::barrier_sync(1, 128 * groups) : ptx::barrier_sync(2 + group, 128); };
        SMALTI_UNROLL for (int chunk = 0; chunk < Config::tokens / count; ++chunk) {
          meet();
          SMALTI_UNROLL for (int i = 0; i < count / 2; ++i)
            mine[(8 * (i / 4) + 2 * q + i % 2) * width + 16 * w + g + i % 4 / 2 * 8] = warp.acc[chunk * (count / 8) + i / 4][i % 4];
          meet();
          for (int f = thread + which * 128; f < 16 * count; f += 128 << pair) {  // the halves of a pair take turns
            float const* const from = gate + f / 16 * width + f % 16 * 4;
            detail::nf4_wide_put(p, out, aligned, token0 + count * chunk + f / 16, row + f % 16 * 4, *reinterpret_cast<float4 const*>(from),
                                 *reinterpret_cast<float4 const*>(from + pair * (nf4_wide_memory::out_bytes / 4)));
          }
        }
      } else {                                                                    // the ring is done with: (tokens, rows + 4)
        int const width = ptx::here(64 * groups + 4);
        float* const sums = reinterpret_cast<float*>(smem + ptx::here(detail::nf4_table_bytes));
        ptx::barrier_sync(1, 128 * groups);
        SMALTI_UNROLL for (int i = 0; i < warp.tiles * 4; ++i)
          sums[(i / 4 * 8 + 2 * q + i % 2) * width + 64 * group + 16 * w + g + i % 4 / 2 * 8] = warp.acc[i / 4][i % 4];
        ptx::cluster_sync();
        auto const total = [&](int token, int r) {
          float4 v[8];
          SMALTI_UNROLL for (int i = 0; i < 8; ++i) if (i < split) v[i] = ptx::load_cluster_16(sums + token * width + r, i);
          SMALTI_UNROLL for (int i = 1; i < 8; ++i) if (i < split) v[0] = detail::add(v[0], v[i]);
          return v[0];
        };
        int const count = 16 * groups >> pair, left = min(Config::tokens, p.m - token0);  // of four rows
        for (int f = (4 * group + w) * 32 + ptx::lane(); f < ceil_div(max(left - rank, 0), split) * count; f += 128 * groups) {
          int const token = f / count * split + rank, r = f % count * 4, of = pair ? r / 64 * 128 + r % 64 : r;
          float4 const v = total(token, of);
          detail::nf4_wide_put(p, out, aligned, token0 + token, 64 * (at.row * groups >> pair) + r, v, pair ? total(token, of + 64) : v);
        }
        ptx::cluster_sync();                                                      // nobody leaves while others read its sums
      }
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
  bool const cut = tile.split == 1 || tile.split == 2 || tile.split == 4 || tile.split == 8;
  if (!cut || tile.groups < work.halves || tile.groups % work.halves || tile.groups > Config::groups || ceil_div(p.k, Config::columns) < tile.split)
    return {"gemm.12", "the tile does not fit the kernel's warpgroups, a cluster, or K"};
  int const slots = ceil_div(nf4_panel::panels(p.n), 2) * work.halves;
  detail::nf4_wide_plan<X, Y, Scales> plan{{}, {}, p, {ceil_div(slots, tile.groups), ceil_div(p.m, Config::tokens)}, tile, {Config::tokens, tile.groups, Config::columns, where.device.smem}};
  if (tile.split > 1 && Config::tokens * (64 * tile.groups + 4) * 4 > plan.memory.stages * (plan.memory.x + plan.memory.codes))
    return {"gemm.12", "the sums of a cluster's blocks do not fit shared memory"};
  if (auto s = detail::tensor_map(plan.x, view<X const, 4>{p.x, {1, 1, p.m, p.k}, {0, 0, p.row_x, 1}}, Config::tokens); !s)
    return {s.id[0] == 'c' ? s.id : "gemm.11", s.why};
  for (int half = 0; half < work.halves; ++half)  // of a pair, 64 rows of each half in turn
    if (auto s = detail::nf4_code_map(plan.w[half], p.sum[half].w.code, p.n, p.k, Config::columns, p.pair ? 2 : 2 * tile.groups); !s) return s;
  int const bytes = plan.memory.bytes(tile.groups), tiles = plan.order.rows * plan.order.columns;
  if (auto s = explain(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes)); !s) return (void)cudaGetLastError(), s;
  cudaLaunchAttribute attribute[2] = {};
  unsigned attributes = 0;
  if (tile.split > 1) {
    attribute[attributes].id = cudaLaunchAttributeClusterDimension;
    attribute[attributes++].val.clusterDim = {unsigned(tile.split), 1, 1};
  }
  if (programmatic) {
    attribute[attributes].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute[attributes++].val.programmaticStreamSerializationAllowed = 1;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(unsigned(tile.split), unsigned(tile.split == 1 ? min(tiles, processors) : tiles));
  config.blockDim = dim3(unsigned(128 * (tile.groups + 1)));
  config.dynamicSmemBytes = std::size_t(bytes), config.stream = where.stream, config.attrs = attribute, config.numAttrs = attributes;
  cudaError_t const e = cudaLaunchKernelEx(&config, kernel, plan, out);
  if (e != cudaSuccess) (void)cudaGetLastError();
  return explain(e);
}

}  // namespace smalti
#endif
