#pragma once
// How a product is cut up: rows of x in slabs, rows of W in panels that threads take one by one. A thread finishes its
// rectangle of y before it takes the next, so that no two threads write one place and the result does not depend on their count.

#include <algorithm>
#include <memory>
#include <span>
#include "../core/where.hpp"
#include "kernels.hpp"
#include "scratch.hpp"
#include "terms.hpp"

namespace smalti::detail {

inline constexpr index slab_rows = 192;   // rows of x at a time: decoding W costs 2 % of their products
inline constexpr index panel_groups = 4;  // groups of W in one task

/// Finished sums of a rectangle of y: at[s][i · stride + j] belongs to row + i, column + j.
template <int Sums>
struct tile {
  index row, column, rows, columns, stride;
  float const* at[Sums];
};

/// Who takes the finished rectangles: any callable that outlives the call; any thread may call it.
template <int Sums>
struct tile_sink {
  void const* callable;
  void (*call)(void const* callable, tile<Sums> const&);

  template <class F>
  tile_sink(F const& f) : callable(std::addressof(f)), call([](void const* c, tile<Sums> const& t) { (*static_cast<F const*>(c))(t); }) {}
  void operator()(tile<Sums> const& t) const { call(callable, t); }
};

/// Computes the sums of y (m, n) rectangle by rectangle and hands each to `emit`. Sums: 1, or 2 for the halves of SwiGLU.
template <int Sums>
void run_tiles(on_cpu const& where, std::span<term const> const (&sums)[Sums], index m, index n, tile_sink<Sums> emit);

}  // namespace smalti::detail

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_GEMM)
namespace smalti::detail {

/// to (count, at distance `step`) = scale · x(row, first …) as fp32.
SMALTI_INLINE void widen_row(gemm_kernels const& kernels, float* to, index step, activations const& x, index row, index first, index count, float scale) {
  auto const all = [&](auto const* at, auto* kernel) {
    at += row * x.row_stride + first * x.column_stride;
    if (x.column_stride == 1) return kernel(to, step, at, count, scale);
    for (index j = 0; j < count; ++j) to[j * step] = float(at[j * x.column_stride]) * scale;
  };
  if (x.type == dtype::f32) all(static_cast<float const*>(x.at), kernels.widen_f32);
  else if (x.type == dtype::bf16) all(static_cast<bf16 const*>(x.at), kernels.widen_bf16);
  else all(static_cast<f16 const*>(x.at), kernels.widen_f16);
}

/// One term, its slab of x as the kernels want it.
struct prepared_term {
  term const* of;
  bool few;        ///< few_rows: x (rows, k), as it is when it can be · else x as panel_task has it, times the term's scale
  float const* x;
  index row_x;
};

// Two terms that prepare the same thing from x.
SMALTI_INLINE bool same_input(term const& a, term const& b) {
  return a.x.at == b.x.at && a.x.type == b.x.type && a.x.columns == b.x.columns && a.x.row_stride == b.x.row_stride &&
         a.x.column_stride == b.x.column_stride && a.scale == b.scale;
}

/// x of a slab in the kernels' order, in the calling thread's scratch. A few rows of contiguous fp32 are used where they are.
SMALTI_INLINE prepared_term prepare(on_cpu const& where, gemm_kernels const& kernels, term const& t, index first, index rows) {
  bool const plain = t.w.form >= weight_form::rows_f32;
  prepared_term p{&t, rows <= few_rows_limit && (!plain || t.w.column_stride == 1), nullptr, t.x.columns};
  if (p.few && t.x.type == dtype::f32 && t.x.column_stride == 1) {
    p.x = static_cast<float const*>(t.x.at) + first * t.x.row_stride, p.row_x = t.x.row_stride;
    return p;
  }
  index const k = t.x.columns, tiles = ceil_div(rows, index(tile_rows));
  float* const x = thread_scratch().take<float>(std::size_t(p.few ? rows * k : tiles * tile_rows * k));
  p.x = x;
  if (p.few) {
    for (index i = 0; i < rows; ++i) widen_row(kernels, x + i * k, 1, t.x, first + i, 0, k, 1.f);
    return p;
  }
  index const depths = ceil_div(k, index(panel_depth));
  parallel_for(where, depths * tiles, [&](index task) {
    index const column = task / tiles * panel_depth, tile = task % tiles, depth = min(index(panel_depth), k - column);
    for (index i = 0; i < tile_rows; ++i) {
      float* const to = x + (column * tiles + tile * depth) * tile_rows + i;
      index const row = tile * tile_rows + i;
      if (row < rows) widen_row(kernels, to, tile_rows, t.x, first + row, column, depth, t.scale);
      else for (index j = 0; j < depth; ++j) to[j * tile_rows] = 0.f;  // the last tile: its sums are computed and dropped
    }
  });
  return p;
}

template <int Sums>
void run_tiles(on_cpu const& where, std::span<term const> const (&sums)[Sums], index m, index n, tile_sink<Sums> emit) {
  index const groups = ceil_div(n, index(group_rows)), width = panel_groups * group_rows;
  gemm_kernels const& kernels = gemm_kernels_for(where.device);
  for (index first = 0; first < m; first += slab_rows) {
    scratch::mark const slab(thread_scratch());
    index const rows = min(slab_rows, m - first), padded_rows = round_up(rows, index(tile_rows));
    std::span<prepared_term> ready[Sums];
    for (int s = 0; s < Sums; ++s) {
      ready[s] = {thread_scratch().take<prepared_term>(sums[s].size()), sums[s].size()};
      for (std::size_t i = 0; i < sums[s].size(); ++i) {
        bool const again = s > 0 && i < ready[0].size() && same_input(sums[0][i], sums[s][i]);  // the two halves of SwiGLU
        ready[s][i] = again ? ready[0][i] : prepare(where, kernels, sums[s][i], first, rows);
        ready[s][i].of = &sums[s][i];
      }
    }
    parallel_for(where, ceil_div(groups, panel_groups), [&](index task) {
      scratch::mark const here(thread_scratch());
      index const group = task * panel_groups;  // 64 rows of W: enough work for a task, and their sums fit the nearest cache
      int const count = int(min(panel_groups, groups - group));
      float* const panel = thread_scratch().take<float>(std::size_t(panel_groups * panel_depth * group_rows));
      tile<Sums> t{first, group * group_rows, rows, min(width, n - group * group_rows), width, {}};
      for (int s = 0; s < Sums; ++s) {
        float* const acc = thread_scratch().take<float>(std::size_t(padded_rows * width));                        // (rows, 64)
        std::fill(acc, acc + padded_rows * width, 0.f);
        for (prepared_term const& p : ready[s]) {
          if (p.few)
            for (int g = 0; g < count; ++g)
              kernels.few_rows({p.of->w, group + g, p.x, p.row_x, int(rows), p.of->scale, acc + g * group_rows, width});
          else kernels.panel_product({p.of->w, group, count, p.x, rows, acc, width, panel});
        }
        t.at[s] = acc;
      }
      emit(t);
    });
  }
}

}  // namespace smalti::detail
#endif
