#pragma once
// How a product is cut up: rows of x in slabs, rows of W in panels that threads take one by one. A thread finishes its
// rectangle of y before it takes the next, so that no two threads write one place and the result does not depend on their count.

#include <algorithm>
#include <span>
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

/// to (count, at distance `step`) = scale · x(row, first …) as fp32.
inline void widen_row(on_cpu const& where, float* to, index step, activations const& x, index row, index first, index count, float scale) {
  arch const a = where.device;
  auto const all = [&](auto const* at, auto* kernel) {
    at += row * x.row_stride + first * x.column_stride;
    if (x.column_stride == 1) return kernel(to, step, at, count, scale);
    for (index j = 0; j < count; ++j) to[j * step] = float(at[j * x.column_stride]) * scale;
  };
  if (x.type == dtype::f32) all(static_cast<float const*>(x.at), pick(a, &simd_generic::widen_f32, &simd_avx2::widen_f32, &simd_avx512::widen_f32));
  else if (x.type == dtype::bf16) all(static_cast<bf16 const*>(x.at), pick(a, &simd_generic::widen_bf16, &simd_avx2::widen_bf16, &simd_avx512::widen_bf16));
  else all(static_cast<f16 const*>(x.at), pick(a, &simd_generic::widen_f16, &simd_avx2::widen_f16, &simd_avx512::widen_f16));
}

/// One term, its slab of x as the kernels want it.
struct prepared_term {
  term const* of;
  bool few;        ///< few_rows: x (rows, k), as it is when it can be · else x as panel_task has it, times the term's scale
  float const* x;
  index row_x;
};

// Two terms that prepare the same thing from x.
inline bool same_input(term const& a, term const& b) {
  return a.x.at == b.x.at && a.x.type == b.x.type && a.x.columns == b.x.columns && a.x.row_stride == b.x.row_stride &&
         a.x.column_stride == b.x.column_stride && a.scale == b.scale;
}

/// x of a slab in the kernels' order, in the calling thread's scratch. A few rows of contiguous fp32 are used where they are.
inline prepared_term prepare(on_cpu const& where, term const& t, index first, index rows) {
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
    for (index i = 0; i < rows; ++i) widen_row(where, x + i * k, 1, t.x, first + i, 0, k, 1.f);
    return p;
  }
  index const depths = ceil_div(k, index(panel_depth));
  parallel_for(where, depths * tiles, [&](index task) {
    index const column = task / tiles * panel_depth, tile = task % tiles, depth = min(index(panel_depth), k - column);
    for (index i = 0; i < tile_rows; ++i) {
      float* const to = x + (column * tiles + tile * depth) * tile_rows + i;
      index const row = tile * tile_rows + i;
      if (row < rows) widen_row(where, to, tile_rows, t.x, first + row, column, depth, t.scale);
      else for (index j = 0; j < depth; ++j) to[j * tile_rows] = 0.f;  // the last tile: its sums are computed and dropped
    }
  });
  return p;
}

/// Computes the sums of y (m, n) rectangle by rectangle and hands each to `emit`, which any thread may call.
template <int Sums, class Emit>
void run_tiles(on_cpu const& where, std::span<term const> const (&sums)[Sums], index m, index n, Emit&& emit) {
  index const groups = ceil_div(n, index(group_rows)), width = panel_groups * group_rows;
  auto* const few = pick(where.device, &simd_generic::few_rows, &simd_avx2::few_rows, &simd_avx512::few_rows);
  auto* const many = pick(where.device, &simd_generic::panel_product, &simd_avx2::panel_product, &simd_avx512::panel_product);
  for (index first = 0; first < m; first += slab_rows) {
    scratch::mark const slab(thread_scratch());
    index const rows = min(slab_rows, m - first), padded_rows = round_up(rows, index(tile_rows));
    std::span<prepared_term> ready[Sums];
    for (int s = 0; s < Sums; ++s) {
      ready[s] = {thread_scratch().take<prepared_term>(sums[s].size()), sums[s].size()};
      for (std::size_t i = 0; i < sums[s].size(); ++i) {
        bool const again = s > 0 && i < ready[0].size() && same_input(sums[0][i], sums[s][i]);  // the two halves of SwiGLU
        ready[s][i] = again ? ready[0][i] : prepare(where, sums[s][i], first, rows);
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
              few({p.of->w, group + g, p.x, p.row_x, int(rows), p.of->scale, acc + g * group_rows, width});
          else many({p.of->w, group, count, p.x, rows, acc, width, panel});
        }
        t.at[s] = acc;
      }
      emit(t);
    });
  }
}

}  // namespace smalti::detail
