#pragma once
// The operands of attention in 8 bits (e4m3), how they are scaled and ordered, and what can be wrong with them.

#include "../quant/e4m3.hpp"
#include "problem.hpp"

namespace smalti {

/// softmax(q_scale · k_scale · Q Kᵀ · scale) · (v_scale · V) for every (sequence, head). Strides in elements, any but the last, which
/// is 1; o and lse alias nothing. V is kept transposed, its keys in the order of `e4m3_slot`: both products then read memory along
/// the axis they sum over, which is all that 8-bit tensor cores can do. `quantise_e4m3` and `quantise_values_e4m3` write operands so.
template <class Out>
struct attention_fp8_problem {
  view<e4m3 const, 4> q;  ///< (B, H, Nq, D)
  view<e4m3 const, 4> k;  ///< (B, Hkv, Nk, D)
  view<e4m3 const, 4> v;  ///< (B, Hkv, Dv, e4m3_slots(Nk)): key j in column e4m3_slot(j), zeros in columns without a key
  view<Out, 4> o;         ///< (B, H, Nq, Dv), bf16 or f16
  view<float, 3> lse;     ///< (B, H, Nq) log-sum-exp of the scores, or empty
  float scale;            ///< usually 1/√D
  view<float const, 2> q_scale = {};           ///< (B, H), > 0; one for all: strides of 0; empty: 1
  view<float const, 2> k_scale = {}, v_scale = {};  ///< (B, Hkv), likewise
  attention_lengths lengths = {};              ///< kv_starts: multiples of 16; then k and v hold all sequences in one

  SMALTI_HD int batch() const { return lengths.q_starts ? lengths.count : int(q.extent[0]); }
  SMALTI_HD int heads() const { return int(q.extent[1]); }
  SMALTI_HD int group() const { return int(q.extent[1] / k.extent[1]); }
  SMALTI_HD int slices() const { return batch() * heads(); }
  SMALTI_HD int q_first(int b) const { return lengths.q_starts ? lengths.q_starts[b] : 0; }
  SMALTI_HD int q_count(int b) const { return lengths.q_starts ? lengths.q_starts[b + 1] - lengths.q_starts[b] : int(q.extent[2]); }
  SMALTI_HD int kv_first(int b) const { return lengths.kv_starts ? lengths.kv_starts[b] : 0; }
  SMALTI_HD int kv_count(int b) const {
    if (lengths.kv_used) return lengths.kv_used[b];
    return lengths.kv_starts ? lengths.kv_starts[b + 1] - lengths.kv_starts[b] : int(k.extent[2]);
  }
  SMALTI_HD int position(int b) const { return lengths.positions ? lengths.positions[b] : 0; }
  /// What a score is multiplied by.
  SMALTI_HD float score_scale(int b, int h) const {
    return scale * (q_scale ? q_scale(b, h) : 1.f) * (k_scale ? k_scale(b, h / group()) : 1.f);
  }
  SMALTI_HD float value_scale(int b, int h) const { return v_scale ? v_scale(b, h / group()) : 1.f; }

  /// Everything that can be told from the views alone. Errors: attn.6-9, 13, 14, 30, 31.
  constexpr status check() const {
    for (int d = 0; d < 4; ++d)
      for (index n : {q.extent[d], k.extent[d], v.extent[d], o.extent[d]})
        if (n < 0 || n > 0x3fffffff) return {"attn.13", "an extent is negative or beyond 2^30"};
    if (k.extent[1] == 0 || q.extent[1] % k.extent[1] != 0) return {"attn.6", "H must be a multiple of Hkv"};
    for (int d = 0; d < 3; ++d)
      if (q.extent[d] != o.extent[d] || (lse && lse.extent[d] != q.extent[d]) || (d < 2 && k.extent[d] != v.extent[d]))
        return {"attn.7", "K and V, and Q, O and the log-sum-exp must agree in batch, heads and rows"};
    if (q.extent[3] != k.extent[3] || q.extent[3] == 0) return {"attn.8", "Q and K must agree on D > 0"};
    if (q.stride[3] != 1 || k.stride[3] != 1 || v.stride[3] != 1 || o.stride[3] != 1) return {"attn.9", "columns must be contiguous"};
    if (v.extent[2] != o.extent[3] || v.extent[3] < e4m3_slots(k.extent[2]))
      return {"attn.30", "V in 8 bits is (B, Hkv, Dv, e4m3_slots(Nk)), keys contiguous: quantise_values_e4m3 writes it"};
    if ((q.size() && (!q || !o)) || (k.size() && (!k || !v))) return {"attn.13", "an operand that is not empty has no memory"};
    if (lengths.q_starts && (lengths.count < 0 || q.extent[0] != 1)) return {"attn.14", "packed queries have batch extent 1 and a count"};
    index const sequences = lengths.q_starts ? lengths.count : q.extent[0];
    if (k.extent[0] != (lengths.kv_starts ? 1 : sequences)) return {"attn.14", "the batch extents of Q and K disagree, or packed keys have one that is not 1"};
    auto const covers = [&](view<float const, 2> const& s, index n) { return !s || (s.extent[0] == sequences && s.extent[1] == n); };
    if (!covers(q_scale, q.extent[1]) || !covers(k_scale, k.extent[1]) || !covers(v_scale, k.extent[1]))
      return {"attn.31", "scales are (B, H) for Q and (B, Hkv) for K and V, or absent; one for all has strides of 0"};
    return {};
  }
};

}  // namespace smalti
