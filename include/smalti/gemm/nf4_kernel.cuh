#pragma once
// y (M, N) = e(x (M, K) · Ŵᵀ + …) for a few tokens and NF4 weights on a device, where the time is that of reading the weights: the
// kernel and its launch. Clusters and programmatic dependent launch as in the CUDA C++ Programming Guide 13, §4.5 and §4.12.

#include <type_traits>
#include "../cuda/ptx_cluster.cuh"
#include "../cuda/where.cuh"
#include "epilogue.hpp"
#include "nf4_sm80.cuh"

namespace smalti {
namespace detail {

SMALTI_D float4 add(float4 a, float4 b) { return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w}; }

/// Four neighbours of a row of y; `left` of them exist.
template <class Y>
SMALTI_D void store_four(Y* to, float const (&v)[4], bool aligned, int left) {
  if constexpr (sizeof(Y) == 2) {
    if (aligned && left >= 4) {
      *reinterpret_cast<uint2*>(to) = {ptx::pack<Y>(v[0], v[1]), ptx::pack<Y>(v[2], v[3])};
      return;
    }
  }
  SMALTI_UNROLL for (int i = 0; i < 4; ++i)
    if (i < left) to[i] = Y(v[i]);
}

/// Until x, which may be the output of the kernel ahead, or of the one ahead of that, is there.
template <class Problem>
SMALTI_D void nf4_await_x(Problem const& p) {
  if (p.ready) ptx::await_flag(p.ready);
  else ptx::wait_for_previous();
}

/// Columns `first` … `first + columns` − 1 of x, whole steps, on their way into to (M, row); those beyond K become zeros.
template <class X, class Problem>
SMALTI_D void nf4_stage(Problem const& p, X* to, int row, int first, int columns) {
  int const warps = blockDim.x / 32;
  SMALTI_ROLLED for (int token = ptx::warp(); token < p.m; token += warps)
    SMALTI_ROLLED for (int i = 8 * ptx::lane(); i < columns; i += 8 * 32)
      ptx::cp_async_16(to + token * row + i, p.x + token * p.row_x + (first + i < p.k ? first + i : 0), first + i < p.k);
  ptx::cp_async_commit();
}

/// `turns` steps of a warp's path into its accumulators. from: the first of them in x; ahead: that step's weights, on their way.
template <class X, class Warp, class Scales>
SMALTI_D void nf4_multiply_steps(Warp& warp, nf4_path<Scales>& path, nf4_step<Scales>& ahead, X const* from, int row, int m, int turns, int stride) {
  int const never = blockDim.z - 1;                                           // 0, which the compiler cannot know
  for (; turns > 0; --turns) {
    // All loads in flight share a scoreboard: one issued before this step has arrived would be waited for with it. So the
    // next one is made to depend on the arrival, and travels while this step is multiplied.
    nf4_step<Scales> const now = ahead;
    path.move(stride, int(now.codes[1][1].w & never));
    if (path.left > 0) ahead = path.fetch();
    warp.multiply(now, path.column, from, row, m);
    path.column += stride * nf4_panel::step, from += stride * nf4_panel::step;
  }
}

/// x · Wᵀ of this block's run of K, its steps begin … end − 1, into the accumulators of its warps, which take turns along K. x: where it
/// goes in shared memory; ahead: the first step of the path.
template <class X, class Warp, class Problem, class Scales>
SMALTI_D void nf4_main_loop(Problem const& p, nf4_tile const& tile, Warp& warp, X* x, int begin, int end, int part, nf4_path<Scales> path, nf4_step<Scales> ahead) {
  int const row = nf4_row_x(tile.chunk), chunks = tile.chunks(p.k), parts = tile.parts;
  auto const stage = [&](int chunk) {
    int const first = begin + chunk * tile.chunk;
    nf4_stage(p, x + chunk % 2 * p.m * row, row, first * nf4_panel::step, (min(first + tile.chunk, end) - first) * nf4_panel::step);
  };
  stage(0);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    ptx::cp_async_wait<0>();
    ptx::sync_block();                                                        // the chunk is here, and nobody reads the one before
    if (chunk + 1 < chunks) stage(chunk + 1);
    nf4_multiply_steps(warp, path, ahead, x + chunk % 2 * p.m * row + part * nf4_panel::step, row, p.m, min(tile.chunk / parts, path.left), parts);
  }
}

}  // namespace detail

