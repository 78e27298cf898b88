#pragma once
// The 8-bit "dynamic tree" code (Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization", §1.3): seven decades
// of exponent, the mantissa finer where the numbers are large. It stores the absmax of NF4 blocks and the states of 8-bit Adam.

#include <algorithm>
#include <array>
#include <cmath>
#include "../core/config.hpp"

namespace smalti {

using dynamic_map = std::array<float, 256>;  ///< sorted

/// The 256 values of the code. Signed: −0.99297 … 1 with map[127] = 0. Unsigned: 0 … 1, for second moments.
/// For decade i = 0 … 6 the points are the means of neighbours in linspace(0.1, 1), times 10^(i − 6); plus 0 and 1.
inline dynamic_map make_dynamic_map(bool with_sign) {
  dynamic_map map{};
  int filled = 0;
  for (int decade = 0; decade < 7; ++decade) {
    int const points = with_sign ? 1 << decade : 2 << decade;
    float const step = 0.9f / float(points), power = float(std::pow(10.0, decade - 6));
    // The reference counts from both ends, each step a fused multiply-add: in double, then rounded, is the same.
    auto const boundary = [&](int j) {
      return float(j < (points + 1) / 2 ? double(0.1f) + double(step) * j : 1 - double(step) * (points - j));
    };
    for (int j = 0; j < points; ++j) {
      float const v = power * ((boundary(j) + boundary(j + 1)) / 2.f);
      map[filled++] = v;
      if (with_sign) map[filled++] = -v;
    }
  }
  map[filled++] = 0.f, map[filled++] = 1.f;
  std::sort(map.begin(), map.end());
  return map;
}

/// The map that this library writes; what it reads is the map stored in the file.
inline dynamic_map const& signed_dynamic_map() { static dynamic_map const map = make_dynamic_map(true); return map; }
inline dynamic_map const& unsigned_dynamic_map() { static dynamic_map const map = make_dynamic_map(false); return map; }

/// The code of the entry nearest to x; a tie goes to the lower one. `map` has 256 sorted entries.
inline uint8_t encode_nearest(float const* map, float x) {
  int const above = int(std::upper_bound(map, map + 256, x) - map);  // the first entry beyond x
  if (above == 0) return 0;
  if (above == 256) return 255;
  return uint8_t(std::fabs(map[above] - x) < std::fabs(x - map[above - 1]) ? above : above - 1);
}

/// Blockwise 8-bit quantisation: x (count) → code (count) and absmax (⌈count / block⌉), x̂ = map[code] · absmax[i / block].
inline void quantise_dynamic(uint8_t* code, float* absmax, float const* x, index count, int block, float const* map) {
  for (index first = 0; first < count; first += block) {
    index const end = min(first + block, count);
    float largest = 0;
    for (index i = first; i < end; ++i) largest = std::max(largest, std::fabs(x[i]));
    float const reciprocal = largest > 0 ? 1.f / largest : 0.f;
    for (index i = first; i < end; ++i) code[i] = encode_nearest(map, x[i] * reciprocal);
    absmax[first / block] = largest;
  }
}

}  // namespace smalti
