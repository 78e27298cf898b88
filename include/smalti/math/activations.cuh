#pragma once
// The gated unit of a transformer's MLP on a device, elementwise: SwiGLU (Shazeer 2020, "GLU Variants", eq. 6).
// Floor: 3 · M · F elements: gate and up read, y written.

#include "rows.cuh"

namespace smalti {
namespace detail {

SMALTI_D float gated(float gate, float up) { return gate / (1.f + expf(-gate)) * up; }

template <bool Wide, class T>
__global__ void __launch_bounds__(256) swiglu_kernel(view<T, 2> y, view<T const, 2> gate, view<T const, 2> up) {
#if defined(__CUDA_ARCH__)
  ptx::launch_dependents();
  ptx::wait_for_previous();
  constexpr int width = Wide ? 8 : 1;
  index const n = y.extent[1], row = blockIdx.y, i = (blockIdx.x * index(256) + threadIdx.x) * width;
  if (i >= n) return;
  for (index r = row; r < y.extent[0]; r += gridDim.y) {
    T const *const g = gate.at + r * gate.stride[0] + i, *const u = up.at + r * up.stride[0] + i;
    T* const to = y.at + r * y.stride[0] + i;
    if constexpr (Wide) {
      float a[8], b[8];
      ptx::load_eight(a, g), ptx::load_eight(b, u);
      SMALTI_UNROLL for (int j = 0; j < 8; ++j) a[j] = gated(a[j], b[j]);
      ptx::store_eight(to, a);
    } else {
      *to = T(gated(ptx::widen_one(*g), ptx::widen_one(*u)));
    }
  }
#endif
}

}  // namespace detail

/// y = silu(gate) ⊙ up, computed in f32, rounded once. All (M, F), float, bf16 or f16, columns contiguous, on the device; y may be gate
/// or up. (Where gate and up are halves of one matrix (M, 2F), they are views of it.) Asynchronous, allocates nothing.
/// Errors: math.3 (shapes), math.4 (null), cuda; y is then untouched.
template <class T>
status swiglu(on_cuda const& where, view<T, 2> y, std::type_identity_t<view<T const, 2>> gate, std::type_identity_t<view<T const, 2>> up, launch_order order = {}) {
  static_assert(detail::device_element<T>, "gemm.6: rows are float, bf16 or f16");
  if (!detail::rows_agree(y, gate) || !detail::rows_agree(y, up)) return {"math.3", "swiglu: y, gate and up must agree, columns contiguous"};
  if (y.size() == 0) return {};
  if (detail::missing(y) || detail::missing(gate) || detail::missing(up)) return {"math.4", "an operand is null"};
  bool const wide = detail::by_eights(y) && detail::by_eights(gate) && detail::by_eights(up);
  index const blocks = ceil_div(y.extent[1], index(wide ? 2048 : 256));
  if (blocks > INT32_MAX) return {"math.3", "swiglu: too many columns"};
  dim3 const grid(unsigned(blocks), unsigned(min(y.extent[0], index(65535))));
  return detail::launch(where, order, wide ? detail::swiglu_kernel<true, T> : detail::swiglu_kernel<false, T>, grid, 256, 0, y, gate, up);
}

}  // namespace smalti