#if defined(__CUDACC__)
/// Grid: (split, groups of panels), clusters of (split, 1). A block's slots are its panels in order; of a pair, gate and up in turn.
template <class Config, class X, class Y, class Scales, epilogue Out>
__global__ void __launch_bounds__(Config::engine.threads, Config::engine.blocks)
nf4_kernel(__grid_constant__ nf4_problem<X, Y, Scales> const p, __grid_constant__ nf4_tile const tile, __grid_constant__ Out const out) {
#if defined(__CUDA_ARCH__)
  constexpr nf4_engine E = Config::engine;
  extern __shared__ __align__(1024) unsigned char shared[];
  unsigned char* const smem = shared + (detail::nf4_table::reserved - ptx::smem_address(shared) & 0xffff);  // nothing on Hopper, 1024 bytes before it
  using warp_type = detail::nf4_warp<E, X, Scales>;
  int const pair = p.pair, rank = blockIdx.x, panel0 = blockIdx.y * (tile.panels >> pair), panels_all = nf4_panel::panels(p.n);
  int const part = ptx::warp() / tile.panels, own = ptx::warp() % tile.panels, which = own & pair, panel = min(panel0 + (own >> pair), panels_all - 1);
  auto const& sum = p.sum[which];

  detail::nf4_table const table{smem};
  table.check();
  int const begin = rank * tile.steps(p.k), end = min(begin + tile.steps(p.k), nf4_panel::steps(p.k)), first = begin + part;
  bool const active = panel0 + (own >> pair) < panels_all;
  int const steps = active ? max(ceil_div(end - first, tile.parts), 0) : 0;
  detail::nf4_path<Scales> path(sum.w, panel, first, steps);
  detail::nf4_step<Scales> ahead;
  if (path.left > 0) ahead = path.fetch();                                    // weights first: they do not wait for anything
  ptx::launch_dependents();
  warp_type warp;
  warp.panel = panel, warp.pairs = table.own_pairs();
  if (active && rank == 0 && part == 0) detail::nf4_prefetch_terms(sum, panel, p.n);
  int const rows = tile.panels * nf4_panel::rows;
  X* const x = reinterpret_cast<X*>(smem + detail::nf4_table_bytes);
  warp.scales.begin(sum.w, table, panel, which, first * nf4_panel::step);
  table.fill<X>();
  if constexpr (requires { sum.w.scales.map; })
    for (int half = 0; half <= pair; ++half) table.fill_map(p.sum[half].w.scales.map, half);
  detail::nf4_await_x(p);
  detail::nf4_main_loop(p, tile, warp, x, begin, end, part, path, ahead);
  warp.scale(sum.scale);                                                      // every part of it
  if (p.ready) ptx::wait_for_previous();                                      // terms, and what others may read when this kernel has ended
  if (active && rank == 0 && part == 0) detail::nf4_add_terms(warp.acc, sum, panel, p.n, p.m);

  int const row_sum = detail::nf4_row_sum(tile.panels), warps = blockDim.x / 32;
  int const n0 = panel0 * nf4_panel::rows, rows_out = rows >> pair;
  float* const sums = reinterpret_cast<float*>(smem);                         // (parts, tokens, rows + 4)
  ptx::sync_block();                                                          // tables and x are done with
  warp.store(sums + part * 8 * E.tiles * row_sum + own * nf4_panel::rows, row_sum);
  ptx::sync_block();

  auto const each = [&](int width, int first, int stride, auto f) {           // a warp a token, a lane four rows
    SMALTI_ROLLED for (int token = first; token < p.m; token += stride)
      SMALTI_ROLLED for (int n = 4 * ptx::lane(); n < width; n += 4 * 32) f(token, n);
  };
  auto const of_parts = [&](int token, int n) {
    float4 v = {};
    _Pragma("unroll 2") for (int q = 0; q < tile.parts; ++q) v = detail::add(v, *reinterpret_cast<float4 const*>(sums + (q * 8 * E.tiles + token) * row_sum + n));
    return v;
  };
  auto const of_cluster = [&](int token, int n) {
    float4 v[8];
    SMALTI_UNROLL for (int i = 0; i < 8; ++i) if (i < tile.split) v[i] = ptx::load_cluster_16(sums + token * row_sum + n, i);
    SMALTI_UNROLL for (int i = 1; i < 8; ++i) if (i < tile.split) v[0] = detail::add(v[0], v[i]);
    return v[0];
  };
  bool const aligned = p.row_y % 4 == 0 && reinterpret_cast<uint64_t>(p.y) % 8 == 0;
  auto const put = [&](auto total) {
    return [&, total](int token, int n) {
      int const slot_row = pair ? n / nf4_panel::rows * 2 * nf4_panel::rows + n % nf4_panel::rows : n;
      float4 const v = total(token, slot_row);
      float o[4] = {v.x, v.y, v.z, v.w};
      if (pair) {
        float4 const up = total(token, slot_row + nf4_panel::rows);
        float const u[4] = {up.x, up.y, up.z, up.w};
        SMALTI_UNROLL for (int i = 0; i < 4; ++i) o[i] = silu{}(o[i], 0, 0) * u[i];
      }
      int const left = p.n - (n0 + n);
      SMALTI_UNROLL for (int i = 0; i < 4; ++i)
        if (i < left) o[i] = out(o[i], p.row0 + token, n0 + n + i);
      detail::store_four(p.y + token * p.row_y + n0 + n, o, aligned, left);
    };
  };
  if (tile.split == 1) return each(rows_out, ptx::warp(), warps, put(of_parts));

  each(rows, ptx::warp(), warps, [&](int token, int n) { *reinterpret_cast<float4*>(sums + token * row_sum + n) = of_parts(token, n); });
  ptx::cluster_sync();
  each(rows_out, rank + tile.split * ptx::warp(), tile.split * warps, put(of_cluster));
  ptx::cluster_sync();                                                        // nobody leaves while others read its sums
#endif
}

