#pragma once
// Attention in 8 bits (e4m3) on Hopper, after FlashAttention-3 (Shah et al. 2024), §3.3: `attention(on_cuda{…}, attention_fp8_problem, …)`.

#include "../cuda/tensor_map.cuh"
#include "../cuda/where.cuh"
#include "sm90_fp8_consume.cuh"
#include "sm90_fp8_produce.cuh"

#if defined(__CUDACC__)
namespace smalti {

/// Persistent: one block an SM. One warpgroup copies and gives its registers to the others.
template <int D, class Tuning, class Out, attention_variant Variant>
__global__ void __launch_bounds__(384, 1)
attention_sm90_fp8_kernel(__grid_constant__ detail::fp8_plan<Out> const plan, __grid_constant__ Variant const variant) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr attention_tile T = Tuning{}(attention_shape{D, 1}, sm_90a);
  using storage = detail::fp8_storage<T, D, Out>;
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& smem = *reinterpret_cast<storage*>(bytes);

  if (threadIdx.x == 0) {
    for (auto* map : {&plan.q, &plan.k, &plan.v, &plan.o}) ptx::tma_prefetch(map);
    // full: the producer arrives, and bytes · empty: every consumer warp arrives
    for (int i = 0; i < 2; ++i) ptx::mbarrier_init(&smem.q_full[i], 1), ptx::mbarrier_init(&smem.q_empty[i], T.warps);
    for (int i = 0; i < T.stages; ++i) {
      ptx::mbarrier_init(&smem.k_full[i], 1), ptx::mbarrier_init(&smem.k_empty[i], T.warps);
      ptx::mbarrier_init(&smem.v_full[i], 1), ptx::mbarrier_init(&smem.v_empty[i], T.warps);
    }
    ptx::mbarrier_init_fence();
  }
  ptx::sync_block();

  int const group = ptx::warpgroup() - 1;
  if (group < 0) {
    ptx::registers_lower_to<24>();
    if (threadIdx.x == 0) detail::fp8_producer<T, D, Out, Variant>{plan, variant, smem}.run();
  } else {
    ptx::registers_raise_to<240>();
    detail::fp8_consumer<T, D, Out, Variant>{plan, variant, smem, group}.run();
  }
#elif defined(__CUDA_ARCH__)
  __trap();  // code for another architecture: never a silent nothing
#endif
}

