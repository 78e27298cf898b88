#pragma once
// ⊕ of attention results over different keys: what lets keys be split over calls, threads or machines.
// FlashDecoding (Dao et al. 2023); Ring Attention (Liu et al. 2023).

#include "../core/status.hpp"
#include "../core/view.hpp"
#include "../core/where.hpp"
#include "../math/online_softmax.hpp"

namespace smalti {

/// (o, lse) ← (o, lse) ⊕ (other, other_lse), in place. o, other: (B, H, Nq, Dv), f32, bf16 or f16; lse, other_lse:
/// (B, H, Nq). Commutative; associative up to rounding; a result without keys (0, −∞) is its zero. Errors: attn.7, attn.9.
template <class T>
status join(on_cpu const& where, view<T, 4> o, view<float, 3> lse, view<T const, 4> other, view<float const, 3> other_lse) {
  for (int d = 0; d < 4; ++d)
    if (o.extent[d] != other.extent[d] || (d < 3 && (lse.extent[d] != o.extent[d] || other_lse.extent[d] != o.extent[d])))
      return {"attn.7", "both results must have the same extents"};
  if (o.stride[3] != 1 || other.stride[3] != 1) return {"attn.9", "columns must be contiguous"};
  index const H = o.extent[1];
  parallel_for(where, o.extent[0] * H, [&](index i) {
    for (index r = 0; r < o.extent[2]; ++r) {
      float& a = lse(i / H, i % H, r);
      float const b = other_lse(i / H, i % H, r);
      softmax_state const sum = softmax_state{}.add(a).add(b);
      if (sum.l == 0.f) continue;  // neither saw a key
      float const wa = softmax_state::decay(a, sum.m) / sum.l, wb = softmax_state::decay(b, sum.m) / sum.l;
      T* const x = &o(i / H, i % H, r, 0);                // (Dv)
      T const* const y = &other(i / H, i % H, r, 0);      // (Dv)
      for (index c = 0; c < o.extent[3]; ++c) x[c] = T(wa * float(x[c]) + wb * float(y[c]));
      a = sum.logsumexp();
    }
  });
  return {};
}

}  // namespace smalti
