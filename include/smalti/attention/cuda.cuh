#pragma once
// Attention on a device: which engine runs a problem, and its launch.

#include <string_view>
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
  constexpr attention_shape S = sm80_shape<D, Dv, T, Variant>;
  arch const code = code_arch(where.device);
  attention_tile const t = Tuning{}(S, code);
  if (auto s = explain(fits(t, S, code)); !s) return s;
  auto* const kernel = attention_kernel<D, Dv, Tuning, T, Variant>;
  int const smem = smem_bytes(t, S);
  // K and V of a section stay in the L2 cache. Where blocks differ in length, more of them at once come out more evenly (H200, causal, sections of 32 MB
  // instead of 8: D 128 +3 to +7 %, D 64 −1 %).
  index const bytes = max(p.k.extent[2] * (D + Dv) * index(sizeof(T)), index(1)), wanted = (index(S.masked && D > 64 ? 32 : 8) << 20) / bytes, slices = p.slices();
  int const blocks = ceil_div(int(p.q.extent[2]), t.q), section = int(min(max(max(wanted, index(1)), ceil_div(slices, index(65535))), slices));
  if (blocks > 65535) return {"attn.13", "more than 65535 blocks of queries in a sequence"};
  cudaError_t e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, smem);
  if (e == cudaSuccess) {
    kernel<<<dim3(unsigned(section), unsigned(blocks), unsigned(ceil_div(int(slices), section))), 32 * t.warps, smem, where.stream>>>(p, variant);
    e = cudaGetLastError();
  }
  return explain(e);
}

/// Whether Hopper's engine knows everything the problem asks for; sm_80's takes the rest.
template <class T>
bool suits_sm90(on_cuda const& where, attention_problem<T> const& p) {
  return where.device.has(feature::wgmma) && p.scale > 0 && p.k.size() > 0;
}

/// The head dimensions that a call is compiled for: all, or the one that its tuning names.
template <class Tuning, class F>
bool dispatch_heads(int D, int Dv, F&& f) {
  if constexpr (requires { Tuning::heads; }) {
    constexpr attention_shape S = Tuning::heads;
    if (D == S.head_dim && Dv == S.values()) return f.template operator()<S.head_dim, S.values()>(), true;
    return false;
  } else {
    if (D == 192 && Dv == 128) return f.template operator()<192, 128>(), true;
    return D == Dv && dispatch<32, 64, 96, 128, 192, 256>(D, [&]<int N> { f.template operator()<N, N>(); });
  }
}

}  // namespace detail

/// The tuned tables for one pair of head dimensions: `attention<tuned_heads<128>>(…)` compiles kernels for no other.
template <int D, int Dv = D>
struct tuned_heads : tuned {
  static constexpr attention_shape heads{D, 2, Dv};
};

/// O = softmax(variant(Q Kᵀ · scale)) V for every (sequence, head), on the stream of `where`. T: bf16 or f16; D = Dv one of 32,
/// 64, 96, 128, 192, 256, or 192/128. With tuned tables Hopper's engine takes what it can; pages are known to it alone. Lengths,
/// page tables and what a variant points at must be device memory; their contents are not checked.
/// Asynchronous, allocates nothing. Errors: attn.1-5 (tile), attn.6-16 (operands), attn.18, cuda; nothing is written then.
template <class Tuning = tuned, class T, attention_variant Variant = full>
status attention(on_cuda const& where, attention_problem<T> const& p, Variant const& variant = {}) {
  static_assert(sizeof(T) == 2, "attn.3: devices compute in 16-bit elements");
  if (auto s = p.check(); !s) return s;
  if (p.slices() == 0 || p.q.extent[2] == 0) return {};
  int const D = int(p.q.extent[3]), Dv = int(p.v.extent[3]);
  status result{"attn.10", "head_dim is not one of 32, 64, 96, 128, 192, 256, or 192 with values of 128"};
  if constexpr (std::is_same_v<Tuning, tuned> || requires { Tuning::heads; })
    if (detail::suits_sm90(where, p)) {
      bool const ran = detail::dispatch_heads<Tuning>(D, Dv, [&]<int N, int Nv> {
        if constexpr (N >= 64) result = attention_sm90<N, Nv>(where, p, variant);
      });
      // strides that the copy engine cannot express may still suit the common engine
      if (ran && D >= 64 && (result || p.pages.pages || std::string_view(result.id) != "attn.11")) return result;
    }
  if (p.pages.pages) return {"attn.16", "pages are known to the sm_90a engine alone, with scale > 0"};
  if (!detail::rows_aligned(p.q) || !detail::rows_aligned(p.k) || !detail::rows_aligned(p.v) || !detail::rows_aligned(p.o))
    return {"attn.11", "rows must begin at multiples of 16 bytes"};
  detail::dispatch_heads<Tuning>(D, Dv, [&]<int N, int Nv> { result = detail::launch_sm80<N, Nv, Tuning>(where, p, variant); });
  return result;
}

}  // namespace smalti