namespace detail {

/// Tells the copy engine how to fetch `rows` × 128 columns of a (B, H, N, D) array of bytes; what lies outside reads as zero.
/// Errors: attn.11.
inline status byte_map(CUtensorMap& map, view<e4m3 const, 4> a, int rows) {
  cuuint64_t const extent[] = {cuuint64_t(a.extent[3]), cuuint64_t(a.extent[2]), cuuint64_t(a.extent[1]), cuuint64_t(a.extent[0])};
  auto bytes = [&](int d) { return a.extent[d] > 1 ? cuuint64_t(a.stride[d]) : cuuint64_t(16); };  // the stride of a single one is free
  cuuint64_t const stride[] = {bytes(2), bytes(1), bytes(0)};
  cuuint32_t const box[] = {128, cuuint32_t(rows), 1, 1}, step[] = {1, 1, 1, 1};
  if (!tensor_map_encoder()) return {"cuda", "the driver has no cuTensorMapEncodeTiled"};
  CUresult const r = tensor_map_encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 4, const_cast<e4m3*>(a.at), extent, stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                          CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (r != CUDA_SUCCESS) return {"attn.11", "TMA needs 16-byte aligned arrays with strides of 16 bytes times a whole number"};
  return {};
}

template <int D, attention_tile T, class Out>
status make_plan(fp8_plan<Out>& plan, on_cuda const& where, attention_fp8_problem<Out> const& p) {
  auto const& l = p.lengths;
  if (!(p.scale > 0.f) || p.k.size() == 0) return {"attn.12", "the sm_90a engine needs scale > 0 and a key"};
  plan.problem = p, plan.rows = T.q, plan.ticket = where.ticket;
  plan.whole = !l.kv_starts && !l.kv_used;
  for (auto s : {byte_map(plan.q, p.q, 64), byte_map(plan.k, p.k, T.kv), byte_map(plan.v, p.v, D), tensor_map(plan.o, p.o, 16), tensor_map(plan.o_row, p.o, 1)})
    if (!s) return s;
  int const rows = int(p.q.extent[2]);
  index const blocks = l.q_starts ? index(rows / T.q) + l.count : ceil_div(rows, T.q);
  plan.slices = l.q_starts ? p.heads() : p.slices();
  if (blocks * plan.slices > 0x3fffffff) return {"attn.13", "more than 2^30 blocks of queries in one launch"};
  plan.blocks = int(blocks);
  index const kv_bytes = max(p.k.extent[2], index(1)) * 2 * D;  // of one key head
  plan.section = int(min(max(index(8 << 20) / kv_bytes, index(1)) * p.group(), index(plan.slices)));
  return {};
}

template <int D, class Tuning, class Out, class Variant>
status launch_fp8(on_cuda const& where, attention_fp8_problem<Out> const& p, Variant const& variant) {
  constexpr attention_shape S{D, 1};
  constexpr attention_tile T = Tuning{}(S, sm_90a);
  if (auto s = explain(fits_fp8(T, S, sm_90a)); !s) return s;
  fp8_plan<Out> plan{};
  if (auto s = make_plan<D, T>(plan, where, p); !s) return s;
  int device = 0, processors = 0;
  auto* const kernel = attention_sm90_fp8_kernel<D, Tuning, Out, Variant>;
  constexpr int smem = sizeof(fp8_storage<T, D, Out>);
  static_assert(smem <= sm_90a.smem);
  cudaFuncAttributes code{};
  cudaError_t e = cudaFuncGetAttributes(&code, kernel);
  if (e == cudaSuccess && code.binaryVersion < 90) return {"attn.18", "this program holds no sm_90a code for this board"};
  if (e == cudaSuccess) e = cudaGetDevice(&device);
  if (e == cudaSuccess) e = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  if (e == cudaSuccess) e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, smem);
  if (e == cudaSuccess) {
    kernel<<<min(plan.items(), processors), 128 + 32 * T.warps, smem, where.stream>>>(plan, variant);
    e = cudaGetLastError();
  }
  return explain(e);
}

/// Whether a call compiles kernels for a head dimension: all, or the one that its tuning names.
template <class Tuning>
constexpr bool fp8_serves(int D) {
  if constexpr (requires { Tuning::heads; }) return Tuning::heads.head_dim == D;
  else return D > 0;
}

}  // namespace detail

/// O = softmax(variant(Q Kᵀ)) V in e4m3 with f32 sums, O in bf16 or f16, on Hopper (sm_90a) alone; D = Dv = 64 or 128. Any variant
/// without `weight` (dropout). scale > 0 and a key. Lengths, scales and what a variant points at must be device memory; their contents
/// are not checked. Asynchronous, allocates nothing. Errors: attn.1-5 (tile), attn.6-14, 18, 30-32, cuda; nothing is written then.
template <class Tuning = tuned_fp8, class Out, attention_variant Variant = full>
status attention(on_cuda const& where, attention_fp8_problem<Out> const& p, Variant const& variant = {}) {
  static_assert(!has_weight<Variant>, "attn.16: attention in 8 bits knows no rewriting of weights");
  static_assert(sizeof(Out) == 2, "attn.3: devices write 16-bit elements");
  if (auto s = p.check(); !s) return s;
  if (!where.device.has(feature::wgmma)) return {"attn.32", "attention in 8 bits runs on sm_90a: pass on_cuda{stream, sm_90a}"};
  if (p.slices() == 0 || p.q.extent[2] == 0) return {};
  status result{"attn.10", "attention in 8 bits: D = Dv = 64 or 128"};
  if (p.q.extent[3] == p.o.extent[3])
    dispatch<64, 128>(int(p.q.extent[3]), [&]<int D> {
      if constexpr (detail::fp8_serves<Tuning>(D)) result = detail::launch_fp8<D, Tuning>(where, p, variant);
    });
  return result;
}

/// The tuned table for one head dimension: `attention<tuned_fp8_heads<128>>(…)` compiles kernels for no other.
template <int D>
struct tuned_fp8_heads : tuned_fp8 {
  static constexpr attention_shape heads{D, 1};
};

}  // namespace smalti
#endif
