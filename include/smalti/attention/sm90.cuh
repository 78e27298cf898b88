#pragma once
// Hopper's engine: one warpgroup copies, the others compute 64 query rows each, and blocks are persistent.

#include <numeric>
#include <type_traits>
#include "../cuda/launch.cuh"
#include "../cuda/tensor_map.cuh"
#include "../cuda/where.cuh"
#include "sm90_consume.cuh"
#include "sm90_produce.cuh"

#if defined(__CUDACC__)
namespace smalti {

/// Persistent: one block an SM. One warpgroup copies and gives its registers to the others.
template <int D, int Dv, class Tuning, class E, attention_variant Variant>
__global__ void __launch_bounds__(128 + 32 * Tuning{}(attention_shape{D, sizeof(E), Dv}, sm_90a).warps, 1)
attention_sm90_kernel(__grid_constant__ detail::sm90_plan<E> const plan, __grid_constant__ Variant const variant) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr attention_tile T = Tuning{}(attention_shape{D, sizeof(E), Dv}, sm_90a);
  constexpr register_shares shares = shares_wgmma(T, {D, sizeof(E), Dv});
  using storage = detail::sm90_storage<T, D, Dv, E, Variant>;
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& smem = *reinterpret_cast<storage*>(bytes);

  if (threadIdx.x == 0) {
    for (auto* map : {&plan.q, &plan.k, &plan.v, &plan.o}) ptx::tma_prefetch(map);
    smem.init();
    ptx::mbarrier_init_fence();
  }
  if constexpr (T.cluster > 1) ptx::cluster_sync();
  else ptx::sync_block();

  int const group = ptx::warpgroup() - 1;
  if (group < 0) {
    ptx::registers_lower_to<shares.copying>();
    if (threadIdx.x == 0) detail::sm90_producer<T, D, Dv, E, Variant>{plan, variant, smem}.run();
  } else {
    ptx::registers_raise_to<shares.computing>();
    detail::sm90_consumer<T, D, Dv, E, Variant>{plan, variant, smem, group}.run();
  }
  if constexpr (T.cluster > 1) ptx::sync_warp(), ptx::cluster_sync();  // nobody leaves while others may send to it
#elif defined(__CUDA_ARCH__)
  __trap();  // code for another architecture: never a silent nothing
#endif
}

namespace detail {

/// masked: later blocks may have more keys. processors: of the board.
template <int D, int Dv, attention_tile T, class E>
status make_plan(sm90_plan<E>& plan, on_cuda const& where, attention_problem<E> const& p, bool masked, int processors) {
  auto const& l = p.lengths;
  if (!(p.scale > 0.f) || p.q.extent[3] != D || p.v.extent[3] != Dv || p.k.size() == 0)
    return {"attn.12", "the sm_90a engine needs scale > 0, its head dimensions and a key"};
  plan.problem = p, plan.rows = T.q * T.cluster, plan.ticket = where.ticket;
  plan.copy_rows = p.pages.pages ? std::gcd(T.kv / T.cluster, p.pages.page_size) : T.kv / T.cluster;
  if (plan.copy_rows % 8 != 0) return {"attn.15", "the copy engine needs pages of 8 rows times a whole number"};
  plan.whole = !l.kv_starts && !l.kv_used && !p.pages.pages;
  for (auto s : {tensor_map(plan.q, p.q, 64), tensor_map(plan.k, p.k, plan.copy_rows), tensor_map(plan.v, p.v, plan.copy_rows), tensor_map(plan.o, p.o, 16), tensor_map(plan.o_row, p.o, 1)})
    if (!s) return s;
  int const rows = int(p.q.extent[2]);
  index const blocks = l.q_starts ? index(rows / plan.rows) + l.count : ceil_div(rows, plan.rows);
  plan.slices = l.q_starts ? p.heads() : p.slices();
  if (blocks * plan.slices > 0x3fffffff) return {"attn.13", "more than 2^30 blocks of queries in one launch"};
  plan.blocks = int(blocks);
  index const keys = p.pages.pages ? index(p.pages.max_pages) * p.pages.page_size : p.k.extent[2];
  index const kv_bytes = max(keys, index(1)) * (D + Dv) * index(sizeof(E));  // of one key head
  auto const sharing = [&](int megabytes) { return int(min(max((index(megabytes) << 20) / kv_bytes, index(1)) * p.group(), index(plan.slices))); };
  plan.last_first = masked, plan.divide(rows, masked);
  // blocks of different lengths, and few: a larger last section has enough short ones to fill what the longest leave uneven
  bool const level = masked && plan.items() < 11 * processors / T.cluster;
  plan.section = sharing(8), plan.tail = (plan.slices - (level ? sharing(48) : 1)) / plan.section * plan.section;
  return {};
}

}  // namespace detail

/// O = softmax(variant(Q Kᵀ · scale)) V on Hopper: bf16 or f16, D 64, 96, 128, 192 or 256, Dv likewise. scale > 0 and a key.
/// Asynchronous, allocates nothing. Errors: attn.1-5 (tile), attn.6-9, 11-15 (operands), attn.18, cuda; nothing is written then.
template <int D, int Dv = D, class Table = tuned_sm90, class E, attention_variant Variant = full>
status attention_sm90(on_cuda const& where, attention_problem<E> const& p, Variant const& variant = {}) {
  constexpr bool choose = std::is_same_v<Table, tuned_sm90>, masked = !keeps_all<Variant>;
  using Tuning = std::conditional_t<choose && masked, tuned_sm90_masked, Table>;
  constexpr attention_shape S{D, sizeof(E), Dv};
  constexpr attention_tile T = Tuning{}(S, sm_90a);
  constexpr int from = choose && (std::is_same_v<Variant, full> || std::is_same_v<Variant, causal>) ? pairs_from(S, masked) : 0;
  if constexpr (from > 0)
    if (min(p.q.extent[2], p.k.extent[2]) >= from && !p.lengths.q_starts && !p.lengths.kv_starts) return attention_sm90<D, Dv, in_pairs<Tuning>>(where, p, variant);
  if (auto s = p.check(); !s) return s;
  if (auto s = explain(fits_wgmma(T, S, sm_90a)); !s) return s;
  if (p.slices() == 0 || p.q.extent[2] == 0) return {};
  detail::sm90_plan<E> plan{};
  int device = 0, processors = 0;
  cudaError_t e = cudaGetDevice(&device);
  if (e == cudaSuccess) e = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  if (auto s = explain(e); !s) return s;
  if (auto s = detail::make_plan<D, Dv, T>(plan, where, p, masked, processors); !s) return s;

  auto* const kernel = attention_sm90_kernel<D, Dv, Tuning, E, Variant>;
  using storage = detail::sm90_storage<T, D, Dv, E, Variant>;
  constexpr int smem = sizeof(storage);
  static_assert(smem <= sm_90a.smem);
  cudaFuncAttributes code{};
  e = cudaFuncGetAttributes(&code, kernel);
  if (e == cudaSuccess && code.binaryVersion < 90) return {"attn.18", "this program holds no sm_90a code for this board"};
  if (e == cudaSuccess) e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, smem);
  if (e == cudaSuccess) {
    auto const blocks = unsigned(min(plan.items(), processors / T.cluster) * T.cluster);
    return detail::launch_clusters(where, {}, T.cluster, kernel, blocks, 128 + 32 * T.warps, smem, plan, variant);
  }
  return explain(e);
}

}  // namespace smalti
#endif
