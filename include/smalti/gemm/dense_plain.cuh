#pragma once
// The same sums for operands of any type and alignment on a device, types asked at run time: for tiny checkpoints in fp32 and for shapes
// that the fast kernel does not take. One warp an output, four tokens at a time; slow, and written to be obviously right.

#include "../cuda/launch.cuh"
#include "../cuda/ptx_rows.cuh"
#include "epilogue.hpp"
#include "terms.hpp"

namespace smalti::detail {

/// A matrix whose type is known at run time: f32, bf16, f16 or i8.
struct plain_rows {
  void const* at;
  dtype type;
  index row, column;  ///< strides, in elements

#if defined(__CUDACC__)
  SMALTI_D float operator()(index i, index j) const {
    index const k = i * row + j * column;
    switch (type) {
      case dtype::f32: return static_cast<float const*>(at)[k];
      case dtype::bf16: return ptx::widen_one(static_cast<bf16 const*>(at)[k]);
      case dtype::f16: return ptx::widen_one(static_cast<f16 const*>(at)[k]);
      default: return float(static_cast<int8_t const*>(at)[k]);
    }
  }
#endif
};
struct plain_term {
  plain_rows x, w;
  int k;
  float scale;
  float const* row_scale;  ///< (N), or null
};
struct plain_sum {
  static constexpr int most_terms = 5;
  int terms;
  plain_term all[most_terms];
};

#if defined(__CUDACC__)
template <class Y, epilogue Out>
__global__ void __launch_bounds__(256) plain_kernel(view<Y, 2> y, __grid_constant__ plain_sum const first, __grid_constant__ plain_sum const second, __grid_constant__ Out const out) {
#if defined(__CUDA_ARCH__)
  constexpr int tokens = 4;
  ptx::launch_dependents();
  ptx::wait_for_previous();
  index const n = blockIdx.x * index(8) + ptx::warp();
  if (n >= y.extent[1]) return;
  for (index m0 = blockIdx.y * index(tokens); m0 < y.extent[0]; m0 += gridDim.y * index(tokens)) {
    int const here = int(min(index(tokens), y.extent[0] - m0));
    auto const of = [&](plain_sum const& sum, float (&total)[tokens]) {
      for (int i = 0; i < sum.terms; ++i) {
        plain_term const& t = sum.all[i];
        float acc[tokens] = {};
        for (int k = ptx::lane(); k < t.k; k += 32) {
          float const w = t.w(n, k);
          SMALTI_UNROLL for (int j = 0; j < tokens; ++j)
            if (j < here) acc[j] = fmaf(w, t.x(m0 + j, k), acc[j]);
        }
        float const s = t.scale * (t.row_scale ? t.row_scale[n] : 1.f);
        SMALTI_UNROLL for (int j = 0; j < tokens; ++j) {
          SMALTI_UNROLL for (int d = 16; d; d /= 2) acc[j] += ptx::shfl_xor(acc[j], d);
          total[j] = fmaf(s, acc[j], total[j]);
        }
      }
    };
    float v[tokens] = {}, up[tokens] = {};
    of(first, v), of(second, up);
    SMALTI_UNROLL for (int j = 0; j < tokens; ++j)
      if (j < here && ptx::lane() == j) y(m0 + j, n) = Y(out(second.terms ? silu{}(v[j], 0, 0) * up[j] : v[j], m0 + j, n));
  }
#endif
}
#endif

}  // namespace smalti::detail
