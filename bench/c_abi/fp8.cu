// Attention in 8 bits behind the C interface: e4m3 in, bf16 out, D 64 and 128; and the quantiser of its operands.

#include "attention.h"
#include "problem.cuh"

#include <smalti/attention/fp8.cuh>
#include <smalti/quant/e4m3.cuh>

namespace smalti::c_abi {

status fp8(smalti_attention_problem const& c) {
  auto const b = problem<bf16>(c);  // for the views that both share
  auto const codes = [](void const* at, int batch, int heads, int rows, index columns, long long const (&s)[3]) {
    return view<e4m3 const, 4>{static_cast<e4m3 const*>(at), {batch, heads, rows, columns}, {s[0], s[1], s[2], 1}};
  };
  auto const scales = [](float const* at, int batch, int heads) { return at ? row_major(at, batch, heads) : view<float const, 2>{}; };
  attention_fp8_problem<bf16> const p{codes(c.q, c.batch, c.heads, c.queries, c.head_dim, c.stride_q),
                                      codes(c.k, c.batch, c.heads_kv, c.keys, c.head_dim, c.stride_k),
                                      codes(c.v, c.batch, c.heads_kv, c.value_dim, e4m3_slots(c.keys), c.stride_v),
                                      b.o, b.lse, c.scale, scales(c.q_scale, c.batch, c.heads), scales(c.k_scale, c.batch, c.heads_kv), scales(c.v_scale, c.batch, c.heads_kv)};
  if (c.mask == smalti_causal) return attention(where(c), p, causal{c.keys - c.queries});
  return attention(where(c), p);
}

status quantise(smalti_attention_problem const& c, void const* from, long long const (&s)[3], void* to, float* scale, int heads, int rows, int columns, bool values) {
  view<bf16 const, 4> const x{static_cast<bf16 const*>(from), {c.batch, heads, rows, columns}, {s[0], s[1], s[2], 1}};
  auto* const codes = static_cast<e4m3*>(to);
  auto const per_head = row_major(scale, c.batch, heads);
  if (values) return quantise_values_e4m3(where(c), row_major(codes, c.batch, heads, columns, e4m3_slots(rows)), per_head, x);
  return quantise_e4m3(where(c), row_major(codes, c.batch, heads, rows, columns), per_head, x);
}
}  // namespace smalti::c_abi

char const* smalti_quantise_e4m3(smalti_attention_problem const* c, void* q, void* k, void* v, float* q_scale, float* k_scale, float* v_scale) {
  using namespace smalti::c_abi;
  for (auto s : {quantise(*c, c->q, c->stride_q, q, q_scale, c->heads, c->queries, c->head_dim, false),
                 quantise(*c, c->k, c->stride_k, k, k_scale, c->heads_kv, c->keys, c->head_dim, false),
                 quantise(*c, c->v, c->stride_v, v, v_scale, c->heads_kv, c->keys, c->value_dim, true)})
    if (!s) return s.why;
  return nullptr;
}
