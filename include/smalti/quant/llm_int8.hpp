#pragma once
// Activations in 8 bits, one scale per token, less the columns that hold outliers (Dettmers et al. 2022, "LLM.int8()", §3), with the codes
// and the choice of columns of bitsandbytes 0.50.

#include <algorithm>
#include <vector>
#include "int8.hpp"

namespace smalti {

/// How a product is to quantise its activations: chosen by name, as the last argument of gemm. The host needs the threshold alone.
struct llm_int8 {
  float threshold = 6;       ///< a column of x with an |x| ≥ this, NaN or infinity is multiplied in 16 bits; 0: none is
  void* scratch = nullptr;   ///< device memory, aligned to 256 bytes, which all calls of a stream may share
  std::size_t bytes = 0;     ///< of it: llm_int8_bytes or more
};

/// x (m, k) ≈ code · scale / 127 outside of the outlier columns, where codes are 0.
struct int8_tokens {
  int m = 0, k = 0;
  buffer<int8_t> code = {};    ///< (m, k), −127 … 127
  buffer<float> scale = {};    ///< (m): the largest |x| of the row among elements that are no outliers
  std::vector<int> outlier = {};  ///< columns that hold an |x| ≥ threshold, ascending
};

namespace detail {
/// The reference's order of operations decides the ties, as in quantise_int8.
inline int8_t int8_code(float v, float largest) {
  float const steps = 1.f / largest * 127.f;
  return int8_t(std::isfinite(steps) ? std::lrint(v * steps) : std::lrint(double(v) * 127 / largest));
}
}  // namespace detail

/// x (m, k), T float, bf16 or f16, any strides → codes. threshold 0: no column is an outlier. With a threshold, NaN and infinity are outliers,
/// so they meet 16-bit weights as in any product; without one, the scale of their row is NaN.
/// Floats are rounded to f16 first, as the reference does: what passes 65504 is infinite. An element below the threshold counts for its row's scale also where its column is an outlier, as in the reference.
template <class T>
int8_tokens quantise_tokens(on_cpu const& where, view<T, 2> x, float threshold = 6) {
  index const m = x.extent[0], k = x.extent[1];
  int8_tokens q{int(m), int(k), buffer<int8_t>(std::size_t(m * k), int8_t(0)), buffer<float>(std::size_t(m)), {}};
  auto const outlier = [&](float v) { return threshold > 0 && !(std::fabs(v) < threshold); };
  auto const at = [&](index i, index j) {
    if constexpr (std::is_same_v<std::remove_const_t<T>, float>) return float(f16(x(i, j)));
    else return float(x(i, j));
  };
  std::vector<uint8_t> holds(std::size_t(k), uint8_t(0));
  for (index i = 0; i < m; ++i)
    for (index j = 0; j < k; ++j) holds[std::size_t(j)] |= uint8_t(outlier(at(i, j)));
  for (int j = 0; j < int(k); ++j)
    if (holds[std::size_t(j)]) q.outlier.push_back(j);
  parallel_for(where, m, [&](index i) {
    float largest = 0, poison = 0;
    for (index j = 0; j < k; ++j)
      if (float const v = at(i, j); !outlier(v)) largest = std::fmax(largest, std::fabs(v)), poison += v * 0.f;
    q.scale[std::size_t(i)] = largest + poison;
    for (index j = 0; j < k && largest > 0 && poison == 0; ++j)
      if (!holds[std::size_t(j)]) q.code[std::size_t(i * k + j)] = detail::int8_code(at(i, j), largest);
  });
  return q;
}

}  // namespace smalti