template <class X, class Y, class Scales>
nf4_work nf4_work_of(nf4_problem<X, Y, Scales> const& p) {
  int const halves = p.pair ? 2 : 1;
  return {p.m, nf4_panel::panels(p.n) * halves, p.k, halves, p.norm.weight != nullptr};
}

namespace detail {
/// Launches a grid whose x is a cluster.
template <class... A>
status nf4_start(on_cuda const& where, void (*kernel)(A...), dim3 grid, int threads, int bytes, bool programmatic, std::type_identity_t<A>... arguments) {
  if (auto s = explain(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes)); !s) return (void)cudaGetLastError(), s;
  cudaLaunchAttribute attribute[2] = {};
  unsigned attributes = 0;
  if (grid.x > 1) {
    attribute[attributes].id = cudaLaunchAttributeClusterDimension;
    attribute[attributes++].val.clusterDim = {grid.x, 1, 1};
  }
  if (programmatic && where.device >= sm_90a) {
    attribute[attributes].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute[attributes++].val.programmaticStreamSerializationAllowed = 1;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid, config.blockDim = dim3(unsigned(threads));
  config.dynamicSmemBytes = std::size_t(bytes), config.stream = where.stream, config.attrs = attribute, config.numAttrs = attributes;
  cudaError_t const e = cudaLaunchKernelEx(&config, kernel, arguments...);
  if (e != cudaSuccess) (void)cudaGetLastError();
  return explain(e);
}
}  // namespace detail

/// Launches with the tile given. Programmatic: may begin before the kernel ahead of it in the stream has ended, and reads W,
/// its scales and their map at once: that kernel may write x, a term's t, the residual and the bias, but not those.
/// Errors: gemm.12 (tile), cuda; nothing is written then.
template <class Config, class X, class Y, class Scales, epilogue Out>
status nf4_launch(on_cuda const& where, nf4_problem<X, Y, Scales> const& p, nf4_tile tile, bool programmatic, Out const& out) {
  constexpr nf4_engine E = Config::engine;
  auto* const kernel = nf4_kernel<Config, X, Y, Scales, Out>;
  nf4_work const work = nf4_work_of(p);
  if (!fits(E, tile, work, where.device)) return {"gemm.12", "the tile does not fit the block's threads or shared memory"};
  int const bytes = smem_bytes(E, tile, work);
  dim3 const grid(unsigned(tile.split), unsigned(ceil_div(work.panels, tile.panels)));
  return detail::nf4_start(where, kernel, grid, 32 * tile.warps(), bytes, programmatic, p, tile, out);
}
#endif

}  // namespace smalti
