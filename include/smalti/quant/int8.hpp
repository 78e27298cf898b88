#pragma once
// Weights in 8 bits, one scale per row (Dettmers et al. 2022, "LLM.int8()", §2.2), laid out as bitsandbytes stores them.

#include <cmath>
#include <string>
#include "../core/buffer.hpp"
#include "../core/dtype.hpp"
#include "../core/error.hpp"
#include "../core/view.hpp"
#include "../core/where.hpp"

namespace smalti {

/// W (n, k): Ŵ[i, j] = code[i, j] · scale[i] / 127.
struct int8_data {
  int n = 0, k = 0;
  buffer<int8_t> code = {};  ///< (n, k), −127 … 127
  buffer<float> scale = {};  ///< (n), "SCB": the absmax of the row
};

/// What a scale is multiplied by: the reference multiplies by the reciprocal too.
inline constexpr float int8_step = 1.f / 127.f;

/// W (n, k), T float, bf16 or f16 → int8: code = round(w · 127 / absmax of the row), ties to even. A row of zeros stays zero.
/// Throws quant.1 (NaN or infinity), quant.3 (empty).
template <class T>
int8_data quantise_int8(on_cpu const& where, view<T, 2> w) {
  index const n = w.extent[0], k = w.extent[1];
  if (n < 1 || k < 1 || n > INT32_MAX || k > INT32_MAX)
    throw error("quant.3", "INT8 weight is (" + std::to_string(n) + ", " + std::to_string(k) + "), expected at least one row and column");
  int8_data q{int(n), int(k), buffer<int8_t>(std::size_t(n * k), int8_t(0)), buffer<float>(std::size_t(n))};
  parallel_for(where, n, [&](index row) {
    float largest = 0, poison = 0;
    for (index j = 0; j < k; ++j) {
      float const v = float(w(row, j));
      largest = std::fmax(largest, std::fabs(v)), poison += v * 0.f;
    }
    if (poison != 0) throw error("quant.1", "row " + std::to_string(row) + " holds NaN or infinity");
    // The reference's order of operations decides the ties. In double where its reciprocal would overflow.
    float const steps = 1.f / largest * 127.f;
    for (index j = 0; j < k && largest > 0; ++j) {
      float const v = float(w(row, j));
      q.code[std::size_t(row * k + j)] = int8_t(std::isfinite(steps) ? std::lrint(v * steps) : std::lrint(double(v) * 127 / largest));
    }
    q.scale[std::size_t(row)] = largest;
  });
  return q;
}

/// Ŵ (n, k) → out, T float, bf16 or f16, rounded once. Throws quant.4 when `out` has another shape.
template <class T>
void dequantise(on_cpu const& where, int8_data const& w, view<T, 2> out) {
  if (out.extent[0] != w.n || out.extent[1] != w.k)
    throw error("quant.4", "output is (" + std::to_string(out.extent[0]) + ", " + std::to_string(out.extent[1]) + "), expected (" +
                               std::to_string(w.n) + ", " + std::to_string(w.k) + ")");
  parallel_for(where, w.n, [&](index row) {
    float const step = w.scale[std::size_t(row)] * int8_step;
    for (index j = 0; j < w.k; ++j) out(row, j) = T(float(w.code[std::size_t(row * w.k + j)]) * step);
  });
}

}  // namespace smalti
