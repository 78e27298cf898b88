#pragma once
// first cut
#include <span>
#include <vector>
#include "scratch.hpp"
#include "terms.hpp"

namespace smalti::detail {

/// Finished sums of a rectangle of y: at[s][i * stride + j] belongs to row + i, column + j.
template <int Sums>
struct tile {
  index row, column, rows, columns, stride;
  float const* at[Sums];
};

inline float element(activations const& x, index i, index j) {
  index const at = i * x.row_stride + j * x.column_stride;
  return x.type == dtype::f32 ? static_cast<float const*>(x.at)[at]
         : x.type == dtype::bf16 ? float(static_cast<bf16 const*>(x.at)[at]) : float(static_cast<f16 const*>(x.at)[at]);
}

template <int Sums, class Emit>
void run_tiles(on_cpu const& where, std::span<term const> const (&sums)[Sums], index m, index n, Emit&& emit) {
  parallel_for(where, n, [&](index j) {
    std::vector<float> acc(std::size_t(Sums * m), 0.f), row;
    tile<Sums> t{0, j, m, 1, 1, {}};
    for (int s = 0; s < Sums; ++s) {
      t.at[s] = acc.data() + s * m;
      for (term const& one : sums[s]) {
        row.resize(std::size_t(one.w.k));
        decode_row(one.w, int(j), row.data());
        for (index i = 0; i < m; ++i) {
          float sum = 0;
          for (index k = 0; k < one.w.k; ++k) sum += element(one.x, i, k) * row[std::size_t(k)];
          acc[std::size_t(s * m + i)] += one.scale * sum;
        }
      }
    }
    emit(t);
  });
}

}  // namespace smalti::detail
