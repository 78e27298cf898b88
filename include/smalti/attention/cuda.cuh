#pragma once
// Attention on a device: which engine runs a problem, and its launch.

#include "../cuda/where.cuh"
#include "sm80.cuh"
#include "sm90.cuh"

namespace smalti {
namespace detail {

/// cp.async moves 16 bytes: every row must begin at a multiple of them.
template <class T>
bool rows_aligned(view<T, 4> const& a) {
  bool ok = reinterpret_cast<std::uintptr_t>(a.at) % 16 == 0;
  for (int d = 0; d < 3; ++d) ok = ok && (a.extent[d] <= 1 || a.stride[d] * index(sizeof(T)) % 16 == 0);
  return ok;
}

template <int D, int Dv, class Tuning, class T, class Variant>
status launch_sm80(on_cuda const& where, attention_problem<T> const& p, Variant const& variant) {
  constexpr attention_shape S{D, sizeof(T), Dv};
  attention_tile const t = Tuning{}(S, where.device);
  if (auto s = explain(fits(t, S, where.device)); !s) return s;
  auto* const kernel = attention_kernel<D, Dv, Tuning, T, Variant>;
  int const smem = smem_bytes(t, S);
  cudaError_t e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, smem);
  if (e == cudaSuccess) {
    kernel<<<dim3(unsigned(ceil_div(int(p.q.extent[2]), t.q)), unsigned(p.slices())), 32 * t.warps, smem, where.stream>>>(p, variant);
    e = cudaGetLastError();
  }
  return explain(e);
}

/// Whether Hopper's engine knows everything the problem asks for; sm_80's takes the rest.
template <class T, class Variant>
bool suits_sm90(on_cuda const& where, attention_problem<T> const& p) {
  if constexpr (!std::is_same_v<T, bf16> || has_weight<Variant> || has_sink<Variant>) return false;
  auto const& l = p.lengths;
  return where.device.has(feature::wgmma) && p.q.extent[3] == p.v.extent[3] && !l.q_starts && !l.kv_starts && !l.kv_used && !l.positions &&
         p.scale > 0 && p.k.extent[2] > 0;
}

}  // namespace detail

/// O = softmax(variant(Q Kᵀ · scale)) V for every (sequence, head), on the stream of `where`. T: bf16 or f16; D = Dv one of 32,
/// 64, 96, 128, 256, or 192/128. Lengths and what a variant points at must be device memory; their contents are not checked.
/// Asynchronous, allocates nothing. Errors: attn.1-5 (tile), attn.6-16 (operands), attn.18, cuda; nothing is written then.
template <class Tuning = tuned, class T, attention_variant Variant = full>
status attention(on_cuda const& where, attention_problem<T> const& p, Variant const& variant = {}) {
  static_assert(sizeof(T) == 2, "attn.3: devices compute in 16-bit elements");
  if (auto s = p.check(); !s) return s;
  if (p.pages.pages) return {"attn.16", "pages are not yet known to the device engines"};
  if (p.slices() == 0 || p.q.extent[2] == 0) return {};
  if (p.slices() > 65535) return {"attn.13", "more than 65535 (sequence, head) pairs in one launch"};
  int const D = int(p.q.extent[3]), Dv = int(p.v.extent[3]);
  status result{"attn.10", "head_dim is not one of 32, 64, 96, 128, 256, or 192 with values of 128"};
  if constexpr (std::is_same_v<Tuning, tuned> && std::is_same_v<T, bf16> && !has_weight<Variant> && !has_sink<Variant>)
    if (detail::suits_sm90<T, Variant>(where, p) && dispatch<64, 128>(D, [&]<int N> { result = attention_sm90<N>(where, p, variant); })) return result;
  if (!detail::rows_aligned(p.q) || !detail::rows_aligned(p.k) || !detail::rows_aligned(p.v) || !detail::rows_aligned(p.o))
    return {"attn.11", "rows must begin at multiples of 16 bytes"};
  if (D == Dv) dispatch<32, 64, 96, 128, 256>(D, [&]<int N> { result = detail::launch_sm80<N, N, Tuning>(where, p, variant); });
  if (D == 192 && Dv == 128) result = detail::launch_sm80<192, 128, Tuning>(where, p, variant);
  return result;
}

}  // namespace smalti
