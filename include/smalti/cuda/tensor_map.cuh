#pragma once
// Descriptions of arrays for Hopper's copy engine (TMA). CUDA Driver API, "Tensor Map Object Management".

#include <cuda.h>
#if !defined(__CUDACC_RTC__)  // there is no host that could make one
  #include <cuda_runtime.h>
#endif
#include <type_traits>
#include "../core/dtype.hpp"
#include "../core/status.hpp"
#include "../core/view.hpp"

#if !defined(__CUDACC_RTC__)
namespace smalti::detail {

/// cuTensorMapEncodeTiled without linking libcuda: the runtime hands out the driver's entry points.
inline decltype(&cuTensorMapEncodeTiled) tensor_map_encoder() {
  static auto const found = [] {
    void* f = nullptr;
    cudaDriverEntryPointQueryResult how;
    cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &f, 12000, cudaEnableDefault, &how);
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(f);
  }();
  return found;
}

/// Tells the copy engine how to fetch (or store) `rows` × 64 columns of a (B, H, N, D) array: 128-byte rows, swizzled, and
/// rows past N read as zero and are not written. One head never runs into the next: N is a dimension of its own. Errors: attn.11.
template <class E>
status tensor_map(CUtensorMap& map, view<E, 4> a, int rows) {
  using T = std::remove_const_t<E>;
  constexpr auto type = std::is_same_v<T, f16> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  static_assert(sizeof(T) == 2);
  cuuint64_t const extent[] = {cuuint64_t(a.extent[3]), cuuint64_t(a.extent[2]), cuuint64_t(a.extent[1]), cuuint64_t(a.extent[0])};
  auto bytes = [&](int d) { return a.extent[d] > 1 ? cuuint64_t(a.stride[d]) * 2 : cuuint64_t(16); };  // the stride of a single one is free
  cuuint64_t const stride[] = {bytes(2), bytes(1), bytes(0)};
  cuuint32_t const box[] = {64, cuuint32_t(rows), 1, 1}, step[] = {1, 1, 1, 1};
  if (!tensor_map_encoder()) return {"cuda", "the driver has no cuTensorMapEncodeTiled"};
  CUresult const r = tensor_map_encoder()(&map, type, 4, const_cast<T*>(a.at), extent, stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                          CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (r != CUDA_SUCCESS) return {"attn.11", "TMA needs 16-byte aligned arrays with strides of 16 bytes times a whole number"};
  return {};
}

}  // namespace smalti::detail
#endif
