#pragma once
// Operands of attention in e4m3: one scale a head, and V in the order that 8-bit tensor cores read. Absmax scaling: Micikevicius et
// al. 2022, §3; the order of V: FlashAttention-3 (Shah et al. 2024), §3.3.

#include <cmath>
#include "../core/dtype.hpp"
#include "../core/status.hpp"
#include "../core/view.hpp"
#include "../core/where.hpp"

namespace smalti {

/// The column of Vᵀ in which key j lies. S = Q Kᵀ leaves a lane t of four with columns 8a + 2t + b of every 16 (a, b: 0 or 1), and
/// P V wants 4t + 2a + b from it. Sums do not care in which order their terms come: with V's keys stored as
///   slot(16i + 8a + 2t + b) = 16i + 4t + 2a + b
/// the first is the second, and P never leaves its lane.
SMALTI_HD constexpr index e4m3_slot(index j) { return (j & ~index(15)) + ((j >> 1 & 3) << 2) + ((j >> 3 & 1) << 1) + (j & 1); }
/// The key in column c: the inverse.
SMALTI_HD constexpr index e4m3_key(index c) { return (c & ~index(15)) + ((c >> 1 & 1) << 3) + ((c >> 2 & 3) << 1) + (c & 1); }
/// Columns of Vᵀ for so many keys. A row's pitch must be a multiple of 16 bytes, too.
SMALTI_HD constexpr index e4m3_slots(index keys) { return round_up(keys, index(16)); }

/// What one scale is made of: the largest |x| of a head becomes 448. A head of zeros has scale 1.
SMALTI_HD constexpr float e4m3_scale(float largest) { return largest > 0 ? largest / e4m3_max : 1.f; }
SMALTI_HD constexpr e4m3 e4m3_scaled(float x, float scale) { return e4m3(x / scale); }

namespace detail {
template <class T>
constexpr status check_e4m3(view<e4m3, 4> const& to, view<float, 2> const& scale, view<T const, 4> const& from, bool transposed) {
  index const rows = transposed ? to.extent[3] : to.extent[2], columns = transposed ? to.extent[2] : to.extent[3];
  if (to.extent[0] != from.extent[0] || to.extent[1] != from.extent[1] || columns != from.extent[3] ||
      (transposed ? rows < e4m3_slots(from.extent[2]) : rows != from.extent[2]) || scale.extent[0] != from.extent[0] || scale.extent[1] != from.extent[1])
    return {"quant.9", "codes, scales (B, H) and what is quantised disagree in extents"};
  if (from.size() && (!to || !scale || !from)) return {"quant.9", "an operand that is not empty has no memory"};
  return {};
}

template <class T>
status quantise_e4m3(on_cpu const& where, view<e4m3, 4> to, view<float, 2> scale, view<T const, 4> from, bool transposed) {
  if (auto s = check_e4m3(to, scale, from, transposed); !s) return s;
  parallel_for(where, from.extent[0] * from.extent[1], [&](index i) {
    index const b = i / from.extent[1], h = i % from.extent[1], rows = from.extent[2];
    float largest = 0;
    for (index n = 0; n < rows; ++n)
      for (index d = 0; d < from.extent[3]; ++d) largest = std::fmax(largest, std::fabs(float(from(b, h, n, d))));
    float const s = scale(b, h) = e4m3_scale(largest);
    if (!transposed)
      for (index n = 0; n < rows; ++n)
        for (index d = 0; d < from.extent[3]; ++d) to(b, h, n, d) = e4m3_scaled(float(from(b, h, n, d)), s);
    else
      for (index d = 0; d < from.extent[3]; ++d)
        for (index c = 0; c < to.extent[3]; ++c) {
          index const n = e4m3_key(c);
          to(b, h, d, c) = n < rows ? e4m3_scaled(float(from(b, h, n, d)), s) : e4m3(0.f);
        }
  });
  return {};
}
}  // namespace detail

/// from (B, H, N, D) ≈ scale(b, h) · to (B, H, N, D), each element to half a step of e4m3. T: float, bf16 or f16; any strides. NaN
/// stays NaN and does not enter the scale. Errors: quant.9.
template <class T>
status quantise_e4m3(on_cpu const& where, view<e4m3, 4> to, view<float, 2> scale, view<T const, 4> from) {
  return detail::quantise_e4m3(where, to, scale, from, false);
}

/// Values of attention: from (B, Hkv, N, Dv), to (B, Hkv, Dv, ≥ e4m3_slots(N)), row n in column e4m3_slot(n), zeros in the others.
/// Errors: quant.9.
template <class T>
status quantise_values_e4m3(on_cpu const& where, view<e4m3, 4> to, view<float, 2> scale, view<T const, 4> from) {
  return detail::quantise_e4m3(where, to, scale, from, true);
}

}  // namespace smalti
