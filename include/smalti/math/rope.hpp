#pragma once
// Rotary position embedding in the rotate-half order of Hugging Face checkpoints, with the context extensions in use.
// RoFormer (Su et al. 2021), §3.4; YaRN (Peng et al. 2023), §3; Llama 3 (Grattafiori et al. 2024), §3.4.3.

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <vector>
#include "../core/buffer.hpp"
#include "../core/status.hpp"
#include "../core/view.hpp"
#include "../core/where.hpp"

namespace smalti {

/// How frequencies change for contexts longer than those trained on. Fields as in a checkpoint's `rope_scaling`.
struct rope_scaling {
  enum class kind { none, linear, dynamic, llama3, yarn } type = kind::none;
  float factor = 1;                   ///< ≥ 1: context extension
  int original_positions = 0;         ///< context trained on (llama3, yarn: original_max_position_embeddings; dynamic: max_position_embeddings)
  float low_freq_factor = 1, high_freq_factor = 4;  ///< llama3
  float beta_fast = 32, beta_slow = 1;              ///< yarn: rotations within the trained context
  float attention_factor = 0;         ///< yarn: multiplies cos and sin; 0: from factor (and both mscales, where given)
  float mscale = 0, mscale_all_dim = 0;
  bool truncate = true;               ///< yarn: whole dimensions as bounds of the ramp
};

/// cos and sin of position × frequency. Rows: position; columns: frequency i < dim / 2.
struct rope_table {
  buffer<float> cos, sin;  ///< (positions, dim / 2)
  int dim = 0;             ///< columns that rotate; even; less than the head dimension for partial rotary
  int positions = 0;
};

namespace detail {

/// Wavelengths longer than the trained context are interpolated, short ones kept, those between blended (models.md).
inline double llama3_frequency(double f, rope_scaling const& s) {
  double const wavelength = 2 * std::numbers::pi / f, length = s.original_positions;
  if (wavelength < length / s.high_freq_factor) return f;
  if (wavelength > length / s.low_freq_factor) return f / s.factor;
  double const t = (length / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
  return (1 - t) * f / s.factor + t * f;
}

/// YaRN §3.2, "NTK-by-parts": a ramp over the dimensions between two numbers of rotations.
inline double yarn_frequency(double f, int i, int dim, double theta, rope_scaling const& s) {
  auto const dimension_of = [&](double rotations) {
    return dim * std::log(s.original_positions / (rotations * 2 * std::numbers::pi)) / (2 * std::log(theta));
  };
  double low = dimension_of(s.beta_fast), high = dimension_of(s.beta_slow);
  if (s.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.), high = std::min(high, dim - 1.);
  if (low == high) high += 0.001;
  double const ramp = std::clamp((i - low) / (high - low), 0., 1.);
  return f / s.factor * ramp + f * (1 - ramp);
}

inline double yarn_magnitude(double factor, double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1; }

}  // namespace detail

/// Radians per position of each of the dim / 2 pairs: θ^(−2i/dim), changed by the scaling. `length` is the longest context
/// that will be used (only dynamic scaling asks).
inline std::vector<float> rope_frequencies(int dim, double theta, rope_scaling const& s = {}, int length = 0) {
  using enum rope_scaling::kind;
  if (s.type == dynamic && length > s.original_positions && dim > 2)  // NTK-aware: a larger θ instead of slower positions
    theta *= std::pow(s.factor * double(length) / s.original_positions - (s.factor - 1.), dim / (dim - 2.));
  std::vector<float> frequency(std::size_t(dim / 2));
  for (int i = 0; i < dim / 2; ++i) {
    double f = std::pow(theta, -2. * i / dim);
    if (s.type == linear) f /= s.factor;
    if (s.type == llama3) f = detail::llama3_frequency(f, s);
    if (s.type == yarn) f = detail::yarn_frequency(f, i, dim, theta, s);
    frequency[std::size_t(i)] = float(f);
  }
  return frequency;
}

/// What cos and sin are multiplied by: 1, except under YaRN (§3.4).
inline float rope_magnitude(rope_scaling const& s) {
  if (s.type != rope_scaling::kind::yarn) return 1;
  if (s.attention_factor > 0) return s.attention_factor;
  if (s.mscale != 0 && s.mscale_all_dim != 0)
    return float(detail::yarn_magnitude(s.factor, s.mscale) / detail::yarn_magnitude(s.factor, s.mscale_all_dim));
  return float(detail::yarn_magnitude(s.factor, 1));
}

/// The table for positions 0 … positions − 1. Allocates 4·dim·positions bytes. The angle is rounded to f32 as the reference
/// implementations do, so that long contexts agree with them.
inline rope_table make_rope_table(int dim, int positions, double theta, rope_scaling const& s = {}) {
  auto const frequency = rope_frequencies(dim, theta, s, positions);
  float const magnitude = rope_magnitude(s);
  std::size_t const half = frequency.size(), n = half * std::size_t(positions);
  rope_table t{buffer<float>(n), buffer<float>(n), dim, positions};
  for (std::size_t i = 0; i < n; ++i) {
    double const angle = float(i / half) * frequency[i % half];
    t.cos[i] = float(std::cos(angle)) * magnitude, t.sin[i] = float(std::sin(angle)) * magnitude;
  }
  return t;
}

/// Rotates (x_i, x_{i + dim/2}) of every head by its row's position, in place; columns from table.dim on stay.
/// x: (rows, heads, head_dim), f32, bf16 or f16, columns contiguous; positions: one per row.
/// Errors: math.1 (shapes), math.2 (a position outside the table); x is then untouched.
template <class T>
status apply_rope(on_cpu const& where, view<T, 3> x, std::span<int const> positions, rope_table const& table) {
  if (index(positions.size()) != x.extent[0] || table.dim > x.extent[2] || x.stride[2] != 1)
    return {"math.1", "rope: one position per row, table.dim <= head_dim, contiguous columns"};
  for (int p : positions)
    if (p < 0 || p >= table.positions) return {"math.2", "rope: position outside the table"};
  int const half = table.dim / 2;
  parallel_for(where, x.extent[0], [&](index r) {
    float const* const c = table.cos.data() + index(positions[std::size_t(r)]) * half;  // (dim/2)
    float const* const s = table.sin.data() + index(positions[std::size_t(r)]) * half;  // (dim/2)
    for (index h = 0; h < x.extent[1]; ++h) {
      T *const a = &x(r, h, 0), *const b = a + half;
      for (int i = 0; i < half; ++i) {
        float const u = float(a[i]), v = float(b[i]);
        a[i] = T(u * c[i] - v * s[i]), b[i] = T(v * c[i] + u * s[i]);
      }
    }
  });
  return {};
}

}  // namespace smalti
