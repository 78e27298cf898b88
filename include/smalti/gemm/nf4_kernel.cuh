#pragma once
// y (M, N) = e(x (M, K) · Ŵᵀ + …) for a few tokens and NF4 weights on a device, where the time is that of reading the weights: the
// kernel and its launch. Clusters and programmatic dependent launch as in the CUDA C++ Programming Guide 13, §4.5 and §4.12.

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

/// x · Wᵀ of this block's run of K, into the accumulators of its warps. begin, end: steps; smem lies behind the tables.
template <nf4_engine E, class X, class Warp, class Problem>
SMALTI_D void nf4_main_loop(Problem const& p, nf4_tile const& tile, Warp& warp, X* smem, int begin, int end, int part, bool active) {
  int const row = nf4_row_x(tile.chunk), warps = blockDim.x / 32;
  int const turns = ceil_div(tile.steps(p.k), tile.parts), chunk_turns = tile.chunk / tile.parts;
  auto const step = [&](int turn) { return begin + part + turn * tile.parts; };
  typename Warp::step_of_w ahead;
  if (active && step(0) < end) ahead = warp.fetch(step(0));                   // weights first: they do not wait for anything
  ptx::launch_dependents();
  warp.table.template fill<X>();
  if constexpr (requires { p.sum[0].w.scales.map; })
    for (int which = 0; which <= int(p.pair); ++which) warp.table.fill_map(p.sum[which].w.scales.map, which);
  ptx::wait_for_previous();                                                   // x may be the previous kernel's output

  auto const buffer = [&](int chunk) { return smem + chunk % 2 * p.m * row; };
  auto const stage = [&](int chunk) {                                         // whole steps; columns beyond K become zeros
    int const first = begin + chunk * tile.chunk, columns = (min(first + tile.chunk, end) - first) * nf4_panel::step;
    for (int token = ptx::warp(); token < p.m; token += warps)
      for (int i = 8 * ptx::lane(); i < columns; i += 8 * 32) {
        int const column = first * nf4_panel::step + i;
        ptx::cp_async_16(buffer(chunk) + token * row + i, p.x + token * p.row_x + (column < p.k ? column : 0), column < p.k);
      }
    ptx::cp_async_commit();
  };
  stage(0);

  int const never = blockDim.z - 1;                                           // 0, which the compiler cannot know
  for (int turn = 0, chunk = 0; turn < turns; ++turn) {
    if (turn == chunk * chunk_turns) {                                        // the same for every warp
      ptx::cp_async_wait<0>();
      ptx::sync_block();                                                      // the chunk is here, and nobody reads the one before
      if (++chunk < tile.chunks(p.k)) stage(chunk);
    }
    if (!active || step(turn) >= end) continue;
    // All loads in flight share a scoreboard: a load issued before this step has arrived would be waited for with it.
    // So the next one is made to depend on the arrival, and travels while this step is multiplied.
    auto const now = ahead;
    int const next = step(turn + 1) + int(now.code[E.own - 1][1][1].w & never);
    if (step(turn + 1) < end) ahead = warp.fetch(next);
    warp.multiply(now, step(turn), buffer(chunk - 1) + (step(turn) - begin - (chunk - 1) * tile.chunk) * nf4_panel::step, row, p.m);
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
  extern __shared__ __align__(1024) unsigned char smem[];
  using warp_type = detail::nf4_warp<E, X, Scales>;
  int const halves = p.pair ? 2 : 1, rank = blockIdx.x, panel0 = blockIdx.y * (tile.panels / halves), panels_all = nf4_panel::panels(p.n);
  int const columns = tile.panels / E.own, part = ptx::warp() / columns, slot0 = ptx::warp() % columns * E.own;
  int const begin = rank * tile.steps(p.k), end = min(begin + tile.steps(p.k), nf4_panel::steps(p.k));
  bool const active = panel0 + slot0 / halves < panels_all;

  warp_type warp;
  warp.table = {smem};
  warp.table.check();
  SMALTI_UNROLL for (int j = 0; j < E.own; ++j) {
    int const which = (slot0 + j) % halves;
    warp.begin(j, p.sum[which], min(panel0 + (slot0 + j) / halves, panels_all - 1), which, (begin + part) * nf4_panel::step);
  }
  detail::nf4_main_loop<E>(p, tile, warp, reinterpret_cast<X*>(smem + detail::nf4_table_bytes), begin, end, part, active);
  SMALTI_UNROLL for (int j = 0; j < E.own; ++j) {
    warp.scale(j);                                                            // every part of it
    if (active && rank == 0 && part == 0) warp.add_terms(j, p.n, p.m);
  }

  int const rows = tile.panels * nf4_panel::rows, row_sum = detail::nf4_row_sum(tile.panels), warps = blockDim.x / 32;
  int const n0 = panel0 * nf4_panel::rows, rows_out = rows / halves;
  float* const sums = reinterpret_cast<float*>(smem);                         // (parts, tokens, rows + 4)
  ptx::sync_block();                                                          // tables and x are done with
  SMALTI_UNROLL for (int j = 0; j < E.own; ++j) warp.store(j, sums + part * 8 * E.tiles * row_sum + (slot0 + j) * nf4_panel::rows, row_sum);
  ptx::sync_block();

  auto const each = [&](int width, int first, int stride, auto f) {           // a warp a token, a lane four rows
    for (int token = first; token < p.m; token += stride)
      for (int n = 4 * ptx::lane(); n < width; n += 4 * 32) f(token, n);
  };
  auto const of_parts = [&](int token, int n) {
    float4 v = {};
    for (int q = 0; q < tile.parts; ++q) v = detail::add(v, *reinterpret_cast<float4 const*>(sums + (q * 8 * E.tiles + token) * row_sum + n));
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
      int const slot_row = p.pair ? n / nf4_panel::rows * 2 * nf4_panel::rows + n % nf4_panel::rows : n;
      float4 const v = total(token, slot_row);
      float o[4] = {v.x, v.y, v.z, v.w};
      if (p.pair) {
        float4 const up = total(token, slot_row + nf4_panel::rows);
        float const u[4] = {up.x, up.y, up.z, up.w};
        SMALTI_UNROLL for (int i = 0; i < 4; ++i) o[i] = silu{}(o[i], 0, 0) * u[i];
      }
      int const left = p.n - (n0 + n);
      SMALTI_UNROLL for (int i = 0; i < 4; ++i)
        if (i < left) o[i] = out(o[i], token, n0 + n + i);
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

/// Launches with the tile given. Programmatic: may begin before the kernel ahead of it in the stream has ended, and reads W,
/// its scales and their map at once: that kernel may write x, a term's t, the residual and the bias, but not those.
/// Errors: gemm.12 (tile), cuda; nothing is written then.
template <class Config, class X, class Y, class Scales, epilogue Out>
status nf4_launch(on_cuda const& where, nf4_problem<X, Y, Scales> const& p, nf4_tile tile, bool programmatic, Out const& out) {
  constexpr nf4_engine E = Config::engine;
  auto* const kernel = nf4_kernel<Config, X, Y, Scales, Out>;
  int const halves = p.pair ? 2 : 1;
  if (tile.panels % halves || !fits(E, tile, p.m, p.k, where.device)) return {"gemm.12", "the tile does not fit the block's threads or shared memory"};
  int const bytes = smem_bytes(E, tile, p.m, p.k);
  if (auto s = explain(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes)); !s) return (void)cudaGetLastError(), s;
  cudaLaunchAttribute attribute[2] = {};
  unsigned attributes = 0;
  if (tile.split > 1) {
    attribute[attributes].id = cudaLaunchAttributeClusterDimension;
    attribute[attributes++].val.clusterDim = {unsigned(tile.split), 1, 1};
  }
  if (programmatic && where.device >= sm_90a) {
    attribute[attributes].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute[attributes++].val.programmaticStreamSerializationAllowed = 1;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(unsigned(tile.split), unsigned(ceil_div(nf4_panel::panels(p.n) * halves, tile.panels)));
  config.blockDim = dim3(unsigned(32 * (tile.panels / E.own) * tile.parts));
  config.dynamicSmemBytes = std::size_t(bytes), config.stream = where.stream, config.attrs = attribute, config.numAttrs = attributes;
  cudaError_t const e = cudaLaunchKernelEx(&config, kernel, p, tile, out);
  if (e != cudaSuccess) (void)cudaGetLastError();
  return explain(e);
}
#endif

}  // namespace smalti
